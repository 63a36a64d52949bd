"""Options of ``twistd oob-responder``, and the services they make."""

from __future__ import annotations

import os
import re
import secrets
import stat
from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Final, NoReturn

from twisted.application.service import Service
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.logger import Logger
from twisted.python import usage
from twisted.python.failure import Failure

from twisted_oob.demo import REPORT_OBSERVER, Demo
from twisted_oob.embedded import EmbeddedResponder
from twisted_oob.exit_status import stop_with_status
from twisted_oob.fetch import Fetcher
from twisted_oob.policy import FetchPolicy
from twisted_oob.responder import EVERYBODY, AllowList, OOBResponder
from twisted_oob.stanza import parse_jid

_UNITS: Final = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}


def parse_size(text: str) -> int:
    """Read a size in bytes: K, M, G are powers of 1000, Ki, Mi, Gi of 1024."""
    match = re.fullmatch(r"([0-9]+)([KMG]i?)?", text)
    if match is None or not int(match[1]):
        raise ValueError("a size above 0 such as 500K, 100M or 2Gi")
    return int(match[1]) * _UNITS[match[2] or ""]


def parse_seconds(text: str) -> float:
    """Read a number of seconds above 0."""
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text) is None or not float(text):
        raise ValueError("a number of seconds above 0")
    return float(text)


def parse_count(text: str) -> int:
    """Read a whole number above 0."""
    if re.fullmatch(r"[0-9]+", text) is None or not int(text):
        raise ValueError("a whole number above 0")
    return int(text)


def parse_network(text: str) -> Any:
    """Read a network in CIDR notation."""
    try:
        return ip_network(text)
    except ValueError as error:
        raise ValueError(f"a network such as 10.0.0.0/8 or fd00::/8 ({error})") from None


def parse_allowed(text: str) -> str:
    """Read an entry of an AllowList."""
    try:
        AllowList([text])
    except ValueError:
        raise ValueError("a JID, a domain or * for everybody") from None
    return text


def parse_domain(text: str) -> str:
    """Read a domain: a JID with nothing but its host."""
    try:
        jid = parse_jid(text)
    except ValueError:
        jid = None
    if jid is None or jid.user or jid.resource:
        raise ValueError("a domain such as oob.example.org")
    return jid.host


def parse_endpoint(text: str) -> str:
    """Read the description of a server endpoint."""
    from twisted.internet import reactor  # noqa: PLC0415  (installs one)

    try:
        serverFromString(reactor, text)
    except Exception as error:
        # Each kind of endpoint has its own parser, with its own exceptions.
        raise ValueError(
            f"a Twisted server endpoint such as tcp:5347:interface=127.0.0.1 ({error})"
        ) from None
    return text


def parse_directory(text: str) -> Path:
    """Read the path of a folder that is there or can be made."""
    path = Path(text).absolute()
    existing = path
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        raise ValueError(f"a folder; {existing} is none")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise ValueError(f"a folder that can be written to; {existing} can't")
    return path


def parse_file(text: str) -> Path:
    """Read the path of a file that is there or can be made."""
    path = Path(text).absolute()
    if path.exists() and not path.is_file():
        raise ValueError("a file, not a folder or device")
    if not path.exists() and not path.parent.is_dir():
        raise ValueError(f"a file in a folder that is there; {path.parent} is none")
    return path


class Options(usage.Options):
    """What ``twistd oob-responder`` can be told."""

    optFlags: Final = [["demo", None, "Show four offers on loopback, nothing else, and stop."]]

    def __init__(self) -> None:
        usage.Options.__init__(self)
        self["download-dir"] = parse_directory("oob-downloads")
        self["listen"] = "tcp:5347:interface=127.0.0.1"
        self["domain"] = "oob.localhost"
        self["secret-file"] = Path("oob-responder.secret").absolute()
        self["allow-from"] = []
        self["allow-network"] = []
        self["max-size"] = parse_size("100M")
        self["timeout"] = 600.0
        self["stall-timeout"] = 30.0
        self["concurrency"] = 8
        self._given: set[str] = set()

    def opt_download_dir(self, value: str) -> None:
        """Where files land; made if missing. [default: ./oob-downloads]"""
        self._take("download-dir", value, parse_directory)

    def opt_listen(self, value: str) -> None:
        """Server endpoint of the embedded router, for external components (XEP-0114).
        [default: tcp:5347:interface=127.0.0.1]"""
        self._take("listen", value, parse_endpoint)

    def opt_domain(self, value: str) -> None:
        """The responder's JID on the embedded router. [default: oob.localhost]"""
        self._take("domain", value, parse_domain)

    def opt_secret_file(self, value: str) -> None:
        """The secret that components share; made with a random one if missing.
        [default: ./oob-responder.secret]"""
        self._take("secret-file", value, parse_file)

    def opt_allow_from(self, value: str) -> None:
        """Who may make offers: a JID, a domain or * (repeatable). [default: *]"""
        self._take("allow-from", value, parse_allowed, repeatable=True)

    def opt_allow_network(self, value: str) -> None:
        """A network, as CIDR, to fetch from beside the public addresses (repeatable)."""
        self._take("allow-network", value, parse_network, repeatable=True)

    def opt_max_size(self, value: str) -> None:
        """Bytes a file may have; K, M, G are powers of 1000, Ki, Mi, Gi of 1024. [default: 100M]"""
        self._take("max-size", value, parse_size)

    def opt_timeout(self, value: str) -> None:
        """Seconds for a whole transfer. [default: 600]"""
        self._take("timeout", value, parse_seconds)

    def opt_stall_timeout(self, value: str) -> None:
        """Seconds between two bytes of a transfer. [default: 30]"""
        self._take("stall-timeout", value, parse_seconds)

    def opt_concurrency(self, value: str) -> None:
        """Transfers at once; 8 times as many wait their turn. [default: 8]"""
        self._take("concurrency", value, parse_count)

    def parseArgs(self, *args: str) -> None:
        """Take no arguments."""
        if args:
            raise usage.UsageError(f"unexpected {args[0]!r}: there are options only")

    def parseOptions(self, options: list[str] | None = None) -> None:
        """Parse, and end the process with one line and status 1 where something is wrong."""
        try:
            usage.Options.parseOptions(self, options)
        except usage.UsageError as error:
            _refuse(str(error))

    def postOptions(self) -> None:
        """Judge what only all options together can tell."""
        self["allow-from"] = self["allow-from"] or [EVERYBODY]
        if not self["demo"]:
            return
        if self._given:
            raise usage.UsageError(f"--demo goes with no other option, not with {min(self._given)}")
        twistd = self.parent
        if twistd is not None and not twistd.get("nodaemon"):
            raise usage.UsageError("--demo reports to the terminal: use twistd -n")
        if twistd is not None and not twistd.get("logger") and not twistd.get("logfile"):
            twistd["logger"] = REPORT_OBSERVER

    def _take(
        self,
        name: str,
        value: str,
        parse: Callable[[str], object],
        *,
        repeatable: bool = False,
    ) -> None:
        option = f"--{name}"
        try:
            parsed = parse(value)
        except ValueError as error:
            raise usage.UsageError(f"{option} {value!r} is wrong: it takes {error}") from None
        if repeatable:
            self[name].append(parsed)
        elif option in self._given:
            raise usage.UsageError(f"{option} is given twice: it takes one value")
        else:
            self[name] = parsed
        self._given.add(option)


def makeService(options: Options) -> Service:
    """Make the service that the options describe."""
    from twisted.internet import reactor  # noqa: PLC0415  (installs one)

    if options["demo"]:
        return Demo(reactor)
    try:
        secret = read_or_create_secret(options["secret-file"])
    except (OSError, ValueError) as error:
        _refuse(f"--secret-file {str(options['secret-file'])!r} is wrong: {error}")
    return EmbeddedService(options, secret, reactor)


class EmbeddedService(Service):
    """The responder on its own router, as options describe it."""

    _log = Logger()

    def __init__(self, options: Options, secret: str, reactor: Any) -> None:
        self._options = options
        self._secret = secret
        self._reactor = reactor
        self._embedded: EmbeddedResponder | None = None

    def startService(self) -> None:
        """Begin to serve; where that fails, say why and end the process with status 1."""
        Service.startService(self)
        ensureDeferred(self._start()).addErrback(self._give_up)

    def stopService(self) -> Deferred[None] | None:
        """Cancel transfers, answer their offers and close every stream."""
        Service.stopService(self)
        embedded, self._embedded = self._embedded, None
        return None if embedded is None else ensureDeferred(embedded.stop())

    async def _start(self) -> None:
        options = self._options
        # Not before now: twistd may have changed its user meanwhile.
        options["download-dir"].mkdir(mode=0o700, parents=True, exist_ok=True)
        policy = FetchPolicy(
            max_size=options["max-size"],
            allow_networks=tuple(options["allow-network"]),
            timeout=options["timeout"],
            stall_timeout=options["stall-timeout"],
        )
        responder = OOBResponder(
            Fetcher(self._reactor, policy, options["download-dir"]),
            allow_from=options["allow-from"],
            concurrency=options["concurrency"],
            reactor=self._reactor,
        )
        embedded = EmbeddedResponder(
            responder,
            domain=options["domain"],
            endpoint=serverFromString(self._reactor, options["listen"]),
            secret=self._secret,
            reactor=self._reactor,
        )
        port = await embedded.start()
        self._embedded = embedded
        self._log.info(
            "Offers to {domain} land in {folder}; components connect to {address}",
            domain=options["domain"],
            folder=options["download-dir"],
            address=port.getHost(),
        )

    def _give_up(self, failure: Failure) -> None:
        if failure.check(CannotListenError, OSError):
            self._log.critical("Could not start: {reason}", reason=failure.getErrorMessage())
        else:
            self._log.failure("Could not start", failure=failure)
        stop_with_status(self._reactor, 1)


def read_or_create_secret(path: Path) -> str:
    """Read a secret from the first line of a file; make the file, mode 0600, where there is none.

    Raises an OSError where it can't be read or made, a ValueError where it holds no secret.
    """
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        pass
    else:
        secret = secrets.token_urlsafe(32)
        with os.fdopen(fd, "w") as file:
            file.write(f"{secret}\n")
        return secret
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise ValueError(f"others can read it; make it private: chmod 600 {path}")
    secret = path.read_text("utf-8").partition("\n")[0].strip()
    if not secret:
        raise ValueError("its first line holds no secret")
    return secret


def _refuse(reason: str) -> NoReturn:
    raise SystemExit(f"twistd oob-responder: {reason}")

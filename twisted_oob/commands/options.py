"""Options of ``twistd oob-responder``: what they are, and what is wrong with a bad one."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Final, NoReturn

from twisted.internet.endpoints import serverFromString
from twisted.python import usage
from twisted.words.protocols.jabber.jid import JID

from twisted_oob._tls import is_address
from twisted_oob.commands.report import REPORT_OBSERVER
from twisted_oob.xmpp.access import EVERYBODY, AllowList
from twisted_oob.xmpp.jid import parse_jid

_UNITS: Final = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}

_SECONDS: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?", re.ASCII)

# Which way the responder is reached, and the options that make sense only there.
EMBEDDED: Final = "embedded"
ACCOUNT: Final = "account"
COMPONENT: Final = "component"
_ONLY_FOR: Final = {
    "--listen": (EMBEDDED,),
    "--domain": (EMBEDDED,),
    "--secret-file": (EMBEDDED, COMPONENT),
    "--jid": (ACCOUNT,),
    "--password-file": (ACCOUNT,),
    "--ca-file": (ACCOUNT,),
    "--host": (ACCOUNT, COMPONENT),
    "--port": (ACCOUNT, COMPONENT),
    "--component": (COMPONENT,),
}
_HIGHEST_PORT: Final = 65535
_WAYS: Final = {EMBEDDED: "the embedded router", ACCOUNT: "--jid", COMPONENT: "--component"}


def parse_size(text: str) -> int:
    """Read a size in bytes: K, M, G are powers of 1000, Ki, Mi, Gi of 1024."""
    match = re.fullmatch(r"([0-9]+)([KMG]i?)?", text)
    if match is None or not int(match[1]):
        raise ValueError("a size above 0 such as 500K, 100M or 2Gi")
    return int(match[1]) * _UNITS[match[2] or ""]


def parse_seconds(text: str) -> float:
    """Read a number of seconds above 0."""
    if _SECONDS.fullmatch(text) is None or not float(text):
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

    port = re.match(r"(?:tcp6?|ssl|tls):(?:port=)?(-?[0-9]+)", text)
    try:
        if port is not None and not 0 <= int(port[1]) <= _HIGHEST_PORT:
            raise ValueError(f"a port is 0 to {_HIGHEST_PORT}")
        serverFromString(reactor, text)
    except Exception as error:
        # Each kind of endpoint has its own parser, with its own exceptions.
        raise ValueError(
            f"a Twisted server endpoint such as tcp:5347:interface=127.0.0.1 ({error})"
        ) from None
    return text


def parse_directory(text: str) -> Path:
    """Read the path of a folder that is there or can be made."""
    if not text:
        raise ValueError("the path of a folder; . is the one it is started in")
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


def parse_existing_file(text: str) -> Path:
    """Read the path of a file that is there."""
    path = Path(text).absolute()
    if not path.is_file():
        raise ValueError("a file that is there")
    return path


def parse_account(text: str) -> JID:
    """Read the JID of an account; it may have a resource."""
    try:
        jid = parse_jid(text)
    except ValueError:
        jid = None
    if jid is None or not jid.user:
        raise ValueError("the JID of an account such as files@example.org")
    return jid


def parse_host(text: str) -> str:
    """Read the name or address of a host."""
    if is_address(text):
        return text
    try:
        # It raises where a label is empty or too long.
        text.encode("idna")
        valid = re.search(r"[\s/@:\x00-\x20]", text) is None
    except UnicodeError:
        valid = False
    if not text or not valid:
        raise ValueError("the name or address of a host")
    return text


def parse_port(text: str) -> int:
    """Read a TCP port."""
    if re.fullmatch(r"[0-9]{1,5}", text) is None or not 1 <= int(text) <= _HIGHEST_PORT:
        raise ValueError("a TCP port, 1 to 65535")
    return int(text)


def parse_grace(text: str) -> float:
    """Read a number of seconds, 0 or more."""
    if _SECONDS.fullmatch(text) is None:
        raise ValueError("a number of seconds, 0 or more")
    return float(text)


class Options(usage.Options):
    """What ``twistd oob-responder`` can be told."""

    optFlags: Final = [["demo", None, "Show four offers on loopback, nothing else, and stop."]]

    def __init__(self) -> None:
        usage.Options.__init__(self)
        self["download-dir"] = parse_directory("oob-downloads")
        self["listen"] = "tcp:5347:interface=127.0.0.1"
        self["domain"] = "oob.localhost"
        self["secret-file"] = Path("oob-responder.secret").absolute()
        for name in ("jid", "password-file", "ca-file", "component", "host", "port"):
            self[name] = None
        self["allow-from"] = []
        self["allow-network"] = []
        self["max-size"] = parse_size("100M")
        self["timeout"] = 600.0
        self["stall-timeout"] = 30.0
        self["concurrency"] = 8
        self["grace"] = None
        self._given: set[str] = set()

    @property
    def way(self) -> str:
        """How the responder is reached: EMBEDDED, ACCOUNT or COMPONENT."""
        if self["jid"] is not None:
            return ACCOUNT
        return EMBEDDED if self["component"] is None else COMPONENT

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
        """The secret that components share; with the embedded router, made with a
        random one if missing. [default: ./oob-responder.secret]"""
        self._take("secret-file", value, parse_file)

    def opt_jid(self, value: str) -> None:
        """Be a client: the account to log in with, instead of the embedded router."""
        self._take("jid", value, parse_account)

    def opt_password_file(self, value: str) -> None:
        """The account's password: the first line of this file, which is private."""
        self._take("password-file", value, parse_existing_file)

    def opt_ca_file(self, value: str) -> None:
        """Certificates (PEM) that the server's is verified with. [default: the platform's]"""
        self._take("ca-file", value, parse_existing_file)

    def opt_component(self, value: str) -> None:
        """Be an external component (XEP-0114) of a server: its domain."""
        self._take("component", value, parse_domain)

    def opt_host(self, value: str) -> None:
        """The server. [default: by SRV lookup with --jid, 127.0.0.1 with --component]"""
        self._take("host", value, parse_host)

    def opt_port(self, value: str) -> None:
        """The server's port. [default: 5222 with --jid, 5347 with --component]"""
        self._take("port", value, parse_port)

    def opt_allow_from(self, value: str) -> None:
        """Who may make offers: a JID, a domain or * (repeatable). [default: * on the embedded
        router, the account's own domain with --jid; needed with --component]"""
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

    def opt_grace(self, value: str) -> None:
        """Seconds that running transfers have to finish when stopped. [default: 30, 0 on the
        embedded router]"""
        self._take("grace", value, parse_grace)

    def parseArgs(self, *args: str) -> None:
        """Take no arguments."""
        if args:
            raise usage.UsageError(f"unexpected {args[0]!r}: there are options only")

    def parseOptions(self, options: list[str] | None = None) -> None:
        """Parse, and end the process with one line and status 1 where something is wrong."""
        try:
            usage.Options.parseOptions(self, options)
        except usage.UsageError as error:
            refuse(str(error))

    def postOptions(self) -> None:
        """Judge what only all options together can tell, and fill in what depends on others."""
        if self["demo"]:
            self._prepare_demo()
        if self._given >= {"--jid", "--component"}:
            raise usage.UsageError("--jid and --component are two ways: give one of them")
        way = self.way
        for option in sorted(self._given):
            if way not in _ONLY_FOR.get(option, (way,)):
                ways = " or ".join(_WAYS[one] for one in _ONLY_FOR[option])
                raise usage.UsageError(f"{option} goes with {ways}, not with {_WAYS[way]}")
        if way == ACCOUNT:
            self._need("--password-file")
            if "--port" in self._given:
                self._need("--host")
            self["allow-from"] = self["allow-from"] or [self["jid"].host]
        elif way == COMPONENT:
            self._need("--secret-file")
            self._need("--allow-from")
            self["host"] = self["host"] or "127.0.0.1"
            self["port"] = self["port"] or 5347
        else:
            self["allow-from"] = self["allow-from"] or [EVERYBODY]
        if self["grace"] is None:
            self["grace"] = 0.0 if way == EMBEDDED else 30.0

    def _prepare_demo(self) -> None:
        if self._given:
            raise usage.UsageError(f"--demo goes with no other option, not with {min(self._given)}")
        twistd = self.parent
        if twistd is not None and not twistd.get("nodaemon"):
            raise usage.UsageError("--demo reports to the terminal: use twistd -n")
        if twistd is not None and not twistd.get("logger") and not twistd.get("logfile"):
            twistd["logger"] = REPORT_OBSERVER

    def _need(self, option: str) -> None:
        if option not in self._given:
            because = "--port" if option == "--host" else _WAYS[self.way]
            raise usage.UsageError(f"{option} must be given with {because}")

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
        except OSError as error:
            raise usage.UsageError(f"{option} {value!r} is wrong: {error.strerror}") from None
        if repeatable:
            self[name].append(parsed)
        elif option in self._given:
            raise usage.UsageError(f"{option} is given twice: it takes one value")
        else:
            self[name] = parsed
        self._given.add(option)


def refuse(reason: str) -> NoReturn:
    """End the process with one line on standard error and status 1."""
    raise SystemExit(f"twistd oob-responder: {reason}")

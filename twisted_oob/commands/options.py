"""The options of ``twistd oob-responder``: their values, their defaults, and which go together."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, Final, NoReturn

from twisted.python import usage

from twisted_oob._version import __version__
from twisted_oob.commands.modes import (
    ACCOUNT,
    COMPONENT,
    CONNECTING,
    DOMAIN,
    EMBEDDED,
    SECRET_FILE,
    check_mode,
    chosen_mode,
    require,
)
from twisted_oob.commands.report import REPORT_OBSERVER
from twisted_oob.commands.values import (
    format_size,
    not_valid,
    parse_account,
    parse_allowed,
    parse_count,
    parse_directory,
    parse_domain,
    parse_endpoint,
    parse_existing_file,
    parse_file,
    parse_grace,
    parse_host,
    parse_network,
    parse_port,
    parse_seconds,
    parse_size,
    parsed,
)
from twisted_oob.files.policy import FetchPolicy
from twisted_oob.protocol.data import RESOURCE
from twisted_oob.transfer.responder import CONCURRENCY
from twisted_oob.transfer.turns import WAITING_PER_TRANSFER
from twisted_oob.xmpp.access import EVERYBODY
from twisted_oob.xmpp.ports import (
    CLIENT_PORT,
    COMPONENT_HOST,
    COMPONENT_PORT,
    DIRECT_TLS_PORT,
)

# The modes that an option has a meaning in. An option that is not here has one in each mode.
_MODES: Final = {
    **CONNECTING,
    # The embedded router listens where --listen says.
    "--port": (ACCOUNT, COMPONENT),
    "--listen": (EMBEDDED,),
    "--domain": (EMBEDDED,),
}

_POLICY: Final = FetchPolicy()
# Whoever stops an embedded router mostly tries things out, and doesn't want to wait.
_GRACE: Final = {EMBEDDED: 0.0, ACCOUNT: 30.0, COMPONENT: 30.0}

DEFAULTS: Final = {
    "download_dir": "./oob-downloads",
    "listen": f"tcp:{COMPONENT_PORT}:interface=127.0.0.1",
    "domain": DOMAIN,
    "secret_file": SECRET_FILE,
    "max_size": format_size(_POLICY.max_size),
    "timeout": f"{_POLICY.timeout:g}",
    "stall_timeout": f"{_POLICY.stall_timeout:g}",
    "concurrency": str(CONCURRENCY),
    "waiting": str(WAITING_PER_TRANSFER),
    "grace": f"{_GRACE[ACCOUNT]:g}",
    "grace_embedded": f"{_GRACE[EMBEDDED]:g}",
    "everybody": EVERYBODY,
    "resource": RESOURCE,
    "account_port": str(CLIENT_PORT),
    "direct_tls_port": str(DIRECT_TLS_PORT),
    "component_host": COMPONENT_HOST,
    "component_port": str(COMPONENT_PORT),
}
"""What the help says of defaults, as one would write it on a command line.

The docstrings of the ``opt_`` methods are the help; a name in braces there is a key of this.
"""


class Options(usage.Options):
    """The options of ``twistd oob-responder``.

    A mapping from each option's name, without the dashes, to its parsed value.
    """

    optFlags: Final = [
        ["demo", None, "Run a demonstration of five offers on loopback, then exit."],
        [
            "direct-tls",
            None,
            "Begin TLS with the first byte (XEP-0368), and never by STARTTLS.",
        ],
    ]

    def __init__(self) -> None:
        usage.Options.__init__(self)
        self["download-dir"] = parse_directory(DEFAULTS["download_dir"])
        self["listen"] = DEFAULTS["listen"]
        self["domain"] = DEFAULTS["domain"]
        self["secret-file"] = parse_file(DEFAULTS["secret_file"])
        for name in ("jid", "password-file", "ca-file", "component", "host", "port", "grace"):
            self[name] = None
        self["allow-from"] = []
        self["allow-network"] = []
        self["max-size"] = _POLICY.max_size
        self["timeout"] = _POLICY.timeout
        self["stall-timeout"] = _POLICY.stall_timeout
        self["concurrency"] = CONCURRENCY
        self._given: set[str] = set()
        for name, text in self.docs.items():
            # The lines of a docstring are indented; Twisted would print the spaces.
            self.docs[name] = " ".join(text.split()).format(**DEFAULTS)

    @property
    def mode(self) -> str:
        """How the responder is reached: EMBEDDED, ACCOUNT or COMPONENT."""
        return chosen_mode(self._given)

    def opt_download_dir(self, value: str) -> None:
        """Directory for the files; created if missing. [default: {download_dir}]"""
        self._set("download-dir", value, parse_directory)

    def opt_listen(self, value: str) -> None:
        """Server endpoint of the embedded router, for external components (XEP-0114).
        [default: {listen}]"""
        self._set("listen", value, parse_endpoint)

    def opt_domain(self, value: str) -> None:
        """The responder's JID on the embedded router. [default: {domain}]"""
        self._set("domain", value, parse_domain)

    def opt_secret_file(self, value: str) -> None:
        """File with the secret that components share. The embedded router creates it with a
        random secret if missing. [default: {secret_file}]"""
        self._set("secret-file", value, parse_file)

    def opt_jid(self, value: str) -> None:
        """Log in to this account, instead of running the embedded router. Without a resource,
        /{resource} is bound."""
        self._set("jid", value, parse_account)

    def opt_password_file(self, value: str) -> None:
        """File with the account's password in its first line; only its owner may have access."""
        self._set("password-file", value, parse_existing_file)

    def opt_ca_file(self, value: str) -> None:
        """Certificates (PEM) to verify the XMPP server's with, and those of https downloads.
        [default: the platform's; for https, beside the platform's]"""
        self._set("ca-file", value, parse_existing_file)

    def opt_component(self, value: str) -> None:
        """Be the external component (XEP-0114) with this domain on a server."""
        self._set("component", value, parse_domain)

    def opt_host(self, value: str) -> None:
        """The server. [default: found by SRV lookup with --jid, {component_host} with
        --component]"""
        self._set("host", value, parse_host)

    def opt_port(self, value: str) -> None:
        """The server's port. [default: {account_port} with --jid, {direct_tls_port} with
        --direct-tls, {component_port} with --component]"""
        self._set("port", value, parse_port)

    def opt_allow_from(self, value: str) -> None:
        """Who may make offers: a JID, a domain or * (repeatable). [default: {everybody} on the
        embedded router, the account's domain with --jid; required with --component]"""
        self._set("allow-from", value, parse_allowed, repeatable=True)

    def opt_allow_network(self, value: str) -> None:
        """Network (CIDR) that files may be fetched from, besides public addresses
        (repeatable)."""
        self._set("allow-network", value, parse_network, repeatable=True)

    def opt_max_size(self, value: str) -> None:
        """Largest size of a file in bytes; K, M, G are powers of 1000, Ki, Mi, Gi of 1024.
        [default: {max_size}]"""
        self._set("max-size", value, parse_size)

    def opt_timeout(self, value: str) -> None:
        """Seconds that a whole transfer may take. [default: {timeout}]"""
        self._set("timeout", value, parse_seconds)

    def opt_stall_timeout(self, value: str) -> None:
        """Seconds that a transfer may go without receiving a byte. [default: {stall_timeout}]"""
        self._set("stall-timeout", value, parse_seconds)

    def opt_concurrency(self, value: str) -> None:
        """Transfers that run at once; {waiting} times as many wait for their turn.
        [default: {concurrency}]"""
        self._set("concurrency", value, parse_count)

    def opt_grace(self, value: str) -> None:
        """Seconds that running transfers get to finish when the responder stops.
        [default: {grace}; {grace_embedded} on the embedded router]"""
        self._set("grace", value, parse_grace)

    def opt_version(self) -> NoReturn:
        """Show the versions of twisted_oob, Twisted and Wokkel, then exit."""
        sys.stdout.write(
            f"twisted_oob {__version__}\nTwisted {version('Twisted')}\nWokkel {version('wokkel')}\n"
        )
        raise SystemExit(0)

    def parseArgs(self, *args: str) -> None:
        """Accept no arguments besides the options."""
        if args:
            raise usage.UsageError(f"unexpected argument {args[0]!r}: only options are accepted")

    def parseOptions(self, options: list[str] | None = None) -> None:
        """Parse the options; an error ends the process with one line and status 1.

        Twisted would print the whole help besides the error.
        """
        try:
            usage.Options.parseOptions(self, options)
        except usage.UsageError as error:
            exit_with_error(str(error))

    def postOptions(self) -> None:
        """Check the options against each other, and fill in the defaults that depend on others."""
        if self["direct-tls"]:
            self._given.add("--direct-tls")
        if self["demo"]:
            self._prepare_demo()
        try:
            mode = self._check_mode()
        except ValueError as error:
            raise usage.UsageError(str(error)) from None
        if mode == ACCOUNT:
            self["allow-from"] = self["allow-from"] or [self["jid"].host]
        elif mode == COMPONENT:
            self["host"] = self["host"] or COMPONENT_HOST
            self["port"] = self["port"] or COMPONENT_PORT
        else:
            self["allow-from"] = self["allow-from"] or [EVERYBODY]
        if self["grace"] is None:
            self["grace"] = _GRACE[mode]

    def _prepare_demo(self) -> None:
        if self._given:
            raise usage.UsageError(f"--demo goes with no other option, not with {min(self._given)}")
        twistd: Any = self.parent
        if twistd is not None and not twistd.get("nodaemon"):
            raise usage.UsageError("--demo reports to the terminal: run it with twistd -n")
        # Whoever chose a log for twistd gets the report there, among twistd's own lines.
        if twistd is not None and not twistd.get("logger") and not twistd.get("logfile"):
            twistd["logger"] = REPORT_OBSERVER

    def _check_mode(self) -> str:
        mode = chosen_mode(self._given)
        check_mode(mode, self._given, _MODES)
        if mode == ACCOUNT:
            require("--password-file", self._given, because_of=ACCOUNT)
            if "--port" in self._given:
                # The SRV lookup finds a host together with its port.
                require("--host", self._given, because_of="--port")
        elif mode == COMPONENT:
            require("--secret-file", self._given, because_of=COMPONENT)
            # A server hands a component the stanzas of strangers, too.
            require("--allow-from", self._given, because_of=COMPONENT)
        return mode

    def _set(
        self,
        name: str,
        value: str,
        parse: Callable[[str], object],
        *,
        repeatable: bool = False,
    ) -> None:
        """Set an option to a parsed value; raises UsageError if the value is not good."""
        option = f"--{name}"
        try:
            good = parsed(value, parse)
        except ValueError as error:
            raise usage.UsageError(not_valid(option, value, error)) from None
        if repeatable:
            self[name].append(good)
        elif option in self._given:
            raise usage.UsageError(f"{option} was given twice: it takes one value")
        else:
            self[name] = good
        self._given.add(option)


def exit_with_error(reason: str) -> NoReturn:
    """End the process with one line on standard error and status 1."""
    # A path can have line breaks in it, and so can the messages of libraries.
    line = " ".join(reason.splitlines())
    raise SystemExit(f"twistd oob-responder: {line}")

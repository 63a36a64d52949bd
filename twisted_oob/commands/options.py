"""The options of ``twistd oob-responder``: their values, their defaults, and which go together."""

from __future__ import annotations

import pwd
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from typing import Any, ClassVar, Final, NoReturn

from twisted.python import usage

from twisted_oob._version import __version__
from twisted_oob.commands.allow_file import parse_allow_file
from twisted_oob.commands.chat_options import DEFAULTS as CHAT_DEFAULTS
from twisted_oob.commands.chat_options import FLAGS as CHAT_FLAGS
from twisted_oob.commands.chat_options import MODES as CHAT_MODES
from twisted_oob.commands.chat_options import ChatOptions
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
from twisted_oob.commands.secret_file import User
from twisted_oob.commands.twistd_options import settle
from twisted_oob.commands.values import (
    format_size,
    parse_account,
    parse_allowed,
    parse_count,
    parse_dir_mode,
    parse_directory,
    parse_domain,
    parse_endpoint,
    parse_existing_file,
    parse_file,
    parse_file_mode,
    parse_grace,
    parse_host,
    parse_network,
    parse_port,
    parse_rate,
    parse_seconds,
    parse_size,
    parse_user_agent,
    parsed,
)
from twisted_oob.files.landing import FILE_MODE
from twisted_oob.files.made_folders import DIR_MODE
from twisted_oob.files.policy import FetchPolicy
from twisted_oob.protocol.data import RESOURCE
from twisted_oob.transfer.fair_fetcher import QUEUE_TIMEOUT
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
    **CHAT_MODES,
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
    "min_rate": str(_POLICY.min_rate),
    "concurrency": str(CONCURRENCY),
    "waiting": str(WAITING_PER_TRANSFER),
    "queue_timeout": f"{QUEUE_TIMEOUT:g}",
    "file_mode": f"{FILE_MODE:04o}",
    "dir_mode": f"{DIR_MODE:04o}",
    "grace": f"{_GRACE[ACCOUNT]:g}",
    "grace_embedded": f"{_GRACE[EMBEDDED]:g}",
    "everybody": EVERYBODY,
    "resource": RESOURCE,
    "account_port": str(CLIENT_PORT),
    "direct_tls_port": str(DIRECT_TLS_PORT),
    "component_host": COMPONENT_HOST,
    "component_port": str(COMPONENT_PORT),
    **CHAT_DEFAULTS,
}
"""What the help says of defaults, as one would write it on a command line.

The docstrings of the ``opt_`` methods are the help; a name in braces there is a key of this.
"""


class Options(ChatOptions):
    """The options of ``twistd oob-responder``.

    A mapping from each option's name, without the dashes, to its parsed value.
    """

    optFlags: ClassVar[Any] = [
        ["demo", None, "Run a demonstration of five offers on loopback, then exit."],
        [
            "direct-tls",
            None,
            "Begin TLS with the first byte (XEP-0368), and never by STARTTLS.",
        ],
    ]

    def __init__(self) -> None:
        ChatOptions.__init__(self)
        self["listen"] = DEFAULTS["listen"]
        self["domain"] = DEFAULTS["domain"]
        self["file-mode"] = FILE_MODE
        self["dir-mode"] = DIR_MODE
        for name in ("download-dir", "secret-file"):
            self[name] = None
        for name in ("jid", "password-file", "ca-file", "component", "host", "port", "grace"):
            self[name] = None
        self["allow-from"] = []
        self["allow-file"] = []
        self["allow-network"] = []
        self["deny-network"] = []
        self["max-size"] = _POLICY.max_size
        self["timeout"] = _POLICY.timeout
        self["stall-timeout"] = _POLICY.stall_timeout
        self["min-rate"] = _POLICY.min_rate
        self["user-agent"] = _POLICY.user_agent
        self["concurrency"] = CONCURRENCY
        self["queue-timeout"] = QUEUE_TIMEOUT
        for name, text in self.docs.items():
            # The lines of a docstring are indented; Twisted would print the spaces.
            self.docs[name] = " ".join(text.split()).format(**DEFAULTS)

    @property
    def user(self) -> User | None:
        """Who twistd will be once the service is made; None if it stays who it is."""
        twistd: Any = self.parent or {}
        uid, gid = twistd.get("uid"), twistd.get("gid")
        if uid is None:
            return None
        if gid is None:
            with suppress(KeyError):  # as twistd finds out, too
                gid = pwd.getpwuid(uid).pw_gid
        return User(uid, gid)

    @property
    def mode(self) -> str:
        """How the responder is reached: EMBEDDED, ACCOUNT or COMPONENT."""
        return chosen_mode(self.given)

    def opt_download_dir(self, value: str) -> None:
        """Directory for the files; created if missing. [default: {download_dir}]"""
        self.set_value("download-dir", value, parse_directory)

    def opt_file_mode(self, value: str) -> None:
        """Permission bits of each file (octal). [default: {file_mode}]"""
        self.set_value("file-mode", value, parse_file_mode)

    def opt_dir_mode(self, value: str) -> None:
        """Permission bits of each folder that is created (octal); 2750 lets a group read what lands
        there. [default: {dir_mode}]"""
        self.set_value("dir-mode", value, parse_dir_mode)

    def opt_listen(self, value: str) -> None:
        """Server endpoint of the embedded router, for external components (XEP-0114).
        [default: {listen}]"""
        self.set_value("listen", value, parse_endpoint)

    def opt_domain(self, value: str) -> None:
        """The responder's JID on the embedded router. [default: {domain}]"""
        self.set_value("domain", value, parse_domain)

    def opt_secret_file(self, value: str) -> None:
        """File with the secret that components share. The embedded router creates it with a
        random secret if missing. [default: {secret_file}]"""
        self.set_value("secret-file", value, parse_file)

    def opt_jid(self, value: str) -> None:
        """Log in to this account, instead of running the embedded router. Without a resource,
        /{resource} is bound."""
        self.set_value("jid", value, parse_account)

    def opt_password_file(self, value: str) -> None:
        """File with the account's password in its first line; nobody else may read it."""
        self.set_value("password-file", value, parse_existing_file)

    def opt_ca_file(self, value: str) -> None:
        """Certificates (PEM) to verify the XMPP server's with, and those of https downloads.
        [default: the platform's; for https, beside the platform's]"""
        self.set_value("ca-file", value, parse_existing_file)

    def opt_component(self, value: str) -> None:
        """Be the external component (XEP-0114) with this domain on a server."""
        self.set_value("component", value, parse_domain)

    def opt_host(self, value: str) -> None:
        """The server. [default: found by SRV lookup with --jid, {component_host} with
        --component]"""
        self.set_value("host", value, parse_host)

    def opt_port(self, value: str) -> None:
        """The server's port. [default: {account_port} with --jid, {direct_tls_port} with
        --direct-tls, {component_port} with --component]"""
        self.set_value("port", value, parse_port)

    def opt_allow_from(self, value: str) -> None:
        """Who may hand over files, and ask for those of --serve: a JID, a domain or * (repeatable).
        [default: {everybody} on the embedded router, the account's domain with --jid; with
        --component, this or --allow-file is required]"""
        self.set_value("allow-from", value, parse_allowed, repeatable=True)

    def opt_allow_file(self, value: str) -> None:
        """File with more of those, one in each line, and comments after # (repeatable). It is read
        again on SIGHUP."""
        self.set_value("allow-file", value, parse_allow_file, repeatable=True)

    def opt_allow_network(self, value: str) -> None:
        """Network (CIDR) that files may be fetched from, besides public addresses of other machines
        (repeatable)."""
        self.set_value("allow-network", value, parse_network, repeatable=True)

    def opt_deny_network(self, value: str) -> None:
        """Network (CIDR) that files are never fetched from, whatever else allows it
        (repeatable)."""
        self.set_value("deny-network", value, parse_network, repeatable=True)

    def opt_max_size(self, value: str) -> None:
        """Largest size of a file in bytes; K, M, G are powers of 1000, Ki, Mi, Gi of 1024.
        [default: {max_size}]"""
        self.set_value("max-size", value, parse_size)

    def opt_timeout(self, value: str) -> None:
        """Seconds that a whole transfer may take. [default: {timeout}]"""
        self.set_value("timeout", value, parse_seconds)

    def opt_stall_timeout(self, value: str) -> None:
        """Seconds that a transfer may go without receiving a byte. [default: {stall_timeout}]"""
        self.set_value("stall-timeout", value, parse_seconds)

    def opt_min_rate(self, value: str) -> None:
        """Bytes a second that a transfer must bring, on average over --stall-timeout; 0 for no
        limit. [default: {min_rate}]"""
        self.set_value("min-rate", value, parse_rate)

    def opt_user_agent(self, value: str) -> None:
        """What web servers are told of who fetches: the User-Agent of HTTP.
        [default: this program's name, version and page]"""
        self.set_value("user-agent", value, parse_user_agent)

    def opt_concurrency(self, value: str) -> None:
        """Transfers that run at once; {waiting} times as many wait for their turn.
        [default: {concurrency}]"""
        self.set_value("concurrency", value, parse_count)

    def opt_queue_timeout(self, value: str) -> None:
        """Seconds that an offer may wait for its turn; then its sender is told to try again later.
        [default: {queue_timeout}]"""
        self.set_value("queue-timeout", value, parse_seconds)

    def opt_grace(self, value: str) -> None:
        """Seconds that running transfers get to finish when the responder stops.
        [default: {grace}; {grace_embedded} on the embedded router]"""
        self.set_value("grace", value, parse_grace)

    def opt_version(self) -> NoReturn:
        """Show the versions of twisted_oob, Twisted and Wokkel, then exit."""
        sys.stdout.write(
            f"twisted_oob {__version__}\nTwisted {version('Twisted')}\nWokkel {version('wokkel')}\n"
        )
        raise SystemExit(0)

    def postOptions(self) -> None:
        """Check the options against each other, and fill in the defaults that depend on others."""
        self.note_flags(("direct-tls", *CHAT_FLAGS))
        if self["demo"]:
            self._prepare_demo()
        try:
            if self.parent is not None:
                settle(self.parent)
            mode = self._check_mode()
            self.check_chat(mode)
        except ValueError as error:
            raise usage.UsageError(str(error)) from None
        if not self["demo"]:
            # Only now: a default that is not used need not be good.
            self._set_default("download-dir", parse_directory)
            if mode == EMBEDDED:
                self._set_default("secret-file", parse_file)
        listed = self["allow-from"] or self["allow-file"]
        if mode == ACCOUNT and not listed:
            self["allow-from"] = [self["jid"].host]
        elif mode == COMPONENT:
            self["host"] = self["host"] or COMPONENT_HOST
            self["port"] = self["port"] or COMPONENT_PORT
        elif mode == EMBEDDED and not listed:
            self["allow-from"] = [EVERYBODY]
        if self["grace"] is None:
            self["grace"] = _GRACE[mode]

    def _set_default(self, name: str, parse: Callable[[str], object]) -> None:
        if self[name] is None:
            option, text = f"--{name}", DEFAULTS[name.replace("-", "_")]
            try:
                self[name] = parsed(text, parse)
            except ValueError as error:
                raise usage.UsageError(
                    f"{option} must be given, as its default {text!r} can't be used: {error}"
                ) from None

    def _prepare_demo(self) -> None:
        if self.given:
            raise usage.UsageError(f"--demo goes with no other option, not with {min(self.given)}")
        twistd: Any = self.parent
        if twistd is not None and not twistd.get("nodaemon"):
            raise usage.UsageError("--demo reports to the terminal: run it with twistd -n")
        # Whoever chose a log for twistd gets the report there, among twistd's own lines.
        if twistd is not None and not twistd.get("logger") and not twistd.get("logfile"):
            twistd["logger"] = REPORT_OBSERVER

    def _check_mode(self) -> str:
        mode = chosen_mode(self.given)
        check_mode(mode, self.given, _MODES)
        if mode == ACCOUNT:
            require("--password-file", self.given, because_of=ACCOUNT)
            if "--port" in self.given:
                # The SRV lookup finds a host together with its port.
                require("--host", self.given, because_of="--port")
        elif mode == COMPONENT:
            require("--secret-file", self.given, because_of=COMPONENT)
            # A server hands a component the stanzas of strangers, too.
            if not self.given & {"--allow-from", "--allow-file"}:
                raise ValueError(
                    "--allow-from or --allow-file must be given with --component: who may hand "
                    "over files"
                )
        return mode

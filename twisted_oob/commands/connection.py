"""The options that the commands share: how they connect, and what they write.

===========  ================================  ==================================================
mode         chosen by                         the stream
===========  ================================  ==================================================
ACCOUNT      ``--jid``                         logs in, with a password from a file, from a
                                               program or from the terminal
COMPONENT    ``--component``                   an external component of a server, by its secret
EMBEDDED     neither                           a component of the router that
                                               ``twistd oob-responder`` embeds on this machine,
                                               with a random domain
===========  ================================  ==================================================

What is wrong with the options is found before anything connects, and is one line.
"""

from __future__ import annotations

import functools
import secrets
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
from click.core import ParameterSource

from twisted_oob.commands.config import config_option
from twisted_oob.commands.modes import (
    ACCOUNT,
    COMPONENT,
    EMBEDDED,
    SECRET_FILE,
    check_mode,
    chosen_mode,
    require,
)
from twisted_oob.commands.output import Output
from twisted_oob.commands.parameters import Value
from twisted_oob.commands.password_command import run_password_command
from twisted_oob.commands.secret_file import read_secret
from twisted_oob.commands.values import (
    not_usable,
    parse_account,
    parse_domain,
    parse_existing_file,
    parse_file,
    parse_host,
    parse_port,
)
from twisted_oob.errors import StreamRefused
from twisted_oob.protocol.data import RESOURCE
from twisted_oob.xmpp.ports import (
    CLIENT_PORT,
    COMPONENT_HOST,
    COMPONENT_PORT,
    DIRECT_TLS_PORT,
)

if TYPE_CHECKING:
    from twisted.words.protocols.jabber.jid import JID

    from twisted_oob.xmpp.stream_service import StreamService

CONNECT_LIMIT: Final = 30.0
"""Seconds from the first attempt to a stream that is up. Who waits at a terminal gives up then."""

_Function = TypeVar("_Function", bound="Callable[..., Any]")

# The modes that an option has a meaning in. An option that is not here has one in each mode.
_MODES: Final = {
    "--password-file": (ACCOUNT,),
    "--password-command": (ACCOUNT,),
    "--direct-tls": (ACCOUNT,),
    "--secret-file": (EMBEDDED, COMPONENT),
    "--host": (ACCOUNT, COMPONENT),
}


class NotConnected(click.ClickException):
    """There is no connection or no login. The text says why, and what to do."""

    exit_code = 3

    def __init__(self, message: str) -> None:
        super().__init__(message)
        # As those of click have it: who writes the error begins with the command's name.
        self.ctx = click.get_current_context(silent=True)


@dataclass(frozen=True, slots=True)
class Connection:
    """How a command connects, as its options say.

    Attributes:
        mode: EMBEDDED, ACCOUNT or COMPONENT.
        jid: The account, with the resource that is asked for.
        domain: The component's domain; on the embedded router a random one.
        host: The server's host; None if DNS tells.
        port: Its port; None if DNS tells.
        direct_tls: Whether TLS begins with the first byte.
        ca_file: Certificates to trust.
        password_file: Where the password is.
        password_command: A program that prints it.
        secret_file: Where the secret of the component, or of the embedded router, is.
        default_secret: Whether nobody named that file.
    """

    mode: str
    jid: JID | None = None
    domain: str | None = None
    host: str | None = None
    port: int | None = None
    direct_tls: bool = False
    ca_file: Path | None = None
    password_file: Path | None = None
    password_command: str | None = None
    secret_file: Path = Path(SECRET_FILE)
    default_secret: bool = True

    @property
    def name(self) -> str:
        """What a person calls it: the account, the component's domain or the router's address."""
        if self.jid is not None:
            return str(self.jid.userhost())
        if self.mode == COMPONENT:
            return str(self.domain)
        return f"{self.host}:{self.port}"

    def read_secret(self) -> str:
        """Read the password or secret; a person at a terminal is asked for a password.

        Raises:
            UsageError: It can't be had.
            NotConnected: It is that of the embedded router, and there is no router.
        """
        if self.mode != ACCOUNT:
            return self._read("--secret-file", self.secret_file)
        if self.password_file is not None:
            return self._read("--password-file", self.password_file)
        if self.password_command is not None:
            try:
                return run_password_command(self.password_command)
            except (OSError, ValueError) as error:
                raise click.UsageError(
                    not_usable("--password-command", self.password_command, error)
                ) from None
        if not sys.stdin.isatty():
            raise click.UsageError(
                "--password-file or --password-command must be given with --jid, "
                "as there is no terminal to ask for the password on"
            )
        password: str = click.prompt(f"Password of {self.name}", hide_input=True, err=True)
        return password

    def _read(self, option: str, path: Path) -> str:
        try:
            return read_secret(path)
        except FileNotFoundError as error:
            if self.mode == EMBEDDED and self.default_secret:
                raise NotConnected(f"there is no {path}: {_START}") from None
            raise click.UsageError(not_usable(option, path, error)) from None
        except (OSError, ValueError) as error:
            raise click.UsageError(not_usable(option, path, error)) from None

    def make_stream(self, secret: str, reactor: Any) -> StreamService:
        """Make the stream, which does not connect yet.

        Args:
            secret: What ``read_secret`` gave.
            reactor: The reactor.

        Raises:
            UsageError: The CA file can't be read or holds no certificate, or no certificate can
                name the account's domain.
        """
        # Not above: neither needs the other, and whoever asks for help should not wait for them.
        if self.mode != ACCOUNT:
            from twisted_oob.xmpp.component_stream import ComponentStream  # noqa: PLC0415

            self._check_ca_file()
            return ComponentStream(
                str(self.domain),
                secret,
                host=self.host or COMPONENT_HOST,
                port=self.port or COMPONENT_PORT,
                reactor=reactor,
            )
        from twisted_oob.xmpp.account_stream import AccountStream  # noqa: PLC0415

        assert self.jid is not None  # noqa: S101  (that is what the mode means)
        try:
            return AccountStream(
                self.jid,
                secret,
                host=self.host,
                port=self.port,
                ca_file=self.ca_file,
                direct_tls=self.direct_tls,
                reactor=reactor,
            )
        except (OSError, ValueError) as error:
            raise click.UsageError(str(error)) from None

    def _check_ca_file(self) -> None:
        """Check what a component's uploads and downloads verify servers with."""
        if self.ca_file is not None:
            # Not above: whoever asks for help should not wait for it.
            from twisted_oob._tls import read_certificates  # noqa: PLC0415

            try:
                read_certificates(self.ca_file)
            except (OSError, ValueError) as error:
                raise click.UsageError(str(error)) from None

    async def connect(self, stream: StreamService, reactor: Any) -> JID:
        """Connect a stream. Its first failure is the last.

        Args:
            stream: What ``make_stream`` gave, with its handlers.
            reactor: The reactor.

        Returns:
            Our address on it.

        Raises:
            NotConnected: It can't be had. It is stopped.
        """
        stream.once = True
        ready = stream.ready
        late = reactor.callLater(CONNECT_LIMIT, ready.errback, StreamRefused(_LATE))
        stream.startService()
        try:
            return await ready
        except StreamRefused as error:
            await stream.stopService()
            raise NotConnected(self.explain(error)) from None
        finally:
            if late.active():
                late.cancel()

    def explain(self, error: StreamRefused) -> str:
        """Say in one line why there is no stream, and what to do."""
        text = f"{self.name}: {error}"
        return f"{text}; {_START}" if self.mode == EMBEDDED and not error.permanent else text


_START: Final = "start `twistd -n oob-responder` or `oob receive` in this folder, or give --jid"
_LATE: Final = f"no login within {CONNECT_LIMIT:g} s: check that it is an XMPP server"


def shared_options(function: _Function) -> _Function:
    """Give a command the options that all have; it gets ``connection`` and ``output`` for them."""

    @functools.wraps(function)
    def command(**values: Any) -> Any:
        ctx = click.get_current_context()
        if values["verbose"] and values["quiet"]:
            raise click.UsageError("--verbose and --quiet exclude each other: give one of them")
        output = Output(
            ctx.command_path,
            as_json=values.pop("json"),
            quiet=values.pop("quiet"),
            verbose=values.pop("verbose"),
        )
        connection = _connection(ctx, {name: values.pop(name) for name in _CONNECTION})
        return function(connection=connection, output=output, **values)

    for option in reversed(_OPTIONS):
        option(command)
    return command  # type: ignore[return-value]


def _connection(ctx: click.Context, values: dict[str, Any]) -> Connection:
    given = {
        f"--{name.replace('_', '-')}"
        for name in values
        if ctx.get_parameter_source(name) != ParameterSource.DEFAULT and values[name]
    }
    try:
        mode = chosen_mode(given)
        check_mode(mode, given, _MODES)
        if mode == ACCOUNT and "--port" in given:
            # The SRV lookup finds a host together with its port.
            require("--host", given, because_of="--port")
        if mode == COMPONENT:
            require("--secret-file", given, because_of=COMPONENT)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if given >= {"--password-file", "--password-command"}:
        raise click.UsageError(
            "--password-file and --password-command exclude each other: give one of them"
        )
    jid = values.pop("jid")
    if jid is not None and not jid.resource:
        # Not what was given itself: click keeps it.
        jid = type(jid)(tuple=(jid.user, jid.host, RESOURCE))
    domain = values.pop("component")
    if mode == EMBEDDED:
        # Nobody else has it there, whoever sends at the same time.
        domain = f"{ctx.command.name}-{secrets.token_hex(4)}.localhost"
    if mode != ACCOUNT:
        values["host"] = values["host"] or COMPONENT_HOST
        values["port"] = values["port"] or COMPONENT_PORT
    return Connection(
        mode,
        jid,
        domain,
        default_secret="--secret-file" not in given,
        **values,
    )


_CONNECTION: Final = (
    "jid",
    "password_file",
    "password_command",
    "component",
    "secret_file",
    "host",
    "port",
    "direct_tls",
    "ca_file",
)

_OPTIONS: Final = (
    click.option(
        "--jid",
        type=Value(parse_account, "JID"),
        show_default="the embedded router of twistd oob-responder on this machine",
        help=f"Log in to this account. Without a resource, /{RESOURCE} is bound.",
    ),
    click.option(
        "--password-file",
        type=Value(parse_existing_file, "FILE"),
        show_default="asked for on the terminal",
        help="File with the account's password in its first line; only its owner may have access.",
    ),
    click.option(
        "--password-command",
        metavar="CMD",
        show_default="asked for on the terminal",
        help="Program, with its arguments, that prints the account's password in its first line. "
        "No shell runs it.",
    ),
    click.option(
        "--component",
        type=Value(parse_domain, "DOMAIN"),
        show_default="the embedded router",
        help="Be the external component (XEP-0114) with this domain on a server.",
    ),
    click.option(
        "--secret-file",
        type=Value(parse_file, "FILE"),
        default=SECRET_FILE,
        help="File with the secret of the component, or of the embedded router. The default is for "
        "the router only.",
    ),
    click.option(
        "--host",
        type=Value(parse_host, "HOST"),
        show_default=f"found by SRV lookup with --jid, else {COMPONENT_HOST}",
        help="The server.",
    ),
    click.option(
        "--port",
        type=Value(parse_port, "PORT"),
        show_default=f"{CLIENT_PORT} with --jid, {DIRECT_TLS_PORT} with --direct-tls, "
        f"else {COMPONENT_PORT}",
        help="The server's port; with --jid, it needs --host.",
    ),
    click.option(
        "--direct-tls",
        is_flag=True,
        show_default="off",
        help="Begin TLS with the first byte (XEP-0368), and never by STARTTLS.",
    ),
    click.option(
        "--ca-file",
        type=Value(parse_existing_file, "FILE"),
        show_default="the platform's; for https, beside the platform's",
        help="Certificates (PEM) to verify the server's with, and those of https uploads and "
        "downloads.",
    ),
    config_option,
    click.option(
        "--json",
        is_flag=True,
        show_default="off",
        help="Write one JSON object a line on stdout, and no other results.",
    ),
    click.option(
        "-v", "--verbose", is_flag=True, show_default="off", help="Write the log, too, on stderr."
    ),
    click.option(
        "-q", "--quiet", is_flag=True, show_default="off", help="Write errors only, on stderr."
    ),
)

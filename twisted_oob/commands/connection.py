"""Connection: how a command connects, in one of three modes.

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

An error is one line that says what to do.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from twisted.internet.defer import TimeoutError  # noqa: A004

from twisted_oob.commands.modes import (
    ACCOUNT,
    COMPONENT,
    EMBEDDED,
    SECRET_FILE,
)
from twisted_oob.commands.password_command import run_password_command
from twisted_oob.commands.secret_file import read_secret
from twisted_oob.commands.values import (
    not_usable,
)
from twisted_oob.errors import StreamRefused
from twisted_oob.protocol.data import RESOURCE
from twisted_oob.xmpp.ports import (
    COMPONENT_HOST,
    COMPONENT_PORT,
)

if TYPE_CHECKING:
    from twisted.words.protocols.jabber.jid import JID

    from twisted_oob.xmpp.stream_service import StreamService

CONNECT_LIMIT: Final = 30.0
"""Seconds from the first attempt to a stream that is up. Who waits at a terminal gives up then."""


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
        jid: The account. Without a resource, the server chooses one.
        domain: The component's domain; on the embedded router a random one.
        host: The server's host; None for that of ``address``, or if DNS tells.
        port: Its port; likewise.
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
    def identity(self) -> tuple[str, str]:
        """What disco says that we are: a category and a type of the XMPP registrar."""
        return ("client", "console") if self.mode == ACCOUNT else ("component", "generic")

    @property
    def name(self) -> str:
        """What a person calls it: the account, the component's domain or the router's address."""
        if self.jid is not None:
            return str(self.jid.userhost())
        if self.mode == COMPONENT:
            return str(self.domain)
        host, port = self.address
        return f"{host}:{port}"

    @property
    def address(self) -> tuple[str, int]:
        """The host and the port of a component's server, or of the embedded router."""
        return self.host or COMPONENT_HOST, self.port or COMPONENT_PORT

    def at_known_resource(self) -> Connection:
        """Give this connection with the resource at which others ask, if the JID has no other.

        Only who receives binds it. Two of one account can't have the same, and people send files to
        themselves.
        """
        jid = self.jid
        if jid is None or jid.resource:
            return self
        return replace(self, jid=type(jid)(tuple=(jid.user, jid.host, RESOURCE)))

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
            host, port = self.address
            return ComponentStream(str(self.domain), secret, host=host, port=port, reactor=reactor)
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
        stream.on_refused = _ignore
        ready = stream.ready.addTimeout(CONNECT_LIMIT, reactor)
        stream.startService()
        try:
            return await ready
        except (StreamRefused, TimeoutError) as error:
            await stream.stopService()
            refusal = error if isinstance(error, StreamRefused) else StreamRefused(_LATE)
            raise NotConnected(self.explain(refusal)) from None

    def explain(self, error: StreamRefused) -> str:
        """Say in one line why there is no stream, and what to do."""
        text = f"{self.name}: {error}"
        return f"{text}; {_START}" if self.mode == EMBEDDED and not error.permanent else text


_START: Final = "start `twistd -n oob-responder` or `oob receive` in this folder, or give --jid"
_LATE: Final = f"no login within {CONNECT_LIMIT:g} s: check that it is an XMPP server"


def _ignore(_error: StreamRefused) -> None:
    """Log nothing: whoever waits for the stream, or for what goes over it, tells why."""

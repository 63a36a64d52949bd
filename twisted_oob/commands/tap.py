"""The service of ``twistd oob-responder``, as its options describe it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.words.protocols.jabber.jid import JID
from wokkel.subprotocols import XMPPHandler

from twisted_oob._tls import read_certificates
from twisted_oob.commands.bot_options import make_bot, tell_at_start
from twisted_oob.commands.checked_options import exit_with_error
from twisted_oob.commands.demo import Demo
from twisted_oob.commands.exit_status import exit_cleanly_on_sigterm, stop_with_status
from twisted_oob.commands.modes import ACCOUNT, EMBEDDED
from twisted_oob.commands.options import Options
from twisted_oob.commands.secret_file import read_or_create_secret, read_secret
from twisted_oob.commands.values import not_usable
from twisted_oob.errors import StreamRefused
from twisted_oob.files.policy import FetchPolicy
from twisted_oob.protocol.data import RESOURCE
from twisted_oob.transfer.bot import FileBot
from twisted_oob.transfer.embedded import EmbeddedResponder
from twisted_oob.transfer.responder import ServedStream
from twisted_oob.xmpp.account_stream import AccountStream
from twisted_oob.xmpp.component_stream import ComponentStream
from twisted_oob.xmpp.stream import BoundStream

__all__ = ["Options", "makeService"]


def makeService(options: Options) -> Service:
    """Make the service that the options describe (IServiceMaker).

    Whatever can be found wrong before the service starts ends the process here, with one line and
    status 1: a bad secret, a CA file without certificates.

    Args:
        options: The parsed options.

    Returns:
        A Demo or a ResponderService, not started yet.
    """
    from twisted.internet import reactor  # noqa: PLC0415  (installs one)

    if options["demo"]:
        return Demo(reactor)
    option = "password-file" if options.mode == ACCOUNT else "secret-file"
    path: Path = options[option]
    try:
        # Only the embedded router may invent its secret: a server has its own already.
        secret = read_or_create_secret(path)[0] if options.mode == EMBEDDED else read_secret(path)
    except (OSError, ValueError) as error:
        exit_with_error(not_usable(f"--{option}", path, error))
    try:
        return ResponderService(options, secret, reactor)
    except (OSError, ValueError) as error:
        exit_with_error(str(error))


class ResponderService(Service):
    """The responder on an embedded router, or on a stream to a real server.

    Args:
        options: The parsed options, which name the mode.
        secret: The account's password, or the secret of the component or of the router.
        reactor: The reactor of the process.

    Raises:
        OSError: The file of ``--ca-file`` can't be read.
        ValueError: It holds no certificate, or no certificate can name the account's domain.
    """

    _log = Logger()

    def __init__(self, options: Options, secret: str, reactor: Any) -> None:
        self._options = options
        self._secret = secret
        self._reactor = reactor
        self._embedded: EmbeddedResponder | None = None
        self._served: ServedStream | None = None
        self._was_up = False
        self._policy = FetchPolicy(
            max_size=options["max-size"],
            allow_networks=tuple(options["allow-network"]),
            deny_networks=tuple(options["deny-network"]),
            timeout=options["timeout"],
            stall_timeout=options["stall-timeout"],
            min_rate=options["min-rate"],
            user_agent=options["user-agent"],
            ca_file=options["ca-file"],
        )
        # Here, so that what is wrong with them shows before twistd daemonizes.
        if options["ca-file"] is not None:
            read_certificates(options["ca-file"])
        self._stream = None if options.mode == EMBEDDED else self._make_stream()

    def startService(self) -> None:
        """Begin to serve; if that fails, log why and end the process with status 1."""
        Service.startService(self)
        exit_cleanly_on_sigterm(self._reactor)
        ensureDeferred(self._start()).addErrback(self._give_up)

    def stopService(self) -> Deferred[Any] | None:
        """Let transfers finish within the grace, answer everything, and close every stream.

        Returns:
            A Deferred that fires when the last stream is closed, or None if there is no stream.
        """
        Service.stopService(self)
        embedded, self._embedded = self._embedded, None
        served, self._served = self._served, None
        if embedded is not None:
            return ensureDeferred(embedded.stop())
        return None if served is None else served.stopService()

    async def _start(self) -> None:
        # Not before the service starts: twistd may have changed its user meanwhile.
        self._options["download-dir"].mkdir(mode=0o700, parents=True, exist_ok=True)
        bot = make_bot(self._options, self._policy, self._reactor)
        # Before the stream: who can't be read from should not show up among people's contacts.
        try:
            await bot.listen()
        except (CannotListenError, OSError) as error:
            endpoint = self._options["serve-listen"]
            why = error.socketError if isinstance(error, CannotListenError) else error
            raise ValueError(not_usable("--serve-listen", endpoint, why)) from None
        if not self.running:
            await bot.stopService()
        elif self._options.mode == EMBEDDED:
            await self._listen(bot)
        else:
            self._connect(bot)

    async def _listen(self, bot: FileBot) -> None:
        options = self._options
        embedded = EmbeddedResponder(
            bot,
            domain=options["domain"],
            endpoint=serverFromString(self._reactor, options["listen"]),
            secret=self._secret,
            reactor=self._reactor,
        )
        port = await embedded.start()
        self._embedded = embedded
        self._tell(options["domain"])
        self._log.info(
            "{domain}: components connect to {address}",
            domain=options["domain"],
            address=port.getHost(),
        )

    def _connect(self, bot: FileBot) -> None:
        stream, self._stream = self._stream or self._make_stream(), None
        identity = ("client", "bot") if self._options.mode == ACCOUNT else ("component", "generic")
        bot.attach(stream, identity=identity, direct=True)
        _Bound(self._bound).setHandlerParent(stream)
        stream.on_refused = self._refused
        self._served = ServedStream(bot, stream)
        self._served.startService()

    def _make_stream(self) -> AccountStream | ComponentStream:
        options = self._options
        if options.mode == ACCOUNT:
            jid = options["jid"]
            return AccountStream(
                JID(tuple=(jid.user, jid.host, jid.resource or RESOURCE)),
                self._secret,
                host=options["host"],
                port=options["port"],
                ca_file=options["ca-file"],
                direct_tls=options["direct-tls"],
                reactor=self._reactor,
            )
        return ComponentStream(
            options["component"],
            self._secret,
            host=options["host"],
            port=options["port"],
            reactor=self._reactor,
        )

    def _bound(self, address: str) -> None:
        self._was_up = True
        self._tell(address)

    def _tell(self, address: str) -> None:
        tell_at_start(self._log, self._options, address)

    def _refused(self, error: StreamRefused) -> None:
        self._log.critical(
            "{what}: {reason}",
            what="Stopped" if self._was_up else "Could not start",
            reason=str(error),
        )
        stop_with_status(self._reactor, 1)

    def _give_up(self, failure: Failure) -> None:
        # The operator can mend these: one line says what is wrong. The rest is a fault of ours.
        if failure.check(CannotListenError, OSError, ValueError):
            self._log.critical("Could not start: {reason}", reason=failure.getErrorMessage())
        else:
            self._log.failure("Could not start", failure=failure)
        stop_with_status(self._reactor, 1)


class _Bound(XMPPHandler):  # type: ignore[misc]  # Wokkel has no types
    """Tells, for each stream that is up, the address that was bound.

    Args:
        tell: Called with the full JID of an account, or the domain of a component.
    """

    parent: Any
    xmlstream: Any

    def __init__(self, tell: Callable[[str], object]) -> None:
        XMPPHandler.__init__(self)
        self._tell = tell

    def connectionInitialized(self) -> None:
        me = BoundStream(self.xmlstream, self.parent).me
        if me is not None:
            self._tell(me.full())

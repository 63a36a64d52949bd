"""The service of ``twistd oob-responder``, as its options describe it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from secrets import token_urlsafe
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.logger import ILogObserver, Logger
from twisted.python.components import Componentized
from twisted.python.failure import Failure
from twisted.words.protocols.jabber.jid import JID
from wokkel.subprotocols import XMPPHandler

from twisted_oob._tls import read_certificates
from twisted_oob._urls import load_tables
from twisted_oob.commands.bot_options import allowed, make_bot, tell_at_start
from twisted_oob.commands.checked_options import exit_with_error
from twisted_oob.commands.demo import Demo
from twisted_oob.commands.exit_status import CanNotStart, stop_with_status
from twisted_oob.commands.listening import is_exposed, shown_address
from twisted_oob.commands.log_file import service_log
from twisted_oob.commands.modes import ACCOUNT, EMBEDDED
from twisted_oob.commands.options import Options
from twisted_oob.commands.rereading import Rereading
from twisted_oob.commands.secret_file import find_secret, read_or_create_secret, read_secret
from twisted_oob.commands.signals import ServiceSignals
from twisted_oob.commands.values import not_usable
from twisted_oob.errors import StreamRefused
from twisted_oob.files.made_folders import MadeFolders
from twisted_oob.files.policy import FetchPolicy
from twisted_oob.protocol.data import RESOURCE
from twisted_oob.transfer.bot import FileBot
from twisted_oob.transfer.embedded import EmbeddedResponder
from twisted_oob.transfer.responder import ServedStream
from twisted_oob.xmpp.account_stream import AccountStream
from twisted_oob.xmpp.component_stream import ComponentStream
from twisted_oob.xmpp.stream import BoundStream

if TYPE_CHECKING:
    from twisted_oob.commands.allow_file import AllowFile

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
    # Here, as another user (twistd's --uid) may not read where Python is installed.
    load_tables()
    signals = ServiceSignals(reactor)
    signals.take_over()
    option = _secret_option(options)
    path: Path = options[option]
    # Only the embedded router may invent its secret: a server has its own already.
    read = find_secret if options.mode == EMBEDDED else read_secret
    try:
        secret = read(path, options.user)
    except (OSError, ValueError) as error:
        exit_with_error(not_usable(f"--{option}", path, error))
    try:
        return ResponderService(options, secret, signals, reactor)
    except (OSError, ValueError) as error:
        exit_with_error(str(error))


def _secret_option(options: Options) -> str:
    return "password-file" if options.mode == ACCOUNT else "secret-file"


class ResponderService(Service):
    """The responder on an embedded router, or on a stream to a real server.

    Args:
        options: The parsed options, which name the mode.
        secret: The account's password, or the secret of the component or of the router. None if
            the router has no secret yet: it gets one when it listens.
        signals: What the process is told.
        reactor: The reactor of the process.

    Raises:
        OSError: The file of ``--ca-file`` can't be read.
        ValueError: It holds no certificate, no certificate can name the account's domain, or there
            is no folder for the log.
    """

    _log = Logger()

    def __init__(
        self, options: Options, secret: str | None, signals: ServiceSignals, reactor: Any
    ) -> None:
        self._options = options
        self._secret = secret
        self._signals = signals
        self._reactor = reactor
        self._embedded: EmbeddedResponder | None = None
        self._served: ServedStream | None = None
        self._up: AccountStream | ComponentStream | None = None
        self._bot: FileBot | None = None
        self._was_up = False
        self._starting = False
        self._reason: str | None = None
        self._folders = MadeFolders(options["dir-mode"])
        self._log_file = service_log(options.parent)
        self._rereading = self._make_rereading()
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

    def setServiceParent(self, parent: Any) -> None:
        """Become a part of the application, and its log if nobody else is."""
        if self._log_file is not None and isinstance(parent, Componentized):
            parent.setComponent(ILogObserver, self._log_file.observer())
        Service.setServiceParent(self, parent)

    def startService(self) -> None:
        """Begin to serve; if that fails, log why and end the process with status 1.

        Raises:
            CanNotStart: A daemon can't serve: so whoever starts it gets the status.
        """
        Service.startService(self)
        self._signals.hold()
        self._signals.on_hangup = self._hung_up
        if self._log_file is not None:
            self._signals.on_rotate = self._log_file.rotate
        self._starting = True
        ensureDeferred(self._start()).addErrback(self._give_up)
        self._starting = False
        reason, self._reason = self._reason, None
        if reason is not None:
            raise CanNotStart(reason)

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
        if served is None:
            return None
        return served.stopService().addBoth(self._stopped)

    def _stopped(self, result: Any) -> Any:
        if not self._was_up:
            self._folders.remove_empty()
        return result

    async def _start(self) -> None:
        # Not before the service starts: twistd may have changed its user meanwhile.
        self._folders.make(self._options["download-dir"], parents=True)
        bot = make_bot(self._options, self._policy, self._folders, self._reactor)
        self._bot = bot
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
            # Nobody knows the one that it has until there is a file.
            secret=self._secret or token_urlsafe(),
            reactor=self._reactor,
        )
        port = await embedded.start()
        if self._secret is None:
            # Not before: who can't listen leaves no file behind, nor takes one from who can.
            try:
                self._create_secret(embedded)
            except ValueError:
                await embedded.stop()
                raise
        self._embedded = embedded
        self._was_up = True
        self._tell(options["domain"])
        address = port.getHost()
        self._log.info(
            "{domain}: components connect to {address}",
            domain=options["domain"],
            address=shown_address(address),
        )
        if is_exposed(address, options["listen"]):
            self._log.warn(
                "Nothing is encrypted between {address} and the components: others on the network "
                "can read it, so give a --listen on loopback, or let only a safe network reach it",
                address=shown_address(address),
            )

    def _create_secret(self, embedded: EmbeddedResponder) -> None:
        path = self._options["secret-file"]
        try:
            self._secret, _created = read_or_create_secret(path)
        except (OSError, ValueError) as error:
            raise ValueError(not_usable("--secret-file", path, error)) from None
        embedded.change_secret(self._secret)

    def _make_rereading(self) -> Rereading:
        rereading = Rereading(self._log)
        option = _secret_option(self._options)
        rereading.add(f"--{option}", self._options[option], self._read_secret_again)
        for file in self._options["allow-file"]:
            rereading.add("--allow-file", file.path, partial(self._read_allowed_again, file))
        return rereading

    def _hung_up(self) -> None:
        if self._log_file is not None:
            try:
                self._log_file.reopen()
            except OSError as error:
                self._log.warn("The log goes on where it was: {reason}", reason=str(error))
        self._rereading()

    def _read_secret_again(self) -> None:
        self._secret = secret = read_secret(self._options[_secret_option(self._options)])
        taker = self._embedded or self._up
        if taker is not None:
            taker.change_secret(secret)

    def _read_allowed_again(self, file: AllowFile) -> None:
        file.read()
        if self._bot is not None:
            self._bot.allow_from(allowed(self._options))

    def _connect(self, bot: FileBot) -> None:
        stream, self._stream = self._stream or self._make_stream(), None
        identity = ("client", "bot") if self._options.mode == ACCOUNT else ("component", "generic")
        bot.attach(stream, identity=identity, direct=True)
        _Bound(self._bound).setHandlerParent(stream)
        stream.on_refused = self._refused
        self._up = stream
        self._served = ServedStream(bot, stream)
        self._served.startService()

    def _make_stream(self) -> AccountStream | ComponentStream:
        options, secret = self._options, str(self._secret)
        if options.mode == ACCOUNT:
            jid = options["jid"]
            return AccountStream(
                JID(tuple=(jid.user, jid.host, jid.resource or RESOURCE)),
                secret,
                host=options["host"],
                port=options["port"],
                ca_file=options["ca-file"],
                direct_tls=options["direct-tls"],
                reactor=self._reactor,
            )
        return ComponentStream(
            options["component"],
            secret,
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
        self._folders.remove_empty()
        # The operator can mend these: one line says what is wrong. The rest is a fault of ours.
        if failure.check(CannotListenError, OSError, ValueError):
            self._log.critical("Could not start: {reason}", reason=failure.getErrorMessage())
        else:
            self._log.failure("Could not start", failure=failure)
        twistd = self._options.parent
        if self._starting and twistd is not None and not twistd["nodaemon"]:
            self._reason = failure.getErrorMessage()
        else:
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

"""OOBResponder: fetches what it is offered, and answers when it has the file.

An offer goes through these steps. Each "no" is the answer to the offer, and ends it:

===========  =======================================  ============================
step         what happens                             the answer, if it ends here
===========  =======================================  ============================
allowed      its sender is looked up in an AllowList  not-acceptable
accepted     unless the responder is being stopped    resource-constraint
counted      unless too many offers are open already  resource-constraint
waiting      until one of the running transfers ends  (stopped) resource-constraint
running      the Fetcher fetches the file             result, or the fetch's error
===========  =======================================  ============================

Strangers are turned away first, so that they learn nothing of how busy the responder is. The
error is raised in ``_on_offer``; OOBHandler makes the stanza of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from twisted.application.service import Service
from twisted.internet.defer import (
    CancelledError,
    Deferred,
    DeferredSemaphore,
    ensureDeferred,
    succeed,
)
from twisted.logger import Logger
from twisted.words.protocols.jabber.error import StanzaError
from wokkel.generic import VersionHandler
from wokkel.ping import PingHandler

from twisted_oob._urls import shown_url
from twisted_oob._version import __version__
from twisted_oob.errors import Rejected, ResourceConstraint
from twisted_oob.files.fetch import FetchedFile, Fetcher
from twisted_oob.protocol.handler import OOBHandler
from twisted_oob.xmpp.access import AllowList
from twisted_oob.xmpp.disco import DiscoveryHandler, FallbackHandler, OneChildHandler

if TYPE_CHECKING:
    from twisted_oob.protocol.offers import Offer
    from twisted_oob.xmpp.deadlines import Clock, Timer

CONCURRENCY: Final = 8
"""How many transfers run at once, by default."""
WAITING_PER_TRANSFER: Final = 8
"""How many offers may wait for their turn, for each transfer that may run at once."""


class _Work:
    """What an open offer asks for: it waits for its turn, then it runs.

    ``done`` fires at its end; to cancel it is to stop the waiting or the transfer.
    """

    __slots__ = ("done", "running")

    def __init__(self) -> None:
        self.running = False
        self.done: Deferred[FetchedFile]


class OOBResponder(Service):
    """Fetches the files it is offered, and answers with a result once a whole file is there.

    A Twisted service. ``attach`` it to the stream it serves, and run both as a ``ServedStream``,
    which starts and stops them in the order that lets every offer be answered.

    Args:
        fetcher: Fetches the files.
        allow_from: Who may make offers: the entries of an AllowList.
        reactor: Tells the time and delays calls, IReactorTime.
        concurrency: How many transfers run at once. Eight times as many wait for their turn;
            offers beyond that get resource-constraint, type wait.
        grace: Seconds that running transfers get to finish when the responder is stopped.

    Raises:
        ValueError: An entry of ``allow_from`` is not a JID, a domain or ``*``.
    """

    _log = Logger()

    def __init__(
        self,
        fetcher: Fetcher,
        *,
        allow_from: Iterable[str],
        reactor: Clock,
        concurrency: int = CONCURRENCY,
        grace: float = 0.0,
    ) -> None:
        self._fetcher = fetcher
        self._clock = reactor
        self._allowed = AllowList(allow_from)
        self._turns = DeferredSemaphore(concurrency)
        self._most_open = concurrency * (1 + WAITING_PER_TRANSFER)
        self._grace = grace
        self._open: set[_Work] = set()
        self._accepting = True
        self._on_idle: Deferred[None] | None = None
        self._end_of_grace: Timer | None = None

    def attach(
        self,
        manager: Any,
        *,
        identity: tuple[str, str] = ("component", "generic"),
        direct: bool = False,
    ) -> None:
        """Serve a stream.

        Besides offers it answers disco (XEP-0030), version (XEP-0092) and ping (XEP-0199), and
        every other IQ request with service-unavailable (RFC 6120 section 8.4).

        Args:
            manager: A Wokkel ``XMPPClient``, ``Component`` or ``InternalComponent``, or any other
                stream manager that takes Wokkel's handlers.
            identity: The category and type that disco tells (XEP-0030 section 3.1).
            direct: Whether nobody else on the stream needs to see the offers and their answers; as
                for OOBHandler.
        """
        offers = OOBHandler(self._on_offer, direct=direct, reactor=self._clock)
        # OOBHandler counts from the offer's arrival; here an offer may wait long for its turn. The
        # fetcher limits the time of each transfer itself.
        offers.answer_timeout = None
        for handler in (
            OneChildHandler(),
            offers,
            DiscoveryHandler(*identity, "Out of Band responder"),
            VersionHandler("twisted_oob", __version__),
            PingHandler(),
            FallbackHandler(),
        ):
            handler.setHandlerParent(manager)

    def startService(self) -> None:
        """Remove what a killed process left unfinished, and begin to accept offers."""
        removed = self._fetcher.remove_leftovers()
        if removed:
            self._log.info("Removed {removed} unfinished files of an earlier run", removed=removed)
        self._accepting = True
        # Started again within the grace: what still runs may go on.
        self._cancel_end_of_grace()
        Service.startService(self)

    def stopService(self) -> Deferred[None]:
        """Accept no more offers, let running transfers finish within the grace, answer every offer.

        Transfers that did not finish are cancelled. Their offers, and those that were still waiting
        for their turn, get resource-constraint, type wait.

        Returns:
            A Deferred that fires when no offer is left and every answer was sent.
        """
        Service.stopService(self)
        self._accepting = False
        for work in list(self._open):
            if not work.running:
                work.done.cancel()
        if not self._open:
            return succeed(None)
        idle = self._on_idle = self._on_idle or Deferred()
        if self._grace:
            self._log.info(
                "Stopping; {count} transfers have {grace:g} s to finish",
                count=len(self._open),
                grace=self._grace,
            )
            self._cancel_end_of_grace()
            self._end_of_grace = self._clock.callLater(self._grace, self._cancel_all)
        else:
            self._cancel_all()
        return idle

    def _cancel_end_of_grace(self) -> None:
        if self._end_of_grace is not None and self._end_of_grace.active():
            self._end_of_grace.cancel()
        self._end_of_grace = None

    def _cancel_all(self) -> None:
        # A copy: each one leaves the set as it is cancelled.
        for work in list(self._open):
            work.done.cancel()

    async def _on_offer(self, offer: Offer) -> None:
        began = self._clock.seconds()
        # Userinfo is a password as often as not, and logs are read by many.
        about: dict[str, Any] = {"sender": offer.sender, "url": shown_url(offer.url)}
        self._log.info("Offer from {sender}: {url}", **about)

        def ended(level: Callable[..., None], text: str, **more: object) -> None:
            seconds = self._clock.seconds() - began
            level(
                "Offer from {sender} ended: {url}: " + text + ", {seconds:.2f} s",
                **about,
                **more,
                seconds=seconds,
            )

        try:
            fetched = await self._retrieve(offer)
        except StanzaError as error:
            # As a str, our errors have the detail that is for our own log; the peer gets the text.
            reason = str(error)
            ended(self._log.info, "{condition}: {reason}", condition=error.condition, reason=reason)
            raise
        except CancelledError:
            ended(self._log.info, "cancelled, as the stream was lost")
            raise
        except Exception:
            ended(self._log.error, "failed unexpectedly")
            raise
        ended(
            self._log.info, "success: {size} bytes in {file}", size=fetched.size, file=fetched.path
        )

    async def _retrieve(self, offer: Offer) -> FetchedFile:
        if offer.sender not in self._allowed:
            raise Rejected("you may not make offers here")
        if not self._accepting:
            raise _stopping()
        if len(self._open) >= self._most_open:
            raise ResourceConstraint("too many transfers at once; try again later")
        work = _Work()
        self._open.add(work)
        work.done = ensureDeferred(self._in_turn(work, offer.url))
        try:
            return await work.done
        except CancelledError:
            # Ours, as we stop; or that of OOBHandler, as the stream was lost.
            if not self._accepting:
                raise _stopping() from None
            raise
        finally:
            self._open.discard(work)
            if not self._open and self._on_idle is not None:
                # The answer is sent when this coroutine's caller has ended; idle comes after that.
                idle, self._on_idle = self._on_idle, None
                self._cancel_end_of_grace()
                self._clock.callLater(0, idle.callback, None)

    async def _in_turn(self, work: _Work, url: str) -> FetchedFile:
        await self._turns.acquire()
        work.running = True
        try:
            return await self._fetcher.fetch(url)
        finally:
            self._turns.release()


class ServedStream(Service):
    """A responder and the stream it serves, as one service: for a ``.tac`` file, for example.

    The responder starts before its stream and stops before it, so that there is a stream for
    every answer.

    Args:
        responder: An OOBResponder that is attached to the stream.
        stream: A service that is a stream manager: Wokkel's ``XMPPClient`` or ``Component``, or
            a StreamService.
    """

    def __init__(self, responder: OOBResponder, stream: Any) -> None:
        self._responder = responder
        self._stream = stream

    def startService(self) -> None:
        """Start the responder, then the stream."""
        Service.startService(self)
        self._responder.startService()
        # After a stop that is not over yet, the stream still runs.
        if not self._stream.running:
            self._stream.startService()

    def stopService(self) -> Deferred[Any]:
        """Stop the responder, and the stream when every offer is answered.

        Returns:
            A Deferred that fires when the stream has stopped, too.
        """
        Service.stopService(self)
        stopped: Deferred[Any] = self._responder.stopService()
        return stopped.addCallback(lambda _: self._stop_stream())

    def _stop_stream(self) -> Any:
        # Unless somebody has started us again while the last offers were answered.
        return None if self.running else self._stream.stopService()


def _stopping() -> ResourceConstraint:
    return ResourceConstraint("the responder is stopping; try again later")

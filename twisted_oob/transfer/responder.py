"""OOBResponder: who may ask, then fetch, then answer."""

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

from twisted_oob._version import __version__
from twisted_oob.errors import Rejected, ResourceConstraint
from twisted_oob.files.fetch import FetchedFile, Fetcher
from twisted_oob.protocol.data import without_userinfo
from twisted_oob.protocol.handler import OOBHandler
from twisted_oob.xmpp.access import AllowList
from twisted_oob.xmpp.disco import DiscoveryHandler, FallbackHandler, OneChildHandler

if TYPE_CHECKING:
    from twisted_oob.protocol.offers import Offer
    from twisted_oob.xmpp.deadlines import Clock, Timer

WAITING_PER_TRANSFER: Final = 8
"""How many offers may wait their turn for each transfer that may run."""


class _Work:
    """The retrieving of one offer: it waits for its turn, then it runs."""

    __slots__ = ("done", "running")

    def __init__(self) -> None:
        self.running = False
        self.done: Deferred[FetchedFile]


class OOBResponder(Service):
    """Fetches what it is offered and answers truthfully: a result once the whole file is there.

    A Twisted service. Add it to the stream that it serves with ``attach``, and run both as a
    ``ServedStream``, which starts and stops them in the order in which every offer is answered.

    ``fetcher``: what retrieves the files. ``allow_from``: the entries of an AllowList.
    ``concurrency``: how many transfers run at once; eight times as many wait their turn, and
    further offers get resource-constraint, type wait.
    ``grace``: seconds that running transfers have to finish when it is stopped.
    ``reactor``: what tells the time.
    """

    _log = Logger()

    def __init__(
        self,
        fetcher: Fetcher,
        *,
        allow_from: Iterable[str],
        reactor: Clock,
        concurrency: int = 8,
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
        self._last_call: Timer | None = None

    def attach(self, manager: Any, *, identity: tuple[str, str] = ("component", "generic")) -> None:
        """Serve a stream: a Wokkel ``XMPPClient``, ``Component`` or ``InternalComponent``.

        Beside offers it answers disco (XEP-0030), version (XEP-0092) and ping (XEP-0199), and
        any other IQ request with service-unavailable (RFC 6120 section 8.4).
        ``identity``: the category and type that disco tells (XEP-0030 section 3.1).
        """
        offers = OOBHandler(self._on_offer, direct=True, reactor=self._clock)
        # The fetcher has its own deadline for each transfer, which does not begin with the offer.
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
        """Remove what a killed process left half done, and begin to accept offers."""
        removed = self._fetcher.remove_leftovers()
        if removed:
            self._log.info("Removed {removed} unfinished files of an earlier run", removed=removed)
        self._accepting = True
        self._forget_last_call()
        Service.startService(self)

    def stopService(self) -> Deferred[None]:
        """Accept no more, let what runs finish within the grace, and answer every offer.

        Fires when nothing is left of any. What did not finish is cancelled and, like
        what had not begun, answered with resource-constraint, type wait.
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
                "{count} transfers have {grace:g} s to finish",
                count=len(self._open),
                grace=self._grace,
            )
            self._forget_last_call()
            self._last_call = self._clock.callLater(self._grace, self._cancel_all)
        else:
            self._cancel_all()
        return idle

    def _forget_last_call(self) -> None:
        if self._last_call is not None and self._last_call.active():
            self._last_call.cancel()
        self._last_call = None

    def _cancel_all(self) -> None:
        for work in list(self._open):
            work.done.cancel()

    async def _on_offer(self, offer: Offer) -> None:
        began = self._clock.seconds()
        about: dict[str, Any] = {"sender": offer.sender, "url": without_userinfo(offer.url)}
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
            reason = getattr(error, "detail", None) or str(error)
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
            if not self._accepting:
                raise _stopping() from None
            raise
        finally:
            self._open.discard(work)
            if not self._open and self._on_idle is not None:
                # After the answer, which is sent when this coroutine's caller has ended.
                idle, self._on_idle = self._on_idle, None
                self._forget_last_call()
                self._clock.callLater(0, idle.callback, None)

    async def _in_turn(self, work: _Work, url: str) -> FetchedFile:
        await self._turns.acquire()
        work.running = True
        try:
            return await self._fetcher.fetch(url)
        finally:
            self._turns.release()


class ServedStream(Service):
    """A responder and the stream that it serves, as one service for one's own ``.tac``.

    Starts the responder before its stream, and stops it before: so every offer is answered while
    there is a stream for the answer.

    ``responder``: an OOBResponder, attached to the stream. ``stream``: a service and stream
    manager: a StreamService, or Wokkel's ``XMPPClient`` or ``Component``.
    """

    def __init__(self, responder: Any, stream: Any) -> None:
        self._responder = responder
        self._stream = stream

    def startService(self) -> None:
        """Start the responder, then the stream."""
        Service.startService(self)
        self._responder.startService()
        self._stream.startService()

    def stopService(self) -> Deferred[Any]:
        """Stop the responder; when all it had is answered, stop the stream."""
        Service.stopService(self)
        stopped: Deferred[Any] = self._responder.stopService()
        return stopped.addCallback(lambda _: self._stream.stopService())


def _stopping() -> ResourceConstraint:
    return ResourceConstraint("the responder is stopping; try again later")

"""OOBResponder: fetches what it is offered, and answers when it has the file.

An offer goes through these steps. Each "no" is the answer to the offer, and ends it:

===========  =========================================  ===========================
step         what happens                               the answer, if it ends here
===========  =========================================  ===========================
judged       an OfferGate looks its sender up, before   not-acceptable, or nothing
             anything else is done (see xmpp/gate.py)
accepted     unless the responder is being stopped      resource-constraint
counted      unless its sender has its share already    resource-constraint
             (see turns.py)
waiting      until its sender has a turn                resource-constraint,
                                                        when the responder stops
running      the Fetcher fetches the file, which must   result, if it is there
             be the one that was offered
failing      waits if its sender has had many failures  the fetch's error
===========  =========================================  ===========================

Strangers are turned away first, so that they learn nothing of how busy the responder is. The
error is raised in ``_on_offer``; OOBHandler makes the stanza of it.

A failing offer keeps its place while its answer waits. So whoever makes many that fail fills its
own share with them, and is then told so or dropped, as with any other offers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, Protocol

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred, succeed
from twisted.logger import Logger
from twisted.words.protocols.jabber.error import StanzaError

from twisted_oob._checks import check_clock, checked_count, wrong_type
from twisted_oob._urls import shown_url
from twisted_oob.errors import ResourceConstraint
from twisted_oob.files.fetch import Fetcher
from twisted_oob.files.fetched import FetchedFile
from twisted_oob.protocol.data import NS_IQ_OOB
from twisted_oob.protocol.handler import OOBHandler
from twisted_oob.transfer.turns import WAITING_PER_TRANSFER, Place, Turns
from twisted_oob.xmpp.access import AllowList
from twisted_oob.xmpp.basics import attach_basics, check_stream
from twisted_oob.xmpp.gate import Limits, OfferGate, RequestGate, Senders
from twisted_oob.xmpp.jid import shown
from twisted_oob.xmpp.request_guard import RequestGuard

if TYPE_CHECKING:
    from twisted_oob.protocol.offers import Offer
    from twisted_oob.xmpp.deadlines import Clock, Timer

CONCURRENCY: Final = 8
"""How many transfers run at once, by default."""

_STOPPING: Final = "the responder is stopping; try again later"
_MOST_REASON: Final = 300


class _Work:
    """What is done for an open offer: it waits for its turn, fetches, and may wait to fail.

    ``done`` fires at its end. To cancel it is to end what it does: then it fails, or, if it has
    failed already, it does not wait any more. ``fetching``: whether a transfer runs.
    """

    __slots__ = ("done", "fetching", "place")

    def __init__(self, place: Place) -> None:
        self.place = place
        self.fetching = False
        self.done: Deferred[FetchedFile]


class OOBResponder(Service):
    """Fetches the files it is offered, and answers with a result once a whole file is there.

    A Twisted service. ``attach`` it to the stream it serves, and run both as a ``ServedStream``,
    which starts and stops them in the order that lets every offer be answered.

    Args:
        fetcher: Fetches the files: a Fetcher, or anything else that has ``remove_leftovers()`` and
            ``fetch(url, *, info=None)``. ``info`` is what the offer says of its file, or None.
        allow_from: Who may make offers: the entries of an AllowList.
        reactor: Tells the time and delays calls, IReactorTime.
        concurrency: How many transfers run at once. Eight times as many wait for their turn. A
            sender (a bare JID) has at most half of both, and turns go round among senders. Offers
            beyond that get resource-constraint, type wait; many of them get no answer.
        grace: Seconds that running transfers get to finish when the responder is stopped.

    Raises:
        TypeError: An argument is of the wrong kind; the message names it.
        ValueError: An entry of ``allow_from`` is not a JID, a domain or ``*``, ``concurrency`` is
            below 1, or ``grace`` is below 0 or endless.
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
        _check_arguments(fetcher, reactor, concurrency, grace)
        self._fetcher = fetcher
        self._clock = reactor
        self._allowed = AllowList(allow_from)
        self._limits = Limits(reactor)
        self._turns = Turns(concurrency)
        self._most_open = concurrency * (1 + WAITING_PER_TRANSFER)
        self._grace = grace
        self._open: set[_Work] = set()
        self._closed = False
        self._on_idle: Deferred[None] | None = None
        self._end_of_grace: Timer | None = None

    def attach(
        self,
        manager: Any,
        *,
        identity: tuple[str, str] = ("component", "generic"),
        direct: bool = False,
    ) -> OOBHandler:
        """Serve a stream.

        Besides offers it answers disco (XEP-0030), version (XEP-0092) and ping (XEP-0199), and
        every other IQ request with service-unavailable (RFC 6120 section 8.4). All answers are
        bounded in rate; see ``xmpp/gate.py``.

        Args:
            manager: A Wokkel ``XMPPClient``, ``Component`` or ``InternalComponent``, or any other
                stream manager that takes Wokkel's handlers.
            identity: The category and type that disco tells (XEP-0030 section 3.1).
            direct: Whether nobody else on the stream needs to see the offers and their answers; as
                for OOBHandler.

        Returns:
            The handler that takes the offers. It can send, too.

        Raises:
            TypeError: An argument is of the wrong kind; the message names it.
        """
        check_stream(manager, identity)
        senders = Senders(self._allowed)
        offers = OOBHandler(
            self._on_offer,
            direct=direct,
            # One more than there are places: what is beyond them is refused here.
            max_open_offers=self._most_open + 1,
            gate=OfferGate(senders, self._limits, self._has_room),
            reactor=self._clock,
        )
        # OOBHandler counts from the offer's arrival; here an offer may wait long for its turn. The
        # fetcher limits the time of each transfer itself.
        offers.answer_timeout = None
        guard = RequestGuard(
            RequestGate(senders, self._limits), senders, offer=(NS_IQ_OOB, "query")
        )
        for handler in (guard, offers):
            handler.setHandlerParent(manager)
        attach_basics(manager, identity=identity, name="Out of Band responder")
        return offers

    def startService(self) -> None:
        """Remove what a killed process left unfinished, and begin to accept offers."""
        removed = self._fetcher.remove_leftovers()
        if removed:
            self._log.info("Removed {removed} unfinished files of an earlier run", removed=removed)
        self._closed = False
        # Started again within the grace: what still runs may go on.
        self._cancel_end_of_grace()
        self._limits.tally.start()
        Service.startService(self)

    def stopService(self) -> Deferred[None]:
        """Accept no more offers, let running transfers finish within the grace, answer every offer.

        Transfers that did not finish are cancelled. Their offers, and those that were still waiting
        for their turn, get resource-constraint, type wait.

        Returns:
            A Deferred that fires when no offer is left and every answer was sent.
        """
        Service.stopService(self)
        self._closed = True
        self._limits.tally.stop()
        for work in list(self._open):
            if not work.fetching:
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

    def _has_room(self, name: str) -> bool:
        return not self._closed and self._turns.has_room(name)

    async def _on_offer(self, offer: Offer) -> None:
        began = self._clock.seconds()
        # Strangers choose addresses, URLs and servers, and so how long each is.
        about: dict[str, Any] = {
            "sender": None if offer.sender is None else shown(offer.sender.full()),
            "url": shown_url(offer.url),
        }
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
            reason = str(error)[:_MOST_REASON]
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
        if self._closed:
            raise ResourceConstraint(_STOPPING)
        # As the gate names it.
        name = "" if offer.sender is None else offer.sender.userhost()
        work = _Work(self._turns.enter(name))
        self._limits.well_formed(name)
        self._open.add(work)
        work.done = ensureDeferred(self._in_turn(work, name, offer))
        try:
            return await work.done
        except CancelledError:
            # Ours, as we stop; or that of OOBHandler, as the stream was lost.
            if self._closed:
                raise ResourceConstraint(_STOPPING) from None
            raise
        finally:
            work.place.leave()
            self._open.discard(work)
            if not self._open and self._on_idle is not None:
                # The answer is sent when this coroutine's caller has ended; idle comes after that.
                idle, self._on_idle = self._on_idle, None
                self._cancel_end_of_grace()
                self._clock.callLater(0, idle.callback, None)

    async def _in_turn(self, work: _Work, name: str, offer: Offer) -> FetchedFile:
        await work.place.turn
        work.fetching = True
        try:
            return await self._fetcher.fetch(offer.url, info=offer.info)
        except CancelledError:
            raise
        except Exception:
            work.fetching = False
            await self._until_it_may_fail(name)
            raise

    async def _until_it_may_fail(self, name: str) -> None:
        wait = self._limits.wait_for_failure(name)
        if not wait or self._closed:
            return
        # Cancelled as we stop, the answer is given at once; as the stream is lost, nobody hears it.
        waited: Deferred[None] = Deferred(lambda waited: waited.callback(None))
        timer = self._clock.callLater(wait, waited.callback, None)
        await waited
        if timer.active():
            timer.cancel()


class Attachable(Protocol):
    """A service that serves a stream: an OOBResponder or a Receiver."""

    def attach(
        self, manager: Any, *, identity: tuple[str, str] = ..., direct: bool = ...
    ) -> OOBHandler:
        """Serve a stream from its next connection on."""
        ...

    def startService(self) -> None:
        """Begin to accept what comes."""
        ...

    def stopService(self) -> Deferred[None]:
        """Accept nothing more; the Deferred fires when all that came is answered."""
        ...


class ServedStream(Service):
    """A responder and the stream it serves, as one service: for a ``.tac`` file, for example.

    The responder starts before its stream and stops before it, so that there is a stream for
    every answer.

    Args:
        responder: An OOBResponder or a Receiver that is attached to the stream.
        stream: A service that is a stream manager: Wokkel's ``XMPPClient`` or ``Component``, or
            a StreamService.

    Raises:
        TypeError: One of them is no service; the message names it.
    """

    def __init__(self, responder: Attachable, stream: Any) -> None:
        for name, given in (("responder", responder), ("stream", stream)):
            if not callable(getattr(given, "startService", None)):
                raise wrong_type(name, "a service", given)
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


def _check_arguments(fetcher: object, reactor: object, concurrency: object, grace: object) -> None:
    if not callable(getattr(fetcher, "fetch", None)):
        raise wrong_type("fetcher", "a Fetcher", fetcher)
    check_clock("reactor", reactor)
    checked_count("concurrency", concurrency)
    if isinstance(grace, bool) or not isinstance(grace, (int, float)):
        raise wrong_type("grace", "a number of seconds", grace)
    if not 0 <= grace < math.inf:
        raise ValueError(f"grace must be a number of seconds from 0, not {grace}")

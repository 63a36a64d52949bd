"""OOBResponder: fetches what it is offered, and answers when it has the file.

An offer goes through these steps. Each "no" is the answer to the offer, and ends it:

===========  ===========================================  =====================================
step         what happens                                 the answer, if it ends here
===========  ===========================================  =====================================
judged       an OfferGate looks its sender up, before     not-acceptable, or nothing
             anything else is done (see xmpp/gate.py)
fetched      a FairFetcher fetches the file in its turn   result, if it is there; otherwise the
             (see fair_fetcher.py)                        FairFetcher's error
===========  ===========================================  =====================================

Strangers are turned away first, so that they learn nothing of how busy the responder is. The
error is raised in ``_on_offer``; OOBHandler makes the stanza of it.

Messages are ChatFrontend's part. It is a handler of its own, which uses the same FairFetcher.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, Protocol

from twisted.application.service import Service
from twisted.internet.defer import Deferred

from twisted_oob._checks import check_clock, check_flag, checked_count, wrong_type
from twisted_oob.files.fetch import Fetcher
from twisted_oob.protocol.data import NS_IQ_OOB
from twisted_oob.protocol.handler import OOBHandler
from twisted_oob.transfer.chat import ChatFrontend
from twisted_oob.transfer.fair_fetcher import QUEUE_TIMEOUT, FairFetcher
from twisted_oob.transfer.wanted import Wanted
from twisted_oob.xmpp.access import AllowList
from twisted_oob.xmpp.basics import attach_basics, check_stream
from twisted_oob.xmpp.gate import Limits, OfferGate, RequestGate, Senders
from twisted_oob.xmpp.request_guard import RequestGuard

if TYPE_CHECKING:
    from twisted_oob.protocol.offers import Offer
    from twisted_oob.xmpp.deadlines import Clock

CONCURRENCY: Final = 8
"""How many transfers run at once, by default."""


class OOBResponder(Service):
    """Fetches the files it is offered, and answers with a result once a whole file is there.

    It takes the files that people send in messages, too, and answers in the chat.

    A Twisted service. ``attach`` it to the stream it serves, and run both as a ``ServedStream``,
    which starts and stops them in the order that lets everything be answered.

    Args:
        fetcher: Fetches the files: a Fetcher, or anything else that has
            ``fetch(url, *, info=None)``, which gives an awaitable of a FetchedFile. ``info`` is
            what the offer or message says of its file, or None. If it has ``remove_leftovers()``,
            that is called at the start; if it has ``start()`` and ``stop()``, which may give
            Deferreds, they are called as the responder starts again and stops. An OSError of it
            means that its folder can't be used.
        allow_from: Whose offers and messages are taken: the entries of an AllowList.
        reactor: Tells the time and delays calls, IReactorTime.
        concurrency: How many transfers run at once. Eight times as many offers wait for their turn.
            A sender (a bare JID) has at most half of both, and turns go round among senders. Offers
            beyond that get resource-constraint, type wait; many of them get no answer. Besides,
            2,000 files of messages wait, at most half of them of one sender, whose offers go first.
            The same file, offered again by the same sender while it is fetched, is fetched once.
        grace: Seconds that running transfers get to finish when the responder is stopped.
        queue_timeout: Seconds for which an offer waits for its turn; then it gets
            resource-constraint, type wait. Files of messages wait as long as it takes.
        messages: Whether files are taken from messages, too, by a ChatFrontend. An application that
            gives False can add one of its own to the stream: ``ChatFrontend(responder, ...)``.

    Raises:
        TypeError: An argument is of the wrong kind; the message names it.
        ValueError: An entry of ``allow_from`` is not a JID, a domain or ``*``, ``concurrency`` is
            below 1, ``grace`` is below 0 or endless, or ``queue_timeout`` is not above 0.

    Attributes:
        fetches: Fetches the files, those of offers and all others.
        allowed: The AllowList.
        limits: How often each sender is answered.
        clock: The reactor that it was made with.
    """

    def __init__(
        self,
        fetcher: Fetcher,
        *,
        allow_from: Iterable[str],
        reactor: Clock,
        concurrency: int = CONCURRENCY,
        grace: float = 0.0,
        queue_timeout: float = QUEUE_TIMEOUT,
        messages: bool = True,
    ) -> None:
        _check_arguments(fetcher, reactor, concurrency, grace)
        _check_seconds("queue_timeout", queue_timeout)
        if not queue_timeout > 0:
            raise ValueError(f"queue_timeout must be above 0 seconds, not {queue_timeout}")
        self._messages = check_flag("messages", messages)
        self.clock = reactor
        self.allowed = AllowList(allow_from)
        self.limits = Limits(reactor)
        self.fetches = FairFetcher(
            fetcher,
            limits=self.limits,
            reactor=reactor,
            concurrency=concurrency,
            grace=grace,
            queue_timeout=queue_timeout,
        )

    def attach(
        self,
        manager: Any,
        *,
        identity: tuple[str, str] = ("component", "generic"),
        direct: bool = False,
    ) -> OOBHandler:
        """Serve a stream.

        Besides offers and messages it answers disco (XEP-0030), version (XEP-0092) and ping
        (XEP-0199), and every other IQ request with service-unavailable (RFC 6120 section 8.4). All
        answers to requests are bounded in rate; see ``xmpp/gate.py``.

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
        senders = Senders(self.allowed)
        offers = OOBHandler(
            self._on_offer,
            direct=direct,
            # One more than there are places: what is beyond them is refused here.
            max_open_offers=self.fetches.most_open + 1,
            gate=OfferGate(senders, self.limits, self.fetches.has_room),
            reactor=self.clock,
        )
        # OOBHandler counts from the offer's arrival; here an offer may wait long for its turn. The
        # fetcher limits the time of each transfer itself.
        offers.answer_timeout = None
        guard = RequestGuard(RequestGate(senders, self.limits), senders, offer=(NS_IQ_OOB, "query"))
        for handler in (guard, offers):
            handler.setHandlerParent(manager)
        if self._messages:
            ChatFrontend(self).setHandlerParent(manager)
        attach_basics(manager, identity=identity, name="Out of Band responder")
        return offers

    def startService(self) -> None:
        """Remove what a killed process left unfinished, and begin to accept what comes."""
        self.fetches.start()
        Service.startService(self)

    def stopService(self) -> Deferred[None]:
        """Accept nothing more, let running transfers finish within the grace, answer everything.

        Transfers that did not finish are cancelled. Their offers, and those that were still waiting
        for their turn, get resource-constraint, type wait. At last the Fetcher stops. Another call
        meanwhile neither begins the grace anew nor ends it.

        Returns:
            A Deferred that fires when no offer is left and every answer was sent: after the grace
            and five seconds at the latest, even if a disk hangs.
        """
        Service.stopService(self)
        return self.fetches.stop()

    async def _on_offer(self, offer: Offer) -> None:
        sender = offer.sender
        # As the gate names it.
        name = "" if sender is None else sender.userhost()
        await self.fetches.fetch(Wanted("Offer", sender, name, offer.url, offer.info))


class Attachable(Protocol):
    """A service that serves a stream: an OOBResponder, a Receiver or a FileBot."""

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
        responder: An OOBResponder, a Receiver or a FileBot that is attached to the stream.
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
    _check_seconds("grace", grace)


def _check_seconds(name: str, given: object) -> None:
    if isinstance(given, bool) or not isinstance(given, (int, float)):
        raise wrong_type(name, "a number of seconds", given)
    if not 0 <= given < math.inf:
        raise ValueError(f"{name} must be a number of seconds from 0, not {given}")

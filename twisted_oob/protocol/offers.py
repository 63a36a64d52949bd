"""Offers we were made: Offer, its one answer, its deadline.

"The recipient MUST NOT answer with a result before it has retrieved the whole file"
(XEP-0066 section 3, in substance): so an offer is answered by the end of what the application
does with it, or by hand, exactly once, and on the stream that brought it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import Enum
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.words.protocols.jabber.error import StanzaError

from twisted_oob.errors import AlreadyAnswered, OfferLost, Rejected, error_from_condition
from twisted_oob.xmpp.guard import error_response
from twisted_oob.xmpp.jid import parse_jid

if TYPE_CHECKING:
    from twisted.words.protocols.jabber.jid import JID
    from twisted.words.xish import domish

    from twisted_oob.protocol.data import OOBData
    from twisted_oob.xmpp.deadlines import Deadline, DeadlineQueue
    from twisted_oob.xmpp.stanza import IQ
    from twisted_oob.xmpp.stream import BoundStream


OfferCallback = Callable[["Offer"], "Awaitable[object] | None"]

_log = Logger()


class _State(Enum):
    OPEN = "open"
    ANSWERED = "answered"
    LOST = "lost"


class Offer:
    """A URL that a peer asks us to retrieve (XEP-0066 section 3).

    ``data``: what is offered, an OOBData; ``url``, ``desc`` and ``sid`` are its parts.
    ``sender``: the JID that offers. ``recipient``: the JID it was sent to, one of ours.
    Either is None only on a stream that neither names it nor knows who we are.

    It gets exactly one answer: by the end of what ``on_offer`` returned, or by
    ``reply_success`` or ``reply_failure``.
    """

    __slots__ = (
        "_deadline",
        "_iq",
        "_open_offers",
        "_recipient",
        "_sender",
        "_state",
        "_work",
        "data",
    )

    def __init__(
        self,
        open_offers: OpenOffers,
        data: OOBData,
        sender: str | None,
        recipient: str | None,
        iq: IQ,
    ) -> None:
        self.data = data
        self._sender: JID | str | None = sender
        self._recipient: JID | str | None = recipient
        self._iq = iq
        self._open_offers = open_offers
        self._state = _State.OPEN
        self._work: Deferred[Any] | None = None
        self._deadline: Deadline | None = None

    @property
    def url(self) -> str:
        """The offered URL: an absolute URI, of any scheme."""
        return self.data.url

    @property
    def desc(self) -> str | None:
        """What the sender says that it is; None where it says nothing."""
        return self.data.desc

    @property
    def sid(self) -> str | None:
        """The stream identifier of version 1.5 of the standard; None where there is none."""
        return self.data.sid

    @property
    def sender(self) -> JID | None:
        """The JID that offers."""
        if isinstance(self._sender, str):
            self._sender = parse_jid(self._sender)
        return self._sender

    @property
    def recipient(self) -> JID | None:
        """The JID it was sent to, one of ours."""
        if isinstance(self._recipient, str):
            self._recipient = parse_jid(self._recipient)
        return self._recipient

    @property
    def element(self) -> domish.Element:
        """The whole ``<iq/>`` as it came."""
        return self._iq.element

    @property
    def settled(self) -> bool:
        """Whether it can't be answered any more."""
        return self._state is not _State.OPEN

    def __repr__(self) -> str:
        return f"<Offer {self._state.value} from {self.sender}>"

    def reply_success(self) -> None:
        """Answer that the whole file has been retrieved: an IQ result.

        Raises AlreadyAnswered where it has its answer, OfferLost where the stream is gone.
        """
        self._answer(None)

    def reply_failure(self, condition: str) -> None:
        """Answer with ``'reject'`` (not-acceptable) or ``'not-found'`` (item-not-found).

        Raises a ValueError for any other condition, AlreadyAnswered where it has its answer,
        OfferLost where the stream is gone.
        """
        self._answer(error_from_condition(condition))

    def expire(self) -> None:
        """Answer internal-server-error, as nobody did in time, and cancel the work."""
        _log.error("The offer of {offer.sender} was not answered in time", offer=self)
        try:
            self._answer(StanzaError("internal-server-error"))
        finally:
            self._cancel_work()

    def _answer(self, error: StanzaError | None) -> None:
        if self._state is _State.ANSWERED:
            raise AlreadyAnswered(f"the offer of {self.sender} has its answer already")
        if self._state is _State.LOST:
            raise OfferLost(f"the stream that brought the offer of {self.sender} is gone")
        self._settle(_State.ANSWERED)
        self._open_offers.send_answer(self._iq, error)

    def _settle(self, state: _State) -> None:
        self._state = state
        self._open_offers.settle(self, self._deadline)

    def _lose(self) -> None:
        self._settle(_State.LOST)
        self._cancel_work()

    def _cancel_work(self) -> None:
        if self._work is not None:
            self._work.cancel()

    def _start(self, on_offer: OfferCallback) -> None:
        """Let the application have it, and answer at the end of what it returns."""
        try:
            returned = on_offer(self)
            if returned is None:
                return
            work = as_deferred(returned)
        except Exception:
            self._work_failed(Failure())
            return
        self._work = work
        work.addCallbacks(self._work_done, self._work_failed)
        if self._state is _State.LOST:
            work.cancel()

    def _work_done(self, _result: object) -> None:
        self._work = None
        self._answer_at_end(None)

    def _work_failed(self, failure: Failure) -> None:
        self._work = None
        error = failure.value
        if isinstance(error, StanzaError):
            self._answer_at_end(error)
            return
        if not (self.settled and isinstance(error, CancelledError)):
            _log.failure(
                "An offer of {offer.sender} ended in an unexpected error",
                failure=failure,
                offer=self,
            )
        self._answer_at_end(StanzaError("internal-server-error"))

    def _answer_at_end(self, error: StanzaError | None) -> None:
        """Answer, unless the application did; nobody is there to be told that it went wrong."""
        if self._state is not _State.OPEN:
            return
        try:
            self._answer(error)
        except Exception:
            _log.failure("Could not answer an offer")


class OpenOffers:
    """The open offers of one stream.

    ``stream``: what brought them and takes the answers.
    ``deadlines``: where their deadlines are kept.
    """

    def __init__(self, stream: BoundStream, deadlines: DeadlineQueue) -> None:
        self._stream = stream
        self._deadlines = deadlines
        self._open: set[Offer] = set()

    def add(
        self,
        data: OOBData,
        sender: str | None,
        recipient: str | None,
        iq: IQ,
        *,
        on_offer: OfferCallback | None,
        timeout: float | None,
    ) -> None:
        """Give an offer to the application; reject it where there is none to take it.

        ``timeout``: seconds until it gets internal-server-error, None for never.
        """
        if on_offer is None:
            self.send_answer(iq, Rejected())
            return
        offer = Offer(self, data, sender, recipient, iq)
        self._open.add(offer)
        offer._start(on_offer)
        # What was answered at once needs no deadline.
        if timeout is not None and offer in self._open:
            offer._deadline = self._deadlines.add(offer, timeout)

    def settle(self, offer: Offer, deadline: Deadline | None) -> None:
        """Take an offer off the book, and its deadline off the queue."""
        self._open.discard(offer)
        if deadline is not None:
            self._deadlines.settle(deadline)
            self._deadlines.rest()

    def send_answer(self, iq: IQ, error: StanzaError | None) -> None:
        """Answer an IQ set with a result, or with an error and what it held."""
        if error is None:
            given = iq.attributes.get
            self._stream.send_iq("result", given("id"), given("from"), given("to"))
            return
        try:
            response = error_response(iq.element, error)
        except (TypeError, ValueError):
            _log.failure("An offer was to be answered with an error that no peer could parse")
            response = error_response(iq.element, StanzaError("internal-server-error"))
        self._stream.send(response)

    def stream_lost(self) -> None:
        """Cancel what is being done for every open offer: nobody hears the answers now."""
        for offer in list(self._open):
            if not offer.settled:
                offer._lose()


def as_deferred(awaitable: object) -> Deferred[Any]:
    """Make a Deferred of a coroutine, a Deferred or any other awaitable; else a TypeError."""
    if isinstance(awaitable, Deferred):
        return awaitable
    if isinstance(awaitable, CoroutineType):
        return Deferred.fromCoroutine(awaitable)
    if not isinstance(awaitable, Awaitable):
        raise TypeError(f"an awaitable or None must be returned, not {awaitable!r}")

    async def wait() -> object:
        return await awaitable

    return ensureDeferred(wait())

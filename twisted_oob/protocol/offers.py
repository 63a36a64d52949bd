"""Offers that peers made us: what the application sees of one, and its one answer.

"The recipient MUST NOT answer with a result before it has retrieved the whole file"
(XEP-0066 section 2, in substance). So an offer is answered by the end of what the application does
with it, or by hand, exactly once, and on the stream that brought it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import Enum
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.words.protocols.jabber.error import StanzaError

from twisted_oob.errors import AlreadyAnswered, OfferLost, error_from_condition
from twisted_oob.protocol.metadata import NS_FILE, FileInfo, read_file
from twisted_oob.protocol.requests import short_error
from twisted_oob.xmpp.deferreds import as_deferred, has_succeeded
from twisted_oob.xmpp.guard import error_response
from twisted_oob.xmpp.jid import parse_jid, shown

if TYPE_CHECKING:
    from twisted.words.protocols.jabber.jid import JID
    from twisted.words.xish import domish

    from twisted_oob.protocol.data import OOBData
    from twisted_oob.protocol.requests import Request
    from twisted_oob.xmpp.deadlines import Deadline, DeadlineQueue
    from twisted_oob.xmpp.stanza import IQ
    from twisted_oob.xmpp.stream import BoundStream

OfferCallback = Callable[["Offer"], "Awaitable[object] | None"]

_log = Logger()


class _State(Enum):
    OPEN = "open"
    ANSWERED = "answered"
    LOST = "lost"


# An enum's members are looked up by its metaclass, which costs more than the rest of a comparison.
_OPEN, _ANSWERED, _LOST = _State


class Offer:
    """A URL that a peer asks us to retrieve (XEP-0066 section 2).

    It gets exactly one answer: by the end of what ``on_offer`` returned, or by ``reply_success`` or
    ``reply_failure``. Applications get offers and don't make them.

    Attributes:
        data: What is offered, an OOBData.
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
        self._state = _OPEN
        self._work: Deferred[Any] | None = None
        self._deadline: Deadline | None = None

    @property
    def url(self) -> str:
        """The offered URL: an absolute URI, of any scheme."""
        return self.data.url

    @property
    def desc(self) -> str | None:
        """The sender's description, for people; None if it gave none."""
        return self.data.desc

    @property
    def info(self) -> FileInfo | None:
        """What the sender knows of the file (XEP-0446); None if it gave only the URL."""
        # Read only if somebody asks: hardly any offer has it.
        file = self._iq.nested(NS_FILE, "file")
        return None if file is None else read_file(file)

    @property
    def sid(self) -> str | None:
        """The stream identifier of XEP-0066 version 1.5; None if it has no such thing."""
        return self.data.sid

    @property
    def sender(self) -> JID | None:
        """The JID that offers; None if neither the stanza nor the stream tells."""
        # Most applications look at one of the two addresses at the most.
        if isinstance(self._sender, str):
            self._sender = parse_jid(self._sender)
        return self._sender

    @property
    def recipient(self) -> JID | None:
        """The JID that it was sent to, one of ours; None as for ``sender``."""
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
        return self._state is not _OPEN

    def __repr__(self) -> str:
        return f"<Offer {self._state.value} from {self.sender}>"

    def reply_success(self) -> None:
        """Answer that we have the whole file: an IQ result.

        Raises:
            AlreadyAnswered: It has its answer.
            OfferLost: The stream that brought it is gone.
        """
        self._answer(None)

    def reply_failure(self, condition: str) -> None:
        """Answer that we don't have the file.

        Args:
            condition: ``'reject'`` (the peer gets not-acceptable) or ``'not-found'``
                (item-not-found).

        Raises:
            ValueError: It is another condition.
            AlreadyAnswered: The offer has its answer.
            OfferLost: The stream that brought it is gone.
        """
        self._answer(error_from_condition(condition))

    def expire(self) -> None:
        """Answer internal-server-error, as nobody answered in time, and cancel the work."""
        _log.error("The offer of {offer.sender} was not answered in time", offer=self)
        try:
            self._answer(StanzaError("internal-server-error"))
        finally:
            self._cancel_work()

    def lose(self) -> None:
        """Cancel the work: the stream is gone, and nobody would hear the answer."""
        self._state = _LOST
        self._open_offers.settle(self, self._deadline)
        self._cancel_work()

    def start(self, on_offer: OfferCallback) -> None:
        """Let the application have it, and answer at the end of what that returns."""
        try:
            returned = on_offer(self)
            if returned is None:
                return  # it answers by hand, now or later
            # Most return a Deferred, for which this spares a call.
            work = returned if isinstance(returned, Deferred) else as_deferred(returned)
        except Exception:
            self._work_failed(Failure())
            return
        if has_succeeded(work):
            self._work_done(None)
            return
        self._work = work
        work.addCallbacks(self._work_done, self._work_failed)
        # on_offer itself may have lost the stream, when there was no work to cancel yet.
        if self._state is _LOST:
            self._cancel_work()

    def _answer(self, error: StanzaError | None) -> None:
        if self._state is not _OPEN:
            if self._state is _ANSWERED:
                raise AlreadyAnswered(f"the offer of {self.sender} has its answer already")
            raise OfferLost(f"the stream that brought the offer of {self.sender} is gone")
        # Settled first: what sending causes must find it so.
        self._state = _ANSWERED
        self._open_offers.settle(self, self._deadline)
        try:
            self._open_offers.send_answer(self._iq, error)
        except BaseException:
            # Nobody has the answer. To send another on a stream that is broken would not help.
            self._state = _LOST
            raise

    def _cancel_work(self) -> None:
        if self._work is not None:
            try:
                self._work.cancel()
            except Exception:
                # The application's canceller failed. Other offers must be cancelled all the same.
                _log.failure("Could not cancel the work on an offer of {offer.sender}", offer=self)

    def _work_done(self, _result: object, error: StanzaError | None = None) -> None:
        """Answer, unless the application did by hand. Nobody is there to hear of a failure."""
        self._work = None
        if self._state is _OPEN:
            try:
                self._answer(error)
            except Exception:
                _log.failure("Could not answer an offer")

    def _work_failed(self, failure: Failure) -> None:
        error = failure.value
        if not isinstance(error, StanzaError):
            # Work that we cancelled ends in a CancelledError, as it should.
            if not (self.settled and isinstance(error, CancelledError)):
                _log.failure(
                    "An offer of {offer.sender} ended in an unexpected error",
                    failure=failure,
                    offer=self,
                )
            error = StanzaError("internal-server-error")
        self._work_done(None, error)


class OpenOffers:
    """The offers of one stream that have no answer yet.

    Args:
        stream: What brought them and takes the answers.
        deadlines: Where their deadlines are kept.
        most: How many may be open at once.
    """

    def __init__(self, stream: BoundStream, deadlines: DeadlineQueue, most: int) -> None:
        self._stream = stream
        self._deadlines = deadlines
        self._most = most
        self._open: set[Offer] = set()

    def add(self, request: Request, iq: IQ, on_offer: OfferCallback, timeout: float | None) -> None:
        """Give an offer to the application, or answer resource-constraint if too many are open.

        Args:
            request: What is offered, by whom.
            iq: The stanza.
            on_offer: What takes offers.
            timeout: Seconds until it gets internal-server-error; None for never.
        """
        if len(self._open) >= self._most:
            # The query is not sent back: there may be very many.
            self._stream.send(short_error(iq.attributes, "resource-constraint", "wait"))
            return
        data, sender, recipient = request
        offer = Offer(self, data, sender, recipient, iq)
        self._open.add(offer)
        offer.start(on_offer)
        # One that was answered at once needs no deadline.
        if timeout is not None and offer in self._open:
            offer._deadline = self._deadlines.add(offer, timeout)

    def settle(self, offer: Offer, deadline: Deadline | None) -> None:
        """Forget an offer, and cancel its deadline."""
        self._open.discard(offer)
        if deadline is not None:
            self._deadlines.cancel(deadline)
            self._deadlines.stop_if_idle()

    def turn_down(self, iq: IQ, error: StanzaError) -> None:
        """Answer a request that the application never sees."""
        sender = shown(iq.attributes.get("from"))
        _log.debug("Answered a request of {sender} with {error}", sender=sender, error=error)
        self.send_answer(iq, error)

    def send_answer(self, iq: IQ, error: StanzaError | None) -> None:
        """Answer an IQ request with a result, or with an error and the request's child."""
        if error is None:
            given = iq.attributes.get
            self._stream.send_iq("result", given("id"), given("from"), given("to"))
            return
        try:
            response = error_response(iq.element, error)
        except Exception:
            # The application made the error, and no peer could parse it.
            _log.failure("An offer was to be answered with an error that can't be sent")
            response = error_response(iq.element, StanzaError("internal-server-error"))
        self._stream.send(response)

    def stream_lost(self) -> None:
        """Cancel what is being done for every open offer: nobody would hear the answers."""
        for offer in list(self._open):
            # What one cancellation causes may settle others.
            if not offer.settled:
                offer.lose()

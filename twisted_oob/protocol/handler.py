"""OOBHandler: Out of Band Data on one XMPP stream after the other.

Theory of operation
===================

The handler lives as long as the application keeps it; its streams come and go. What belongs to the
handler outlasts them, what belongs to a stream ends with it:

=================  ==========================  ===================================================
part               lives                       when the stream is lost
=================  ==========================  ===================================================
RequestTracker     with the handler            requests that were sent fail; those that were not
                                               wait for the next stream
Outbox             with the handler            messages that were not written wait for the next
                                               stream; those that may still bounce fail
DeadlineQueue      with the handler            stays; it has one timer for requests and offers
BoundStream        with the stream             dropped
OpenOffers         with the stream             offers are lost, and their work is cancelled
Intake             with the stream, if         closed: the parser has its own handlers back
                   ``direct``
=================  ==========================  ===================================================

========  ======================================================  ===============================
state     how it is entered                                       what may come next
========  ======================================================  ===============================
detached  made; ``_stream_lost``                                  attached
attached  ``_stream_opened``                                      detached
========  ======================================================  ===============================

A stream that is refused for good (its manager calls ``stream_refused``) fails what waits for it.
How managers differ in telling all this is StreamHandler's part.

Stanzas come in on two ways. Our observer sees those that Twisted has built an element of; with
``direct``, an Intake takes the usual ones at the parser before. Both end in ``_take_request`` and
in the tracker, so that only the cost differs. A handler without ``on_offer`` takes no request then,
but its second observer, which is called after everybody else's, answers those that nobody took.
Which answer each request gets is a table: see ``protocol/rules.py``.

Everything may happen while anything happens: what we send may lose the stream, an application's
callback may send, cancel, or take the handler off its manager. So each step leaves the handler in a
state that is whole before it calls anything that is not its own.
"""

from __future__ import annotations

from typing import Any, Final

from twisted.python.failure import Failure
from twisted.words.protocols.jabber.error import StanzaError
from twisted.words.protocols.jabber.jid import JID
from wokkel.disco import DiscoFeature
from wokkel.iwokkel import IDisco
from zope.interface import implementer

from twisted_oob._checks import check_callable, check_flag, checked_count, checked_seconds
from twisted_oob.errors import Rejected
from twisted_oob.protocol.arguments import check_gate
from twisted_oob.protocol.data import NS_IQ_OOB, NS_X_OOB, oob_elements
from twisted_oob.protocol.direct import Intake
from twisted_oob.protocol.messages import MessageCallback, deliver
from twisted_oob.protocol.offers import OfferCallback, OpenOffers
from twisted_oob.protocol.outbox import Outbox
from twisted_oob.protocol.requests import admits, check_form, read_request
from twisted_oob.protocol.sending_handler import SendingHandler
from twisted_oob.xmpp.deadlines import Clock, DeadlineQueue
from twisted_oob.xmpp.gate import Gate
from twisted_oob.xmpp.parser_tap import ParserTap
from twisted_oob.xmpp.stanza import IQ, Payload
from twisted_oob.xmpp.stream import BoundStream
from twisted_oob.xmpp.tracker import RequestTracker

# One query that is quickly matched, and a look at the stanza: each query more costs every stanza on
# the stream as much as that look.
_ANY_STANZA: Final = "/*"
_ANY_IQ: Final = "/iq"
# After every handler, and before FallbackHandler, ours and Wokkel's, which has -1.
_AFTER_OTHERS: Final = -0.5
_ANSWERS: Final = frozenset(("result", "error"))
_CARRIERS: Final = frozenset(("message", "presence"))


@implementer(IDisco)
class OOBHandler(SendingHandler):
    """Out of Band Data (XEP-0066) on an XMPP stream.

    Add it to a Wokkel ``XMPPClient``, ``Component`` or ``InternalComponent``, or to Twisted
    Words' ``StreamManager``, with ``handler.setHandlerParent(manager)``.

    Args:
        on_offer: Called with an Offer for each incoming ``jabber:iq:oob`` set. If it returns an
            awaitable, the end of that is the answer: success is a result; NotFound, Rejected or any
            other StanzaError is that error; anything else is logged, and answered with
            internal-server-error. If it returns None, the application answers later by the offer's
            methods. An asyncio Future is an awaitable, too, on the asyncio reactor. Without
            ``on_offer``, offers are left to other handlers of the stream, and answered with
            not-acceptable if nobody takes them.
        on_message: Called with an OOBMessage for each file that an incoming message or presence
            names by a usable URL: in ``jabber:x:oob``, in ``<file-sharing/>`` (XEP-0447) or by SIMS
            (XEP-0385).
        timeout: Seconds until ``send_url`` fails without an answer, and ``send_message`` without a
            stream; None for never.
        answer_timeout: Seconds until an offer that nobody answered gets internal-server-error; None
            for never.
        max_open_offers: How many offers may be without an answer at once. One more gets
            resource-constraint, type wait.
        direct: Whether nobody else on the stream needs to see these stanzas: neither those that
            come (its observers) nor those that go (whoever wrapped its ``send``). Then offers and
            results are taken at the XML parser, and requests and results go to the transport as
            text, which saves more than half of the time that they take.
        gate: Judges each request by its sender, before anything of it is read or logged. One that
            is denied gets a short not-acceptable, one that is dropped no answer. None admits all.
        reactor: An IReactorTime; None for the global reactor.

    Raises:
        TypeError: An argument has the wrong type. The message names it.
        ValueError: A timeout or ``max_open_offers`` is not above 0.

    Attributes:
        clock: The reactor that it was made with.
    """

    # What the sending half keeps, and is told of each stream.
    _deadlines: DeadlineQueue
    _outbox: Outbox
    _tracker: RequestTracker

    on_offer: OfferCallback | None = None
    on_message: MessageCallback | None = None
    answer_timeout: float | None

    def __init__(
        self,
        on_offer: OfferCallback | None = None,
        on_message: MessageCallback | None = None,
        *,
        timeout: float | None = 900.0,
        answer_timeout: float | None = 3600.0,
        max_open_offers: int = 1000,
        direct: bool = False,
        gate: Gate | None = None,
        reactor: Clock | None = None,
    ) -> None:
        SendingHandler.__init__(self, timeout, reactor)
        check_callable("on_offer", on_offer)
        check_callable("on_message", on_message)
        # A subclass may have them as methods.
        if on_offer is not None:
            self.on_offer = on_offer
        if on_message is not None:
            self.on_message = on_message
        self.answer_timeout = checked_seconds("answer_timeout", answer_timeout)
        self._max_open_offers = checked_count("max_open_offers", max_open_offers)
        self._direct = check_flag("direct", direct)
        check_gate(gate)
        self._gate = gate
        # Whether offers are left to others on the stream, and taken if nobody else did.
        self._yields = False
        self._open_offers: OpenOffers | None = None
        self._intake: Intake | None = None

    def _stream_opened(self, stream: BoundStream) -> None:
        """Begin to observe the stream, and send what has been waiting for it."""
        xmlstream = stream.xmlstream
        self._open_offers = OpenOffers(stream, self._deadlines, self._max_open_offers)
        self.observe_stream(_ANY_STANZA, self._on_stanza, 0, xmlstream)
        self._yields = self.on_offer is None
        if self._yields:
            self.observe_stream(_ANY_IQ, self._on_leftover, _AFTER_OTHERS, xmlstream)
        tap = ParserTap.of(xmlstream) if self._direct else None
        if tap is not None:
            self._intake = Intake(
                tap, self._tracker.ids, self._tracker.take_empty_result, self._take_request
            )
        # What is sent may lose the stream, and even open the next: the rest is for that one.
        self._outbox.stream_opened(stream)
        if self.bound_stream is stream:
            self._tracker.stream_opened(stream)

    def _stream_lost(self, stream: BoundStream, reason: Failure) -> None:
        """Fail what was asked on this stream and drop what was offered on it."""
        open_offers, self._open_offers = self._open_offers, None
        intake, self._intake = self._intake, None
        if intake is not None:
            intake.close()
        lost = self._outbox.stream_lost()
        self._tracker.stream_lost(reason)
        self._outbox.fail_lost(lost, reason)
        if open_offers is not None:
            open_offers.stream_lost()

    def getDiscoInfo(
        self, requestor: JID, target: JID, nodeIdentifier: str = ""
    ) -> list[DiscoFeature]:
        """Give the features of what we take (XEP-0066 section 4), and none for a node."""
        taken = ((NS_IQ_OOB, self.on_offer), (NS_X_OOB, self.on_message))
        return [
            DiscoFeature(feature)
            for feature, callback in taken
            if callback is not None and not nodeIdentifier
        ]

    def getDiscoItems(self, requestor: JID, target: JID, nodeIdentifier: str = "") -> list[object]:
        """Give no items: Out of Band Data has none."""
        return []

    # Stanzas are Any here: to Twisted, "handled" is an attribute that other handlers set. It is
    # read from the instance, as an element without it would give a child of that name.

    def _on_stanza(self, xmlstream: Any, stanza: Any) -> None:
        if self.bound_stream is None or self.bound_stream.xmlstream is not xmlstream:
            return  # an observer before us has taken us off the stream in this very dispatch
        name = stanza.name
        if name == "iq":
            if vars(stanza).get("handled") is True:
                return
            if stanza.attributes.get("type") not in _ANSWERS:
                if self.on_offer is not None or not self._yields:
                    self._on_request(stanza)
            elif self._tracker.take_answer(stanza):
                stanza.handled = True
        elif name in _CARRIERS:
            if stanza.attributes.get("type") == "error":
                # What we sent has come back: nothing of it is for on_message.
                if name == "message" and self._outbox.bounces.take(stanza, self.bound_stream.me):
                    stanza.handled = True
            elif self.on_message is not None:
                deliver(stanza, self.on_message)

    def _on_leftover(self, xmlstream: Any, iq: Any) -> None:
        if self.bound_stream is None or self.bound_stream.xmlstream is not xmlstream:
            return
        if vars(iq).get("handled") is not True and iq.attributes.get("type") not in _ANSWERS:
            self._on_request(iq)

    def _on_request(self, iq: Any) -> None:
        query = next(oob_elements(iq, NS_IQ_OOB), None)
        if query is None:
            return
        iq.handled = True
        if self._gate is None or self._admits(iq.attributes):
            request = IQ(iq.attributes, Payload.from_element(query), element=iq)
            # Most have no white space beside the query, and need no count.
            alone = len(iq.children) == 1 or sum(1 for _ in iq.elements()) == 1
            try:
                check_form(request, alone=alone)
            except StanzaError as error:
                self._turn_down(request, error)
            else:
                self._take_request(request, admitted=True)

    def _admits(self, attributes: Any) -> bool:
        gate, stream = self._gate, self.bound_stream
        return gate is None or stream is None or admits(gate, stream, attributes)

    def _take_request(self, iq: IQ, admitted: bool = False) -> bool:
        """Take a set with one child; False if it is for others. The Intake gives all that come."""
        if not admitted:
            if self.on_offer is None:
                return False
            if self._gate is not None and not self._admits(iq.attributes):
                return True
        stream, open_offers = self.bound_stream, self._open_offers
        if stream is None or open_offers is None:
            return True  # the gate may have taken us off the stream
        try:
            request = read_request(iq, stream)
            if self.on_offer is None:
                raise Rejected
        except StanzaError as error:
            self._turn_down(iq, error)
        else:
            open_offers.add(request, iq, self.on_offer, self.answer_timeout)
        return True

    def _turn_down(self, iq: IQ, error: StanzaError) -> None:
        if self._open_offers is not None:
            self._open_offers.turn_down(iq, error)

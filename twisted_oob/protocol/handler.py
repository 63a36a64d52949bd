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
unsent messages    with the handler            they wait for the next stream
DeadlineQueue      with the handler            stays; it has one timer for requests and offers
BoundStream        with the stream             dropped
OpenOffers         with the stream             offers are lost, and their work is cancelled
Intake             with the stream, if         closed: the parser has its own handlers back
                   ``direct``
=================  ==========================  ===================================================

========  ======================================================  ===============================
state     how it is entered                                       what may come next
========  ======================================================  ===============================
detached  made; ``connectionLost``; ``disownHandlerParent``       attached
attached  ``connectionInitialized``                               detached
========  ======================================================  ===============================

Stanzas come in on two ways. Our observer sees those that Twisted has built an element of; with
``direct``, an Intake takes the usual ones at the parser before. Both end in ``_take_request`` and
in the tracker, so that only the cost differs. Which answer each request gets is a table: see
``protocol/rules.py``.

Everything may happen while anything happens: what we send may lose the stream, an application's
callback may send, cancel, or take the handler off its manager. So each step leaves the handler in a
state that is whole before it calls anything that is not its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.words.protocols.jabber.error import StanzaError
from twisted.words.protocols.jabber.jid import JID
from twisted.words.xish import domish
from wokkel.disco import DiscoFeature
from wokkel.iwokkel import IDisco
from wokkel.subprotocols import XMPPHandler
from zope.interface import implementer

from twisted_oob.errors import ErrorCondition, InvalidOOBData
from twisted_oob.protocol.data import (
    DISCO_FEATURES,
    NS_IQ_OOB,
    OOBData,
    oob_elements,
    oob_payload,
)
from twisted_oob.protocol.direct import Intake
from twisted_oob.protocol.messages import OOBMessage, build_message, messages_in
from twisted_oob.protocol.offers import OfferCallback, OpenOffers
from twisted_oob.xmpp.deadlines import Clock, DeadlineQueue
from twisted_oob.xmpp.deferreds import as_deferred
from twisted_oob.xmpp.jid import normalized_jid, shown
from twisted_oob.xmpp.parser_tap import ParserTap
from twisted_oob.xmpp.stanza import IQ, Payload
from twisted_oob.xmpp.stream import BoundStream
from twisted_oob.xmpp.tracker import RequestTracker

MessageCallback = Callable[[OOBMessage], "Awaitable[object] | None"]

# One query that is quickly matched, and a look at the stanza: each query more costs every stanza on
# the stream as much as that look.
_ANY_STANZA: Final = "/*"
_REQUESTS: Final = frozenset(("get", "set"))
_ANSWERS: Final = frozenset(("result", "error"))
_CARRIERS: Final = frozenset(("message", "presence"))


@implementer(IDisco)
class OOBHandler(XMPPHandler):  # type: ignore[misc]  # Wokkel has no types
    """Out of Band Data (XEP-0066) on an XMPP stream.

    Add it to a Wokkel ``XMPPClient``, ``Component`` or ``InternalComponent``, or to Twisted
    Words' ``StreamManager``, with ``handler.setHandlerParent(manager)``.

    Args:
        on_offer: Called with an Offer for each incoming ``jabber:iq:oob`` set. If it returns an
            awaitable, the end of that is the answer: success is a result; NotFound, Rejected or any
            other StanzaError is that error; anything else is logged, and answered with
            internal-server-error. If it returns None, the application answers later by the offer's
            methods. Without it, every offer is answered with not-acceptable.
        on_message: Called with an OOBMessage for each usable ``jabber:x:oob`` element in an
            incoming message or presence.
        timeout: Seconds until ``send_url`` fails without an answer; None for never.
        direct: Whether nobody else on the stream needs to see these stanzas: neither those that
            come (its observers) nor those that go (whoever wrapped its ``send``). Then offers and
            results are taken at the XML parser, and requests and results go to the transport as
            text, which saves more than half of the time that they take.
        reactor: An IReactorTime; None for the global reactor.

    Raises:
        ValueError: ``timeout`` is not a number above 0.
    """

    _log = Logger()

    parent: Any
    xmlstream: Any
    on_offer: OfferCallback | None = None
    on_message: MessageCallback | None = None
    timeout: float | None
    answer_timeout: float | None = 3600.0
    """Seconds until an offer that nobody answered gets internal-server-error; None for never."""

    def __init__(
        self,
        on_offer: OfferCallback | None = None,
        on_message: MessageCallback | None = None,
        *,
        timeout: float | None = 900.0,
        direct: bool = False,
        reactor: Clock | None = None,
    ) -> None:
        XMPPHandler.__init__(self)
        # A subclass may have them as methods.
        if on_offer is not None:
            self.on_offer = on_offer
        if on_message is not None:
            self.on_message = on_message
        self.timeout = _checked_timeout(timeout)
        self._direct = direct
        if reactor is None:
            from twisted.internet import reactor as installed  # noqa: PLC0415  (installs one)

            reactor = cast("Clock", installed)
        self._deadlines = DeadlineQueue(reactor)
        self._tracker = RequestTracker(self._deadlines)
        self._stream: BoundStream | None = None
        self._open_offers: OpenOffers | None = None
        self._intake: Intake | None = None
        self._unsent: deque[domish.Element] = deque()

    def send_url(
        self,
        recipient: JID | str,
        url: str,
        desc: str | None = None,
        *,
        sid: str | None = None,
        sender: JID | str | None = None,
        timeout: float | None = None,
    ) -> Deferred[ErrorCondition | None]:
        """Ask a peer to retrieve a URL, and wait until it has (XEP-0066 section 2).

        Without a stream, the request waits for the next one. One that fails before it is sent is
        never sent.

        Args:
            recipient: The full JID of a client, or the JID of a component.
            url: An absolute URI (RFC 3986) of at most 8 KiB.
            desc: A description, for people.
            sid: A stream identifier, only for peers of version 1.5 of the standard.
            sender: The address to send from, for a component with several; None for the stream's.
            timeout: Seconds until it fails without an answer; None for the handler's.

        Returns:
            A Deferred. It fires with None once the peer has the whole file, or with the
            ErrorCondition that it answered. It fails if nobody answered: with TimeoutError (of
            twisted.words.protocols.jabber.xmlstream), with ConnectionLost or ConnectionDone, with
            CancelledError after ``cancel()``, or with ValueError if the URL, an address or the
            timeout is not valid; nothing is sent then.
        """
        try:
            if recipient is None:
                raise ValueError("recipient must be a JID or a str, not None")
            return self._tracker.request(
                "set",
                oob_payload(NS_IQ_OOB, url, desc, sid),
                recipient,
                sender=sender,
                timeout=self.timeout if timeout is None else _checked_timeout(timeout),
                on_error=ErrorCondition,
            )
        except ValueError:
            return fail(Failure())

    def send_message(
        self,
        recipient: JID | str,
        url: str,
        desc: str | None = None,
        *,
        body: str | None = None,
        message_type: str = "chat",
        sender: JID | str | None = None,
    ) -> None:
        """Send a URL inside a message (XEP-0066 section 3). Nobody acknowledges it.

        Without a stream, it waits for the next one.

        Args:
            recipient: Any JID.
            url: As for ``send_url``; so are ``desc`` and ``sender``.
            body: The text beside it. By default it is exactly the URL, which clients need to show
                the file inline.
            message_type: chat, groupchat, headline or normal.

        Raises:
            ValueError: One of them can't be sent. Nothing is sent then.
        """
        message = build_message(
            recipient, url, desc, body=body, message_type=message_type, sender=sender
        )
        if self._stream is None:
            self._unsent.append(message)
        else:
            self._stream.send(message)

    def connectionInitialized(self) -> None:
        """Begin to observe the stream, and send what has been waiting for it."""
        if self.xmlstream is None:
            # Twisted Words shows no stream to a handler that was added while one negotiated.
            self.xmlstream = self.parent.xmlstream
        stream = BoundStream(self.xmlstream, self.parent, direct=self._direct)
        self._stream = stream
        self._open_offers = OpenOffers(stream, self._deadlines)
        self.xmlstream.addObserver(_ANY_STANZA, self._on_stanza, 0, self.xmlstream)
        tap = ParserTap.of(self.xmlstream) if self._direct else None
        if tap is not None:
            self._intake = Intake(
                tap, self._tracker.ids, self._tracker.take_empty_result, self._take_request
            )
        # What is sent may lose the stream, and even open the next: the rest is for that one.
        while self._unsent and self._stream is stream:
            message = self._unsent.popleft()
            try:
                stream.send(message)
            except Exception:
                self._unsent.appendleft(message)
                self._log.failure("Messages could not be sent: they wait for the next stream")
                break
        if self._stream is stream:
            self._tracker.stream_opened(stream)

    def connectionLost(self, reason: Failure | None) -> None:
        """Fail what was asked on this stream and drop what was offered on it."""
        XMPPHandler.connectionLost(self, reason)
        self._detach(reason if isinstance(reason, Failure) else Failure(ConnectionDone()))

    def disownHandlerParent(self, parent: Any) -> None:
        """Leave a stream manager; to the handler, that is the loss of its stream."""
        XMPPHandler.disownHandlerParent(self, parent)
        self.xmlstream = None
        self._detach(Failure(ConnectionDone("the handler was taken from its stream")))

    def getDiscoInfo(
        self, requestor: JID, target: JID, nodeIdentifier: str = ""
    ) -> list[DiscoFeature]:
        """Give the features of Out of Band Data (XEP-0066 section 4), and none for a node."""
        return [] if nodeIdentifier else [DiscoFeature(feature) for feature in DISCO_FEATURES]

    def getDiscoItems(self, requestor: JID, target: JID, nodeIdentifier: str = "") -> list[object]:
        """Give no items: Out of Band Data has none."""
        return []

    def _detach(self, reason: Failure) -> None:
        stream, self._stream = self._stream, None
        open_offers, self._open_offers = self._open_offers, None
        intake, self._intake = self._intake, None
        if stream is None or open_offers is None:
            return
        stream.xmlstream.removeObserver(_ANY_STANZA, self._on_stanza)
        if intake is not None:
            intake.close()
        self._tracker.stream_lost(reason)
        open_offers.stream_lost()

    # Stanzas are Any here: to Twisted, "handled" is an attribute that other handlers set. It is
    # read from the instance, as an element without it would give a child of that name.

    def _on_stanza(self, xmlstream: Any, stanza: Any) -> None:
        if self._stream is None or self._stream.xmlstream is not xmlstream:
            return  # an observer before us has taken us off the stream in this very dispatch
        name = stanza.name
        if name == "iq":
            if vars(stanza).get("handled") is True:
                return
            kind = stanza.attributes.get("type")
            if kind in _ANSWERS:
                if self._tracker.take_answer(stanza):
                    stanza.handled = True
            elif kind in _REQUESTS:
                self._on_request(stanza)
        elif name in _CARRIERS and self.on_message is not None:
            self._on_message(stanza, self.on_message)

    def _on_request(self, iq: Any) -> None:
        query = next(oob_elements(iq, NS_IQ_OOB), None)
        if query is not None:
            iq.handled = True
            self._take_request(IQ(iq.attributes, Payload.from_element(query), element=iq))

    def _take_request(self, iq: IQ) -> None:
        stream, open_offers = self._stream, self._open_offers
        if stream is None or open_offers is None:
            return
        attributes = iq.attributes
        try:
            if attributes["type"] == "get":
                raise StanzaError("bad-request", text="Out of Band Data is offered by a set")
            try:
                data = OOBData.from_payload(iq.payload)
            except InvalidOOBData as error:
                raise StanzaError("bad-request", text=str(error)) from error
            try:
                sender, recipient = attributes.get("from"), attributes.get("to")
                if sender is not None:
                    sender = normalized_jid(sender)
                if recipient is not None:
                    recipient = normalized_jid(recipient)
            except ValueError as error:
                raise StanzaError(
                    "jid-malformed", text="'from' or 'to' is not a valid JID"
                ) from error
        except StanzaError as error:
            self._log.debug(
                "Answered a request of {sender} with {error}",
                sender=shown(attributes.get("from")),
                error=error,
            )
            open_offers.send_answer(iq, error)
            return
        if (sender is None or recipient is None) and stream.me is not None:
            # Our own server may leave them out (RFC 6120 section 8.1.2.1).
            sender = sender or stream.me.userhost()
            recipient = recipient or stream.me.full()
        open_offers.add(
            data, sender, recipient, iq, on_offer=self.on_offer, timeout=self.answer_timeout
        )

    def _on_message(self, stanza: domish.Element, on_message: MessageCallback) -> None:
        for message in messages_in(stanza):
            try:
                returned = on_message(message)
                if returned is not None:
                    as_deferred(returned).addErrback(self._log_message_failure)
            except Exception:  # noqa: PERF203  (each is for itself)
                self._log_message_failure(Failure())

    def _log_message_failure(self, failure: Failure) -> None:
        self._log.failure("on_message failed", failure=failure)


def _checked_timeout(seconds: float | None) -> float | None:
    if seconds is not None and not (isinstance(seconds, (int, float)) and seconds > 0):
        raise ValueError(f"timeout must be a number of seconds above 0, or None, not {seconds!r}")
    return seconds

"""OOBHandler: requests and offers tied to a stream; messages; disco."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

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
    NS_X_OOB,
    OOBData,
    check_text,
    oob_elements,
    oob_payload,
)
from twisted_oob.protocol.direct import Intake
from twisted_oob.protocol.offers import OfferCallback, OpenOffers, as_deferred
from twisted_oob.xmpp.deadlines import Clock, DeadlineQueue
from twisted_oob.xmpp.jid import normalized_jid, parse_jid
from twisted_oob.xmpp.parser_tap import ParserTap
from twisted_oob.xmpp.stanza import IQ, Payload
from twisted_oob.xmpp.stream import BoundStream
from twisted_oob.xmpp.tracker import RequestTracker, new_id

MESSAGE_TYPES = ("chat", "groupchat", "headline", "normal")


@dataclass(frozen=True, slots=True)
class OOBMessage:
    """A URL that came inside a message or presence (XEP-0066 section 4); it has no answer.

    ``data``: an OOBData; ``url`` and ``desc`` are its parts.
    ``sender``: the JID it came from; None where the stanza named none.
    ``body``: the text of the message's ``<body/>``, None where it has none.
    ``element``: the whole stanza as it came.
    """

    data: OOBData
    sender: JID | None
    body: str | None = field(repr=False)  # most clients put the URL there, with its userinfo
    element: domish.Element = field(repr=False)

    @property
    def url(self) -> str:
        """The URL: an absolute URI, of any scheme."""
        return self.data.url

    @property
    def desc(self) -> str | None:
        """What the sender says that it is; None where it says nothing."""
        return self.data.desc


MessageCallback = Callable[[OOBMessage], "Awaitable[object] | None"]


@implementer(IDisco)
class OOBHandler(XMPPHandler):  # type: ignore[misc]  # Wokkel has no types
    """Out of Band Data (XEP-0066) on an XMPP stream.

    Add it to a Wokkel ``XMPPClient``, ``Component`` or ``InternalComponent``, or to Twisted
    Words' ``StreamManager``, with ``handler.setHandlerParent(manager)``.

    ``on_offer``: called with an Offer for each incoming ``jabber:iq:oob`` set. Where it returns an
    awaitable, its end is the answer: success is a result, NotFound, Rejected or any StanzaError is
    that error, anything else is logged and answered with internal-server-error. Where it returns
    None, the application answers later by the offer's methods. Without it, every offer is
    answered with not-acceptable.

    ``on_message``: called with an OOBMessage for each usable ``jabber:x:oob`` element in an
    incoming message or presence; error stanzas are left out, as they only bounce what we sent.

    ``timeout``: seconds until ``send_url`` fails without an answer; None for never.
    ``direct``: whether nobody else on the stream needs to see these stanzas: neither those that
    come (its observers) nor those that go (whoever wrapped its ``send``). That saves most of the
    time that a stanza takes.
    ``reactor``: an IReactorTime; None for the global reactor.
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
        self._observers: tuple[tuple[str, Callable[[domish.Element], None]], ...] = (
            (f"/iq[@type='get' or @type='set']/query[@xmlns='{NS_IQ_OOB}']", self._on_request),
            ("/iq[@type='result']", self._on_answer),
            ("/iq[@type='error']", self._on_answer),
            (f"/message/x[@xmlns='{NS_X_OOB}']", self._on_stanza_with_url),
            (f"/presence/x[@xmlns='{NS_X_OOB}']", self._on_stanza_with_url),
        )

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
        """Ask a peer to retrieve a URL, and wait until it has (XEP-0066 section 3).

        Without a stream, the request waits for the next one; it is either sent or failed.

        ``recipient``: the full JID of a client, or the JID of a component.
        ``url``: an absolute URI (RFC 3986) of at most 8 KiB. ``desc``: what it is, for people.
        ``sid``: only for peers of version 1.5 of the standard.
        ``sender``: the address to send from, for a component with several; None for the stream's.
        ``timeout``: seconds until it fails without an answer; None for the handler's.

        Fires with None once the peer has the whole file, or with the ErrorCondition it answered.
        Fails where no peer answered: TimeoutError (of twisted.words...xmlstream), ConnectionLost or
        ConnectionDone, CancelledError after ``cancel()``, or ValueError where the URL or an
        address can't be sent; nothing is sent then.
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
        """Send a URL inside a message (XEP-0066 section 4); without a stream, with the next one.

        ``recipient``, ``url``, ``desc`` and ``sender``: as for ``send_url``.
        ``body``: the text beside it; by default exactly the URL, which clients need to show the
        file inline. ``message_type``: chat, groupchat, headline or normal.

        Raises a ValueError where one of them can't be sent.
        """
        data = OOBData(url, desc)
        text = data.url if body is None else body
        check_text("body", text)
        if message_type not in MESSAGE_TYPES:
            raise ValueError(f"message_type is one of {MESSAGE_TYPES}, not {message_type!r}")
        message = domish.Element((None, "message"))
        message["id"] = new_id()
        message["to"] = parse_jid(recipient).full()
        if sender is not None:
            message["from"] = parse_jid(sender).full()
        message["type"] = message_type
        message.addElement("body", content=text)
        message.addChild(data.to_element(NS_X_OOB))
        # What can't be written would hold up all that waits behind it.
        message.toXml().encode()
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
        for query, observer in self._observers:
            self.xmlstream.addObserver(query, observer)
        tap = ParserTap.of(self.xmlstream) if self._direct else None
        if tap is not None:
            self._intake = Intake(
                tap, self._tracker.ids, self._tracker.take_empty_result, self._take_request
            )
        try:
            while self._unsent:
                stream.send(self._unsent[0])
                self._unsent.popleft()
        except Exception:
            self._log.failure("Messages could not be sent: they wait for the next stream")
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
        """Give the features of Out of Band Data (XEP-0066 section 5); a node has none."""
        return [] if nodeIdentifier else [DiscoFeature(feature) for feature in DISCO_FEATURES]

    def getDiscoItems(self, requestor: JID, target: JID, nodeIdentifier: str = "") -> list[object]:
        """Give no items: Out of Band Data has none."""
        return []

    def _detach(self, reason: Failure) -> None:
        stream, self._stream = self._stream, None
        open_offers, self._open_offers = self._open_offers, None
        if stream is None or open_offers is None:
            return
        for query, observer in self._observers:
            stream.xmlstream.removeObserver(query, observer)
        intake, self._intake = self._intake, None
        if intake is not None:
            intake.close()
        self._tracker.stream_lost(reason)
        open_offers.stream_lost()

    # Stanzas are Any here: to Twisted, "handled" is an attribute that other handlers set. Where
    # none did, it is None, or a child of that name.

    def _on_answer(self, iq: Any) -> None:
        if iq.handled is not True and self._tracker.take_answer(iq):
            iq.handled = True

    def _on_request(self, iq: Any) -> None:
        if iq.handled is True:
            return
        iq.handled = True
        query = next(oob_elements(iq, NS_IQ_OOB))
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
            sender = _address(attributes, "from")
            recipient = _address(attributes, "to")
        except StanzaError as error:
            self._log.debug(
                "Refused a request of {sender}: {error}",
                sender=attributes.get("from"),
                error=error,
            )
            open_offers.send_answer(iq, error)
            return
        own = stream.me
        if own is not None:
            sender = sender or own.userhost()
            recipient = recipient or own.full()
        open_offers.add(
            data, sender, recipient, iq, on_offer=self.on_offer, timeout=self.answer_timeout
        )

    def _on_stanza_with_url(self, stanza: domish.Element) -> None:
        if self.on_message is None or stanza.getAttribute("type") == "error":
            return
        sender_text = stanza.getAttribute("from")
        body = next((str(child) for child in stanza.elements(stanza.uri, "body")), None)
        for element in list(oob_elements(stanza, NS_X_OOB)):
            try:
                data = OOBData.from_element(element)
                sender = parse_jid(sender_text) if sender_text is not None else None
            except ValueError as error:
                self._log.debug(
                    "Ignored a URL from {sender}: {error}", sender=sender_text, error=error
                )
                continue
            try:
                returned = self.on_message(OOBMessage(data, sender, body, stanza))
                if returned is not None:
                    as_deferred(returned).addErrback(self._log_message_failure)
            except Exception:
                self._log_message_failure(Failure())

    def _log_message_failure(self, failure: Failure) -> None:
        self._log.failure("on_message failed", failure=failure)


def _checked_timeout(seconds: float | None) -> float | None:
    if seconds is not None and not (isinstance(seconds, (int, float)) and seconds > 0):
        raise ValueError(f"timeout is a number of seconds above 0, or None, not {seconds!r}")
    return seconds


def _address(attributes: Mapping[str, str], attribute: str) -> str | None:
    text = attributes.get(attribute)
    if text is None:
        return None
    try:
        return normalized_jid(text)
    except ValueError as error:
        raise StanzaError("jid-malformed", text=f"'{attribute}' is no JID") from error

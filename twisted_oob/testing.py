"""Tests of an application's own ``on_offer`` and ``send_url``: XMPP in memory, with no network.

A ``MemoryServer`` connects ``StreamEnd``s. Each is a real stream manager with a real XmlStream, so
what one end gets has been written as XML by another. A ``Peer`` is an end that the test plays::

    server = MemoryServer()
    end = server.client("me@example.org/laptop")
    handler = OOBHandler(on_offer, reactor=server.clock)
    handler.setHandlerParent(end)
    peer = end.peer("juliet@example.com/balcony")
    assert result_of(peer.offer("https://files.example/a.png")) is None

Stanzas are delivered at once, in the order they were sent in. When a call that sends one returns,
such as ``send_url``, ``peer.offer`` or ``clock.advance``, then it, its answer and all that followed
have been delivered. So Deferreds fire without a reactor, and nothing needs pumping. As on a
network, no end gets a stanza while it handles another: what is sent meanwhile waits in a queue.

Importing this module installs no reactor.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.words.protocols.jabber.client import XMPPClientFactory
from twisted.words.protocols.jabber.component import NS_COMPONENT_ACCEPT, componentFactory
from twisted.words.protocols.jabber.error import StanzaError
from twisted.words.protocols.jabber.ijabber import IXMPPHandlerCollection
from twisted.words.protocols.jabber.jid import JID
from twisted.words.protocols.jabber.xmlstream import NS_STREAMS, STREAM_AUTHD_EVENT
from twisted.words.xish.domish import Element, ParserError
from wokkel.subprotocols import StreamManager
from zope.interface import implementer

from twisted_oob.errors import ErrorCondition
from twisted_oob.protocol.handler import OOBHandler
from twisted_oob.protocol.messages import OOBMessage
from twisted_oob.protocol.offers import Offer
from twisted_oob.xmpp.guard import error_response, stanza_parser
from twisted_oob.xmpp.jid import parse_jid

__all__ = ["ClientEnd", "ComponentEnd", "MemoryServer", "Peer", "StreamEnd", "result_of"]

T = TypeVar("T")

_STANZAS: Final = frozenset({"iq", "message", "presence"})
_MOST_SHOWN: Final = 5

# To the type checker, Twisted's class has no types.
_StringTransport: Any = StringTransport


def result_of(deferred: Deferred[T]) -> T:
    """Give the result of a Deferred that has fired, in any test framework.

    Raises:
        AssertionError: It has not fired yet.
        Exception: What it failed with, if it failed.
    """
    fired: list[Any] = []
    deferred.addBoth(fired.append)
    if not fired:
        raise AssertionError(f"the Deferred has not fired yet: {deferred!r}")
    if isinstance(fired[0], Failure):
        fired[0].raiseException()
    result: T = fired[0]
    return result


class MemoryServer:
    """An XMPP server in memory: it takes each stanza to the end that it is addressed to.

    It stamps stanzas with their sender's address (RFC 6120 section 8.1.2.1). It answers
    service-unavailable for an address that is not connected, and for an IQ to a client's bare JID
    (RFC 6121 section 8.5.2.1.3). What a server closes a stream for, such as somebody else's address
    in ``from``, is an AssertionError. In case that somebody catches it, later calls raise it, too.

    Args:
        clock: Tells the time to stream managers and peers; by default a new ``task.Clock``.

    Attributes:
        clock: The same. Give it to your handlers: ``OOBHandler(on_offer, reactor=server.clock)``.
        limit: How many steps may follow from one call before that is an AssertionError. To send a
            stanza is one step, to receive it another.
    """

    limit: int = 10_000

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = Clock() if clock is None else clock
        self._ends: list[StreamEnd] = []
        self._steps: deque[Callable[[], object]] = deque()
        self._stepping = False
        self._failed: AssertionError | None = None

    def client(self, jid: JID | str, *, manager: Any = None) -> ClientEnd:
        """Connect a client, and open its stream.

        Args:
            jid: The full JID that the server binds.
            manager: A stream manager, such as Wokkel's ``XMPPClient``, not started as a service. By
                default a new ``wokkel.subprotocols.StreamManager``.

        Raises:
            ValueError: The JID is not a full one, or is connected, or the manager is another's.
        """
        jid = parse_jid(jid)
        if not (jid.user and jid.resource):
            raise ValueError(f"a client's JID is a full one, not {jid.full()!r}")
        if manager is None:
            # That of wokkel.client would install a reactor.
            manager = StreamManager(XMPPClientFactory(jid, "secret"), self.clock)
        end = ClientEnd(self, jid, manager)
        end.open()
        return end

    def component(self, jid: JID | str, *, manager: Any = None) -> ComponentEnd:
        """Connect a component (XEP-0114), and open its stream.

        Args:
            jid: Its domain. It gets all that is sent to any address there.
            manager: As for a client, such as Wokkel's ``Component``.

        Raises:
            ValueError: The JID is not a domain, or is connected, or the manager is another's.
        """
        jid = parse_jid(jid)
        if jid.full() != jid.host:
            raise ValueError(f"a component's JID is a domain, not {jid.full()!r}")
        if manager is None:
            manager = StreamManager(componentFactory(jid.host, "secret"), self.clock)
        end = ComponentEnd(self, jid, manager)
        end.open()
        return end

    def accept(self, end: StreamEnd) -> StringTransport:
        """Accept a connection; gives the end the transport to write to."""
        if end.jid in [other.jid for other in self._connected()]:
            raise ValueError(f"{end.jid.full()} is connected already")
        if end not in self._ends:
            self._ends.append(end)
        return _Connection(self, end)

    def call(self, step: Callable[..., object], *args: object) -> None:
        """Make a step: now, or after those that are being made."""
        self.check()
        self._steps.append(partial(step, *args))
        if self._stepping:
            return
        self._stepping = True
        left = self.limit
        try:
            while self._steps:
                if not left:
                    self.fail(f"stanzas go to and fro without an end: {self.limit} steps so far")
                left -= 1
                self._steps.popleft()()
        finally:
            self._stepping = False

    def check(self) -> None:
        """Raise again what ``fail`` raised, if it did."""
        if self._failed is not None:
            raise self._failed

    def fail(self, text: str) -> None:
        """Raise an AssertionError, now and in each later call."""
        self._failed = AssertionError(text)
        raise self._failed

    def route(self, end: StreamEnd, stanza: Element) -> None:
        """Take a stanza that an end sent to the end that it is addressed to."""
        if stanza.name not in _STANZAS:
            return  # of the negotiation
        if stanza.uri != end.namespace:
            self.fail(f"{end} sent a stanza in the namespace {stanza.uri!r}: {stanza.toXml()}")
        sender = stanza.getAttribute("from")
        if sender is not None and not end.owns(parse_jid(sender)):
            self.fail(f"{end} sent a stanza from {sender}, which is not its own: {stanza.toXml()}")
        if sender is None or isinstance(end, ClientEnd):
            stanza["from"] = end.jid.full()
        end.history.append(stanza)
        receiver = self._receiver(stanza)
        if receiver is None:
            if stanza.name == "presence" or stanza.getAttribute("type") in ("result", "error"):
                return
            there = ", ".join(other.jid.full() for other in self._connected())
            text = f"{stanza.getAttribute('to')} is not connected; these are: {there}"
            stanza = error_response(stanza, StanzaError("service-unavailable", text=text))
            receiver = end
        # Without a namespace of its own, it is in that of the stream where it is read.
        receiver.receive(stanza.toXml(defaultUri=end.namespace))

    def _connected(self) -> list[StreamEnd]:
        return [end for end in self._ends if end.xmlstream is not None]

    def _receiver(self, stanza: Element) -> StreamEnd | None:
        try:
            to = parse_jid(stanza.getAttribute("to"))
        except ValueError:
            return None
        owner = next((end for end in self._connected() if end.owns(to)), None)
        bare = isinstance(owner, ClientEnd) and to != owner.jid
        return None if bare and stanza.name == "iq" else owner


class _Connection(_StringTransport):  # type: ignore[misc]
    """The transport of an end, and the server's parser of what is written to it."""

    def __init__(self, server: MemoryServer, end: StreamEnd) -> None:
        super().__init__()
        self._server = server
        self._end = end
        self._parser = stanza_parser(partial(server.route, end), self.loseConnection)

    def write(self, data: bytes) -> None:
        if not self.disconnecting and self._is_open():
            super().write(data)
            self._server.call(self._parse, data)

    def loseConnection(self) -> None:  # noqa: N802  (Twisted's name)
        super().loseConnection()
        self._server.call(self._lose)

    def _is_open(self) -> bool:
        return self._end.xmlstream is not None and self._end.xmlstream.transport is self

    def _lose(self) -> None:
        if self._is_open():
            self._end.lose(Failure(ConnectionDone()))

    def _parse(self, data: bytes) -> None:
        try:
            self._parser.parse(data)
        except ParserError as error:
            self._server.fail(f"{self._end} sent what is not XML ({error}): {data!r}")


@implementer(IXMPPHandlerCollection)
class StreamEnd:
    """The end of a stream; handlers are added by ``handler.setHandlerParent(end)``.

    Attributes:
        jid: Its address.
        manager: Its stream manager.
        server: The MemoryServer that made it.
        xmlstream: Its XmlStream; None if there is no connection.
        history: All stanzas that it has sent, as the server passed them on.
    """

    namespace: str

    def __init__(self, server: MemoryServer, jid: JID, manager: Any) -> None:
        self.server = server
        self.jid = jid
        self.manager = manager
        theirs = manager.factory.authenticator
        if (theirs.namespace, theirs.otherHost) != (self.namespace, jid.host):
            kind = f"{theirs.otherHost} in the namespace {theirs.namespace}"
            raise ValueError(f"{self} can't have a manager for {kind}")
        self.xmlstream: Any = None
        self.history: list[Element] = []
        self._looked = 0

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.jid.full()}>"

    def owns(self, address: JID) -> bool:
        """Whether this is an address of this end."""
        raise NotImplementedError

    def open(self) -> None:
        """Connect again after ``lose``, and make the stream ready for stanzas."""
        self.server.call(self._open)

    def _open(self) -> None:
        self.connect()
        self.negotiate()

    def connect(self) -> None:
        """Connect; nothing is negotiated yet."""
        transport = self.server.accept(self)
        self.xmlstream = self.manager.factory.buildProtocol(None)
        self.xmlstream.makeConnection(transport)

    def negotiate(self) -> None:
        """Make the stream ready for stanzas."""
        header = f"xmlns='{self.namespace}' from='{self.jid.host}' id='s1' version='1.0'"
        self.xmlstream.dataReceived(
            f"<stream:stream xmlns:stream='{NS_STREAMS}' {header}>".encode()
        )
        self.xmlstream.transport.clear()
        self.authenticate()

    def authenticate(self) -> None:
        """Do what comes after the stream headers."""
        raise NotImplementedError

    def receive(self, xml: str) -> None:
        """Receive any XML, also what no server would pass on; AssertionError without a stream."""
        if self.xmlstream is None:
            raise AssertionError(f"{self} has no stream to receive this with: {xml}")
        self.server.call(self._receive, self.xmlstream, xml)

    def _receive(self, xmlstream: Any, xml: str) -> None:
        # What was under way when the connection was lost is lost.
        if xmlstream is self.xmlstream:
            xmlstream.dataReceived(xml.encode())

    def lose(self, reason: Failure | None = None) -> None:
        """Lose the connection, by default for ConnectionLost, as when a cable is cut."""
        self.server.call(self._lose, Failure(ConnectionLost()) if reason is None else reason)

    def _lose(self, reason: Failure) -> None:
        xmlstream, self.xmlstream = self.xmlstream, None
        if xmlstream is not None:
            xmlstream.connectionLost(reason)

    def sent(self) -> list[Element]:
        """Give the stanzas that this end has sent since the last look, in order."""
        self.server.check()
        since, self._looked = self._looked, len(self.history)
        return self.history[since:]

    def peer(self, jid: JID | str) -> Peer:
        """Connect a peer: ``jid`` is the full JID of a client, or the domain of a component."""
        return Peer(self, jid)

    # What handlers use of their parent.

    def __iter__(self) -> Iterator[Any]:
        """Give the handlers."""
        return iter(self.manager)

    def addHandler(self, handler: Any) -> None:
        """Add a handler, which is connected at once if the stream is open."""
        self.manager.addHandler(handler)

    def removeHandler(self, handler: Any) -> None:
        """Remove a handler."""
        self.manager.removeHandler(handler)

    def send(self, stanza: Element | str) -> None:
        """Send a stanza; without a stream, with the next one."""
        self.manager.send(stanza)

    def request(self, request: Any) -> Any:
        """Send an IQ request; only Wokkel's stream managers can."""
        return self.manager.request(request)


class ClientEnd(StreamEnd):
    """A client's end. TLS, SASL and resource binding are taken as done."""

    namespace = "jabber:client"

    def owns(self, address: JID) -> bool:
        """Whether this is the client's full or bare JID."""
        return address in (self.jid, self.jid.userhostJID())

    def authenticate(self) -> None:
        """Say that it is done, and the JID bound."""
        self.xmlstream.authenticator.jid = self.jid
        self.xmlstream.dispatch(self.xmlstream, STREAM_AUTHD_EVENT)


class ComponentEnd(StreamEnd):
    """A component's end (XEP-0114), negotiated as on a network. Any secret is right."""

    namespace = NS_COMPONENT_ACCEPT

    def owns(self, address: JID) -> bool:
        """Whether this is in the component's domain."""
        return bool(address.host == self.jid.host)

    def authenticate(self) -> None:
        """Accept the handshake."""
        self.xmlstream.dataReceived(b"<handshake/>")


class Peer:
    """The test, in the place of one whom the application talks to; made by ``StreamEnd.peer``.

    It is an end, too, with an OOBHandler. Nothing is answered before the test answers it.

    Attributes:
        jid: Its address.
        end: Its own end: ``peer.end.lose()`` disconnects it, ``peer.end.send(stanza)`` sends any.
        oob: Its OOBHandler, for all that ``offer`` can't: ``peer.oob.send_message(end.jid, url)``.
    """

    def __init__(self, application: StreamEnd, jid: JID | str) -> None:
        server = application.server
        self.jid = parse_jid(jid)
        self.end = (server.client if self.jid.user else server.component)(self.jid)
        self._application = application
        self._offers: deque[Offer] = deque()
        self._messages: deque[OOBMessage] = deque()
        self.oob = OOBHandler(
            self._offers.append, self._messages.append, timeout=None, reactor=server.clock
        )
        self.oob.answer_timeout = None
        self.oob.setHandlerParent(self.end)

    def offer(self, url: str, desc: str | None = None) -> Deferred[ErrorCondition | None]:
        """Offer a URL to the application.

        Args:
            url: An absolute URI. What is not one, let the application's end ``receive``.
            desc: What it is, for people.

        Returns:
            The answer, as ``send_url`` gives it: a Deferred of None or an ErrorCondition. It never
            fires if the application loses its stream.
        """
        return self.oob.send_url(self._application.jid, url, desc)

    def next_offer(self) -> Offer:
        """Take the first offer to this peer that has not been taken yet.

        Answer it with ``reply_success()`` or ``reply_failure(condition)``, at any time or never.

        Raises:
            AssertionError: There is no such offer. The text shows what was sent instead.
        """
        return self._next(self._offers, "offer")

    def next_message(self) -> OOBMessage:
        """Take the first URL in a message to this peer, likewise."""
        return self._next(self._messages, "message with a URL")

    def _next(self, came: deque[T], what: str) -> T:
        self.end.server.check()
        if came:
            return came.popleft()
        sent = self._application.history
        lines = [f"no other {what} came to {self.jid.full()}"]
        lines += [f"{self._application} has sent {len(sent)} stanzas; the last of them:"]
        lines += [f"  {stanza.toXml()}" for stanza in sent[-_MOST_SHOWN:]] or ["  (nothing)"]
        if self._application.xmlstream is None:
            lines += ["It has no stream now: open() one."]
        raise AssertionError("\n".join(lines))

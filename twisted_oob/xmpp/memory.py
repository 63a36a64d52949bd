"""An XMPP server in memory, and the ends of its streams: XMPP with no network, for tests.

Applications import these classes from ``twisted_oob.testing``, which adds what knows of offers.

An end is a real stream manager with a real XmlStream. Its transport keeps what is written, and the
server parses it again. So a stanza goes from end to end as bytes, as on a network::

    sender's XmlStream -> transport -> the server's parser -> route -> receiver's XmlStream

The second and the last arrow are a *step* each. To open or to lose a stream is a step, too. The
first call that makes a step runs it, and then all steps that follow from it, one after the other.
It returns when no step is left. So Deferreds fire without a reactor, and nothing needs pumping. A
step that comes up during another one waits in a queue: no end gets a stanza while it handles
another one, as on a network.

If a stanza is one that a real server would close the stream for, then the test or the application
is wrong, and the server raises an AssertionError. That happens in the middle of the application's
own code, which may catch it. So the server keeps the error, and raises it in each later call, too.

Importing this module installs no reactor.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

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
from twisted.words.xish.domish import Element, ParserError, elementStream
from wokkel.subprotocols import StreamManager
from zope.interface import implementer

from twisted_oob.xmpp.guard import error_response, forbid_markup
from twisted_oob.xmpp.jid import parse_jid
from twisted_oob.xmpp.prompt import without_deferral
from twisted_oob.xmpp.serial import to_xml

_STANZAS: Final = frozenset({"iq", "message", "presence"})

# To the type checker, Twisted's class has no types.
_StringTransport: Any = StringTransport


class MemoryServer:
    """An XMPP server in memory: it delivers each stanza to the end that it is addressed to.

    It stamps stanzas with their sender's address (RFC 6120 section 8.1.2.1). It answers
    service-unavailable for an address that is not connected, and for an IQ to a client's bare JID
    (RFC 6121 section 8.5.2.1.3). For a stanza that a server would close the stream for, such as one
    with somebody else's address in ``from``, it raises an AssertionError, and in all later calls.

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
        """Deliver a stanza that an end sent to the end that it is addressed to."""
        if stanza.name not in _STANZAS:
            return  # of the negotiation
        if stanza.uri != end.namespace:
            self.fail(f"{end} sent a stanza in the namespace {stanza.uri!r}: {stanza.toXml()}")
        sender = stanza.getAttribute("from")
        if sender is not None and not end.owns_text(sender):
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
        # A stanza without its own namespace takes that of the stream that reads it.
        receiver.receive(to_xml(stanza, end.namespace))

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

    def loseConnection(self) -> None:
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


def stanza_parser(on_stanza: Callable[[Element], object], on_end: Callable[[], object]) -> Any:
    """Make a parser for what goes over one XML stream in one direction.

    Args:
        on_stanza: Called with each child of the stream's root, as soon as it is there.
        on_end: Called at the end of the root.

    Returns:
        An object whose ``parse(data)`` takes bytes. It raises ParserError if they are not XML, or
        hold markup that no stream may hold.
    """
    parser: Any = elementStream()
    parser.DocumentStartEvent = lambda _root: None
    parser.ElementEvent = on_stanza
    parser.DocumentEndEvent = on_end
    without_deferral(parser)
    forbid_markup(parser.parser, lambda: None)
    return parser


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

    def owns_text(self, address: str) -> bool:
        """Whether this is an address, and one of this end."""
        try:
            return self.owns(parse_jid(address))
        except ValueError:
            return False

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
    """A client's end. TLS, SASL and resource binding count as done."""

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

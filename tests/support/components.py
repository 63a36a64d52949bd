"""Components made of bytes, and the server that they connect to."""

from __future__ import annotations

from hashlib import sha1
from xml.etree import ElementTree

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, connectProtocol
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.logger import LogLevel, formatEvent
from twisted.words.protocols.jabber import component, xmlstream
from twisted.words.xish.utility import XmlPipe

from tests.support.waiting import in_time
from twisted_oob.xmpp.accepted import CLOSE_TIMEOUT
from twisted_oob.xmpp.component_server import ComponentServerFactory
from twisted_oob.xmpp.router import Router

from wokkel.subprotocols import XMPPHandler  # isort: skip

SECRET = "s3cr3t-of-the-test"
NS = component.NS_COMPONENT_ACCEPT
NS_STREAMS = xmlstream.NS_STREAMS


def told(events, level=LogLevel.info):
    """Give the lines that an operator reads about components."""
    return [
        formatEvent(event)
        for event in events
        if event["log_namespace"] in ("twisted_oob.xmpp.router", "twisted_oob.xmpp.accepted")
        and event["log_level"] >= level
    ]


class Peer(Protocol):
    """A component made of bytes."""

    def __init__(self):
        self.data = b""
        self.closed = in_time(Deferred())
        self._waiting = []

    def dataReceived(self, data):
        self.data += data
        ready = [d for token, d in self._waiting if token in self.data]
        self._waiting = [(token, d) for token, d in self._waiting if token not in self.data]
        for d in ready:
            d.callback(None)

    def connectionLost(self, reason):
        for _, d in self._waiting:
            d.errback(AssertionError(f"closed after {self.data!r}"))
        self.closed.callback(None)

    def send(self, text):
        self.transport.write(text.encode())

    async def until(self, token):
        if token.encode() not in self.data:
            d = in_time(Deferred())
            self._waiting.append((token.encode(), d))
            await d

    async def open(self, domain):
        self.send(header(domain))
        await self.until("id='")
        return self.data.split(b"id='")[1].split(b"'")[0].decode()

    async def join(self, domain, secret=SECRET):
        sid = await self.open(domain)
        self.send(f"<handshake>{sha1((sid + secret).encode()).hexdigest()}</handshake>")
        await self.until("<handshake/>")

    def stanzas(self):
        """What came after the stream header, read by another parser than ours."""
        text = self.data.decode()
        if "</stream:stream>" not in text:
            text += "</stream:stream>"
        return [e for e in ElementTree.fromstring(text) if not e.tag.endswith("handshake")]

    async def error(self):
        """The stream error that ended this stream, properly closed; ``why`` is its text."""
        await self.closed
        assert self.data.endswith(b"</stream:stream>")
        last = self.stanzas()[-1]
        assert last.tag == f"{{{NS_STREAMS}}}error"
        self.why = "".join(text.text for text in last[1:])
        namespace, condition = last[0].tag[1:].split("}")
        assert namespace == "urn:ietf:params:xml:ns:xmpp-streams"
        return condition


def header(domain):
    return f"<stream:stream xmlns='{NS}' xmlns:stream='{NS_STREAMS}' to='{domain}'>"


class Echo(XMPPHandler):
    """Answers each IQ with its own payload."""

    def connectionInitialized(self):
        self.xmlstream.addObserver("/iq[@type='get']", self.on_get)

    def on_get(self, iq):
        answer = xmlstream.toResponse(iq, "result")
        answer.addChild(next(iq.elements()))
        self.send(answer)


class Server:
    """A ComponentServerFactory on a port of its own, whose clock is the test's."""

    def __init__(self, reactor):
        self._reactor = reactor
        self.clock, self.router = Clock(), Router()
        self.factory = ComponentServerFactory(self.router, SECRET, self.clock)
        self._peers = []

    async def start(self):
        endpoint = TCP4ServerEndpoint(self._reactor, 0, interface="127.0.0.1")
        self._port = await endpoint.listen(self.factory)
        self.port = self._port.getHost().port

    async def stop(self):
        """Stop; nothing may be left of any component."""
        await self._port.stopListening()
        gone = self.factory.stop()
        self.clock.advance(CLOSE_TIMEOUT)
        await in_time(gone)
        await gatherResults([peer.closed for peer in self._peers if not peer.closed.called])
        assert not self.factory.streams
        assert not self.router.routes
        assert not self.clock.getDelayedCalls()

    async def connect(self):
        endpoint = TCP4ClientEndpoint(self._reactor, "127.0.0.1", self.port)
        peer = await connectProtocol(endpoint, Peer())
        self._peers.append(peer)
        return peer

    async def join(self, domain):
        peer = await self.connect()
        await peer.join(domain)
        return peer


def local(router, domain):
    """A component in this process: its end of the pipe, with what it got in ``got``."""
    pipe = XmlPipe()
    pipe.source.got = []
    pipe.source.addObserver("/*", pipe.source.got.append)
    router.addRoute(domain, pipe.sink)
    pipe.source.leave = lambda: router.removeRoute(domain, pipe.sink)
    return pipe.source

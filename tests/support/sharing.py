"""FileShares for tests: in memory, or on loopback with raw connections to it."""

from __future__ import annotations

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, connectProtocol
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from twisted_oob import FileShare

READER = IPv4Address("TCP", "127.0.0.1", 50000)


class MemoryEndpoint:
    """An IStreamServerEndpoint without a network."""

    def __init__(self, address=None):
        self.address = address or IPv4Address("TCP", "127.0.0.1", 8080)
        self.factory = None

    def listen(self, factory):
        self.factory = factory
        factory.doStart()
        return succeed(self)

    def getHost(self):
        return self.address

    def stopListening(self):
        self.factory.doStop()


class Transport(StringTransport):
    """Tells its protocol when it is closed, and drains when it is told to."""

    aborted = False

    def abortConnection(self):
        self.aborted = True
        self.loseConnection()

    def loseConnection(self):
        super().loseConnection()
        self.lost()

    def lost(self):
        protocol, self.protocol = self.protocol, None
        if protocol is not None:
            producer, self.producer = self.producer, None
            if producer is not None:
                producer.stopProducing()
            error = ConnectionLost() if self.aborted else ConnectionDone()
            protocol.connectionLost(Failure(error))


class MemoryShare:
    """A FileShare that listens in memory."""

    def __init__(self, **options):
        self.clock = Clock()
        self.endpoint = MemoryEndpoint()
        self.share = FileShare(self.endpoint, reactor=self.clock, **options)
        self.share.startService()

    def connect(self, peer=READER):
        """Begin a connection; gives its transport."""
        transport = Transport(peerAddress=peer)
        transport.protocol = self.endpoint.factory.buildProtocol(peer)
        transport.protocol.makeConnection(transport)
        return transport

    def send(self, transport, data):
        """Let bytes come in, and whatever they ask for go out."""
        if transport.protocol is not None:
            transport.protocol.dataReceived(data)
        drain(transport)

    def ask(self, data, peer=READER):
        """Send one request on a connection of its own; gives all that came back."""
        transport = self.connect(peer)
        self.send(transport, data)
        return transport.value()


def drain(transport):
    """Let everything go to the kernel until nothing more comes."""
    written = -1
    while transport.protocol is not None and not transport.streaming and transport.producer:
        before, written = written, len(transport.value())
        transport.producer.resumeProducing()
        if before == written == len(transport.value()):
            return


def path_of(url):
    """Give the path of a URL."""
    return "/" + url.split("/", 3)[3]


def get(url, *headers, method="GET", version="1.1"):
    """Make a request for a URL."""
    lines = [f"{method} {path_of(url)} HTTP/{version}", "Host: files.example", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


class Answer:
    """An HTTP answer, taken apart: status, headers by their lower-case names, and the body."""

    def __init__(self, data):
        head, _, self.body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(first.split(" ")[1])
        pairs = [line.split(": ", 1) for line in lines]
        self.headers = {name.lower(): value for name, value in pairs}
        assert len(self.headers) == len(pairs)

    @property
    def whole(self):
        return len(self.body) == int(self.headers["content-length"])


class Connection(Protocol):
    """A raw connection to a share."""

    def __init__(self):
        self.data = bytearray()
        self.lost = Deferred()
        self.aborted = None
        self._wanted = 0
        self._came = None

    def dataReceived(self, data):
        self.data += data
        if self._came is not None and len(self.data) >= self._wanted:
            came, self._came = self._came, None
            came.callback(None)

    def connectionLost(self, reason):
        self.aborted = reason.check(ConnectionDone) is None
        came, self._came = self._came, None
        if came is not None:
            came.errback(reason)
        self.lost.callback(None)

    def came(self, count):
        """Fires when so many bytes came."""
        if len(self.data) >= count:
            return succeed(None)
        self._wanted, self._came = count, Deferred()
        return self._came


class NetShare:
    """A FileShare on loopback, with a clock of its own."""

    def __init__(self, reactor):
        self.reactor = reactor
        self.clock = Clock()
        self.connections = []

    async def start(self, **options):
        endpoint = TCP4ServerEndpoint(self.reactor, 0, interface="127.0.0.1")
        self.share = FileShare(endpoint, reactor=self.clock, **options)
        self.share.startService()
        await self.share.ready

    async def connect(self, url):
        port = int(url.split("/")[2].rpartition(":")[2])
        endpoint = TCP4ClientEndpoint(self.reactor, "127.0.0.1", port)
        connection = await connectProtocol(endpoint, Connection())
        self.connections.append(connection)
        return connection

    async def ask(self, url, *headers, **options):
        """Ask on a connection of its own; gives the Answer once the connection is closed."""
        connection = await self.connect(url)
        connection.transport.write(get(url, "Connection: close", *headers, **options))
        await connection.lost
        return Answer(bytes(connection.data))

    async def stop(self):
        for connection in self.connections:
            if not connection.lost.called:
                connection.transport.abortConnection()
                await connection.lost
        await self.share.stopService()

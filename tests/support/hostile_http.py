"""An HTTP server for tests that does exactly what it is told, however wrong, on a real socket."""

from __future__ import annotations

from twisted.internet.defer import Deferred, DeferredQueue, maybeDeferred
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory, Protocol


def answer(body=b"", *headers, status="200 OK", length=None):
    """An HTTP answer with a Content-Length: that of the body, unless told otherwise."""
    declared = len(body) if length is None else length
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {declared}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def chunked(*chunks, end=b"0\r\n\r\n"):
    """An HTTP answer in chunks."""
    body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body + end


def redirect(location, status="302 Found"):
    """An HTTP redirect; None for one without a Location."""
    headers = [] if location is None else [f"Location: {location}"]
    return answer(b"moved", *headers, status=status)


class Connection(Protocol):
    """One connection: the request so far, a Deferred for its end, and whether that was abrupt."""

    aborted = False

    def __init__(self):
        self.request = b""
        self.lost = Deferred()

    def dataReceived(self, data):
        self.request += data
        if self.request.endswith(b"\r\n\r\n"):
            self.factory.requested(self)

    def connectionLost(self, reason):
        self.aborted = reason.check(ConnectionDone) is None
        self.lost.callback(None)

    @property
    def line(self):
        return self.request.partition(b"\r\n")[0].decode()

    @property
    def headers(self):
        lines = self.request.decode().split("\r\n")[1:-2]
        return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}

    def write(self, data):
        self.transport.write(data)

    def close(self):
        self.transport.loseConnection()


class HostileServer(Factory):
    """Gives one scripted answer to each request, and never closes a connection by itself.

    An answer is bytes, or a function of the Connection. Without an answer it stays silent.
    ``arrivals``: a queue of Connections with a whole request, for tests that go step by step.
    """

    protocol = Connection
    noisy = False

    def __init__(self, reactor, *, interface="127.0.0.1", tls=None):
        self.reactor = reactor
        self.answers = []
        self.connections = []
        self.arrivals = DeferredQueue()
        listen = reactor.listenTCP if tls is None else reactor.listenSSL
        options = {} if tls is None else {"contextFactory": tls}
        self._port = listen(0, self, interface=interface, **options)
        self.port = self._port.getHost().port

    def buildProtocol(self, addr):
        connection = Connection()
        connection.factory = self
        self.connections.append(connection)
        return connection

    def requested(self, connection):
        self.arrivals.put(connection)
        if self.answers:
            reply = self.answers.pop(0)
            if callable(reply):
                reply(connection)
            else:
                connection.write(reply)

    def url(self, path="/file.bin", host="127.0.0.1"):
        return f"http://{host}:{self.port}{path}"

    async def stop(self):
        """Stop listening, and wait until every connection is gone."""
        await maybeDeferred(self._port.stopListening)
        for connection in self.connections:
            if not connection.lost.called:
                connection.transport.abortConnection()
        for connection in self.connections:
            await connection.lost


def then_close(data):
    """An answer after which the server closes the connection."""

    def reply(connection):
        connection.write(data)
        connection.close()

    return reply


def first_connection(web):
    """Fires with the next connection as soon as it sends a byte."""
    arrived = Deferred()
    build = web.buildProtocol

    def building(address):
        connection = build(address)
        connection.dataReceived = lambda data: arrived.called or arrived.callback(connection)
        return connection

    web.buildProtocol = building
    return arrived

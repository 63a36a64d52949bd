"""An HTTP server that files are put to, and that does exactly what it is told."""

from __future__ import annotations

import socket

from twisted.internet.defer import DeferredQueue

from tests.support.fetching import Net
from tests.support.hostile_http import Connection, HostileServer, answer
from twisted_oob.files.put_request import PutRequest

CREATED = answer(b"", status="201 Created")


class PutConnection(Connection):
    """A connection whose request has a body. The factory hears of the head, and of the end."""

    began = ended = False

    def dataReceived(self, data):
        self.request += data
        if not self.began and b"\r\n\r\n" in self.request:
            self.began = True
            self.factory.began(self)
        if self.began and not self.ended and len(self.body) >= int(self.headers["content-length"]):
            self.ended = True
            self.factory.requested(self)

    @property
    def head(self):
        return self.request.partition(b"\r\n\r\n")[0].decode()

    @property
    def body(self):
        return self.request.partition(b"\r\n\r\n")[2]

    @property
    def fields(self):
        """Name and value of each header, in order."""
        return [tuple(line.split(": ", 1)) for line in self.head.split("\r\n")[1:]]

    @property
    def headers(self):
        return {name.lower(): value for name, value in self.fields}


class PutServer(HostileServer):
    """Gives an answer from ``early`` when a head is there, or from ``answers`` when a request is.

    Without either it stays silent. An answer is bytes, or a function of the connection.
    ``begins``: a Deferred for the next connection whose head is there, if a test sets one.
    """

    begins = None

    def __init__(self, reactor, **options):
        self.early = []
        super().__init__(reactor, **options)

    def buildProtocol(self, addr):
        connection = PutConnection()
        connection.factory = self
        self.connections.append(connection)
        return connection

    def hold_little(self):
        """Let the system take few bytes of a connection that is not read.

        Of far fewer, a busy system drops what comes, and it is sent again seconds later.
        """
        self._port.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32_768)

    def began(self, connection):
        if self.early:
            reply = self.early.pop(0)
            if callable(reply):
                reply(connection)
            elif reply is not None:
                connection.write(reply)
        if self.begins is not None:
            begins, self.begins = self.begins, None
            begins.callback(connection)


class Timed(Net):
    """The real reactor with the time of a clock."""

    def __init__(self, reactor, clock):
        super().__init__(reactor)
        self.real = reactor
        self.clock = clock

    def seconds(self):
        return self.clock.seconds()

    def callLater(self, *args, **kwargs):
        return self.clock.callLater(*args, **kwargs)


def hangs_up(data):
    """An answer after which the server resets the connection without having read the rest."""

    def reply(connection):
        connection.transport.pauseProducing()
        connection.write(data)
        from twisted.internet import reactor

        # Over TLS, what is written goes out a moment later.
        reactor.callLater(0, reactor.callLater, 0, connection.transport.abortConnection)

    return reply


def heard_by_clients(monkeypatch):
    """Give a queue of what clients are sent from now on."""
    queue, received = DeferredQueue(), PutRequest.dataReceived

    def receive(self, data):
        received(self, data)
        queue.put(data)

    monkeypatch.setattr(PutRequest, "dataReceived", receive)
    return queue

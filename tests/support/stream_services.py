"""A StreamService in memory: its clock, the endpoint it connects to, and the server there."""

from __future__ import annotations

import socket
from xml.sax.saxutils import escape

from twisted.internet import error
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import ITCPTransport
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.words.protocols.jabber.component import componentFactory
from twisted.words.protocols.jabber.jid import JID
from twisted.words.protocols.jabber.xmlstream import XmlStreamFactory
from zope.interface import implementer

from tests.support.streams import COMPONENT
from tests.support.waiting import BoundedClock
from twisted_oob.xmpp.stream_service import StreamService

HEADER = (
    "<stream:stream xmlns='jabber:component:accept'"
    f" xmlns:stream='http://etherx.jabber.org/streams' id='s1' from='{COMPONENT}'>"
)
SECRET = "s3cr3t-of-the-test"


def stream_error(condition, text=""):
    """Write a stream error."""
    namespace = "urn:ietf:params:xml:ns:xmpp-streams"
    said = f"<text xmlns='{namespace}'>{escape(text)}</text>" if text else ""
    return f"<stream:error><{condition} xmlns='{namespace}'/>{said}</stream:error>"


@implementer(ITCPTransport)
class Transport(StringTransport):
    """A transport in memory; ``aborted`` tells whether it was cut."""

    aborted = False

    def __init__(self):
        super().__init__()
        self.socket = socket.socket()

    def getHandle(self):
        return self.socket

    def fileno(self):
        return self.socket.fileno()

    def setTcpKeepAlive(self, on):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, on)

    def abortConnection(self):
        self.aborted = True
        self.loseConnection()


class Server:
    """The other end of every connection, and the endpoint that makes them.

    ``down``: whether nothing listens there. ``silent``: whether no attempt ever ends.
    ``asked``: the second connections, on which it was asked whether it lives.
    """

    def __init__(self):
        self.attempts = 0
        self.asked = []
        self.down = False
        self.silent = False
        self.xmlstream = None

    def connect(self, factory):
        if not isinstance(factory, XmlStreamFactory):
            return self._ask(factory)
        self.attempts += 1
        if self.silent:
            # As HostnameEndpoint does: what it says of a cancelled attempt is not CancelledError.
            return Deferred(lambda attempt: attempt.errback(error.ConnectingCancelledError(None)))
        if self.down:
            return fail(Failure(error.ConnectionRefusedError()))
        self.transport = Transport()
        self.xmlstream = factory.buildProtocol(None)
        self.xmlstream.makeConnection(self.transport)
        return succeed(self.xmlstream)

    def _ask(self, factory):
        if self.down:
            return fail(Failure(error.ConnectionRefusedError()))
        question = factory.buildProtocol(None)
        question.makeConnection(Transport())
        self.asked.append(question)
        return succeed(question)

    def send(self, xml):
        self.xmlstream.dataReceived(xml.encode())

    def received(self):
        xml = self.transport.value().decode()
        self.transport.clear()
        return xml

    def accept(self, account=None):
        self.send(HEADER)
        if account is not None:
            self.xmlstream.authenticator.jid = JID(account)
        self.send("<handshake/>")
        self.transport.clear()

    def hang_up(self, reason=ConnectionLost):
        self.xmlstream.connectionLost(Failure(reason()))


class World:
    """A StreamService, its clock, and the server that its endpoint connects to."""

    def __init__(self, **options):
        self.clock = BoundedClock()
        self.clock.advance(1_000_000)  # a clock does not begin with the service
        self.server = Server()
        self.refusals = []
        self.stream = StreamService(
            componentFactory(COMPONENT, SECRET),
            self.server,
            name=COMPONENT,
            reactor=self.clock,
            on_refused=self.refusals.append,
            **options,
        )

    def next_pause(self):
        """Let time go on until the next attempt; gives how long that took."""
        attempts, began = self.server.attempts, self.clock.seconds()
        while self.server.attempts == attempts:
            next_ = min(call.getTime() for call in self.clock.getDelayedCalls())
            self.clock.advance(next_ - self.clock.seconds())
        return self.clock.seconds() - began

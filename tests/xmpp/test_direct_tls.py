"""TLS from the first byte: what goes wrong in the handshake is a failed attempt."""

from __future__ import annotations

import pytest
import pytest_twisted
from OpenSSL import SSL
from service_identity import CertificateError, VerificationError
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.error import ConnectionRefusedError as RefusedError
from twisted.internet.error import TimeoutError as ConnectionTimeoutError
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock, deferLater
from twisted.python.failure import Failure

from tests.support.certificates import server_options
from tests.support.waiting import in_time
from twisted_oob._tls import ServiceTLS, trust_only
from twisted_oob.xmpp.direct_tls import HANDSHAKE_LIMIT, DirectTLSEndpoint
from twisted_oob.xmpp.failures import explain

HOST = "home.example"


class Peer(Protocol):
    """The server's end of a connection, which does what the test wants when it begins."""

    def connectionMade(self):
        self.heard = Deferred()
        self.lost = Deferred()
        self.factory.accepted = self
        self.factory.begin(self)

    def dataReceived(self, data):
        self.heard, heard = Deferred(), self.heard
        heard.callback(data)

    def connectionLost(self, reason):
        self.lost.callback(None)


class Client(Protocol):
    """The stream: it knows when it began, what it heard and how it ended."""

    def __init__(self):
        self.heard = Deferred()
        self.lost = Deferred()

    def connectionMade(self):
        self.transport.write(b"hello")

    def dataReceived(self, data):
        self.heard.callback(data)

    def connectionLost(self, reason):
        self.lost.errback(reason)


class Clients(Factory):
    """Makes one client, and knows whether it did."""

    noisy = False

    def __init__(self):
        self.made = []
        self.starts = 0

    def doStart(self):
        self.starts += 1

    def doStop(self):
        self.starts -= 1

    def buildProtocol(self, addr):
        self.made.append(Client())
        return self.made[-1]


@pytest_twisted.async_yield_fixture
async def peers():
    """A server on loopback; a test gives ``begin``."""
    from twisted.internet import reactor

    factory = Factory.forProtocol(Peer)
    factory.noisy = False
    factory.begin = lambda peer: None
    factory.accepted = None
    port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(factory)
    factory.port = port.getHost().port
    yield factory
    await port.stopListening()
    if factory.accepted is not None:
        factory.accepted.transport.abortConnection()


def directly(peers, certificates, clock=None):
    from twisted.internet import reactor

    tls = ServiceTLS(HOST, trust_only(certificates.file), protocols=[b"xmpp-client"])
    tcp = TCP4ClientEndpoint(reactor, "127.0.0.1", peers.port)
    return DirectTLSEndpoint(tcp, tls, clock or reactor)


def speaks_tls(file):
    options = server_options(file)
    return lambda peer: peer.transport.startTLS(options)


@pytest_twisted.ensureDeferred
async def test_the_stream_begins_after_the_handshake(peers, certificates):
    from twisted.internet import reactor

    peers.begin = speaks_tls(certificates.issue(HOST))
    clients = Clients()

    client = await in_time(directly(peers, certificates).connect(clients))

    assert (clients.made, clients.starts) == ([client], 1)
    assert await in_time(peers.accepted.heard) == b"hello"
    peers.accepted.transport.write(b"and hello")
    assert await in_time(client.heard) == b"and hello"
    assert client.transport.getHandle().get_cipher_name()
    peers.accepted.transport.loseConnection()
    with pytest.raises(ConnectionDone):
        await in_time(client.lost)
    await in_time(deferLater(reactor, 0))
    assert clients.starts == 0


def closes(peer):
    peer.transport.loseConnection()


def aborts(peer):
    peer.transport.abortConnection()


def speaks_xmpp(peer):
    peer.transport.write(b"<stream:error xmlns='x'>" * 10)


@pytest.mark.parametrize(
    ("begin", "error", "text"),
    [
        ("other.example", VerificationError, "is for another name"),
        ("127.0.0.1", CertificateError, "contains no usable host name"),
        (closes, (ConnectionDone, ConnectionLost), "connection"),
        (aborts, ConnectionLost, "the connection was lost"),
        (speaks_xmpp, SSL.Error, "speaks no TLS that we know"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_without_a_handshake_there_is_no_stream(peers, certificates, begin, error, text):
    peers.begin = speaks_tls(certificates.issue(begin)) if isinstance(begin, str) else begin
    clients = Clients()
    with pytest.raises(error) as caught:
        await in_time(directly(peers, certificates).connect(clients))
    assert text in explain(Failure(caught.value)).text
    assert clients.made == []
    await in_time(peers.accepted.lost)


@pytest_twisted.ensureDeferred
async def test_a_server_that_is_silent_is_left(peers, certificates):
    clock, began = Clock(), Deferred()
    peers.begin = began.callback
    attempt = directly(peers, certificates, clock).connect(Clients())
    await in_time(began)
    while not clock.getDelayedCalls():
        await in_time(peers.accepted.heard)

    clock.advance(HANDSHAKE_LIMIT - 1)
    assert not attempt.called
    clock.advance(1)

    with pytest.raises(ConnectionTimeoutError):
        await in_time(attempt)
    await in_time(peers.accepted.lost)
    assert clock.getDelayedCalls() == []


@pytest_twisted.ensureDeferred
async def test_an_attempt_can_be_cancelled(peers, certificates):
    peers.begin = lambda peer: began.callback(None)
    began = Deferred()
    attempt = directly(peers, certificates).connect(Clients())
    await in_time(began)
    await in_time(peers.accepted.heard)  # the beginning of the handshake

    attempt.cancel()

    with pytest.raises(CancelledError):
        await attempt
    await in_time(peers.accepted.lost)


@pytest_twisted.ensureDeferred
async def test_where_nobody_listens_that_is_the_failure(peers, certificates):
    peers.port = 1
    with pytest.raises(RefusedError):
        await in_time(directly(peers, certificates).connect(Clients()))

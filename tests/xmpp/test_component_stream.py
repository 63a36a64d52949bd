"""ComponentStream: what it takes, and what it does on real connections."""

from __future__ import annotations

from hashlib import sha1

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.words.protocols.jabber.jid import JID

from tests.support.stream_services import HEADER
from tests.support.streams import COMPONENT
from tests.support.waiting import in_time
from twisted_oob import ComponentStream, StreamRefused
from twisted_oob.xmpp import keepalive, second_connection

PIECE = "<message><body>" + "x" * 50_000 + "</body></message>"
SIZE = 20_000_000


class Connection(Protocol):
    """A component's server, as small as can be; it reads as long as nobody pauses its transport."""

    def connectionMade(self):
        self.received = 0
        self.lost = Deferred()
        self.factory.connections.append(self)
        arrived, self.factory.arrived = self.factory.arrived, Deferred()
        arrived.callback(self)

    def dataReceived(self, data):
        self.received += len(data)
        if b"<stream:stream" in data and self.factory.alive:
            self.transport.write(HEADER.encode())
        elif b"<handshake" in data:
            self.handshake = data.partition(b">")[2].partition(b"<")[0]
            self.transport.write(self.factory.answer)

    def connectionLost(self, reason=None):
        self.lost.callback(None)


class Server(Factory):
    """``alive``: whether it answers new connections. ``answer``: to the handshake."""

    protocol = Connection
    noisy = False

    def __init__(self):
        self.alive = True
        self.answer = b"<handshake/>"
        self.connections = []
        self.arrived = Deferred()


@pytest_twisted.async_yield_fixture
async def server():
    from twisted.internet import reactor

    made = Server()
    port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(made)
    made.port = port.getHost().port
    yield made
    await port.stopListening()
    for connection in made.connections:
        connection.transport.abortConnection()
        await in_time(connection.lost)


@pytest.fixture
def stream(server):
    """A ComponentStream to the server; it is stopped after the test."""
    made = ComponentStream(COMPONENT, "a secret", port=server.port)
    yield made
    for connection in server.connections:
        connection.transport.abortConnection()
    pytest_twisted.blockon(in_time(made.stopService()))


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ((b"a.example", "s"), TypeError, "domain must be a str, not bytes"),
        (("", "s"), ValueError, "domain must not be empty"),
        (("me@a.example", "s"), ValueError, "domain 'me@a.example' is not a domain alone"),
        (("a.example/b", "s"), ValueError, "domain 'a.example/b' is not a domain alone"),
        (("a@@b", "s"), ValueError, "domain is not an XMPP address"),
        (("a.example", b"hunter2"), TypeError, "secret must be a str, not bytes"),
        (("a.example", ""), ValueError, "secret must not be empty"),
    ],
)
def test_an_argument_that_is_not_good_is_told_at_once(arguments, error, text):
    with pytest.raises(error) as raised:
        ComponentStream(*arguments)
    assert text in str(raised.value)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    ("option", "error", "text"),
    [
        ({"host": None}, TypeError, "host must be a str"),
        ({"host": ""}, ValueError, "host must not be empty"),
        ({"port": "5347"}, TypeError, "port must be an int"),
        ({"port": 65536}, ValueError, "port must be 1 to 65535"),
    ],
)
def test_an_option_that_is_not_good_is_told_at_once(option, error, text):
    with pytest.raises(error) as raised:
        ComponentStream("a.example", "s", **option)
    assert text in str(raised.value)


def test_it_shows_no_secret():
    stream = ComponentStream("a.example", "hunter2")
    assert "hunter2" not in repr(stream) + str(stream)


@pytest_twisted.ensureDeferred
async def test_ready_fires_with_the_domain(server, stream):
    stream.startService()
    assert await in_time(stream.ready) == JID(COMPONENT)


@pytest_twisted.ensureDeferred
async def test_another_secret_is_for_the_next_stream(server, stream):
    stream.startService()
    await in_time(stream.ready)
    stream.change_secret("another one")
    [connection] = server.connections
    stopped = stream.stopService()
    connection.transport.abortConnection()
    await in_time(stopped)
    stream.startService()
    await in_time(stream.ready)
    digests = [
        sha1(b"s1" + secret).hexdigest().encode() for secret in (b"a secret", b"another one")
    ]
    assert [one.handshake for one in server.connections] == digests
    for wrong, error in ((b"x", TypeError), ("", ValueError)):
        with pytest.raises(error, match=r"^secret must"):
            stream.change_secret(wrong)


@pytest_twisted.ensureDeferred
async def test_ready_fails_with_the_reason_that_a_person_reads(server, stream):
    error = "<not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
    server.answer = f"<stream:error>{error}</stream:error></stream:stream>".encode()
    stream.startService()
    with pytest.raises(StreamRefused, match="the secret is wrong"):
        await in_time(stream.ready)


@pytest.fixture
def _soon(monkeypatch):
    """Let silence be noticed within a second."""
    monkeypatch.setattr(keepalive, "INTERVAL", 0.2)
    monkeypatch.setattr(keepalive, "PATIENCE", 0.2)
    monkeypatch.setattr(keepalive, "TICK", 0.02)
    monkeypatch.setattr(second_connection, "LIMIT", 0.4)


async def fill(stream):
    """Send until our output is blocked; gives how many bytes that were."""
    from twisted.internet import reactor

    count = 0
    while not stream.xmlstream.blocked:
        assert count < SIZE
        stream.send(PIECE)
        count += len(PIECE)
        await deferLater(reactor, 0)
    return count


@pytest.mark.usefixtures("_soon")
@pytest_twisted.ensureDeferred
async def test_a_server_that_reads_late_loses_nothing(server, stream):
    stream.startService()
    await in_time(stream.ready)
    [connection] = server.connections
    connection.received = 0
    connection.transport.pauseProducing()
    count = await fill(stream)
    for _ in range(2):
        # Each time, it is asked whether it lives.
        await in_time(server.arrived)
        assert not connection.lost.called
    connection.transport.resumeProducing()
    while connection.received < count:
        await in_time(server.arrived)
        assert not connection.lost.called


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.usefixtures("_soon")
@pytest_twisted.ensureDeferred
async def test_a_server_that_hangs_is_cut(server, stream, full):
    stream.startService()
    await in_time(stream.ready)
    [connection] = server.connections
    server.alive = False
    if full:
        connection.transport.pauseProducing()
        await fill(stream)
    await in_time(server.arrived)
    lost = Deferred()
    stream.xmlstream.addObserver("//event/stream/end", lambda _: lost.callback(None))
    await in_time(lost)
    server.alive = True
    assert await in_time(stream.ready) == JID(COMPONENT)

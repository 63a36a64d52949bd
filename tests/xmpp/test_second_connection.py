"""A server that may hang is asked on a second connection."""

from __future__ import annotations

import pytest
import pytest_twisted
from twisted.internet import error
from twisted.internet.defer import Deferred, fail
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from tests.support.streams import outcome
from tests.support.waiting import in_time
from twisted_oob.xmpp.second_connection import LIMIT, server_answers


class Endpoint:
    """Connects when ``connected`` is told to."""

    def __init__(self):
        self.attempt = Deferred()

    def connect(self, factory):
        self.factory = factory
        return self.attempt

    def connected(self):
        self.question = self.factory.buildProtocol(None)
        self.question.makeConnection(StringTransport())
        self.attempt.callback(self.question)

    @property
    def sent(self):
        return self.question.transport.value().decode()


@pytest.fixture
def endpoint():
    return Endpoint()


@pytest.fixture
def clock():
    return Clock()


def ask(endpoint, clock, domain="a.example"):
    return server_answers(endpoint, "jabber:client", domain, clock=clock)


@pytest.mark.parametrize(
    "sign",
    [
        lambda question: question.dataReceived(b"<"),
        lambda question: question.connectionLost(Failure(ConnectionDone())),
        lambda question: question.connectionLost(Failure(ConnectionLost())),
    ],
    ids=["a byte", "closed", "reset"],
)
def test_whatever_the_server_does_is_an_answer(endpoint, clock, sign):
    answers = ask(endpoint, clock)
    endpoint.connected()
    assert endpoint.sent.startswith("<stream:stream ")
    assert 'xmlns="jabber:client"' in endpoint.sent
    assert 'to="a.example"' in endpoint.sent
    sign(endpoint.question)
    assert outcome(answers) is True
    # A connection that is gone can't be aborted: over TLS, to try would fail.
    assert endpoint.question.transport.disconnected == endpoint.question.connected
    assert clock.getDelayedCalls() == []


def test_the_domain_is_escaped(endpoint, clock):
    ask(endpoint, clock, "a'<\">&")
    endpoint.connected()
    assert "a'&lt;&quot;&gt;&amp;" in endpoint.sent


@pytest.mark.parametrize("connected", [False, True])
def test_silence_is_no_answer(endpoint, clock, connected):
    answers = ask(endpoint, clock)
    if connected:
        endpoint.connected()
    clock.advance(LIMIT - 1)
    assert not answers.called
    clock.advance(1)
    assert outcome(answers) is False
    if connected:
        assert endpoint.question.transport.disconnected


def test_no_connection_is_no_answer(clock):
    class Refusing:
        def connect(self, factory):
            return fail(error.ConnectionRefusedError())

    assert outcome(ask(Refusing(), clock)) is False
    assert clock.getDelayedCalls() == []


@pytest.mark.parametrize("connected", [False, True])
def test_a_question_can_be_cancelled(endpoint, clock, connected):
    answers = ask(endpoint, clock)
    if connected:
        endpoint.connected()
    answers.cancel()
    assert outcome(answers) is False
    assert clock.getDelayedCalls() == []
    if connected:
        assert endpoint.question.transport.disconnected


@pytest.mark.parametrize("alive", [False, True])
@pytest_twisted.ensureDeferred
async def test_over_tcp(alive, monkeypatch):
    from twisted.internet import reactor

    monkeypatch.setattr("twisted_oob.xmpp.second_connection.LIMIT", 10 if alive else 0.2)
    gone = Deferred()

    class Server(Protocol):
        def dataReceived(self, data):
            if alive:
                self.transport.write(b"<stream:stream")

        def connectionLost(self, reason=None):
            gone.callback(None)

    listening = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
    port = await listening.listen(Factory.forProtocol(Server))
    there = TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port)
    assert await in_time(ask(there, reactor)) is alive
    await in_time(gone)
    await port.stopListening()

"""Connections under what speaks HTTP, on in-memory transports."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure

from tests.support.fetching import ends_of
from twisted_oob.files.endpoints import ConnectionFactory, JudgedEndpoints
from twisted_oob.files.policy import FetchPolicy

LOST = Failure(ConnectionAborted())


class Transport(StringTransport):
    """Counts what reaches the socket."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def abortConnection(self):
        self.calls.append("abort")

    def pauseProducing(self):
        self.calls.append("pause")
        super().pauseProducing()

    def resumeProducing(self):
        self.calls.append("resume")
        if self.producerState == "paused":
            super().resumeProducing()


class Reader(Protocol):
    """Pauses and resumes as it is told by the bytes that come."""

    def dataReceived(self, data):
        for word in data.decode().split():
            if word == "bug":
                raise ZeroDivisionError
            getattr(self.transport, f"{word}Producing")()


class Heard:
    """What the endpoints were told of bytes; ``enough`` is answered from now on if it is set."""

    def __init__(self):
        self.counts = []
        self.enough = False

    def __call__(self, count):
        self.counts.append(count)
        return not self.enough


@pytest.fixture
def heard():
    return Heard()


@pytest.fixture
def endpoints(heard):
    return JudgedEndpoints(None, FetchPolicy(), None, heard)


def connect(endpoints, transport, protocol=Reader):
    connection = ConnectionFactory(endpoints, Factory.forProtocol(protocol)).buildProtocol(None)
    connection.makeConnection(transport)
    return connection


@pytest.fixture
def transport():
    return Transport()


@pytest.fixture
def connection(endpoints, transport):
    return connect(endpoints, transport)


# --- pauses


@pytest.mark.parametrize(
    ("data", "pauses", "state"),
    [
        (b"", 0, "producing"),
        (b"pause", 1, "paused"),
        (b"pause resume", 0, "producing"),
        (b"pause resume pause", 1, "paused"),
        (b"pause pause", 1, "paused"),
        (b"resume pause", 1, "paused"),
    ],
)
def test_only_a_pause_that_outlasts_the_delivery_reaches_the_socket(
    *, connection, transport, data, pauses, state
):
    connection.dataReceived(data)
    assert transport.calls.count("pause") == pauses
    assert transport.producerState == state


def test_a_pause_before_any_delivery_is_one_at_once(connection, transport):
    connection.wrappedProtocol.transport.pauseProducing()
    assert transport.producerState == "paused"


def test_a_pause_after_the_delivery_is_one_at_once(connection, transport):
    connection.dataReceived(b"")
    connection.wrappedProtocol.transport.pauseProducing()
    assert transport.producerState == "paused"
    connection.wrappedProtocol.transport.resumeProducing()
    assert transport.producerState == "producing"


def test_bytes_that_come_in_spite_of_a_pause_may_end_it(connection, transport):
    connection.dataReceived(b"pause")
    connection.dataReceived(b"resume")
    assert transport.producerState == "producing"
    assert transport.calls == ["pause", "resume"]


def test_a_pause_before_a_bug_is_kept(connection, transport):
    with pytest.raises(ZeroDivisionError):
        connection.dataReceived(b"pause bug")
    assert transport.producerState == "paused"


# --- bytes


def test_every_byte_is_counted_and_so_is_the_connection(endpoints, heard, transport):
    seen = []
    connection = connect(endpoints, transport)
    connection.wrappedProtocol.dataReceived = seen.append
    connection.dataReceived(b"")
    connection.dataReceived(b"four")
    assert heard.counts == [0, 0, 4]
    assert seen == [b"", b"four"]


def test_bytes_that_are_too_many_go_no_further(connection, heard):
    seen = []
    connection.wrappedProtocol.dataReceived = seen.append
    heard.enough = True
    connection.dataReceived(b"four")
    heard.enough = False
    connection.dataReceived(b"more")
    assert heard.counts == [0, 4, 4]
    assert seen == [b"more"]


def test_no_connection_logs_its_begin_and_end(endpoints):
    factory = Factory.forProtocol(Reader)
    assert not ConnectionFactory(endpoints, factory).noisy
    assert not factory.noisy


# --- ends


def test_whoever_closes_a_connection_aborts_it(connection, transport):
    connection.wrappedProtocol.transport.loseConnection()
    assert transport.calls == ["abort"]


def test_hanging_up_waits_until_every_connection_is_gone(endpoints):
    transports = [Transport(), Transport()]
    first, second = (connect(endpoints, transport) for transport in transports)
    gone = [ends_of(endpoints.hang_up()), ends_of(endpoints.hang_up())]
    assert all("abort" in transport.calls for transport in transports)
    first.connectionLost(LOST)
    assert gone == [[], []]
    second.connectionLost(LOST)
    assert gone == [[None], [None]]


def test_hanging_up_without_a_connection_is_over_at_once(endpoints, connection):
    connection.connectionLost(LOST)
    assert ends_of(endpoints.hang_up()) == [None]


def test_a_connection_can_be_made_after_hanging_up(endpoints, connection):
    first = ends_of(endpoints.hang_up())
    connection.connectionLost(LOST)
    again = connect(endpoints, Transport())
    second = ends_of(endpoints.hang_up())
    assert (first, second) == ([None], [])
    again.connectionLost(LOST)
    assert (first, second) == ([None], [None])


def test_a_protocol_knows_that_its_connection_is_gone_before_anybody_else(endpoints, connection):
    seen = []
    connection.wrappedProtocol.connectionLost = seen.append
    endpoints.hang_up().addCallback(seen.append)
    connection.connectionLost(LOST)
    assert seen == [LOST, None]


def test_a_host_that_is_resolved_and_allowed_is_a_sign_of_life(heard):
    reactor = MemoryReactorClock()
    judged = JudgedEndpoints(reactor, FetchPolicy(), None, heard)
    connecting = Deferred.fromCoroutine(judged.connect("8.8.8.8", 80, Factory.forProtocol(Reader)))
    assert heard.counts == [0]
    assert not connecting.called
    connecting.cancel()
    connecting.addErrback(lambda _: None)

"""One connection under what speaks HTTP, on an in-memory transport: pauses, rests, counts, ends."""

from __future__ import annotations

import pytest
from twisted.internet.error import ConnectionAborted
from twisted.internet.protocol import Protocol
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure

from tests.support.fetching import ends_of
from twisted_oob.files.connections import Connection, JudgedConnections
from twisted_oob.files.pace import Pace
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
    """What was told of bytes; ``enough`` is answered from now on if it is set."""

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
def connections(heard):
    return JudgedConnections(MemoryReactorClock(), FetchPolicy(), None, heard)


def connect(connections, transport, protocol=Reader):
    connection = Connection(connections, protocol(), lambda _: None)
    connection.makeConnection(transport)
    return connection


@pytest.fixture
def transport():
    return Transport()


@pytest.fixture
def connection(connections, transport):
    return connect(connections, transport)


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


# --- rests


@pytest.fixture
def clock():
    return MemoryReactorClock()


@pytest.fixture
def resting(clock, heard, transport):
    """A connection that rests for two seconds now."""
    pace = Pace(clock)
    connections = JudgedConnections(clock, FetchPolicy(), None, heard, pace=pace)
    connection = connect(connections, transport)
    connection.dataReceived(b" " * 4096)
    assert transport.calls == []
    pace.chunks(40_000)
    connection.dataReceived(b" " * 4096)
    assert transport.calls == ["pause"]
    return connection


def test_a_rest_ends_by_itself(resting, transport, clock):
    clock.advance(1.9)
    assert transport.producerState == "paused"
    clock.advance(0.2)
    assert transport.producerState == "producing"
    assert clock.getDelayedCalls() == []


def test_nobody_above_ends_a_rest(resting, transport, clock):
    resting.pauseProducing()
    resting.resumeProducing()
    assert transport.producerState == "paused"
    clock.advance(2.1)
    assert transport.producerState == "producing"


def test_the_end_of_a_rest_does_not_end_a_pause(resting, transport, clock):
    resting.pauseProducing()
    clock.advance(2.1)
    assert transport.producerState == "paused"
    resting.resumeProducing()
    assert transport.producerState == "producing"


def test_tiny_reads_lead_to_a_rest(resting, transport, clock):
    clock.advance(2.1)
    for _ in range(40):
        assert transport.producerState == "producing"
        resting.dataReceived(b" ")
        if clock.getDelayedCalls():
            break
    assert transport.producerState == "paused"


@pytest.mark.parametrize("end", ["abort", "loseConnection", "connectionLost"])
def test_nothing_of_a_rest_outlives_the_connection(resting, clock, end):
    getattr(resting, end)(*[LOST] * (end == "connectionLost"))
    assert clock.getDelayedCalls() == []


# --- bytes


def test_every_byte_is_counted_and_so_is_the_connection(connections, heard, transport):
    seen = []
    connection = connect(connections, transport)
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


# --- ends


def test_whoever_closes_a_connection_aborts_it(connection, transport):
    connection.wrappedProtocol.transport.loseConnection()
    assert transport.calls == ["abort"]


def test_hanging_up_waits_until_every_connection_is_gone(connections):
    transports = [Transport(), Transport()]
    first, second = (connect(connections, transport) for transport in transports)
    gone = [ends_of(connections.hang_up()), ends_of(connections.hang_up())]
    assert all("abort" in transport.calls for transport in transports)
    first.connectionLost(LOST)
    assert gone == [[], []]
    second.connectionLost(LOST)
    assert gone == [[None], [None]]


def test_hanging_up_without_a_connection_is_over_at_once(connections, connection):
    connection.connectionLost(LOST)
    assert ends_of(connections.hang_up()) == [None]


def test_a_connection_can_be_made_after_hanging_up(connections, connection):
    first = ends_of(connections.hang_up())
    connection.connectionLost(LOST)
    again = connect(connections, Transport())
    second = ends_of(connections.hang_up())
    assert (first, second) == ([None], [])
    again.connectionLost(LOST)
    assert (first, second) == ([None], [None])


def test_a_protocol_knows_that_its_connection_is_gone_before_anybody_else(connections, connection):
    seen = []
    connection.wrappedProtocol.connectionLost = seen.append
    connections.hang_up().addCallback(seen.append)
    connection.connectionLost(LOST)
    assert seen == [LOST, None]


def test_a_bug_in_a_protocol_does_not_keep_its_connection_open(connections, connection):
    def bug(reason):
        raise ZeroDivisionError

    connection.wrappedProtocol.connectionLost = bug
    gone = ends_of(connections.hang_up())
    with pytest.raises(ZeroDivisionError):
        connection.connectionLost(LOST)
    assert gone == [None]

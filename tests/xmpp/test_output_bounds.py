"""Bounds for output: what waits for a peer, how long, and what becomes of the rest."""

from __future__ import annotations

import pytest
import pytest_twisted
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, connectProtocol
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock

from tests.support.waiting import in_time
from twisted_oob.xmpp.output_bounds import (
    FULL_PATIENCE,
    MAX_WAITING,
    PATIENCE,
    PIECE,
    OutputLimit,
    OutputQueue,
)


class Transport:
    """A transport in memory, which tells its producer what Twisted's transports tell theirs."""

    buffer_size = 64 * 1024

    def __init__(self):
        self.written = b""
        self.read = 0
        self.reading = True
        self.producer = None
        self.paused = False

    @property
    def waiting(self):
        return len(self.written) - self.read

    def registerProducer(self, producer, streaming):
        assert streaming
        self.producer = producer

    def unregisterProducer(self):
        self.producer = None

    def pauseProducing(self):
        self.reading = False

    def resumeProducing(self):
        self.reading = True

    def write(self, data):
        self.written += data
        if self.producer is not None and self.waiting > self.buffer_size:
            self.paused = True
            self.producer.pauseProducing()

    def peer_reads(self, size=None):
        self.read = len(self.written) if size is None else min(len(self.written), self.read + size)
        if not self.waiting and self.paused and self.producer is not None:
            self.paused = False
            self.producer.resumeProducing()


# The limit.


def test_nothing_is_read_while_too_much_waits():
    transport, changes = Transport(), []
    limit = OutputLimit(transport, lambda: changes.append(limit.blocked))
    transport.write(b"x" * Transport.buffer_size)
    assert (limit.blocked, transport.reading, changes) == (False, True, [])
    transport.write(b"x")
    transport.write(b"x")
    assert (limit.blocked, transport.reading, changes) == (True, False, [True])
    transport.peer_reads(Transport.buffer_size)
    assert (limit.blocked, transport.reading, changes) == (True, False, [True])
    transport.peer_reads()
    assert (limit.blocked, transport.reading, changes) == (False, True, [True, False])


@pytest.mark.parametrize("blocked", [False, True])
def test_a_released_limit_limits_nothing(blocked):
    transport, changes = Transport(), []
    limit = OutputLimit(transport, lambda: changes.append(limit.blocked))
    transport.write(b"x" * (Transport.buffer_size + blocked))
    limit.release()
    limit.release()
    transport.write(b"x" * (Transport.buffer_size + 1))
    assert transport.producer is None
    assert (limit.blocked, transport.reading) == (False, True)
    assert changes == [True] * blocked
    limit.stopProducing()


class End(Protocol):
    def __init__(self):
        self.opened, self.closed = in_time(Deferred()), in_time(Deferred())
        self.size = 0

    def connectionMade(self):
        self.opened.callback(None)

    def dataReceived(self, data):
        self.size += len(data)

    def connectionLost(self, reason):
        self.closed.callback(None)


async def connected():
    """Give both ends of a connection, and the port."""
    ours = End()
    port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(
        Factory.forProtocol(lambda: ours)
    )
    endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port)
    theirs = await connectProtocol(endpoint, End())
    await ours.opened
    return ours, theirs, port


@pytest_twisted.ensureDeferred
async def test_a_real_transport_tells_the_limit_and_closes_once_it_is_released():
    ours, theirs, port = await connected()
    changes, unblocked = [], in_time(Deferred())

    def changed():
        changes.append(limit.blocked)
        if not limit.blocked:
            unblocked.callback(None)

    limit = OutputLimit(ours.transport, changed)
    ours.transport.write(b"x" * 1_000_000)
    assert changes == [True]
    await unblocked
    assert changes == [True, False]
    ours.transport.write(b"x" * 1_000_000)
    assert limit.blocked
    limit.release()
    ours.transport.loseConnection()
    await theirs.closed
    assert theirs.size == 2_000_000
    await ours.closed
    await port.stopListening()


# The queue.


class Setting:
    def __init__(self):
        self.transport, self.clock = Transport(), Clock()
        self.progress, self.stuck = [], []
        self.queue = OutputQueue(
            self.transport,
            self.clock,
            on_progress=lambda: self.progress.append(self.clock.seconds()),
            on_stuck=lambda: self.stuck.append(self.clock.seconds()),
        )

    def block(self):
        """Write what blocks the transport, and one byte that waits in the queue."""
        self.queue.write(b"b" * (2 * PIECE))
        self.queue.write(b"w")
        assert not self.transport.reading

    def fill(self, sender="a"):
        while self.queue.has_room(sender):
            self.queue.write(b"f" * 1024, sender)


def test_what_is_written_goes_out_at_once_while_the_peer_reads():
    setting = Setting()
    for data in (b"one", b"two", b"x" * PIECE):
        assert setting.queue.has_room("a")
        setting.queue.write(data, "a")
        assert setting.transport.written.endswith(data)
        setting.transport.peer_reads()
    assert not setting.clock.getDelayedCalls()


@settings(deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("write"), st.integers(0, 3 * PIECE)),
            st.tuples(st.just("read"), st.integers(0, 3 * PIECE)),
        )
    )
)
def test_all_arrives_in_order_and_little_waits_in_the_transport(steps):
    setting = Setting()
    expected = b""
    for number, (step, size) in enumerate(steps):
        if step == "write":
            data = bytes([number % 256]) * size
            expected += data
            setting.queue.write(data, "a")
        else:
            setting.transport.peer_reads(size)
        assert setting.transport.waiting <= 2 * PIECE
    while setting.transport.waiting:
        setting.transport.peer_reads()
    assert setting.transport.written == expected
    assert setting.transport.reading
    assert not setting.clock.getDelayedCalls()


def test_one_sender_fills_half_of_the_room_and_others_the_rest():
    setting = Setting()
    setting.block()
    setting.fill("a")
    half = MAX_WAITING // 2
    assert setting.queue.has_room("b")
    setting.fill("b")
    assert not setting.queue.has_room("a")
    assert not setting.queue.has_room("c")
    setting.transport.peer_reads()
    assert setting.queue.has_room("a")
    while setting.transport.waiting:
        setting.transport.peer_reads()
    assert abs(len(setting.transport.written) - 2 * PIECE - 2 * half) <= 2 * 1024


def test_what_is_large_has_room_as_long_as_there_is_any():
    setting = Setting()
    setting.block()
    setting.queue.write(b"x" * 2 * MAX_WAITING, "a")
    assert not setting.queue.has_room("b")


def test_a_peer_that_reads_nothing_is_stuck():
    setting = Setting()
    setting.block()
    setting.clock.advance(PATIENCE - 0.1)
    assert setting.stuck == []
    setting.clock.advance(0.1)
    assert setting.stuck == [PATIENCE]
    setting.clock.advance(10 * PATIENCE)
    assert setting.stuck == [PATIENCE]


def test_a_peer_that_reads_a_byte_a_second_is_stuck_as_well():
    setting = Setting()
    setting.block()
    for _ in range(int(PATIENCE)):
        setting.transport.peer_reads(1)
        setting.clock.advance(1)
    assert setting.stuck == [PATIENCE]


def test_a_peer_that_reads_slowly_is_not():
    setting = Setting()
    setting.queue.write(b"x" * 20 * PIECE)
    for _ in range(10):
        setting.clock.advance(PATIENCE - 1)
        setting.transport.peer_reads()
    assert setting.stuck == []
    assert len(setting.progress) == 10
    setting.clock.advance(10 * PATIENCE)
    assert setting.stuck == []


def test_patience_is_shorter_once_something_was_refused():
    setting = Setting()
    setting.block()
    setting.clock.advance(1)
    setting.fill()
    for _ in range(int(FULL_PATIENCE)):
        assert setting.stuck == []
        setting.clock.advance(1)
        setting.queue.has_room("a")
    assert setting.stuck == [1 + FULL_PATIENCE]
    assert not setting.queue.has_room("a")


def test_progress_gives_the_whole_patience_again():
    setting = Setting()
    setting.block()
    setting.fill()
    setting.clock.advance(FULL_PATIENCE - 1)
    setting.transport.peer_reads()
    setting.clock.advance(PATIENCE - 1)
    assert setting.stuck == []
    setting.clock.advance(1)
    assert len(setting.stuck) == 1


def test_patience_is_shorter_again_after_progress_and_another_refusal():
    setting = Setting()
    setting.block()
    setting.fill()
    setting.transport.peer_reads()
    setting.fill()
    setting.clock.advance(FULL_PATIENCE)
    assert len(setting.stuck) == 1


def test_release_writes_all_that_waits():
    setting = Setting()
    setting.queue.write(b"x" * 5 * PIECE)
    setting.queue.write(b"y", "a")
    setting.queue.release()
    setting.queue.release(drop=True)
    setting.queue.write(b"z" * 3 * PIECE)
    assert setting.transport.written == b"x" * 5 * PIECE + b"y" + b"z" * 3 * PIECE
    assert setting.transport.producer is None
    assert not setting.clock.getDelayedCalls()


@pytest.mark.parametrize("pieces", [2, 5])
def test_release_may_drop_all_but_the_rest_of_what_has_begun(pieces):
    setting = Setting()
    setting.queue.write(b"x" * pieces * PIECE)
    setting.queue.write(b"y", "a")
    setting.queue.write(b"y" * 3 * PIECE, "b")
    setting.queue.release(drop=True)
    setting.queue.write(b"z")
    assert setting.transport.written == b"x" * pieces * PIECE + b"z"
    assert not setting.clock.getDelayedCalls()

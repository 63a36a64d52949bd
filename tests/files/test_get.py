"""A GET on a transport in memory: what its head and its body get, and when the server is paused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from tests.support.fetching import ends_of
from tests.support.hostile_http import answer, chunked
from tests.support.pieces import CUTS, cut
from twisted_oob.errors import FetchFailed
from twisted_oob.files.get import Get

NO_ANSWER = "no proper answer from the server"
UNKNOWN = "the server does not say where the file ends"
DONE = Failure(ConnectionDone("bye"))
HEAD = b"HTTP/1.1 200 OK\r\n\r\n"


class Sink:
    """In the place of a Body: what came, and how it ended."""

    def __init__(self):
        self.got = b""
        self.ends = []

    def received(self, data):
        assert data
        assert not self.ends
        self.got += data

    def finish(self, error):
        self.ends.append(error)


class Pace:
    """Notes the sizes of pieces, and how many short chunks came."""

    def __init__(self):
        self.sizes = []
        self.short = []

    def piece(self, size):
        self.sizes.append(size)

    def chunks(self, count):
        self.short.append(count)


class Getting:
    """A Get that is connected; ``at_once``: whether its body is wanted as soon as it has a head."""

    def __init__(self, *, at_once=False, pace=None):
        self.get = Get(b"the request", pace=pace)
        self.transport = StringTransport()
        self.sink = Sink()
        self.heads = ends_of(self.get.head)
        if at_once:
            self.get.head.addCallbacks(lambda _: self.get.deliver(self.sink), lambda _: None)
        self.get.makeConnection(self.transport)

    def receive(self, *parts):
        for part in parts:
            self.get.dataReceived(part)

    def lose(self, reason=DONE):
        self.get.connectionLost(reason)

    def deliver(self):
        self.get.deliver(self.sink)

    @property
    def paused(self):
        return self.transport.producerState == "paused"

    @property
    def body(self):
        return self.sink.got, [error and error.text for error in self.sink.ends]

    def error(self):
        """The error of the head; nobody else need take it."""
        self.get.head.addErrback(lambda _: None)
        [failure] = self.heads
        return failure.value


def test_the_request_goes_out_when_the_connection_is_made():
    assert Getting().transport.value() == b"the request"


@pytest.mark.parametrize("data", [answer(b"hello"), chunked(b"hel", b"lo")])
def test_a_body_that_is_wanted_at_once_needs_no_pause(data):
    getting = Getting(at_once=True)
    getting.transport.pauseProducing = getting.transport.resumeProducing = None
    getting.receive(data)
    [head] = getting.heads
    assert head.status == 200
    assert getting.body == (b"hello", [None])
    getting.receive(b"what nobody asked for")
    getting.lose()
    assert getting.body == (b"hello", [None])
    assert not getting.transport.disconnected


def test_the_server_is_paused_until_somebody_wants_the_body():
    getting = Getting()
    getting.receive(b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n")
    assert not getting.paused
    getting.receive(b"\r\none ")
    assert getting.paused
    assert len(getting.heads) == 1
    # What TLS had decrypted already.
    getting.receive(b"two ")
    assert getting.body == (b"", [])
    getting.deliver()
    assert getting.sink.transport is getting.transport
    assert not getting.paused
    assert getting.body == (b"one two ", [])
    getting.receive(b"three")
    assert getting.body == (b"one two thre", [None])


@pytest.mark.parametrize(
    ("data", "end"),
    [
        (answer(b"hello"), None),
        (answer(b"hello", length=6), "the file ended early"),
        (HEAD + b"hello", UNKNOWN),
        (chunked(b"hello"), None),
        (chunked(b"hello", end=b""), "the file ended early"),
    ],
)
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_body_whose_connection_is_gone(data, end, when):
    getting = Getting()
    getting.receive(data)
    if when == "before":
        getting.lose()
    getting.deliver()
    if when == "after":
        getting.lose()
    assert getting.body == (b"hello", [end])
    if end is not None:
        [error] = getting.sink.ends
        assert error.detail.endswith("; ConnectionDone: Connection was closed cleanly: bye.")


def test_an_empty_body_ends_when_it_is_delivered():
    getting = Getting()
    getting.receive(answer(b""))
    assert getting.body == (b"", [])
    getting.deliver()
    assert getting.body == (b"", [None])


@pytest.mark.parametrize("when", ["held", "later"])
def test_malformed_chunks_end_the_body_and_the_connection(when):
    getting = Getting()
    good, bad = chunked(b"hello", end=b""), b"nonsense\r\n"
    getting.receive(good + bad if when == "held" else good)
    getting.deliver()
    if when == "later":
        getting.receive(bad)
    assert getting.sink.ends[0].text == NO_ANSWER
    assert getting.transport.disconnected
    getting.receive(b"more")
    getting.lose()
    assert len(getting.sink.ends) == 1


def test_malformed_chunks_of_a_lost_connection_abort_nothing():
    getting = Getting()
    getting.receive(chunked(end=b"nonsense\r\n"))
    getting.lose()
    getting.transport.abortConnection = None
    getting.deliver()
    assert getting.body == (b"", [NO_ANSWER])


@pytest.mark.parametrize("data", [b"nonsense\r\n", HEAD[:-2] + b"Content-Length: x\r\n\r\n"])
def test_what_is_no_head_ends_the_connection(data):
    getting = Getting()
    getting.receive(data, b"more")
    getting.lose()
    assert getting.transport.disconnected
    assert (type(getting.error()), getting.error().text) == (FetchFailed, NO_ANSWER)


@pytest.mark.parametrize("data", [b"", b"HTTP/1.1 200 OK\r\nConte"])
def test_a_connection_that_ends_before_the_head_is_its_error(data):
    getting = Getting()
    getting.receive(data)
    reason = ConnectionLost("x")
    getting.lose(Failure(reason))
    assert getting.error() is reason


def test_a_cancelled_head_ends_the_connection():
    getting = Getting()
    getting.get.head.cancel()
    assert isinstance(getting.error(), CancelledError)
    assert getting.transport.disconnected
    getting.receive(answer(b"late"))
    getting.lose()
    assert len(getting.heads) == 1


def test_a_head_can_be_cancelled_before_there_is_a_connection():
    get = Get(b"")
    get.head.addErrback(lambda _: None)
    get.head.cancel()


def test_a_body_may_end_the_transfer_while_it_gets_its_bytes():
    getting = Getting(at_once=True)
    getting.sink.received = lambda _: getting.lose()
    getting.receive(answer(b"hello"))
    assert len(getting.sink.ends) == 1


def test_interim_responses_are_not_logged(log):
    getting = Getting(at_once=True)
    getting.receive(b"HTTP/1.1 100 Continue\r\n\r\n" * 100 + answer(b"hello"))
    assert getting.body == (b"hello", [None])
    assert log == []


def test_the_pace_is_told_of_every_piece_and_of_short_chunks():
    pace = Pace()
    getting = Getting(at_once=True, pace=pace)
    small, large = b"1\r\nx\r\n", b"200\r\n" + b"x" * 512 + b"\r\n"
    parts = [HEAD[:-2] + b"Transfer-Encoding: chunked\r\n\r\n", small * 3 + large, large, small]
    getting.receive(*parts)
    assert pace.sizes == list(map(len, parts))
    assert pace.short == [3, 1]


ANSWERS = st.sampled_from(
    [answer(b"hello"), answer(b"hello", length=9), chunked(b"hel", b"lo"), HEAD + b"hello"]
) | st.binary(max_size=40)


@given(ANSWERS, CUTS, st.none() | st.integers(0, 9))
def test_neither_the_pieces_nor_the_time_of_delivery_make_a_difference(data, cuts, when):
    def ended(parts, when):
        getting = Getting(at_once=when is None)
        for index, part in enumerate(parts):
            getting.receive(part)
            if index == when and getting.heads and not isinstance(getting.heads[0], Failure):
                getting.deliver()
                when = -1
        getting.lose()
        if isinstance(getting.heads[0], Failure):
            error = getting.error()
            return getattr(error, "text", str(error))
        if when is not None and when >= 0:
            getting.deliver()
        return getting.body

    assert ended(cut(data, cuts), when) == ended([data], None)

"""A body in pieces: when the server is paused, and what ends it, on an in-memory transport."""

from __future__ import annotations

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone, ResponseFailed
from twisted.web.http import PotentialDataLoss

from twisted_oob.errors import FetchFailed, TooLarge
from twisted_oob.files.body import Body
from twisted_oob.files.policy import FetchPolicy

PIECE = 256 * 1024
DONE = Failure(ResponseDone())


class Flow:
    """A body on a transport, and whether bytes are expected: what it said, in its order."""

    def __init__(self, max_size=10 * PIECE):
        self.said = []
        self.body = Body(FetchPolicy(max_size=max_size), lambda *, on: self.said.append(on))
        self.transport = StringTransport()
        self.body.makeConnection(self.transport)

    def read(self):
        """Begin to read; gives a list that gets the piece, or the failure."""
        ends = []
        self.reading = Deferred.fromCoroutine(self.body.read())
        self.reading.addBoth(ends.append)
        return ends

    @property
    def paused(self):
        return self.transport.producerState == "paused"


@pytest.fixture
def flow():
    return Flow()


def error_of(ends):
    [failure] = ends
    assert isinstance(failure, Failure), ends
    return failure.value


def test_a_small_body_is_one_piece_at_its_end(flow):
    ends = flow.read()
    flow.body.dataReceived(b"one ")
    flow.body.dataReceived(b"two")
    assert ends == []
    assert not flow.body.ended
    flow.body.connectionLost(DONE)
    assert ends == [b"one two"]
    assert flow.body.ended
    assert not flow.paused
    assert flow.said == [False]


def test_an_empty_body_is_an_empty_piece(flow):
    flow.body.connectionLost(DONE)
    assert flow.body.ended
    assert flow.read() == [b""]
    assert flow.body.ended


def test_a_body_that_came_before_it_is_read(flow):
    flow.body.dataReceived(b"all")
    flow.body.connectionLost(DONE)
    assert not flow.body.ended
    assert flow.read() == [b"all"]
    assert flow.body.ended


@pytest.mark.parametrize(
    ("size", "is_piece"), [(PIECE - 1, False), (PIECE, True), (PIECE + 1, True)]
)
def test_the_server_is_paused_from_a_whole_piece_on(flow, size, is_piece):
    ends = flow.read()
    flow.body.dataReceived(b"x" * size)
    assert [len(piece) for piece in ends] == ([size] if is_piece else [])
    assert flow.paused is is_piece
    assert flow.said == ([False] if is_piece else [])


def test_reading_on_resumes_the_server_and_expects_its_bytes(flow):
    flow.read()
    flow.body.dataReceived(b"x" * PIECE)
    ends = flow.read()
    assert not flow.paused
    assert flow.said == [False, True]
    flow.body.dataReceived(b"y" * PIECE)
    assert ends == [b"y" * PIECE]
    assert flow.paused
    assert flow.said == [False, True, False]


def test_bytes_that_come_in_spite_of_a_pause_are_kept_and_pause_nothing_again(flow):
    flow.read()
    flow.body.dataReceived(b"x" * PIECE)
    flow.body.dataReceived(b"y" * PIECE)
    assert flow.said == [False]
    assert flow.read() == [b"y" * PIECE]
    assert flow.said == [False, True]


def test_an_end_that_comes_in_a_pause_is_not_waited_for_again(flow):
    flow.read()
    flow.body.dataReceived(b"x" * PIECE)
    flow.body.dataReceived(b"rest")
    flow.body.connectionLost(DONE)
    assert not flow.body.ended
    assert flow.read() == [b"rest"]
    assert flow.body.ended
    assert not any(flow.said)


def test_each_piece_is_the_readers_own(flow):
    first = flow.read()
    flow.body.dataReceived(b"x" * PIECE)
    second = flow.read()
    flow.body.dataReceived(b"y")
    flow.body.connectionLost(DONE)
    assert (first, second) == ([b"x" * PIECE], [b"y"])


@pytest.mark.parametrize("sizes", [[10], [4, 6], [9, 1], [0, 10]])
def test_a_body_of_exactly_the_limit_is_whole(sizes):
    flow = Flow(max_size=10)
    ends = flow.read()
    for size in sizes:
        flow.body.dataReceived(b"x" * size)
    flow.body.connectionLost(DONE)
    assert ends == [b"x" * 10]


@pytest.mark.parametrize("sizes", [[11], [10, 1], [6, 5]])
def test_a_body_over_the_limit_ends_at_once(sizes):
    flow = Flow(max_size=10)
    ends = flow.read()
    for size in sizes:
        assert ends == []
        flow.body.dataReceived(b"x" * size)
    assert isinstance(error_of(ends), TooLarge)
    assert flow.paused
    assert flow.said == [False]
    flow.body.dataReceived(b"x")
    flow.body.connectionLost(DONE)
    assert isinstance(error_of(flow.read()), TooLarge)
    assert flow.said == [False]


@pytest.mark.parametrize(
    ("reason", "text", "detail"),
    [
        (PotentialDataLoss(), "the server does not say where the file ends", None),
        (ConnectionLost("x"), "the file ended early", "ConnectionLost: "),
        (ConnectionDone("x"), "the file ended early", "ConnectionDone: "),
        (ResponseFailed([Failure(ValueError("y"))]), "the file ended early", "ValueError: y"),
    ],
)
def test_a_body_that_is_not_whole_fails(flow, reason, text, detail):
    ends = flow.read()
    flow.body.dataReceived(b"part")
    flow.body.connectionLost(Failure(reason))
    error = error_of(ends)
    assert (type(error), error.text) == (FetchFailed, text)
    assert error.detail.startswith(detail or text)


def test_a_body_that_breaks_off_after_a_pause_fails_when_it_is_read(flow):
    flow.read()
    flow.body.dataReceived(b"x" * PIECE)
    flow.body.dataReceived(b"more")
    flow.body.connectionLost(Failure(ConnectionLost()))
    assert isinstance(error_of(flow.read()), FetchFailed)
    assert not any(flow.said)


def test_after_a_cancellation_the_rest_is_nobodys(flow):
    ends = flow.read()
    flow.body.dataReceived(b"part")
    flow.reading.cancel()
    assert isinstance(error_of(ends), CancelledError)
    flow.body.dataReceived(b"x" * PIECE)
    flow.body.connectionLost(Failure(ConnectionLost()))
    assert flow.paused

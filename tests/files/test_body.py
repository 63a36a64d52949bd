"""A body in pieces: when the server is paused, and what ends it, on an in-memory transport."""

from __future__ import annotations

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from twisted_oob._file_info import FileInfo
from twisted_oob.errors import FetchFailed, TooLarge
from twisted_oob.files.body import Body
from twisted_oob.files.policy import FetchPolicy

PIECE = 256 * 1024
EARLY = FetchFailed("the file ended early")


class Flow:
    """A body on a transport, and whether bytes are expected: what it said, in its order."""

    def __init__(self, max_size=10 * PIECE, info=None, progress=None):
        self.said = []
        policy = FetchPolicy(max_size=max_size)
        self.body = Body(policy, lambda *, on: self.said.append(on), info, progress)
        self.transport = self.body.transport = StringTransport()

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
    flow.body.received(b"one ")
    flow.body.received(b"two")
    assert ends == []
    assert not flow.body.ended
    flow.body.finish(None)
    assert ends == [b"one two"]
    assert flow.body.ended
    assert not flow.paused
    assert flow.said == [False]


def test_an_empty_body_is_an_empty_piece(flow):
    flow.body.finish(None)
    assert flow.body.ended
    assert flow.read() == [b""]
    assert flow.body.ended


def test_a_body_that_came_before_it_is_read(flow):
    flow.body.received(b"all")
    flow.body.finish(None)
    assert not flow.body.ended
    assert flow.read() == [b"all"]
    assert flow.body.ended


@pytest.mark.parametrize(
    ("size", "is_piece"), [(PIECE - 1, False), (PIECE, True), (PIECE + 1, True)]
)
def test_the_server_is_paused_from_a_whole_piece_on(flow, size, is_piece):
    ends = flow.read()
    flow.body.received(b"x" * size)
    assert [len(piece) for piece in ends] == ([size] if is_piece else [])
    assert flow.paused is is_piece
    assert flow.said == ([False] if is_piece else [])


def test_reading_on_resumes_the_server_and_expects_its_bytes(flow):
    flow.read()
    flow.body.received(b"x" * PIECE)
    ends = flow.read()
    assert not flow.paused
    assert flow.said == [False, True]
    flow.body.received(b"y" * PIECE)
    assert ends == [b"y" * PIECE]
    assert flow.paused
    assert flow.said == [False, True, False]


def test_bytes_that_come_in_spite_of_a_pause_are_kept_and_pause_nothing_again(flow):
    flow.read()
    flow.body.received(b"x" * PIECE)
    flow.body.received(b"y" * PIECE)
    assert flow.said == [False]
    assert flow.read() == [b"y" * PIECE]
    assert flow.said == [False, True]


def test_an_end_that_comes_in_a_pause_is_not_waited_for_again(flow):
    flow.read()
    flow.body.received(b"x" * PIECE)
    flow.body.received(b"rest")
    flow.body.finish(None)
    assert not flow.body.ended
    assert flow.read() == [b"rest"]
    assert flow.body.ended
    assert not any(flow.said)


def test_each_piece_is_the_readers_own(flow):
    first = flow.read()
    flow.body.received(b"x" * PIECE)
    second = flow.read()
    flow.body.received(b"y")
    flow.body.finish(None)
    assert (first, second) == ([b"x" * PIECE], [b"y"])


@pytest.mark.parametrize("sizes", [[10], [4, 6], [9, 1], [0, 10]])
def test_a_body_of_exactly_the_limit_is_whole(sizes):
    flow = Flow(max_size=10)
    ends = flow.read()
    for size in sizes:
        flow.body.received(b"x" * size)
    flow.body.finish(None)
    assert ends == [b"x" * 10]


@pytest.mark.parametrize("sizes", [[11], [10, 1], [6, 5]])
def test_a_body_over_the_limit_ends_at_once(sizes):
    flow = Flow(max_size=10)
    ends = flow.read()
    for size in sizes:
        assert ends == []
        flow.body.received(b"x" * size)
    assert isinstance(error_of(ends), TooLarge)
    assert flow.paused
    assert flow.said == [False]
    flow.body.received(b"x")
    flow.body.finish(None)
    assert isinstance(error_of(flow.read()), TooLarge)
    assert flow.said == [False]


def test_a_body_that_is_not_whole_fails_and_only_its_first_end_counts(flow):
    ends = flow.read()
    flow.body.received(b"part")
    flow.body.finish(EARLY)
    assert error_of(ends) is EARLY
    assert flow.said == [False]
    flow.body.finish(None)
    flow.body.finish(FetchFailed("another"))
    flow.body.received(b"more")
    assert error_of(flow.read()) is EARLY
    assert flow.said == [False]


def test_more_bytes_than_were_offered_end_the_body_at_once():
    flow = Flow(info=FileInfo(size=4))
    ends = flow.read()
    flow.body.received(b"four")
    assert ends == []
    flow.body.received(b"!")
    assert error_of(ends).text == "not the file that was offered"
    assert flow.paused


def test_whatever_keeps_bytes_from_being_gathered_is_the_end(flow):
    class Unreadable:
        def __len__(self):
            return 5

    ends = flow.read()
    flow.body.received(b"kept")
    flow.body.received(Unreadable())
    assert isinstance(error_of(ends), TypeError)
    assert flow.paused
    flow.body.finish(None)
    assert isinstance(error_of(flow.read()), TypeError)


def test_views_are_gathered_like_bytes(flow):
    ends = flow.read()
    flow.body.received(memoryview(b"a view"))
    flow.body.finish(None)
    assert ends == [b"a view"]


def test_progress_is_told_last_as_it_may_end_the_transfer():
    seen = []

    def progress(received):
        seen.append((received, flow.paused, len(ends)))
        flow.body.finish(EARLY)

    flow = Flow(progress=progress)
    ends = flow.read()
    flow.body.received(b"x" * PIECE)
    assert seen == [(PIECE, True, 1)]
    flow.body.received(b"more")
    assert seen == [(PIECE, True, 1)]


def test_a_body_that_has_ended_resumes_nothing(flow):
    flow.read()
    flow.body.received(b"x" * PIECE)
    flow.body.finish(None)
    assert flow.read() == [b""]
    assert flow.paused


def test_a_body_that_breaks_off_after_a_pause_fails_when_it_is_read(flow):
    flow.read()
    flow.body.received(b"x" * PIECE)
    flow.body.received(b"more")
    flow.body.finish(EARLY)
    assert isinstance(error_of(flow.read()), FetchFailed)
    assert not any(flow.said)


def test_after_a_cancellation_the_rest_is_nobodys(flow):
    ends = flow.read()
    flow.body.received(b"part")
    flow.reading.cancel()
    assert isinstance(error_of(ends), CancelledError)
    flow.body.received(b"x" * PIECE)
    flow.body.finish(EARLY)
    assert flow.paused

"""Whole reads: which bytes for whom make one."""

from __future__ import annotations

import pytest
from twisted.internet.defer import CancelledError

from twisted_oob.files import readers as module
from twisted_oob.files.readers import Readers

SIZE = 100
A, B = "192.0.2.1", "192.0.2.2"


def readers(steps, on_progress=None):
    """Let readers get parts; a part that ends with True was an answer sent to its end."""
    made = Readers(SIZE, on_progress)
    for reader, start, stop, ended in steps:
        made.got(reader, range(start, stop))
        if ended:
            made.ended(reader, range(start, stop))
    return made


@pytest.mark.parametrize(
    ("steps", "reads"),
    [
        ([(A, 0, 100, True)], 1),
        ([(A, 0, 100, True), (A, 0, 100, True)], 2),
        ([(A, 0, 100, True), (B, 0, 100, True)], 2),
        # In parts.
        ([(A, 0, 50, True), (A, 50, 100, True)], 1),
        ([(A, 60, 100, True), (A, 0, 30, True), (A, 20, 70, True)], 1),
        ([(A, 0, 50, True), (A, 51, 100, True)], 0),
        ([(A, 0, 50, True), (B, 50, 100, True)], 0),
        # A read is counted once, and the next one begins anew.
        ([(A, 0, 100, True), (A, 50, 100, True)], 1),
        ([(A, 0, 50, True), (A, 50, 100, True), (A, 0, 50, True)], 1),
        ([(A, 0, 50, True), (A, 50, 100, True)] * 2, 2),
        # Some answers broke off.
        ([(A, 0, 100, False)], 0),
        ([(A, 0, 60, False), (A, 60, 100, True)], 1),
        ([(A, 0, 60, False), (A, 40, 100, True)], 1),
        ([(A, 0, 60, False), (B, 60, 100, True)], 0),
        ([(A, 0, 60, False), (A, 0, 100, True)], 1),
        # Two at once.
        ([(A, 0, 50, False), (A, 0, 100, True), (A, 50, 100, False)], 1),
    ],
)
def test_whole_reads(steps, reads):
    assert readers(steps).reads == reads


def test_an_empty_file_is_read_by_an_answer():
    made = Readers(0, None)
    made.ended(A, range(0))
    assert made.reads == 1


def test_progress_is_that_of_the_furthest_reader():
    seen = []
    steps = [(A, 0, 10), (B, 0, 5), (B, 5, 30), (A, 10, 30), (A, 90, 100), (B, 0, 100), (A, 0, 100)]
    readers([(*step, False) for step in steps], lambda *step: seen.append(step))
    assert seen == [(10, SIZE), (30, SIZE), (40, SIZE), (100, SIZE)]


def test_an_observer_that_fails_stops_nobody(log):
    def fails(_read, _size):
        raise RuntimeError("of the observer")

    assert readers([(A, 0, 100, True)], fails).reads == 1
    [event] = [event for event in log if "log_failure" in event]
    assert event["log_failure"].check(RuntimeError)
    event["log_failure"] = None
    log.clear()


def test_waiting_for_the_first_read():
    made = Readers(SIZE, None)
    fired = []
    made.when_whole().addCallback(fired.append)
    made.when_whole().addCallback(fired.append)
    made.got(A, range(100))
    assert fired == []
    made.ended(A, range(100))
    assert fired == [None, None]
    made.when_whole().addCallback(fired.append)
    assert fired == [None, None, None]


def test_who_waits_can_stop():
    made = Readers(SIZE, None)
    failures = []
    waiting = made.when_whole().addErrback(failures.append)
    waiting.cancel()
    assert failures[0].check(CancelledError)
    made.ended(A, range(100))


def test_who_waits_may_stop_others():
    made = Readers(SIZE, None)
    failures = []
    made.when_whole().addCallback(lambda _: other.cancel())
    other = made.when_whole().addErrback(failures.append)
    made.ended(A, range(100))
    assert failures[0].check(CancelledError)


def test_only_so_many_readers_are_remembered(monkeypatch):
    monkeypatch.setattr(module, "_MOST_READERS", 2)
    steps = [(A, 0, 50, True), (B, 0, 50, True), (A, 50, 60, True), ("192.0.2.3", 0, 1, True)]
    assert readers([*steps, (A, 60, 100, True)]).reads == 1
    assert readers([*steps, (B, 50, 100, True)]).reads == 0

"""Each limit of a transfer, on a clock of the test's."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock

from twisted_oob.files.header_lines import MOST_BELOW_TLS
from twisted_oob.files.limits import Limits
from twisted_oob.files.policy import FetchPolicy

STALL, RATE = 10, 100
SLOW = "too slow"
TIMED_OUT = "timed out"


class Transfer:
    """What the limits watch over: it ends at the first error."""

    def __init__(self, **policy):
        policy = {"stall_timeout": STALL, "min_rate": RATE, "timeout": 10_000, **policy}
        self.clock = Clock()
        self.errors = []
        self.limits = Limits(self.clock, FetchPolicy(**policy), self._ended)
        self.came = 0
        self.limits.start()
        self.limits.ask()

    def _ended(self, error):
        self.errors.append(error)
        self.limits.stop()

    def receive(self, size):
        """Some bytes of the body come."""
        if not self.errors:
            self.limits.heard(size)
            self.came += size
            self.limits.read(self.came)

    def trickle(self, size, every, times):
        for _ in range(times):
            self.clock.advance(every)
            self.receive(size)

    @property
    def told(self):
        return [error.text for error in self.errors]


@pytest.fixture
def reading():
    """Makes a transfer whose head has come."""
    made = []

    def make(**policy):
        made.append(Transfer(**policy))
        made[-1].limits.answered()
        return made[-1]

    yield make
    for one in made:
        one.limits.stop()
        one.limits.stop()
        assert one.clock.getDelayedCalls() == []


# --- the deadline


def test_the_deadline_counts_whatever_comes(reading):
    transfer = reading(timeout=25)
    transfer.trickle(10_000, every=5, times=4)
    assert transfer.limits.left == 5
    transfer.clock.advance(4.5)
    assert transfer.errors == []
    transfer.clock.advance(0.5)
    assert transfer.told == [TIMED_OUT]
    assert transfer.errors[0].detail == "the file was not whole after 25 s"


def test_the_deadline_counts_while_nothing_is_expected(reading):
    transfer = reading(timeout=25)
    transfer.limits.watch(on=False)
    transfer.clock.advance(25)
    assert transfer.told == [TIMED_OUT]


# --- the stall limit


@pytest.mark.parametrize("how", ["a byte", "a connection"])
def test_whatever_is_heard_puts_the_stall_off(reading, how):
    transfer = reading(min_rate=0)
    for _ in range(5):
        transfer.clock.advance(STALL - 1)
        transfer.limits.heard(how == "a byte")
    transfer.clock.advance(STALL - 0.5)
    assert transfer.errors == []
    transfer.clock.advance(0.5)
    assert transfer.told == [TIMED_OUT]
    assert transfer.errors[0].detail == "no byte from the server for 10 s"


def test_while_nothing_is_expected_there_is_no_stall(reading):
    transfer = reading()
    transfer.limits.watch(on=False)
    transfer.clock.advance(1000)
    transfer.limits.watch(on=True)
    transfer.clock.advance(STALL - 0.5)
    assert transfer.errors == []
    transfer.clock.advance(0.5)
    assert transfer.told == [TIMED_OUT]


def test_before_the_body_slowness_is_no_fault():
    transfer = Transfer()
    for _ in range(20):
        transfer.clock.advance(STALL - 1)
        transfer.limits.heard(1)
    assert transfer.errors == []
    transfer.limits.stop()


# --- the least rate


def test_just_fast_enough(reading):
    transfer = reading()
    for _ in range(100):
        transfer.receive(RATE)
        transfer.clock.advance(1)
    assert transfer.errors == []


@pytest.mark.parametrize("every", [0.5, 1, 3, 5, 7, 9.5])
def test_a_trickle_is_too_slow_after_the_first_window(reading, every):
    transfer = reading()
    transfer.trickle(1, every=every, times=int(2 * STALL / every))
    assert transfer.told == [SLOW]


def test_the_error_tells_the_figures(reading):
    transfer = reading()
    transfer.receive(500)
    transfer.trickle(1, every=1, times=10)
    assert transfer.errors[0].detail == (
        "509 bytes of the file in 10 s, but at least 100 a second are wanted"
    )


def test_a_fast_beginning_does_not_pay_for_a_slow_end(reading):
    transfer = reading()
    transfer.receive(10**6)
    transfer.trickle(1, every=1, times=2 * STALL - 1)
    assert transfer.errors == []
    transfer.clock.advance(1)
    assert transfer.told == [SLOW]


def test_a_body_that_ends_in_the_first_window_may_be_small(reading):
    transfer = reading()
    transfer.trickle(1, every=1, times=STALL - 1)
    transfer.limits.watch(on=False)
    transfer.clock.advance(1000)
    assert transfer.errors == []


def test_the_window_stands_still_while_we_keep_the_server_waiting(reading):
    transfer = reading()
    for _ in range(STALL - 1):
        transfer.trickle(1, every=1, times=1)
        transfer.limits.watch(on=False)
        transfer.clock.advance(1000)
        transfer.limits.watch(on=True)
    assert transfer.errors == []
    transfer.clock.advance(1)
    assert transfer.told == [SLOW]


def test_what_is_not_the_body_does_not_count(reading):
    transfer = reading()
    for _ in range(STALL):
        transfer.clock.advance(1)
        transfer.limits.heard(10**6)
    assert transfer.told == [SLOW]


def test_without_a_least_rate_every_byte_is_enough(reading):
    transfer = reading(min_rate=0)
    transfer.trickle(1, every=STALL - 1, times=50)
    assert transfer.errors == []


@pytest.mark.parametrize("after", [0, 0.01, 2, 4.9])
def test_a_server_that_falls_silent_has_stalled(reading, after):
    transfer = reading()
    transfer.receive(1)
    transfer.clock.advance(after)
    transfer.receive(1)
    transfer.clock.advance(STALL - after)
    transfer.clock.advance(after)
    assert transfer.told == [TIMED_OUT]


def test_a_silence_that_ends_does_not_make_it_fast(reading):
    transfer = reading()
    transfer.clock.advance(4)
    transfer.receive(1)
    transfer.clock.advance(9)
    transfer.receive(1)
    assert transfer.errors == []
    transfer.clock.advance(1)
    assert transfer.told == [SLOW]


def test_another_hop_begins_anew(reading):
    transfer = reading()
    transfer.clock.advance(STALL - 1)
    transfer.limits.watch(on=False)
    transfer.limits.ask()
    transfer.clock.advance(STALL - 1)
    transfer.limits.heard(1)
    transfer.limits.answered()
    transfer.trickle(1, every=1, times=STALL - 1)
    assert transfer.errors == []
    transfer.clock.advance(1)
    assert transfer.told == [SLOW]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.floats(0.5, STALL - 0.01), st.integers(0, 2)), min_size=1, max_size=5))
def test_whoever_is_always_slow_does_not_last(pieces):
    transfer = Transfer()
    transfer.limits.answered()
    waited = 0.0
    for seconds, pauses in pieces * 60:
        transfer.clock.advance(seconds)
        waited += seconds
        transfer.receive(int(seconds * RATE * 0.4))
        for _ in range(pauses):
            if not transfer.errors:
                transfer.limits.watch(on=False)
                transfer.clock.advance(100)
                transfer.limits.watch(on=True)
                transfer.clock.advance(0)
        if transfer.errors:
            break
    assert transfer.errors
    # A window, the rest of a silence, and the piece in which that ends.
    assert waited <= 3 * STALL
    transfer.limits.stop()


# --- the bytes before the body


def test_the_bytes_before_the_body_are_bounded():
    transfer = Transfer()
    assert transfer.limits.heard(MOST_BELOW_TLS - 1)
    assert transfer.limits.heard(1)
    assert not transfer.limits.heard(1)
    assert transfer.told == ["the server's headers are too long"]
    assert transfer.errors[0].detail == "more than 524288 bytes, and the head is not whole"


def test_each_hop_has_as_many():
    transfer = Transfer()
    for _ in range(3):
        assert transfer.limits.heard(MOST_BELOW_TLS)
        transfer.limits.ask()
    transfer.limits.stop()


def test_the_body_is_not_among_them(reading):
    assert reading().limits.heard(1 << 40)

"""What tiny pieces may cost, counted against a clock of the test."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from twisted_oob.files.pace import Pace

# Microseconds of a processor; a transfer gets 10,000 a second.
BURST = 20_000
REST = 100


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def pace(clock):
    return Pace(clock)


def spend(pace, microseconds):
    pace.chunks(microseconds)


@pytest.mark.parametrize(
    ("count", "cost"),
    [
        (lambda pace: pace.read(4095), 30),
        (lambda pace: pace.read(1), 30),
        (lambda pace: pace.read(4096), 0),
        (lambda pace: pace.read(65536), 0),
        (lambda pace: pace.piece(1023), 20),
        (lambda pace: pace.piece(1024), 0),
        (lambda pace: pace.chunks(7), 7),
        (lambda pace: pace.chunks(0), 0),
        (lambda pace: pace.addresses(3), 60),
    ],
)
def test_what_is_small_costs_and_what_is_large_does_not(pace, count, cost):
    spend(pace, BURST)
    count(pace)
    assert pace.pause() == pytest.approx((cost + REST) / 10_000 if cost else 0)


def test_a_burst_needs_no_rest(pace):
    spend(pace, BURST - 30)
    pace.read(1)
    assert pace.pause() == 0


def test_time_fills_the_bucket_again(pace, clock):
    spend(pace, BURST + 4_900)
    assert pace.pause() == pytest.approx(0.5)
    clock.advance(0.5)
    spend(pace, 900)
    assert pace.pause() == pytest.approx(0.1)
    clock.advance(1)
    assert pace.pause() == 0


def test_a_long_silence_saves_up_no_more_than_a_burst(pace, clock):
    clock.advance(1_000_000)
    spend(pace, BURST + 9_900)
    assert pace.pause() == pytest.approx(1)


def test_a_clock_that_is_set_back_costs_nothing(pace, clock):
    clock.advance(1000)
    spend(pace, BURST + 9_900)
    clock.rightNow -= 500
    assert pace.pause() == pytest.approx(1)


def test_bytes_one_by_one_for_a_minute_get_a_hundredth_of_the_time(pace, clock):
    reads = rests = 0
    while clock.seconds() < 60:
        pace.read(1)
        reads += 1
        rest = pace.pause()
        rests += rest > 0
        clock.advance(rest)
    assert reads * 30e-6 + rests * 100e-6 == pytest.approx(0.02 + 0.6, rel=0.01)

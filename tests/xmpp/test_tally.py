"""Tally: one line a minute for all that was refused, and a timer only while it is needed."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock
from twisted.logger import LogLevel, formatEvent

from twisted_oob.xmpp.tally import Tally


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def tally(clock):
    return Tally(clock)


def lines(log):
    assert {event["log_level"] for event in log.ours()} <= {LogLevel.info}
    return [formatEvent(event) for event in log.ours()]


def test_a_minute_of_refusals_is_one_line(tally, clock, log):
    for _ in range(312):
        tally.denied("mallory@far.example")
    for _ in range(20):
        tally.dropped("mallory@far.example")
        tally.dropped("trudy@far.example")
    clock.advance(59)
    assert lines(log) == []
    clock.advance(1)
    assert lines(log) == [
        "Denied 312 and dropped 40 requests in the last minute; senders: 2, the busiest "
        "mallory@far.example with 332"
    ]


def test_each_minute_is_counted_anew_and_quiet_ones_cost_nothing(tally, clock, log):
    tally.denied("a")
    clock.advance(60)
    assert clock.getDelayedCalls() == []
    clock.advance(3600)
    tally.dropped("b")
    clock.advance(60)
    assert [line.partition(" in the")[0] for line in lines(log)] == [
        "Denied 1 and dropped 0 requests",
        "Denied 0 and dropped 1 requests",
    ]
    assert clock.getDelayedCalls() == []


def test_no_timer_outlasts_the_service(tally, clock, log):
    tally.denied("a")
    tally.stop()
    assert len(lines(log)) == 1
    tally.denied("b")
    assert clock.getDelayedCalls() == []
    tally.stop()
    assert len(lines(log)) == 1
    # What was counted meanwhile is told after the next start.
    tally.start()
    tally.start()
    clock.advance(60)
    assert len(lines(log)) == 2
    assert clock.getDelayedCalls() == []


def test_many_and_long_addresses_are_bounded(tally, clock, log):
    for number in range(5000):
        tally.dropped(f"{number}@{'x' * 3000}")
    assert len(tally._by_sender) == 1000
    clock.advance(60)
    (line,) = lines(log)
    assert "dropped 5000 requests" in line
    assert "senders: 1000 or more, the busiest" in line
    assert len(line) < 400

"""Buckets: how many tokens there are, when the next one comes, and who is remembered."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from twisted_oob.xmpp.buckets import Buckets


def buckets(clock, per_second=2, burst=10, **more):
    return Buckets(clock, per_second=per_second, burst=burst, **more)


def taken(made, count, sender="a"):
    """Give how many of so many tries got a token."""
    return sum(made.take(sender) for _ in range(count))


# Times as a Clock in a test has them, and as a reactor has them.
STARTS = pytest.mark.parametrize("start", [0.0, 1_795_000_000.123])


@STARTS
@pytest.mark.parametrize(("per_second", "burst"), [(2, 10), (20, 100), (3, 7), (0.1, 1), (1, 30)])
def test_a_burst_at_once_and_then_one_for_each_interval(start, per_second, burst):
    clock = Clock()
    clock.advance(start)
    made = buckets(clock, per_second, burst)
    assert taken(made, 5 * burst) == burst
    for _ in range(20):
        clock.advance(0.4 / per_second)
        assert not made.take("a")
        clock.advance(0.6 / per_second)
        assert taken(made, 3) == 1


def test_tokens_are_saved_up_to_the_burst_and_not_beyond():
    clock = Clock()
    made = buckets(clock)
    taken(made, 10)
    clock.advance(2)
    assert taken(made, 100) == 4
    clock.advance(1_000_000)
    assert taken(made, 100) == 10


def test_each_sender_has_a_bucket_of_its_own():
    made = buckets(Clock())
    assert taken(made, 20, "a") == 10
    assert taken(made, 20, "b") == 10
    assert taken(made, 20, "a") == 0


@given(
    st.floats(0.1, 50),
    st.integers(1, 50),
    st.lists(st.tuples(st.floats(0, 3), st.integers(0, 30)), max_size=30),
)
def test_never_more_than_the_burst_and_the_rate_in_any_time(per_second, burst, tries):
    clock = Clock()
    made = buckets(clock, per_second, burst)
    moments = []
    for pause, count in tries:
        clock.advance(pause)
        moments += [clock.seconds()] * taken(made, count)
    for first, begin in enumerate(moments):
        for last in range(first, len(moments)):
            most = burst + per_second * (moments[last] - begin + 0.01)
            assert last - first + 1 <= most


def test_a_reserved_token_comes_in_its_turn_and_is_nobody_elses():
    clock = Clock()
    made = buckets(clock)
    assert [made.reserve("a") for _ in range(10)] == [0] * 10
    assert [made.reserve("a") for _ in range(3)] == pytest.approx([0.5, 1.0, 1.5])
    clock.advance(1.4)
    assert not made.take("a")
    clock.advance(0.1)
    assert not made.take("a")
    clock.advance(0.5)
    assert taken(made, 3) == 1


def test_a_token_that_is_given_back_can_be_taken_again():
    made = buckets(Clock())
    assert taken(made, 10) == 10
    made.give_back("a")
    assert taken(made, 3) == 1
    # There are never more than the burst.
    for _ in range(20):
        made.give_back("a")
    made.give_back("b")
    assert len(made) == 0
    assert taken(made, 20) == 10


def test_full_buckets_are_forgotten():
    clock = Clock()
    made = buckets(clock)
    for number in range(100):
        taken(made, 5, str(number))
    assert len(made) == 100
    clock.advance(2.5)
    made.take("a")
    assert len(made) == 1


def test_of_too_many_senders_the_one_that_asked_longest_ago_is_forgotten():
    made = buckets(Clock(), most=3)
    for sender in "abc":
        taken(made, 10, sender)
    made.take("a")
    taken(made, 10, "d")
    assert len(made) == 3
    assert taken(made, 1, "a") == 0
    assert taken(made, 20, "b") == 10


def test_a_clock_that_is_set_back_keeps_nobody_waiting():
    clock = Clock()
    clock.advance(10_000)
    made = buckets(clock)
    taken(made, 10)
    clock.rightNow -= 3600
    assert taken(made, 20) == 10
    assert made.reserve("a") == pytest.approx(0.5)

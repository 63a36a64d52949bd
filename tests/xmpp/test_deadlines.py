"""One timer for any number of deadlines."""

from __future__ import annotations

import weakref

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.streams import logged
from tests.support.waiting import BoundedClock
from twisted_oob.xmpp.deadlines import DeadlineQueue


class Item:
    """Something with a deadline, which notes when it came."""

    def __init__(self, queue, clock, then=None):
        self.queue = queue
        self.clock = clock
        self.then = then
        self.deadline = None
        self.over = False
        self.expired_at = None

    def add(self, seconds):
        self.deadline = self.queue.add(self, seconds)
        return self

    def cancel(self):
        self.over = True
        self.queue.cancel(self.deadline)
        self.queue.stop_if_idle()

    def expire(self):
        self.expired_at = self.clock.seconds()
        assert not self.over
        self.cancel()
        if self.then is not None:
            self.then()


@pytest.fixture
def clock():
    return BoundedClock()


@pytest.fixture
def queue(clock):
    return DeadlineQueue(clock)


@pytest.fixture
def add(queue, clock):
    def add(seconds, then=None):
        return Item(queue, clock, then).add(seconds)

    return add


@pytest.mark.parametrize("seconds", [0, 0.1, 1, 900.0, 1e9])
def test_expires_at_its_time_and_not_before(add, clock, seconds):
    item = add(seconds)
    clock.advance(seconds * 0.999)
    assert (item.expired_at is None) == (seconds > 0)
    clock.advance(seconds * 0.002)
    assert item.over
    assert clock.getDelayedCalls() == []


def test_expires_in_the_order_of_time_then_of_adding(queue, clock):
    order = []
    for name, seconds in [("c", 3), ("a", 1), ("d", 3), ("b", 2)]:
        Item(queue, clock, lambda name=name: order.append(name)).add(seconds)
    clock.advance(5)
    assert order == ["a", "b", "c", "d"]


def test_a_cancelled_deadline_never_expires(add, clock):
    item, other = add(5), add(6)
    item.cancel()
    clock.advance(10)
    assert item.expired_at is None
    assert other.expired_at == 10


def test_one_timer_for_thousands(add, clock):
    items = [add(900 - number % 7) for number in range(5000)]
    assert len(clock.getDelayedCalls()) == 1
    for item in items:
        item.cancel()
    assert clock.getDelayedCalls() == []


def test_no_timer_before_the_first_item_and_after_the_last(add, clock):
    assert clock.getDelayedCalls() == []
    add(1)
    clock.advance(1)
    assert clock.getDelayedCalls() == []
    add(1).cancel()
    assert clock.getDelayedCalls() == []


def test_timer_stays_for_what_follows_before_the_queue_is_idle(queue, clock):
    first = Item(queue, clock).add(10)
    (timer,) = clock.getDelayedCalls()
    clock.advance(1)
    queue.cancel(first.deadline)
    second = Item(queue, clock).add(10)
    queue.stop_if_idle()
    assert clock.getDelayedCalls() == [timer]
    clock.advance(9.5)
    assert second.expired_at is None
    clock.advance(0.5)
    assert (first.expired_at, second.expired_at) == (None, 11)


def test_earlier_deadline_takes_over_the_timer(add, clock):
    late, early = add(100), add(10)
    clock.advance(10)
    assert early.expired_at == 10
    clock.advance(90)
    assert late.expired_at == 100


@pytest.mark.parametrize("again", [0, 1, 5, 30, 100])
def test_what_an_expiry_adds_delays_nobody_else(add, clock, again):
    added = []
    first = add(10, then=lambda: added.append(add(again)))
    second = add(20)
    for _ in range(200):
        clock.advance(1)
    assert first.expired_at == 10
    assert second.expired_at == 20
    assert added[0].expired_at == pytest.approx(10 + again, abs=1)
    assert clock.getDelayedCalls() == []


def test_expiry_that_cancels_another_spares_it(add, clock):
    def cancel_the_other():
        other.cancel()

    first = add(10, then=cancel_the_other)
    other = add(10)
    clock.advance(10)
    assert first.expired_at == 10
    assert other.expired_at is None
    assert clock.getDelayedCalls() == []


def test_memory_does_not_grow_with_what_is_cancelled(add, queue):
    kept = [add(1000) for _ in range(10)]
    for _ in range(5000):
        add(1000).cancel()
    assert len(queue._heap) < 100
    for item in kept:
        item.cancel()
    assert len(queue._heap) == 0


def test_what_is_cancelled_is_let_go_at_once(add):
    kept, item = add(1000), add(1000)
    gone = weakref.ref(item)
    item.cancel()
    del item
    assert gone() is None
    kept.cancel()


def test_cancelled_twice_counts_once(add, queue, clock):
    item, other = add(5), add(6)
    item.cancel()
    item.cancel()
    assert len(clock.getDelayedCalls()) == 1
    clock.advance(10)
    assert other.expired_at == 10


def test_exception_in_one_expiry_does_not_stop_the_others(add, clock):
    def fail():
        raise RuntimeError("one of them")

    add(1, then=fail)
    others = [add(1), add(2)]
    with logged() as events:
        clock.advance(1)
        clock.advance(1)
        assert [str(error) for error in events.failures()] == ["one of them"]
    assert [item.expired_at for item in others] == [1, 2]
    assert clock.getDelayedCalls() == []


def test_expiry_that_fails_at_once_is_over(add, queue, clock):
    class Failing:
        def expire(self):
            raise RuntimeError("at once")

    queue.add(Failing(), 1)
    other = add(2)
    with logged() as events:
        clock.advance(1)
        assert [str(error) for error in events.failures()] == ["at once"]
    other.cancel()
    assert clock.getDelayedCalls() == []


ADD = st.tuples(st.just("add"), st.integers(1, 30), st.none() | st.integers(1, 30))
CANCEL = st.tuples(st.just("cancel"), st.integers(0, 100), st.none())
ADVANCE = st.tuples(st.just("advance"), st.integers(0, 20), st.none())


@settings(deadline=None)
@given(st.lists(ADD | CANCEL | ADVANCE, max_size=80))
def test_behaves_as_a_sorted_list_would(steps):
    """Against the naive model: each is due at its time, and the clock goes second by second."""
    clock = BoundedClock()
    queue = DeadlineQueue(clock)
    model = {}

    def add(seconds, again=None):
        item = Item(queue, clock, None if again is None else lambda: add(again))
        model[item] = clock.seconds() + seconds
        item.add(seconds)

    for step, value, again in steps:
        if step == "add":
            add(value, again)
        elif step == "cancel":
            live = [item for item in model if not item.over]
            if live:
                live[value % len(live)].cancel()
        else:
            for _ in range(value):
                clock.advance(1)
        assert all(item.over for item, due in model.items() if due < clock.seconds()), (
            "an item outlived its deadline"
        )
        assert all(item.expired_at in (None, due) for item, due in model.items()), (
            "an item expired at another time than its own"
        )
        live = sum(not item.over for item in model)
        assert len(clock.getDelayedCalls()) == (1 if live else 0)
        assert len(queue._heap) <= 2 * live + 33

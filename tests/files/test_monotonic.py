"""Timers that follow the monotonic clock, whatever happens to the wall clock."""

from __future__ import annotations

import threading

import pytest
import pytest_twisted
from twisted.internet.error import AlreadyCalled
from twisted.internet.task import Clock, deferLater

from tests.support.fetching import ends_of, failure_of
from tests.support.hostile_http import answer
from tests.support.waiting import in_time, until
from twisted_oob.errors import FetchFailed, Forbidden
from twisted_oob.files import monotonic
from twisted_oob.files.addresses import LOOPBACK
from twisted_oob.files.fetch import Fetcher
from twisted_oob.files.monotonic import SLICE, MonotonicReactor
from twisted_oob.files.policy import FetchPolicy


class Time:
    """Two clocks: the wall clock of a reactor, which can be set, and the monotonic one."""

    def __init__(self):
        self.wall = Clock()
        self.now = 1000.0

    def monotonic(self):
        return self.now

    def pass_(self, seconds):
        """Time passes, a little at a time."""
        for _ in range(round(seconds * 2)):
            self.now += 0.5
            self.wall.advance(0.5)

    def set_wall(self, change):
        self.wall.rightNow += change
        self.wall.advance(0)


def has_thread():
    return any(thread.name == "twisted_oob clock" for thread in threading.enumerate())


@pytest.fixture
def time(monkeypatch):
    time = Time()
    monkeypatch.setattr(monotonic, "time", time)
    return time


@pytest.fixture
def reactor(time):
    return MonotonicReactor(time.wall)


@pytest.mark.parametrize("delay", [0, 0.5, 7, 100, 1000])
def test_a_call_comes_when_it_is_due(time, reactor, delay):
    calls = []
    call = reactor.callLater(delay, lambda *args, **kwargs: calls.append((args, kwargs)), 1, a=2)
    assert call.getTime() == 1000 + delay
    time.pass_(max(0, delay - 0.5))
    assert calls == []
    assert call.active()
    time.pass_(0.5)
    assert calls == [((1,), {"a": 2})]
    assert not call.active()
    assert time.wall.getDelayedCalls() == []
    with pytest.raises(AlreadyCalled):
        call.cancel()


@pytest.mark.parametrize("step", [1, 60, 10**6])
def test_a_wall_clock_that_is_set_forward_calls_nothing_early(time, reactor, step):
    calls = []
    reactor.callLater(50, calls.append, None)
    time.pass_(20)
    time.set_wall(step)
    time.pass_(29.5)
    assert calls == []
    time.pass_(0.5)
    assert calls == [None]


def test_a_wall_clock_that_is_set_back_makes_one_slice_late(time, reactor):
    calls = []
    reactor.callLater(1000, calls.append, None)
    time.pass_(20)
    time.set_wall(-600)
    time.pass_(979.5)
    assert calls == []
    time.pass_(0.5)
    assert calls == [None]


@pytest_twisted.ensureDeferred
async def test_a_url_that_is_refused_needs_no_thread(net, folder):
    await until(lambda: not has_thread())
    await failure_of(Fetcher(net, FetchPolicy(), folder).fetch("ftp://files.test/"), Forbidden)
    await deferLater(net, 0.01)
    assert not has_thread()


def test_no_timer_is_longer_than_a_slice(time, reactor):
    reactor.callLater(10**6, lambda: None)
    [timer] = time.wall.getDelayedCalls()
    assert timer.getTime() - time.wall.seconds() == SLICE


def test_a_call_that_is_cancelled_does_not_come(time, reactor):
    calls = []
    call = reactor.callLater(50, calls.append, None)
    time.pass_(40)
    call.cancel()
    assert not call.active()
    time.pass_(40)
    assert calls == []
    with pytest.raises(AlreadyCalled):
        call.cancel()


def test_everything_else_is_the_reactors(time, reactor):
    assert reactor.getDelayedCalls() == []


@pytest_twisted.ensureDeferred
async def test_a_healthy_transfer_outlives_a_step_of_the_wall_clock(web, net, folder, monkeypatch):
    from twisted.internet import reactor

    policy = FetchPolicy(allow_networks=LOOPBACK, timeout=30, stall_timeout=20)
    fetching = Fetcher(net, policy, folder).fetch(web.url())
    ends = ends_of(fetching)
    connection = await in_time(web.arrivals.get())
    connection.write(answer(b"x", length=2))
    wall = reactor.seconds
    with monkeypatch.context() as patched:
        patched.setattr(reactor, "seconds", lambda: wall() + 60)
        for _ in range(5):
            await deferLater(reactor, 0.001)
        assert not ends
        connection.write(b"x")
        await until(lambda: ends)
    assert (await fetching).size == 2


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize("step", [-3, -3600])
@pytest.mark.parametrize("policy", [{"stall_timeout": 0.3}, {"timeout": 0.3}])
@pytest_twisted.ensureDeferred
async def test_limits_hold_after_the_wall_clock_is_set_back(
    *, web, net, folder, monkeypatch, policy, step, later
):
    from twisted.internet import reactor

    await until(lambda: not has_thread())
    monkeypatch.setattr(monotonic, "TICK", 0.1)
    wall = reactor.seconds
    began = monotonic.time.monotonic()
    fetching = Fetcher(net, FetchPolicy(allow_networks=LOOPBACK, **policy), folder).fetch(web.url())
    if later:
        await in_time(web.arrivals.get())
        await until(has_thread)
    with monkeypatch.context() as patched:
        patched.setattr(reactor, "seconds", lambda: wall() + step)
        error = await failure_of(fetching, FetchFailed)
    assert error.text == "timed out"
    assert monotonic.time.monotonic() - began < 2.5


@pytest_twisted.ensureDeferred
async def test_nothing_is_left_in_the_reactor_when_calls_are_over():
    """Trial would find it."""
    from twisted.internet import reactor

    await until(lambda: not has_thread())
    before = set(reactor.getDelayedCalls())
    steady = MonotonicReactor(reactor)
    calls = [steady.callLater(0.01, lambda: None), steady.callLater(100, lambda: None)]
    assert set(reactor.getDelayedCalls()) > before
    calls[1].cancel()
    await until(lambda: not calls[0].active())
    assert set(reactor.getDelayedCalls()) <= before


@pytest.mark.parametrize("wait", [0, 0.1])
@pytest_twisted.ensureDeferred
async def test_calls_that_somebody_cancels_in_the_reactor_are_forgotten(monkeypatch, wait):
    """As Trial does with what a test has left."""
    from twisted.internet import reactor

    await until(lambda: not has_thread())
    monkeypatch.setattr(monotonic, "TICK", 0.02)
    before = set(reactor.getDelayedCalls())
    steady = MonotonicReactor(reactor)
    lost = steady.callLater(0.2, lambda: None)
    await deferLater(reactor, wait)
    for each in set(reactor.getDelayedCalls()) - before:
        each.cancel()
    assert not lost.active()
    kept = steady.callLater(100, lambda: None)
    await until(has_thread)
    kept.cancel()
    await until(lambda: not has_thread())


@pytest_twisted.ensureDeferred
async def test_a_limit_that_is_late_ends_the_transfer_with_its_next_bytes(
    web, net, folder, monkeypatch
):
    from twisted.internet import reactor

    policy = FetchPolicy(allow_networks=LOOPBACK, timeout=0.05)
    wall = reactor.seconds
    with monkeypatch.context() as patched:
        fetching = Fetcher(net, policy, folder).fetch(web.url())
        connection = await in_time(web.arrivals.get())
        patched.setattr(reactor, "seconds", lambda: wall() - 60)
        begin = monotonic.time.monotonic()
        while monotonic.time.monotonic() < begin + 0.06:
            await deferLater(reactor, 0)
        connection.write(answer(b"x"))
        error = await failure_of(fetching, FetchFailed)
    assert error.text == "timed out"

"""A reactor whose timers follow the monotonic clock.

Twisted's timers follow the wall clock. If somebody sets that forward by a minute, every timer of
the next minute fires at once, and each transfer with a limit of less ends, however healthy it is.

So a timer of this reactor that fires too early, by the monotonic clock, is set again for the rest.
If the wall clock is set back, Twisted's timer fires too late. So a thread looks every TICK seconds
for calls that are overdue, and has the reactor look at them, too. It is there while calls are to
come, from the reactor's next turn on: most transfers that are refused for their URL end before. No
timer is set for longer than SLICE seconds: if the system gives us no thread, only the slice that
runs as the clock is set back is late.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.base import ReactorBase
from twisted.internet.error import AlreadyCalled

from twisted_oob.files.forks import tell_of_forks

SLICE: Final = 5.0
"""Seconds for which Twisted's timer is set at most."""
TICK: Final = 0.5
"""Seconds between two looks for overdue calls, and after which a call is overdue."""


def steady(clock: Any) -> Any:
    """Give a clock that nobody can set: a MonotonicReactor for one of Twisted's reactors.

    Any other clock, such as a ``task.Clock``, is its owner's, and stays as it is.
    """
    return MonotonicReactor(clock) if isinstance(clock, ReactorBase) else clock


class MonotonicReactor:
    """A reactor with another clock.

    Args:
        reactor: Does everything but to tell the time.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        # A task.Clock knows no threads, and its owner sets it.
        self._watched = hasattr(reactor, "callFromThread")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def seconds(self) -> float:
        """Tell the time, since nobody knows when."""
        return time.monotonic()

    def callLater(
        self, delay: float, function: Callable[..., object], *args: Any, **kwargs: Any
    ) -> MonotonicCall:
        """Call a function later, as IReactorTime does."""
        call = MonotonicCall(self._reactor, delay, lambda: function(*args, **kwargs))
        if self._watched:
            _watch.add(call, self._reactor)
        return call


class MonotonicCall:
    """A call that will come, as an IDelayedCall that can't be put off.

    Args:
        reactor: Wakes us up.
        delay: Seconds from now.
        function: Is called.
    """

    __slots__ = ("_due", "_function", "_looks_at", "_reactor", "_timer")

    def __init__(self, reactor: Any, delay: float, function: Callable[[], object]) -> None:
        self._reactor = reactor
        self._function = function
        self._due = time.monotonic() + delay
        self._timer: Any
        self._looks_at: float
        self._set_timer(delay)

    def getTime(self) -> float:  # noqa: N802  # the interface's
        """Tell when it is due, by the monotonic clock."""
        return self._due

    def active(self) -> bool:
        """Tell whether it is still to come."""
        return self._timer is not None and self._timer.active()

    def cancel(self) -> None:
        """Don't call the function.

        Raises:
            AlreadyCalled: It was called, or cancelled.
        """
        timer, self._timer = self._timer, None
        if timer is None:
            raise AlreadyCalled
        _watch.discard(self)
        timer.cancel()

    def wake_if_overdue(self, now: float) -> None:
        """Have the reactor look at it if its timer should have fired. Called in a thread."""
        if now > self._looks_at + TICK:
            self._looks_at = math.inf  # once is enough
            self._reactor.callFromThread(self._look_early)

    def _set_timer(self, delay: float) -> None:
        seconds = min(delay, SLICE)
        self._looks_at = time.monotonic() + seconds
        self._timer = self._reactor.callLater(seconds, self._look)

    def _look(self) -> None:
        left = self._due - time.monotonic()
        if left > 0:
            self._set_timer(left)
        else:
            self._timer = None
            _watch.discard(self)
            self._function()

    def _look_early(self) -> None:
        if self.active():
            self._timer.cancel()
            self._look()
        else:
            # Perhaps somebody has cancelled all that the reactor had, as Trial does after a test.
            _watch.discard(self)


class _Watch:
    """Wakes calls whose timers are late, from a thread that is there while calls are to come."""

    def __init__(self) -> None:
        self._calls: set[MonotonicCall] = set()
        self.forget_parent()
        tell_of_forks(self)

    def forget_parent(self) -> None:
        """Begin without a thread, in a child that was just forked."""
        # Guards the calls, and whether there is a thread.
        self._lock = threading.Lock()
        self._begun = False

    def add(self, call: MonotonicCall, reactor: Any) -> None:
        """Watch a call."""
        with self._lock:
            self._calls.add(call)
            begun = self._begun
        if not begun:
            # Not by a timer, which would be late if the clock was set back now.
            reactor.callFromThread(self._begin)

    def discard(self, call: MonotonicCall) -> None:
        """Watch a call no more; one that is not watched, too."""
        with self._lock:
            self._calls.discard(call)

    def _begin(self) -> None:
        with self._lock:
            if self._begun or not self._calls:
                return
            self._begun = True
        try:
            threading.Thread(target=self._work, name="twisted_oob clock", daemon=True).start()
        except (RuntimeError, MemoryError):
            # No thread for us now. The next call tries again.
            self._begun = False

    def _work(self) -> None:
        tick = threading.Event()
        while self._look():
            tick.wait(TICK)

    def _look(self) -> bool:
        """Wake what is overdue; False if there are no calls, and the thread is over."""
        # A call of its own, so that a thread that waits keeps none of them.
        with self._lock:
            calls = list(self._calls)
            if not calls:
                self._begun = False
        now = time.monotonic()
        for call in calls:
            call.wake_if_overdue(now)
        return bool(calls)


_watch: Final = _Watch()

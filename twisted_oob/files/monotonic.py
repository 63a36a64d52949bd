"""A reactor whose timers follow the monotonic clock.

Twisted's timers follow the wall clock. If somebody sets that forward by a minute, every timer of
the next minute fires at once, and each transfer with a limit of less ends, however healthy it is.

So a timer of this reactor that fires too early, by the monotonic clock, is set again for the rest.
If the wall clock is set back, Twisted's timer fires too late, and there is nothing that could wake
us up sooner. So no timer is set for longer than SLICE seconds: only the slice that runs at that
moment is late.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.base import ReactorBase
from twisted.internet.error import AlreadyCalled

SLICE: Final = 5.0
"""Seconds for which Twisted's timer is set at most."""


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

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def seconds(self) -> float:
        """Tell the time, since nobody knows when."""
        return time.monotonic()

    def callLater(
        self, delay: float, function: Callable[..., object], *args: Any, **kwargs: Any
    ) -> MonotonicCall:
        """Call a function later, as IReactorTime does."""
        return MonotonicCall(self._reactor, delay, lambda: function(*args, **kwargs))


class MonotonicCall:
    """A call that will come, as an IDelayedCall that can't be put off.

    Args:
        reactor: Wakes us up.
        delay: Seconds from now.
        function: Is called.
    """

    __slots__ = ("_due", "_function", "_reactor", "_timer")

    def __init__(self, reactor: Any, delay: float, function: Callable[[], object]) -> None:
        self._reactor = reactor
        self._function = function
        self._due = time.monotonic() + delay
        self._timer: Any = reactor.callLater(min(delay, SLICE), self._look)

    def getTime(self) -> float:  # noqa: N802  # the interface's
        """Tell when it is due, by the monotonic clock."""
        return self._due

    def active(self) -> bool:
        """Tell whether it is still to come."""
        return self._timer is not None

    def cancel(self) -> None:
        """Don't call the function.

        Raises:
            AlreadyCalled: It was called, or cancelled.
        """
        timer, self._timer = self._timer, None
        if timer is None:
            raise AlreadyCalled
        timer.cancel()

    def _look(self) -> None:
        left = self._due - time.monotonic()
        if left > 0:
            self._timer = self._reactor.callLater(min(left, SLICE), self._look)
        else:
            self._timer = None
            self._function()

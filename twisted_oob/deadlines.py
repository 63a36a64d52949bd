"""One timer for any number of deadlines.

A ``callLater`` for each request costs more than the request itself, and its closure keeps
all of it alive. Here a deadline is one tuple in a heap, and only the earliest one has a timer.
What is settled before its deadline stays in the heap until it comes up or until such
entries are the majority; then they are swept out at once, which makes settling O(1) amortised.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Final, Protocol

from twisted.logger import Logger

_SWEEP_FROM: Final = 32


class Timer(Protocol):
    """What Clock.callLater gives (Twisted's IDelayedCall, as a type checker reads it)."""

    def cancel(self) -> None:
        """Don't make the call."""

    def active(self) -> bool:
        """Whether the call is still to be made."""


class Clock(Protocol):
    """What tells the time and calls later: a reactor or a task.Clock (Twisted's IReactorTime)."""

    def seconds(self) -> float:
        """Tell the time, in seconds since a moment that stays the same."""

    def callLater(
        self,
        delay: float,
        callable: Callable[..., object],  # noqa: A002
        /,
        *args: object,
    ) -> Timer:
        """Make the call in so many seconds."""


class Expiring(Protocol):
    """What can be given a deadline."""

    @property
    def settled(self) -> bool:
        """Whether it needs its deadline no more."""

    def expire(self) -> None:
        """Handle the deadline; it is settled when this returns."""


class DeadlineQueue:
    """Expires each of many things at its own time, with one timer.

    ``clock``: what tells the time and runs the timer.
    """

    _log = Logger()

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[tuple[float, int, Expiring]] = []
        self._order = count()
        self._live = 0
        self._timer: Timer | None = None
        self._timer_due = 0.0

    def add(self, item: Expiring, seconds: float) -> None:
        """Call ``item.expire()`` in so many seconds, unless ``settle`` is called before."""
        due = self._clock.seconds() + seconds
        heappush(self._heap, (due, next(self._order), item))
        self._live += 1
        if self._timer is None or due < self._timer_due:
            self._arm(due)

    def settle(self) -> None:
        """Count one of the items as settled; to be called once for each, after it became so."""
        self._live -= 1
        if len(self._heap) > 2 * self._live + _SWEEP_FROM:
            self._heap = [entry for entry in self._heap if not entry[2].settled]
            heapify(self._heap)

    def rest(self) -> None:
        """Stop the timer where nothing needs it; to be called after ``settle``.

        Not at once, as what is settled is often followed by the next.
        """
        if not self._live:
            self._heap.clear()
            self._disarm()

    def _arm(self, due: float) -> None:
        self._disarm()
        self._timer_due = due
        self._timer = self._clock.callLater(max(0.0, due - self._clock.seconds()), self._expire)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        self._timer = None
        now = self._clock.seconds()
        while self._heap and (self._heap[0][2].settled or self._heap[0][0] <= now):
            item = heappop(self._heap)[2]
            if not item.settled:
                try:
                    item.expire()
                except Exception:
                    self._log.failure("Could not expire {item!r}", item=item)
        # What was added meanwhile may have armed the timer for a later deadline than the first.
        if self._heap and (self._timer is None or self._heap[0][0] < self._timer_due):
            self._arm(self._heap[0][0])

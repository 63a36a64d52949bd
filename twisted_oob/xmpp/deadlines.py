"""One timer for any number of deadlines.

A ``callLater`` for each request costs more than the request itself, and its closure keeps
all of it alive. Here a deadline is an entry in a heap, and only the earliest one has a timer.
What is settled before its deadline is let go at once. Its empty entry stays in the heap until it
comes up or until such entries are the majority; then they are swept out together, which makes
settling O(1) amortised.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Any, Final, Protocol, TypeAlias

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

    def expire(self) -> None:
        """Handle the deadline, which is settled already."""


Deadline: TypeAlias = "list[Any]"
"""What ``add`` gives: when it is due, its place among equals, and what expires (None: settled).

A list, which the heap compares in C.
"""


class DeadlineQueue:
    """Expires each of many things at its own time, with one timer.

    ``clock``: what tells the time and runs the timer.
    """

    _log = Logger()

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[Deadline] = []
        self._order = count()
        self._live = 0
        self._timer: Timer | None = None
        self._timer_due = 0.0

    def add(self, item: Expiring, seconds: float) -> Deadline:
        """Call ``item.expire()`` in so many seconds, unless what this gives is settled before."""
        due = self._clock.seconds() + seconds
        deadline = [due, next(self._order), item]
        heappush(self._heap, deadline)
        self._live += 1
        if self._timer is None or due < self._timer_due:
            self._arm(due)
        return deadline

    def settle(self, deadline: Deadline) -> None:
        """Let go of what a deadline was for. One that is settled already is left as it is."""
        if deadline[2] is None:
            return
        deadline[2] = None
        self._live -= 1
        if len(self._heap) > 2 * self._live + _SWEEP_FROM:
            self._heap = [entry for entry in self._heap if entry[2] is not None]
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
        while self._heap and (self._heap[0][2] is None or self._heap[0][0] <= now):
            deadline = heappop(self._heap)
            item: Expiring | None = deadline[2]
            if item is None:
                continue
            self.settle(deadline)
            try:
                item.expire()
            except Exception:
                self._log.failure("Could not expire {item!r}", item=item)
        # What was added meanwhile may have armed the timer for a later deadline than the first.
        if self._heap and (self._timer is None or self._heap[0][0] < self._timer_due):
            self._arm(self._heap[0][0])

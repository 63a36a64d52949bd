"""DeadlineQueue: one timer for any number of deadlines.

A ``callLater`` for each request costs more than the request itself, and its closure keeps
the whole request alive. Here a deadline is an entry in a heap, and only the earliest one has a
timer. Most deadlines are cancelled long before they are due, because the answer came: then the
entry lets go of its item at once. The empty entry stays in the heap, as removing it from the
middle would cost O(n). It goes when it is due, or when empty entries are the majority: they are
then swept out together, so that cancelling costs O(1) on average.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Any, Final, Protocol, TypeAlias

from twisted.logger import Logger

_SWEEP_FROM: Final = 32
"""Empty entries beyond the live ones before a sweep; a short heap is not worth one."""


class Timer(Protocol):
    """What ``Clock.callLater`` returns (Twisted's IDelayedCall, as a type checker reads it)."""

    def cancel(self) -> None:
        """Cancel the call."""

    def active(self) -> bool:
        """Tell whether the call has neither been made nor cancelled."""


class Clock(Protocol):
    """A reactor or a ``task.Clock`` (Twisted's IReactorTime, as a type checker reads it)."""

    def seconds(self) -> float:
        """Return the time in seconds since some fixed moment."""

    def callLater(
        self,
        delay: float,
        callable: Callable[..., object],  # noqa: A002
        /,
        *args: object,
    ) -> Timer:
        """Call ``callable`` with ``args`` after ``delay`` seconds."""


class Expiring(Protocol):
    """An item that can have a deadline."""

    def expire(self) -> None:
        """Handle the deadline. The queue has forgotten it by then."""


Deadline: TypeAlias = "list[Any]"
"""What ``add`` returns: when it is due, a serial number, and the item (None once it is over).

It is a list because the heap then compares entries in C. The serial number decides between equal
times, so that items are never compared.
"""


class DeadlineQueue:
    """Expires each of many items at its own time, with one timer.

    Args:
        clock: Tells the time and runs the timer.
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
        """Call ``item.expire()`` after some time, unless the deadline is cancelled before.

        Args:
            item: What expires.
            seconds: From now until then.

        Returns:
            The deadline, for ``cancel``.
        """
        due = self._clock.seconds() + seconds
        deadline = [due, next(self._order), item]
        heappush(self._heap, deadline)
        self._live += 1
        if self._timer is None or due < self._timer_due:
            self._arm(due)
        return deadline

    def cancel(self, deadline: Deadline) -> None:
        """Cancel a deadline and let go of its item. Nothing happens if it is over already.

        Call ``stop_if_idle`` afterwards.
        """
        if deadline[2] is None:
            return
        deadline[2] = None
        self._live -= 1
        if len(self._heap) > 2 * self._live + _SWEEP_FROM:
            self._heap = [entry for entry in self._heap if entry[2] is not None]
            heapify(self._heap)

    def stop_if_idle(self) -> None:
        """Stop the timer if no deadline is left.

        ``cancel`` does not do it by itself: one request is often followed by the next, which then
        uses the same timer.
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
            self.cancel(deadline)
            try:
                item.expire()
            except Exception:
                # One failing item must not keep the others from expiring.
                self._log.failure("Could not expire {item!r}", item=item)
        # An expiring item may have added a deadline, and so armed the timer for a time that is
        # later than the first that is left.
        if self._heap and (self._timer is None or self._heap[0][0] < self._timer_due):
            self._arm(self._heap[0][0])

"""Limits: what ends a transfer whose server is too slow, or talks without end before its file.

Theory of operation
===================

Bytes and the passage of time go in. At most one error comes out, and with it the transfer ends:

- **The deadline**: ``timeout`` seconds for the whole transfer, from ``start`` to ``stop``.
- **The stall limit**: ``stall_timeout`` seconds without a byte, of whatever kind.
- **The least rate**: ``min_rate`` bytes of the body a second, on the average of each
  ``stall_timeout`` seconds. The first of these windows begins with the answer's head. A file that
  ends within it may be as small and as slow as it likes.
- **The bytes before the body**: 512 KiB in one hop. They are counted below TLS, so an endless
  handshake ends here. How long a head may be is told in ``header_lines.py``.

The stall limit and the least rate count only the time in which we expect bytes (``watch``). If we
pause the server because our disk is slow, or don't ask it for a while because it wants us to, then
its silence is no fault. Meanwhile the window stands still.

One timer serves both. Bytes only note when they came. When the timer fires, it finds out which of
the two is due, and is set anew if neither is. So a fast transfer, which has thousands of reads
between two ticks, pays nothing for this. Bytes that come after the deadline end the transfer, too:
timers can be late (``monotonic.py``).

A server that sent a little and then fell silent exceeds both limits, one a moment before the other.
It has stalled: if a window ends in a silence of more than half of it, the window waits for the end
of that silence.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

from twisted_oob.errors import FetchFailed
from twisted_oob.files.header_lines import MOST_BELOW_TLS, TOO_LONG
from twisted_oob.files.policy import FetchPolicy

TIMED_OUT: Final = "timed out"
_ROUNDING: Final = 1e-6  # seconds that a sum of two times may be wrong by, and that nobody notices


class Limits:
    """The limits of one transfer.

    Args:
        clock: An IReactorTime.
        policy: Its ``timeout``, ``stall_timeout`` and ``min_rate`` count.
        exceeded: Called with the error of the first limit that is exceeded. It ends the transfer,
            and calls ``stop``.
    """

    def __init__(
        self, clock: Any, policy: FetchPolicy, exceeded: Callable[[FetchFailed], object]
    ) -> None:
        self._clock = clock
        self._policy = policy
        self._exceeded = exceeded
        self._deadline: Any = None
        self._ends_at = math.inf
        self._timer: Any = None
        self._heard_at = 0.0
        self._room = math.inf
        # The window of the least rate: when it ends, or how long it still is while it stands still;
        # None before the head has come. What of the body had come when it began, and has come now.
        self._window: float | None = None
        self._before = 0
        self._body = 0

    @property
    def left(self) -> float:
        """The seconds until the deadline."""
        now: float = self._clock.seconds()
        return self._ends_at - now

    def start(self) -> None:
        """Begin the transfer."""
        self._ends_at = self._clock.seconds() + self._policy.timeout
        self._deadline = self._clock.callLater(self._policy.timeout, self._late)

    def stop(self) -> None:
        """End the transfer: no limit counts any more. It may be called again."""
        self.watch(on=False)
        self._ends_at = math.inf
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()

    def ask(self) -> None:
        """Begin a hop: bytes are expected, and those before its body are counted anew."""
        self._room = MOST_BELOW_TLS
        self._window = None
        self.watch(on=True)

    def answered(self) -> None:
        """Expect the body from now on, as fast as it must be."""
        self._room = math.inf
        self._open_window(self._clock.seconds())

    def watch(self, *, on: bool) -> None:
        """Expect bytes from now on, or stop while we keep the server waiting."""
        now: float = self._clock.seconds()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            if self._window is not None:
                self._window -= now
        if on:
            self._heard_at = now
            if self._window is not None:
                self._window += now
            self._set_timer(now)

    def heard(self, count: int) -> bool:
        """Note that bytes came from the network, or that there is something else to hope for.

        Args:
            count: How many bytes; 0 for a name that is resolved or a connection that is made.

        Returns:
            False if they were too many or too late, and the transfer ends.
        """
        now = self._heard_at = self._clock.seconds()
        if now >= self._ends_at:
            self._late()
            return False
        self._room -= count
        if self._room < 0:
            self._exceeded(
                FetchFailed(
                    TOO_LONG,
                    detail=f"more than {MOST_BELOW_TLS} bytes, and the head is not whole",
                )
            )
            return False
        return True

    def read(self, received: int) -> None:
        """Note how many bytes of the body have come so far."""
        self._body = received

    def _open_window(self, now: float) -> None:
        self._window = now + self._policy.stall_timeout
        self._before = self._body

    def _set_timer(self, now: float, *, window_waits: bool = False) -> None:
        due = self._heard_at + self._policy.stall_timeout
        if self._window is not None and not window_waits:
            due = min(due, self._window)
        self._timer = self._clock.callLater(max(0.0, due - now), self._look)

    def _look(self) -> None:
        """Find out which limit is due."""
        self._timer = None
        now = self._clock.seconds()
        seconds = self._policy.stall_timeout
        if now + _ROUNDING >= self._heard_at + seconds:
            self._exceeded(
                FetchFailed(TIMED_OUT, detail=f"no byte from the server for {seconds} s")
            )
            return
        window_waits = False
        if self._window is not None and now + _ROUNDING >= self._window:
            came = self._body - self._before
            if came >= self._policy.min_rate * seconds:
                self._open_window(now)
            elif self._window - self._heard_at <= seconds / 2:
                self._exceeded(
                    FetchFailed(
                        "too slow",
                        detail=f"{came} bytes of the file in {seconds} s, but at least "
                        f"{self._policy.min_rate} a second are wanted",
                    )
                )
                return
            else:
                window_waits = True
        self._set_timer(now, window_waits=window_waits)

    def _late(self) -> None:
        seconds = self._policy.timeout
        self._exceeded(FetchFailed(TIMED_OUT, detail=f"the file was not whole after {seconds} s"))

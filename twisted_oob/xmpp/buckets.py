"""Buckets: how often each of many senders may have something.

A token bucket holds at most ``burst`` tokens, and gets ``per_second`` new ones. Whoever takes one
may go on. A full bucket says nothing of its sender, so only those that are not full are kept.

For each sender, one number is enough: the time at which its bucket will be full again. Each token
that is taken moves that time by the interval between two tokens, and the bucket is empty when the
time is ``burst`` intervals away.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from twisted_oob.xmpp.deadlines import Clock

MOST_SENDERS: Final = 1000
"""How many senders have a bucket that is not full; a newer one takes the place of the oldest."""
# Seconds: sums of a time and many intervals are not exact.
_ROUNDING: Final = 1e-3


class Buckets:
    """A token bucket for each sender, in bounded memory.

    Args:
        clock: Tells the time.
        per_second: How many tokens each sender gets in a second.
        burst: How many it can save up; each begins with so many.
        most: How many senders are remembered. When there are more, the one that has not asked for
            the longest time is forgotten, so that its bucket is full again.
    """

    def __init__(
        self, clock: Clock, *, per_second: float, burst: int, most: int = MOST_SENDERS
    ) -> None:
        self._clock = clock
        self._interval = 1 / per_second
        self._depth = burst * self._interval
        self._most = most
        # In the order in which they asked last. (A dict is slow to tell its first key after many
        # were removed.)
        self._full_at: OrderedDict[str, float] = OrderedDict()
        self._last = -math.inf

    def __len__(self) -> int:
        """Count the senders that are remembered."""
        return len(self._full_at)

    def take(self, sender: str) -> bool:
        """Take a token, if there is one.

        Returns:
            Whether there was one.
        """
        now = self._now()
        full_at = max(self._full_at.get(sender, now), now)
        taken = full_at + self._interval
        enough = taken - now <= self._depth + _ROUNDING
        self._keep(sender, taken if enough else full_at, now)
        return enough

    def reserve(self, sender: str) -> float:
        """Take a token that may not be there yet. Until it is, ``take`` finds no other.

        Returns:
            The seconds until it is there; 0 if it is there now.
        """
        now = self._now()
        taken = max(self._full_at.get(sender, now), now) + self._interval
        self._keep(sender, taken, now)
        wait = taken - now - self._depth
        return wait if wait > _ROUNDING else 0.0

    def give_back(self, sender: str) -> None:
        """Give back a token that was taken and not used."""
        full_at = self._full_at.get(sender)
        if full_at is None:
            return
        if full_at - self._interval > self._now() + _ROUNDING:
            self._full_at[sender] = full_at - self._interval
        else:
            self._full_at.pop(sender, None)

    def _now(self) -> float:
        now = self._clock.seconds()
        if now < self._last:
            # The clock was set back. Counted from there, a bucket would stay empty for as long.
            self._full_at.clear()
        self._last = now
        return now

    def _keep(self, sender: str, full_at: float, now: float) -> None:
        kept = self._full_at
        kept[sender] = full_at
        kept.move_to_end(sender)
        # Each call adds one at the most, so the loop removes one each time in the long run. It
        # ends at the sender itself, whose bucket is not full.
        oldest = next(iter(kept))
        while kept[oldest] <= now or len(kept) > self._most:
            del kept[oldest]
            oldest = next(iter(kept))

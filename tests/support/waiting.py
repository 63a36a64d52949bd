"""Waiting without end is a failure, not a test that hangs."""

from __future__ import annotations

from twisted.internet.task import Clock, deferLater


class BoundedClock(Clock):
    """A clock that notices a timer which is armed again and again without end."""

    left = 20_000

    def callLater(self, *args, **kwargs):
        self.left -= 1
        assert self.left > 0, "a timer is armed for ever"
        return super().callLater(*args, **kwargs)


def in_time(deferred, seconds=30):
    """Let a Deferred fail with TimeoutError if it has not fired by then."""
    from twisted.internet import reactor

    return deferred.addTimeout(seconds, reactor)


async def until(is_so):
    """Let the reactor turn until something is so that a thread makes so."""
    from twisted.internet import reactor

    for _ in range(10_000):
        if is_so():
            return
        await deferLater(reactor, 0.001)
    raise AssertionError("that took too long")

"""Waiting without end is a failure, not a test that hangs."""

from __future__ import annotations

from twisted.internet.task import Clock


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

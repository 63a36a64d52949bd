"""Waiting without end is a failure, not a test that hangs."""

from __future__ import annotations


def in_time(deferred, seconds=30):
    """Let a Deferred fail with TimeoutError if it has not fired by then."""
    from twisted.internet import reactor

    return deferred.addTimeout(seconds, reactor)

"""What applications return from a callback: made a Deferred, and asked whether it has ended."""

from __future__ import annotations

from collections.abc import Awaitable
from types import CoroutineType
from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.python.failure import Failure


def as_deferred(awaitable: object) -> Deferred[Any]:
    """Make a Deferred of a coroutine, a Deferred or any other awaitable.

    Raises:
        TypeError: It is not an awaitable.
    """
    if isinstance(awaitable, Deferred):
        return awaitable
    if isinstance(awaitable, CoroutineType):
        return Deferred.fromCoroutine(awaitable)
    if not isinstance(awaitable, Awaitable):
        raise TypeError(f"an awaitable or None must be returned, not {awaitable!r}")

    async def wait() -> object:
        return await awaitable

    return ensureDeferred(wait())


def has_succeeded(deferred: Deferred[Any]) -> bool:
    """Whether a callback that is added now would be called at once, with a result.

    To ask costs a tenth of what it costs to add the callback. A Deferred in the midst of its
    callbacks may still fail, and only a private attribute tells that it is. On a Twisted without
    that attribute the answer is always False, which is safe: a callback is added then.
    """
    return (
        deferred.called
        and not deferred.paused
        and not getattr(deferred, "_runningCallbacks", True)
        and not isinstance(deferred.result, Failure)
    )

"""What applications return from a callback: made a Deferred, and asked whether it has ended."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable
from types import CoroutineType
from typing import Any

from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.python.failure import Failure


def as_deferred(awaitable: object) -> Deferred[Any]:
    """Make a Deferred of a coroutine, a Deferred, an asyncio Future or any other awaitable.

    To cancel it cancels the Future, as it does a Deferred.

    Raises:
        TypeError: It is not an awaitable.
        RuntimeError: It is an asyncio Future, and the reactor does not run its event loop.
    """
    if isinstance(awaitable, Deferred):
        return awaitable
    if isinstance(awaitable, CoroutineType):
        return Deferred.fromCoroutine(awaitable)
    if asyncio.isfuture(awaitable):
        return _from_future(awaitable)
    if not isinstance(awaitable, Awaitable):
        # Its type alone: what somebody returned by mistake may hold a URL with its secrets.
        kind = type(awaitable).__name__
        raise TypeError(f"an awaitable or None must be returned, not {kind}")

    async def wait() -> object:
        return await awaitable

    return ensureDeferred(wait())


def _from_future(future: asyncio.Future[Any]) -> Deferred[Any]:
    # On another loop, its end would come in another thread, or never.
    if not _turns_with_reactor(future.get_loop()):
        raise RuntimeError(
            "an asyncio Future works on the asyncio reactor only: twistd --reactor asyncio"
        )
    return Deferred.fromFuture(future).addErrback(_as_ours)


def _turns_with_reactor(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        # Before the reactor runs, as in what task.react calls, its loop does not turn yet.
        reactor = sys.modules.get("twisted.internet.reactor")
        return isinstance(reactor, AsyncioSelectorReactor)


def _as_ours(failure: Failure) -> Failure:
    """Give the failure of a cancelled Future as that of a cancelled Deferred."""
    return Failure(CancelledError()) if failure.check(asyncio.CancelledError) else failure


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

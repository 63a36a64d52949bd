"""Waiting for what can't be stopped, such as a thread."""

from __future__ import annotations

from typing import TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

_T = TypeVar("_T")


async def wait_out(job: Deferred[_T]) -> _T:
    """Wait for a job that can't be stopped, however often the waiting coroutine is cancelled.

    Args:
        job: Fires or fails when the job has ended. It is never cancelled itself.

    Returns:
        The job's result.

    Raises:
        CancelledError: There was a cancellation. It is raised when the job has ended, whose result
            or error is dropped.
        Exception: The job's own error.
    """
    outcome: list[_T | Failure] = []
    waiter: Deferred[None] = Deferred()

    def ended(result: _T | Failure) -> None:
        outcome.append(result)
        waiter.callback(None)

    job.addBoth(ended)
    cancelled = False
    while not outcome:
        # A coroutine's cancellation cancels what it awaits: so it awaits a new waiter each time,
        # and never the job.
        waiter = Deferred()
        try:
            await waiter
        except CancelledError:
            cancelled = True
    if cancelled:
        raise CancelledError
    [result] = outcome
    if isinstance(result, Failure):
        result.raiseException()
    return result

"""Waiting for what can't be stopped; the fetcher's tests show it with real threads."""

from __future__ import annotations

import pytest
from twisted.internet.defer import CancelledError, Deferred

from tests.support.fetching import ends_of
from twisted_oob.files.wait_out import wait_out
from twisted_oob.testing import result_of


def waiting(job):
    return Deferred.fromCoroutine(wait_out(job))


def test_it_gives_the_result():
    job = Deferred()
    waiter = waiting(job)
    job.callback("done")
    assert result_of(waiter) == "done"


def test_it_raises_the_error():
    job = Deferred()
    waiter = waiting(job)
    job.errback(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        result_of(waiter)


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("end", ["callback", "errback"])
def test_a_cancellation_waits_for_the_end_and_does_not_reach_the_job(times, end):
    job = Deferred(lambda _: pytest.fail("the job was cancelled"))
    waiter = waiting(job)
    for _ in range(times):
        waiter.cancel()
    assert not ends_of(waiter)
    getattr(job, end)(ZeroDivisionError())
    with pytest.raises(CancelledError):
        result_of(waiter)

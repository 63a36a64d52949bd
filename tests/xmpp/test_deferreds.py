"""What a callback returned: as a Deferred, and whether that has succeeded."""

from __future__ import annotations

import asyncio

import pytest
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.python.failure import Failure

from tests.support.streams import outcome
from twisted_oob.xmpp.deferreds import as_deferred, has_succeeded


class Awaitable:
    """An awaitable that is neither Deferred nor coroutine."""

    def __init__(self, deferred):
        self.deferred = deferred

    def __await__(self):
        return self.deferred.__await__()


async def coroutine(deferred):
    return await deferred


KINDS = pytest.mark.parametrize("kind", [lambda deferred: deferred, coroutine, Awaitable])


@KINDS
def test_any_awaitable_ends_as_its_deferred(kind):
    made = as_deferred(kind(inner := Deferred()))
    assert isinstance(made, Deferred)
    assert not made.called
    inner.callback("result")
    assert outcome(made) == "result"

    made = as_deferred(kind(fail(error := ValueError("mine"))))
    assert outcome(made) is error


@KINDS
def test_cancelling_reaches_what_is_awaited(kind):
    cancelled = []
    inner = Deferred(cancelled.append)
    made = as_deferred(kind(inner))
    made.cancel()
    assert cancelled == [inner]
    assert isinstance(outcome(made), CancelledError)


@pytest.mark.parametrize("value", [None, True, "done", 0, [], object(), ValueError()])
def test_anything_else_is_a_type_error_that_tells_the_type(value):
    told = f"^an awaitable or None must be returned, not {type(value).__name__}$"
    with pytest.raises(TypeError, match=told):
        as_deferred(value)


# The loop turns only while a test runs it, as it does for the asyncio reactor.


def in_a_loop(check):
    """Run a coroutine on an event loop of its own."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(check(loop))
    finally:
        loop.close()


def test_an_asyncio_future_ends_as_it_does():
    async def check(loop):
        future = loop.create_future()
        made = as_deferred(future)
        assert not made.called
        future.set_result("result")
        assert await made.asFuture(loop) == "result"
        future = loop.create_future()
        made = as_deferred(future)
        future.set_exception(ValueError("mine"))
        with pytest.raises(ValueError, match="mine"):
            await made.asFuture(loop)

    in_a_loop(check)


def test_an_asyncio_task_is_one():
    async def work():
        await asyncio.sleep(0)
        return "result"

    async def check(loop):
        assert await as_deferred(loop.create_task(work())).asFuture(loop) == "result"

    in_a_loop(check)


def test_cancelling_reaches_an_asyncio_future():
    async def check(loop):
        future = loop.create_future()
        made = as_deferred(future)
        made.cancel()
        with pytest.raises(asyncio.CancelledError):
            await future
        await asyncio.sleep(0)
        return made

    assert isinstance(outcome(in_a_loop(check)), CancelledError)


def test_an_asyncio_future_that_is_cancelled_is_a_cancelled_deferred():
    async def check(loop):
        future = loop.create_future()
        made = as_deferred(future)
        future.cancel()
        await asyncio.sleep(0)
        return made

    assert isinstance(outcome(in_a_loop(check)), CancelledError)


def test_an_asyncio_future_of_another_loop_is_an_error_that_says_what_to_do():
    loop = asyncio.new_event_loop()
    future = loop.create_future()

    async def check(_running):
        with pytest.raises(RuntimeError, match="--reactor asyncio"):
            as_deferred(future)

    with pytest.raises(RuntimeError, match="--reactor asyncio"):
        as_deferred(future)
    in_a_loop(check)
    loop.close()


def test_deferred_has_succeeded_once_its_last_callback_has():
    assert has_succeeded(succeed(None))
    assert has_succeeded(succeed(0).addCallback(lambda _: "more"))
    assert not has_succeeded(Deferred())


def test_failed_deferred_has_not_succeeded():
    failed = fail(ValueError("mine"))
    assert not has_succeeded(failed)
    assert has_succeeded(failed.addErrback(lambda _: None))


def test_paused_deferred_has_not_succeeded_until_it_goes_on():
    paused = succeed(None)
    paused.pause()
    assert not has_succeeded(paused)
    paused.unpause()
    assert has_succeeded(paused)


def test_chained_deferred_has_succeeded_at_the_end_of_the_chain():
    inner = Deferred()
    outer = succeed(None).addCallback(lambda _: inner)
    assert not has_succeeded(outer)
    inner.callback(None)
    assert has_succeeded(outer)


def test_deferred_in_the_midst_of_its_callbacks_has_not_succeeded():
    seen = []
    deferred = Deferred()
    deferred.addCallback(lambda _: seen.append(has_succeeded(deferred)))
    deferred.callback(None)
    assert seen == [False]
    assert has_succeeded(deferred)


def test_another_twisted_never_tells():
    class Unknown:
        called, paused, result = True, 0, None

    assert not has_succeeded(Unknown())
    Unknown._runningCallbacks = False
    assert has_succeeded(Unknown())
    Unknown.result = Failure(ValueError())
    assert not has_succeeded(Unknown())

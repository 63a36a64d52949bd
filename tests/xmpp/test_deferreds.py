"""What a callback returned: as a Deferred, and whether that has succeeded."""

from __future__ import annotations

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
def test_anything_else_is_a_type_error(value):
    with pytest.raises(TypeError, match="awaitable"):
        as_deferred(value)


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

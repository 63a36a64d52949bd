"""How a stream service tells that its stream is up, or that there won't be a stream."""

from __future__ import annotations

import pytest
from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionDone
from twisted.logger import formatEvent
from twisted.words.protocols.jabber.jid import JID

from tests.support.stream_services import HEADER, SECRET, World, stream_error
from tests.support.streams import COMPONENT, ME, outcome
from twisted_oob import StreamRefused

from wokkel.subprotocols import XMPPHandler  # isort: skip


class Listener(XMPPHandler):
    """Notes what a handler hears, in order."""

    def __init__(self, heard):
        super().__init__()
        self.heard = heard

    def connectionInitialized(self):
        self.heard.append("initialized")

    def stream_refused(self, error):
        self.heard.append(error)


@pytest.fixture
def world():
    made = World()
    made.stream.on_refused = None
    return made


def refuse(world, condition="host-unknown"):
    """Let the server refuse the stream."""
    world.server.send(HEADER)
    world.server.send(stream_error(condition))
    world.server.hang_up(ConnectionDone)


def critical(log):
    return [formatEvent(event) for event in log if event["log_level"].name == "critical"]


# --- ready


@pytest.mark.parametrize("account", [ME, None], ids=["client", "component"])
@pytest.mark.parametrize("asked", ["before it starts", "while it connects", "when it is up"])
def test_ready_fires_with_the_address_once_the_stream_is_up(world, account, asked):
    ready = [world.stream.ready] if asked == "before it starts" else []
    world.stream.startService()
    ready += [world.stream.ready] if asked == "while it connects" else []
    assert not any(one.called for one in ready)
    world.server.accept(account)
    ready += [world.stream.ready] if asked == "when it is up" else []
    assert [outcome(one) for one in ready] == [JID(account or COMPONENT)]


def test_it_fires_after_the_handlers_have_heard_of_the_stream(world):
    heard = []
    Listener(heard).setHandlerParent(world.stream)
    world.stream.ready.addCallback(lambda _: heard.append("ready"))
    world.stream.startService()
    world.server.accept()
    assert heard == ["initialized", "ready"]


def test_each_reader_has_a_deferred_of_its_own(world):
    first, second = world.stream.ready, world.stream.ready
    first.addCallback(lambda _: "changed")
    second.cancel()
    assert isinstance(outcome(second), CancelledError)
    third = world.stream.ready
    world.stream.startService()
    world.server.accept()
    assert outcome(first) == "changed"
    assert outcome(third) == outcome(world.stream.ready) == JID(COMPONENT)


@pytest.mark.parametrize("refused", [False, True])
def test_the_callbacks_of_one_may_cancel_another(world, refused):
    first, second, third = world.stream.ready, world.stream.ready, world.stream.ready
    first.addBoth(lambda result: second.cancel() or result)
    world.stream.startService()
    if refused:
        refuse(world)
    else:
        world.server.accept()
    expected = world.stream.refused if refused else JID(COMPONENT)
    assert outcome(first) == outcome(third) == expected
    assert isinstance(outcome(second), CancelledError)


def test_who_hears_of_a_refusal_may_start_it_again(world):
    again = []

    def restart(failure):
        failure.trap(StreamRefused)
        world.stream.stopService()
        world.stream.startService()
        again.append(world.stream.ready)

    world.stream.ready.addErrback(restart)
    world.stream.startService()
    refuse(world)
    (ready,) = again
    assert not ready.called
    assert world.stream.refused is None
    assert world.server.attempts == 2
    world.server.accept()
    assert outcome(ready) == JID(COMPONENT)


def test_between_two_streams_it_waits_for_the_next(world):
    world.stream.startService()
    world.server.accept(ME)
    world.server.hang_up()
    ready = world.stream.ready
    assert not ready.called
    world.next_pause()
    world.server.accept(f"{ME}-2")
    assert outcome(ready) == JID(f"{ME}-2")


def test_a_temporary_failure_does_not_fail_it(world):
    ready = world.stream.ready
    world.stream.startService()
    refuse(world, "system-shutdown")
    assert not ready.called
    world.next_pause()
    world.server.accept()
    assert outcome(ready) == JID(COMPONENT)


def test_it_waits_while_the_service_is_stopped(world):
    world.stream.startService()
    ready = world.stream.ready
    world.stream.stopService()
    world.server.hang_up()
    assert not ready.called
    world.stream.startService()
    world.server.accept()
    assert outcome(ready) == JID(COMPONENT)


# --- refused


def test_a_refusal_reaches_all_who_want_to_know(world, log):
    heard = []
    Listener(heard).setHandlerParent(world.stream)
    XMPPHandler().setHandlerParent(world.stream)
    waiting = [world.stream.ready, world.stream.ready]
    world.stream.on_refused = heard.append
    assert world.stream.refused is None
    world.stream.startService()
    refuse(world)
    refused = world.stream.refused
    assert isinstance(refused, StreamRefused)
    assert str(refused).startswith("the server does not know this domain")
    assert heard == [refused, refused]
    waiting.append(world.stream.ready)
    assert [outcome(one) for one in waiting] == [refused] * 3
    assert critical(log) == []


def test_a_refusal_that_a_handler_has_told_is_not_logged_too(world, log):
    class Telling(XMPPHandler):
        def stream_refused(self, error):
            return True

    Telling().setHandlerParent(world.stream)
    Listener([]).setHandlerParent(world.stream)
    world.stream.startService()
    refuse(world)
    assert critical(log) == []


def test_a_refusal_that_nobody_waits_for_is_one_line_and_no_traceback(world, log):
    Listener([]).setHandlerParent(world.stream)
    world.stream.startService()
    refuse(world)
    (line,) = critical(log)
    assert line.startswith(f"{COMPONENT}: the server does not know this domain")
    assert line.endswith("there will be no further attempt")
    assert log.failures() == []


def test_a_handler_that_fails_does_not_keep_it_from_the_others(world, log):
    class Broken(XMPPHandler):
        def stream_refused(self, error):
            raise RuntimeError("broken")

    heard = []
    Broken().setHandlerParent(world.stream)
    Listener(heard).setHandlerParent(world.stream)
    ready = world.stream.ready
    world.stream.startService()
    refuse(world)
    assert heard == [world.stream.refused]
    assert isinstance(outcome(ready), StreamRefused)
    assert [str(error) for error in log.failures()] == ["broken"]


def test_started_again_it_is_not_refused_any_more(world):
    world.stream.startService()
    refuse(world)
    world.stream.stopService()
    world.stream.startService()
    assert world.stream.refused is None
    ready = world.stream.ready
    world.server.accept()
    assert outcome(ready) == JID(COMPONENT)


# --- conflict


def test_a_conflict_while_it_is_up_ends_an_account(log):
    world = World(yields=True)
    world.stream.startService()
    world.server.accept(ME)
    world.server.send(stream_error("conflict", "Replaced by new connection"))
    world.server.hang_up(ConnectionDone)
    (refused,) = world.refusals
    assert "conflict" in str(refused)
    assert "another connection took over" in str(refused)
    assert world.clock.getDelayedCalls() == []
    assert world.server.attempts == 1


@pytest.mark.parametrize("yields", [False, True])
def test_a_conflict_before_it_is_up_passes(yields):
    world = World(yields=yields)
    world.stream.startService()
    for _ in range(2):
        world.server.send(HEADER + stream_error("conflict"))
        world.server.hang_up(ConnectionDone)
        world.next_pause()
    # Nor does one that comes after an earlier stream was up, but before this one is.
    world.server.accept(ME)
    world.server.hang_up()
    world.next_pause()
    world.server.send(HEADER + stream_error("conflict"))
    world.server.hang_up(ConnectionDone)
    assert world.refusals == []


def test_a_component_tries_again_whoever_took_its_place():
    world = World()
    world.stream.startService()
    world.server.accept()
    world.server.send(stream_error("conflict"))
    world.server.hang_up(ConnectionDone)
    assert world.refusals == []
    world.next_pause()
    assert world.server.attempts == 2


def test_no_secret_is_told(world):
    world.stream.startService()
    refuse(world)
    assert SECRET not in repr(world.stream) + str(world.stream) + repr(world.stream.refused)

"""How a stream that stays up is stopped, at any moment, and what happens the second time."""

from __future__ import annotations

import random

import pytest
from twisted.internet.error import ConnectionDone

from tests.support.stream_services import HEADER, World, stream_error
from tests.support.streams import outcome
from twisted_oob.xmpp.stream_service import CLOSE_LIMIT, NEGOTIATION_LIMIT

from wokkel.subprotocols import XMPPHandler  # isort: skip

END = "</stream:stream>"


@pytest.fixture
def world(monkeypatch):
    monkeypatch.setattr(random, "uniform", lambda _low, high: high)
    return World()


@pytest.mark.parametrize("state", ["up", "negotiating"])
def test_stopping_twice_closes_the_stream_once(world, state):
    world.stream.startService()
    if state == "up":
        world.server.accept()
    stopped = [world.stream.stopService(), world.stream.stopService()]
    assert world.server.received().count("</stream:stream>") == (state == "up")
    world.server.hang_up(ConnectionDone)
    assert [outcome(one) for one in stopped] == [None, None]


def test_started_while_it_stops_it_waits_for_the_end(world):
    world.stream.startService()
    world.server.accept()
    stopped = world.stream.stopService()
    world.stream.startService()
    assert world.server.attempts == 1
    world.server.hang_up(ConnectionDone)
    assert outcome(stopped) is None
    assert world.server.attempts == 2


def test_stopping_closes_the_stream_and_waits_for_its_end(world):
    world.stream.startService()
    world.server.accept()
    stopped = world.stream.stopService()
    assert world.server.received() == "</stream:stream>"
    assert not stopped.called
    world.server.hang_up(ConnectionDone)
    assert outcome(stopped) is None
    assert world.clock.getDelayedCalls() == []


def test_stopping_does_not_wait_for_ever(world):
    world.stream.startService()
    world.server.accept()
    world.stream.stopService()
    world.clock.advance(CLOSE_LIMIT)
    assert world.server.transport.aborted


@pytest.mark.parametrize("state", ["connecting", "pausing", "negotiating", "not started"])
def test_stopping_at_any_moment_leaves_nothing(world, state):
    world.server.silent = state == "connecting"
    world.server.down = state == "pausing"
    if state != "not started":
        world.stream.startService()
    stopped = world.stream.stopService()
    if state == "negotiating":
        assert world.server.transport.aborted
        world.server.hang_up()
    assert outcome(stopped) is None
    assert world.clock.getDelayedCalls() == []
    assert world.refusals == []


def test_it_can_be_started_again(world):
    world.stream.startService()
    world.server.accept()
    world.stream.stopService()
    world.server.hang_up(ConnectionDone)
    world.stream.startService()
    world.server.accept()
    assert world.server.attempts == 2


def test_it_can_be_stopped_and_started_any_number_of_times(world):
    for attempt in range(1, 4):
        world.stream.startService()
        assert world.server.attempts == attempt
        world.server.accept()
        stopped = world.stream.stopService()
        assert world.server.received() == END
        assert not stopped.called
        world.server.hang_up(ConnectionDone)
        assert outcome(stopped) is None
        assert world.clock.getDelayedCalls() == []
        assert outcome(world.stream.stopService()) is None


def test_the_limit_of_closing_is_each_streams_own(world):
    for _ in range(2):
        world.stream.startService()
        world.server.accept()
        world.stream.stopService()
        world.clock.advance(CLOSE_LIMIT / 2)
        assert not world.server.transport.aborted
        world.server.hang_up(ConnectionDone)
    world.stream.startService()
    world.server.accept()
    world.clock.advance(CLOSE_LIMIT)
    assert not world.server.transport.aborted
    world.stream.stopService()
    world.clock.advance(CLOSE_LIMIT)
    assert world.server.transport.aborted


@pytest.mark.parametrize("state", ["up", "negotiating"])
def test_stopped_again_while_it_waits_for_the_old_stream_it_makes_no_new_one(world, state):
    world.stream.startService()
    if state == "up":
        world.server.accept()
    stopped = [world.stream.stopService()]
    world.stream.startService()
    stopped.append(world.stream.stopService())
    assert world.server.received().count(END) == (state == "up")
    assert not any(one.called for one in stopped)
    world.server.hang_up(ConnectionDone)
    assert [outcome(one) for one in stopped] == [None, None]
    assert world.server.attempts == 1
    assert world.clock.getDelayedCalls() == []


@pytest.mark.parametrize("state", ["up", "negotiating"])
def test_started_twice_while_the_old_stream_ends_it_makes_one_new_one(world, state):
    world.stream.startService()
    if state == "up":
        world.server.accept()
    for _ in range(2):
        world.stream.stopService()
        world.stream.startService()
    assert world.server.attempts == 1
    world.server.hang_up(ConnectionDone)
    assert world.server.attempts == 2
    world.server.accept()
    world.clock.advance(NEGOTIATION_LIMIT + CLOSE_LIMIT)
    assert not world.server.transport.aborted
    stopped = world.stream.stopService()
    assert world.server.received().count(END) == 1
    world.server.hang_up(ConnectionDone)
    assert outcome(stopped) is None
    assert world.server.attempts == 2


def test_an_old_stream_that_does_not_end_is_cut_for_the_new_one(world):
    world.stream.startService()
    world.server.accept()
    world.stream.stopService()
    world.stream.startService()
    world.clock.advance(CLOSE_LIMIT)
    assert world.server.transport.aborted
    world.server.hang_up()
    assert world.server.attempts == 2


def test_stopped_in_a_pause_it_begins_with_the_shortest_again(world):
    world.server.down = True
    world.stream.startService()
    for _ in range(3):
        world.next_pause()
    world.stream.stopService()
    world.stream.startService()
    assert world.next_pause() == 1


def test_a_refusal_is_told_again_if_it_is_started_again(world):
    for number in range(1, 3):
        world.stream.startService()
        world.server.send(HEADER)
        world.server.send(stream_error("host-unknown"))
        world.server.hang_up(ConnectionDone)
        assert len(world.refusals) == number
        assert outcome(world.stream.stopService()) is None


def test_what_was_up_before_it_was_stopped_keeps_trying(world):
    world.stream.startService()
    world.server.accept()
    world.stream.stopService()
    world.server.hang_up(ConnectionDone)
    world.stream.startService()
    world.server.send(HEADER)
    world.server.send(stream_error("host-unknown"))
    world.server.hang_up(ConnectionDone)
    assert world.refusals == []
    assert world.next_pause() == 1


def test_stanzas_are_handled_until_the_server_has_closed_the_stream(world):
    got = []

    class Handler(XMPPHandler):
        def connectionInitialized(self):
            self.xmlstream.addObserver("/message", got.append)

    Handler().setHandlerParent(world.stream)
    world.stream.startService()
    world.server.accept()
    world.stream.stopService()
    world.server.send("<message id='last'/>")
    assert [message["id"] for message in got] == ["last"]
    world.server.hang_up(ConnectionDone)


@pytest.mark.parametrize("again", [False, True])
def test_a_handler_may_stop_and_start_it_when_the_stream_is_lost(world, again):
    class Handler(XMPPHandler):
        def connectionLost(self, reason):
            XMPPHandler.connectionLost(self, reason)
            world.stream.stopService()
            if again:
                world.stream.startService()

    handler = Handler()
    handler.setHandlerParent(world.stream)
    world.stream.startService()
    world.server.accept()
    world.server.silent = True  # no real endpoint connects at once
    world.server.hang_up()
    assert world.server.attempts == 1 + again
    assert world.clock.getDelayedCalls() == []
    assert outcome(world.stream.stopService()) is None
    assert world.server.attempts == 1 + again

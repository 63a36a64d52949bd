"""What finds a dead connection: pings of a client, white space of a component."""

from __future__ import annotations

import socket

import pytest
from twisted.logger import formatEvent

from tests.support.stream_services import World
from tests.support.streams import ME
from twisted_oob.xmpp.keepalive import INTERVAL, PATIENCE


@pytest.fixture
def world():
    made = World()
    made.stream.startService()
    return made


def ping_of(world):
    """Give the id of the ping that was sent."""
    xml = world.server.received()
    assert xml.count("urn:xmpp:ping") == 1
    assert "type='get'" in xml
    assert "to='home.example'" in xml
    return xml.partition("id='")[2].partition("'")[0]


def answer(world, id_, kind="result", sender="home.example"):
    world.server.send(f"<iq type='{kind}' id='{id_}' from='{sender}' to='{ME}'/>")


@pytest.mark.parametrize("kind", ["result", "error"])
def test_any_answer_to_a_ping_is_a_sign_of_life(world, kind):
    world.server.accept(ME)
    for _ in range(3):
        world.clock.advance(INTERVAL)
        answer(world, ping_of(world), kind)
        world.clock.advance(PATIENCE)
        assert not world.server.transport.aborted
        assert world.server.received() == ""
        world.clock.advance(INTERVAL - PATIENCE)
        answer(world, ping_of(world), kind)


def test_the_next_ping_waits_for_the_answer_and_then_for_its_time(world):
    world.server.accept(ME)
    world.clock.advance(INTERVAL - 1)
    assert world.server.received() == ""
    world.clock.advance(1)
    id_ = ping_of(world)
    world.clock.advance(PATIENCE - 1)
    answer(world, id_)
    world.clock.advance(INTERVAL - 1)
    assert world.server.received() == ""
    world.clock.advance(1)
    assert ping_of(world) != id_


def test_a_dead_connection_is_found_within_two_minutes(world, log):
    world.server.accept(ME)
    world.clock.advance(INTERVAL)
    world.clock.advance(PATIENCE - 1)
    assert not world.server.transport.aborted
    world.clock.advance(1)
    assert world.server.transport.aborted
    assert any("No answer to a ping in 30 s" in (formatEvent(event) or "") for event in log)
    assert INTERVAL + PATIENCE <= 120
    world.server.hang_up()
    world.next_pause()
    assert world.server.attempts == 2


@pytest.mark.parametrize(
    ("id_", "sender"), [(None, "far.example"), (None, "me@far.example"), ("other", "home.example")]
)
def test_what_is_no_answer_of_the_server_is_no_sign_of_life(world, id_, sender):
    world.server.accept(ME)
    world.clock.advance(INTERVAL)
    answer(world, id_ or ping_of(world), sender=sender)
    world.clock.advance(PATIENCE)
    assert world.server.transport.aborted


def test_an_answer_is_left_to_nobody_else_and_other_answers_are(world):
    handled = []
    world.server.accept(ME)
    world.server.xmlstream.addObserver("/iq", lambda iq: handled.append(bool(iq.handled)), -1)
    world.clock.advance(INTERVAL)
    answer(world, ping_of(world))
    answer(world, "other")
    assert handled == [True, False]


def test_an_answer_that_somebody_took_does_not_count(world):
    def take(iq):
        iq.handled = True

    world.server.accept(ME)
    world.server.xmlstream.addObserver("/iq", take, 1)
    world.clock.advance(INTERVAL)
    answer(world, ping_of(world))
    world.clock.advance(PATIENCE)
    assert world.server.transport.aborted


@pytest.mark.parametrize("account", [ME, None], ids=["client", "component"])
@pytest.mark.parametrize("asked", [False, True])
def test_nothing_is_left_of_a_stream_that_is_lost(world, log, account, asked):
    world.server.accept(account)
    if asked:
        world.clock.advance(INTERVAL)
    stopped = world.stream.stopService()
    world.server.hang_up()
    assert stopped.called
    assert world.clock.getDelayedCalls() == []
    assert log.failures() == []


@pytest.mark.parametrize("account", [ME, None], ids=["client", "component"])
def test_each_stream_is_kept_alive_by_itself(world, account):
    for _ in range(3):
        world.server.accept(account)
        world.clock.advance(INTERVAL / 2)
        assert world.server.received() == ""
        world.clock.advance(INTERVAL / 2)
        if account is None:
            assert world.server.received() == " "
        else:
            ping_of(world)
        world.server.hang_up()
        world.next_pause()
        assert not world.server.transport.aborted


def test_a_component_sends_white_space_that_must_be_acknowledged_in_time(world):
    world.server.accept()
    handle = world.server.transport.getHandle()
    timeout = handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
    assert timeout == PATIENCE * 1000
    assert handle.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    for _ in range(3):
        world.clock.advance(INTERVAL - 1)
        assert world.server.received() == ""
        world.clock.advance(1)
        assert world.server.received() == " "


def test_a_client_sends_no_white_space(world):
    world.server.accept(ME)
    handle = world.server.transport.getHandle()
    assert handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 0
    world.clock.advance(INTERVAL)
    assert world.server.received().startswith("<iq")


def test_where_the_system_has_no_such_limit_white_space_goes_out_all_the_same(world, monkeypatch):
    monkeypatch.delattr(socket, "TCP_USER_TIMEOUT")
    world.server.accept()
    assert world.server.transport.getHandle().getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    world.clock.advance(INTERVAL)
    assert world.server.received() == " "

"""What finds a dead or hanging server, and leaves a slow one alone: in memory, by a clock."""

from __future__ import annotations

import pytest
from twisted.logger import formatEvent

from tests.support.stream_services import Server, World
from tests.support.streams import COMPONENT, ME
from twisted_oob.xmpp import keepalive
from twisted_oob.xmpp.keepalive import INTERVAL, PATIENCE, TICK
from twisted_oob.xmpp.second_connection import LIMIT

MODES = pytest.mark.parametrize("account", [ME, None], ids=["client", "component"])
ANSWER = "<iq type='result' id='{id}' from='home.example' to='me@home.example/desk'/>"


@pytest.fixture
def world():
    made = World()
    made.stream.startService()
    return made


def ping_of(world, account=ME):
    """Give the id of the one ping that was sent."""
    xml = world.server.received()
    assert xml.count("urn:xmpp:ping") == 1
    assert "type='get'" in xml
    if account is None:
        assert f"to='{COMPONENT}'" in xml
        assert f"from='{COMPONENT}'" in xml
    else:
        assert "to='home.example'" in xml
    return xml.partition("id='")[2].partition("'")[0]


def block(world):
    """Let more wait to be written than the limit."""
    world.server.transport.producer.pauseProducing()


def unblock(world):
    """Let all of it be written."""
    world.server.transport.producer.resumeProducing()


def advance(world, seconds):
    """Let time go on as a reactor does, timer by timer."""
    end = world.clock.seconds() + seconds
    while True:
        due = [call.getTime() for call in world.clock.getDelayedCalls()]
        if not due or min(due) > end:
            world.clock.advance(end - world.clock.seconds())
            return
        world.clock.advance(min(due) - world.clock.seconds())


def lines(log):
    return [line for line in map(formatEvent, log) if line is not None and "cutting" in line]


# --- quiet: what puts the ping off


@MODES
@pytest.mark.parametrize("life", ["<message/>", " ", "<iq type='error' id='unknown'/>", "<a>"])
def test_any_byte_puts_the_ping_off(world, account, life):
    world.server.accept(account)
    advance(world, INTERVAL - 1)
    world.server.send(life)
    advance(world, INTERVAL - 1)
    assert world.server.received() == ""
    advance(world, 1)
    ping_of(world, account)


@MODES
def test_a_stream_that_is_never_silent_is_never_asked(world, account):
    world.server.accept(account)
    for _ in range(20):
        advance(world, INTERVAL / 2)
        world.server.send(" ")
    assert world.server.received() == ""


# --- asking


@MODES
@pytest.mark.parametrize("life", [ANSWER, "<message/>", " ", "<"])
def test_any_byte_answers_the_ping(world, account, life):
    world.server.accept(account)
    advance(world, INTERVAL)
    world.server.send(life.format(id=ping_of(world, account)))
    advance(world, INTERVAL - 1)
    assert not world.server.transport.aborted
    assert world.server.received() == ""
    advance(world, 1)
    ping_of(world, account)
    assert world.server.asked == []


def test_a_dead_connection_is_found_within_two_minutes(world, log):
    world.server.accept(ME)
    advance(world, INTERVAL + PATIENCE - 1)
    assert not world.server.transport.aborted
    advance(world, 1)
    assert world.server.transport.aborted
    assert lines(log) == ["No answer to a ping in 30 s: cutting the dead connection"]
    assert INTERVAL + PATIENCE <= 120
    assert world.server.received().count("urn:xmpp:ping") == 1
    world.server.hang_up()
    world.next_pause()
    assert world.server.attempts == 2


@MODES
def test_what_is_sent_and_never_acknowledged_is_a_dead_connection(world, account, monkeypatch, log):
    monkeypatch.setattr(keepalive, "queued_output", lambda _transport: (100, 0))
    world.server.accept(account)
    advance(world, INTERVAL + PATIENCE)
    assert world.server.transport.aborted
    assert world.server.asked == []
    (line,) = lines(log)
    assert line.startswith("Nobody acknowledged what we sent in 30 s")


def test_the_patience_begins_anew_with_each_byte_that_the_server_takes(world, monkeypatch):
    queue = [10_000, 0]
    monkeypatch.setattr(keepalive, "queued_output", lambda _transport: tuple(queue))
    world.server.accept(ME)
    advance(world, INTERVAL)
    for _ in range(100):
        advance(world, PATIENCE - TICK)
        queue[0] -= 1
    assert not world.server.transport.aborted
    advance(world, PATIENCE + TICK)
    assert world.server.transport.aborted


# --- slow, or hanging


def test_while_our_output_waits_nothing_is_asked_and_the_patience_does_not_run(world):
    world.server.accept(ME)
    block(world)
    for _ in range(10):
        advance(world, INTERVAL + PATIENCE)
        for question in world.server.asked:
            question.dataReceived(b"<")
        assert not world.server.transport.aborted
    assert world.server.received() == ""
    unblock(world)
    advance(world, INTERVAL)
    ping_of(world)
    advance(world, PATIENCE)
    assert world.server.transport.aborted


def test_output_that_was_blocked_when_we_asked_has_the_whole_patience_afterwards(world):
    world.server.accept(ME)
    block(world)
    advance(world, INTERVAL + PATIENCE - 1)
    unblock(world)
    advance(world, INTERVAL + PATIENCE - 1)
    assert not world.server.transport.aborted


@pytest.mark.parametrize("waits", ["blocked", "unsent"])
def test_a_server_that_does_not_read_is_asked_on_a_second_connection(
    world, waits, monkeypatch, log
):
    if waits == "unsent":
        monkeypatch.setattr(keepalive, "queued_output", lambda _transport: (0, 100))
    world.server.accept(ME)
    if waits == "blocked":
        block(world)
    advance(world, INTERVAL + PATIENCE)
    assert len(world.server.asked) == 1
    assert not world.server.transport.aborted
    advance(world, LIMIT)
    assert world.server.transport.aborted
    (line,) = lines(log)
    assert line.startswith("The server answers neither here nor on a second connection")


def test_of_several_servers_the_same_one_is_asked(world):
    same = Server()
    world.server.same_server = lambda: same
    world.server.accept(ME)
    block(world)
    advance(world, INTERVAL + PATIENCE)
    assert len(same.asked) == 1
    assert world.server.asked == []
    advance(world, LIMIT)
    assert world.server.transport.aborted


# --- a component: silence alone says nothing


@pytest.mark.parametrize("life", [b"<", None])
def test_a_component_stays_if_the_server_answers_elsewhere(world, life):
    world.server.accept()
    for number in range(1, 4):
        advance(world, INTERVAL)
        ping_of(world, None)
        advance(world, PATIENCE)
        assert len(world.server.asked) == number
        question = world.server.asked[-1]
        assert f'to="{COMPONENT}"' in question.transport.value().decode()
        assert 'xmlns="jabber:component:accept"' in question.transport.value().decode()
        if life is None:
            question.connectionLost()
        else:
            question.dataReceived(life)
        assert question.transport.aborted == (life is not None)
        advance(world, 1)
        assert not world.server.transport.aborted


@pytest.mark.parametrize("down", [False, True])
def test_a_server_that_hangs_is_found_within_two_minutes(world, down, log):
    world.server.accept()
    world.server.down = down
    advance(world, INTERVAL + PATIENCE + (0 if down else LIMIT))
    assert world.server.transport.aborted
    (line,) = lines(log)
    assert line.startswith("The server answers neither here nor on a second connection")
    assert INTERVAL + PATIENCE + LIMIT < 120


def test_a_byte_on_the_stream_itself_counts_while_the_second_connection_is_asked(world):
    world.server.accept()
    advance(world, INTERVAL + PATIENCE)
    world.server.send(" ")
    advance(world, LIMIT)
    assert not world.server.transport.aborted


# --- the end of a stream


@MODES
@pytest.mark.parametrize("moment", [0, INTERVAL, INTERVAL + TICK, INTERVAL + PATIENCE])
def test_nothing_is_left_of_a_stream_that_is_lost(world, log, account, moment):
    world.server.accept(account)
    advance(world, moment)
    stopped = world.stream.stopService()
    world.server.hang_up()
    assert stopped.called
    assert world.clock.getDelayedCalls() == []
    assert all(question.transport.aborted for question in world.server.asked)
    assert log.failures() == []


@MODES
def test_each_stream_is_kept_alive_by_itself(world, account):
    for _ in range(3):
        world.server.accept(account)
        advance(world, INTERVAL / 2)
        assert world.server.received() == ""
        advance(world, INTERVAL / 2)
        ping_of(world, account)
        world.server.hang_up()
        world.next_pause()
        assert not world.server.transport.aborted

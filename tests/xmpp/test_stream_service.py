"""A stream that stays up: attempts, pauses, refusals, keep-alive, the way it ends."""

from __future__ import annotations

import random
import socket

import pytest
from twisted.internet import error
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import formatEvent
from twisted.python.failure import Failure
from twisted.words.protocols.jabber.component import componentFactory
from twisted.words.protocols.jabber.jid import JID
from twisted.words.protocols.jabber.xmlstream import INIT_FAILED_EVENT

from tests.support.streams import COMPONENT, ME, outcome
from twisted_oob import OOBHandler
from twisted_oob.xmpp.keepalive import INTERVAL, PATIENCE
from twisted_oob.xmpp.stream_service import (
    CLOSE_LIMIT,
    LONGEST_PAUSE,
    NEGOTIATION_LIMIT,
    StreamService,
)

HEADER = (
    "<stream:stream xmlns='jabber:component:accept'"
    f" xmlns:stream='http://etherx.jabber.org/streams' id='s1' from='{COMPONENT}'>"
)
REFUSED = Failure(error.ConnectionRefusedError())


def stream_error(condition):
    return (
        f"<stream:error><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"
    )


class Transport(StringTransport):
    """A transport in memory; ``aborted`` tells whether it was cut."""

    aborted = False

    def __init__(self):
        super().__init__()
        self.socket = socket.socket()

    def getHandle(self):
        return self.socket

    def setTcpKeepAlive(self, on):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, on)

    def abortConnection(self):
        self.aborted = True
        self.loseConnection()


class Server:
    """The other end of every connection, and the endpoint that makes them."""

    def __init__(self):
        self.attempts = 0
        self.refusing = False
        self.xmlstream = None

    def connect(self, factory):
        self.attempts += 1
        if self.refusing is None:
            # As HostnameEndpoint does: what it says of a cancelled attempt is not CancelledError.
            return Deferred(lambda attempt: attempt.errback(error.ConnectingCancelledError(None)))
        if self.refusing:
            return fail(REFUSED)
        self.transport = Transport()
        self.xmlstream = factory.buildProtocol(None)
        self.xmlstream.makeConnection(self.transport)
        return succeed(self.xmlstream)

    def send(self, xml):
        self.xmlstream.dataReceived(xml.encode())

    def received(self):
        xml = self.transport.value().decode()
        self.transport.clear()
        return xml

    def accept(self, account=None):
        self.send(HEADER)
        if account is not None:
            self.xmlstream.authenticator.jid = JID(account)
        self.send("<handshake/>")
        self.transport.clear()

    def hang_up(self, reason=ConnectionLost):
        self.xmlstream.connectionLost(Failure(reason()))


class World:
    def __init__(self):
        self.clock = Clock()
        self.server = Server()
        self.refusals = []
        self.stream = StreamService(
            componentFactory(COMPONENT, "secret"),
            self.server,
            name=COMPONENT,
            reactor=self.clock,
            on_refused=self.refusals.append,
        )

    def next_pause(self):
        """Let time go on until the next attempt; gives how long that took."""
        attempts, began = self.server.attempts, self.clock.seconds()
        while self.server.attempts == attempts:
            next_ = min(call.getTime() for call in self.clock.getDelayedCalls())
            self.clock.advance(next_ - self.clock.seconds())
        return self.clock.seconds() - began


@pytest.fixture
def world(monkeypatch):
    monkeypatch.setattr(random, "uniform", lambda _low, high: high)
    return World()


def test_pauses_double_up_to_a_minute(world):
    world.server.refusing = True
    world.stream.startService()
    pauses = [world.next_pause() for _ in range(9)]
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert LONGEST_PAUSE == 60


def test_pauses_have_jitter(monkeypatch):
    asked = []
    monkeypatch.setattr(random, "uniform", lambda low, high: asked.append((low, high)) or low)
    world = World()
    world.server.refusing = True
    world.stream.startService()
    assert [world.next_pause() for _ in range(2)] == [0.5, 1]
    assert set(asked) == {(0.5, 1.0)}


def test_each_failure_is_one_line_with_the_next_attempt(world, log):
    world.server.refusing = True
    world.stream.startService()
    world.next_pause()
    lines = [formatEvent(event) for event in log if "next attempt" in (formatEvent(event) or "")]
    assert len(lines) == 2
    assert lines[0].startswith(COMPONENT)
    assert lines[0].endswith("next attempt in 1.0 s")


def test_a_stream_that_lasted_begins_with_short_pauses_again(world):
    world.server.refusing = True
    world.stream.startService()
    for _ in range(5):
        world.next_pause()
    world.server.refusing = False
    world.next_pause()
    world.server.accept()
    for _ in range(2):
        world.clock.advance(LONGEST_PAUSE / 2)
    world.server.hang_up()
    assert world.next_pause() == 1


def test_a_stream_that_is_lost_at_once_does_not_shorten_the_pauses(world):
    world.stream.startService()
    pauses = []
    for _ in range(4):
        world.server.accept()
        world.server.hang_up()
        pauses.append(world.next_pause())
    assert pauses == [1, 2, 4, 8]


@pytest.mark.parametrize("condition", ["not-authorized", "host-unknown"])
def test_a_lasting_refusal_of_the_first_stream_is_final(world, condition):
    world.stream.startService()
    world.server.send(HEADER)
    world.server.send(stream_error(condition))
    world.server.hang_up(ConnectionDone)
    [refusal] = world.refusals
    assert refusal.permanent
    assert "\n" not in refusal.text
    assert world.clock.getDelayedCalls() == []
    assert world.server.attempts == 1


@pytest.mark.parametrize("condition", ["not-authorized", "host-unknown"])
def test_what_was_up_keeps_trying_whatever_is_said(world, condition):
    world.stream.startService()
    world.server.accept()
    world.server.hang_up()
    world.next_pause()
    world.server.send(HEADER)
    world.server.send(stream_error(condition))
    world.server.hang_up(ConnectionDone)
    assert world.refusals == []
    assert world.next_pause() == 2


@pytest.mark.parametrize("condition", ["conflict", "system-shutdown", "remote-connection-failed"])
def test_a_passing_refusal_is_tried_again(world, condition):
    world.stream.startService()
    world.server.send(HEADER)
    world.server.send(stream_error(condition))
    world.server.hang_up(ConnectionDone)
    assert world.refusals == []
    assert world.next_pause() == 1


def test_a_server_that_does_not_negotiate_is_given_up(world):
    world.stream.startService()
    world.clock.advance(NEGOTIATION_LIMIT - 1)
    assert not world.server.transport.aborted
    world.clock.advance(1)
    assert world.server.transport.aborted
    world.server.hang_up()
    assert world.next_pause() == 1


def test_requests_wait_for_the_next_stream_and_offers_work_on_it(world):
    offers = []
    handler = OOBHandler(offers.append, reactor=world.clock)
    handler.setHandlerParent(world.stream)
    world.stream.startService()
    world.server.accept()
    world.server.hang_up()
    handler.send_url("peer@far.example/phone", "https://files.example/a.png")
    world.next_pause()
    world.server.send(HEADER)
    world.server.send("<handshake/>")
    assert world.server.received().count("jabber:iq:oob") == 1
    world.server.send(
        f"<iq type='set' id='1' from='a@b/c' to='{COMPONENT}'><query xmlns='jabber:iq:oob'>"
        "<url>http://far.example/</url></query></iq>"
    )
    offers[0].reply_success()
    assert "type='result'" in world.server.received()


def ping_of(world):
    """Give the id of the ping that was sent."""
    xml = world.server.received()
    assert xml.count("urn:xmpp:ping") == 1
    assert "to='home.example'" in xml
    return xml.partition("id='")[2].partition("'")[0]


@pytest.mark.parametrize("kind", ["result", "error"])
def test_any_answer_to_a_ping_is_a_sign_of_life(world, kind):
    world.stream.startService()
    world.server.accept(ME)
    for _ in range(3):
        world.clock.advance(INTERVAL)
        id_ = ping_of(world)
        world.server.send(f"<iq type='{kind}' id='{id_}' from='home.example' to='{ME}'/>")
        world.clock.advance(PATIENCE)
        assert not world.server.transport.aborted
        world.clock.advance(INTERVAL - PATIENCE)
        id_ = ping_of(world)
        world.server.send(f"<iq type='{kind}' id='{id_}' from='home.example' to='{ME}'/>")


def test_a_dead_connection_is_found_within_two_minutes(world):
    world.stream.startService()
    world.server.accept(ME)
    world.clock.advance(INTERVAL)
    world.clock.advance(PATIENCE)
    assert world.server.transport.aborted
    assert INTERVAL + PATIENCE <= 120
    world.server.hang_up()
    world.next_pause()
    assert world.server.attempts == 2


def test_a_component_sends_white_space_that_must_be_acknowledged_in_time(world):
    world.stream.startService()
    world.server.accept()
    handle = world.server.transport.getHandle()
    timeout = handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
    assert timeout == PATIENCE * 1000
    for _ in range(3):
        world.clock.advance(INTERVAL)
        assert world.server.received() == " "
    world.server.hang_up()
    world.next_pause()


def test_a_header_that_is_no_header_is_one_failure_and_no_traceback(world, log):
    world.stream.startService()
    world.server.send(HEADER.replace(COMPONENT, "@@"))
    assert world.server.transport.disconnecting
    world.server.hang_up(ConnectionDone)
    assert len(world.refusals) == 1
    assert log.failures() == []


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


def test_a_late_failure_of_a_stream_that_is_gone_does_not_touch_the_next(world):
    world.stream.startService()
    gone = world.server.xmlstream
    world.server.hang_up()
    gone.dispatch(Failure(ValueError("late")), INIT_FAILED_EVENT)
    world.next_pause()
    gone.dispatch(Failure(ValueError("later")), INIT_FAILED_EVENT)
    assert not world.server.transport.aborted
    world.server.hang_up()
    assert world.refusals == []


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
    world.server.refusing = {"connecting": None, "pausing": True}.get(state, False)
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

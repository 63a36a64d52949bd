"""A stream that stays up: attempts, pauses, refusals, and what is logged."""

from __future__ import annotations

import random

import pytest
from twisted.internet.error import ConnectionDone
from twisted.logger import formatEvent
from twisted.python.failure import Failure
from twisted.words.protocols.jabber.jid import InvalidFormat
from twisted.words.protocols.jabber.xmlstream import INIT_FAILED_EVENT

from tests.support.stream_services import HEADER, SECRET, World, stream_error
from tests.support.streams import COMPONENT, outcome
from twisted_oob import OOBHandler, StreamRefused
from twisted_oob.xmpp import stream_service
from twisted_oob.xmpp.stream_service import LONGEST_PAUSE, NEGOTIATION_LIMIT


@pytest.fixture
def world(monkeypatch):
    monkeypatch.setattr(random, "uniform", lambda _low, high: high)
    return World()


def lines_of(log, word):
    """Give the lines of the log with a word in them."""
    return [line for line in map(formatEvent, log) if line is not None and word in line]


def test_pauses_double_up_to_a_minute(world):
    world.server.down = True
    world.stream.startService()
    pauses = [world.next_pause() for _ in range(9)]
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert LONGEST_PAUSE == 60


def test_pauses_have_jitter(monkeypatch):
    asked = []
    monkeypatch.setattr(random, "uniform", lambda low, high: asked.append((low, high)) or low)
    world = World()
    world.server.down = True
    world.stream.startService()
    assert [world.next_pause() for _ in range(2)] == [0.5, 1]
    assert set(asked) == {(0.5, 1.0)}


def test_each_failure_is_one_line_with_the_next_attempt(world, log):
    world.server.down = True
    world.stream.startService()
    world.next_pause()
    lines = lines_of(log, "next attempt")
    assert len(lines) == 2
    assert lines[0].startswith(COMPONENT)
    assert lines[0].endswith("next attempt in 1.0 s")


def test_a_stream_that_lasted_begins_with_short_pauses_again(world):
    world.server.down = True
    world.stream.startService()
    for _ in range(5):
        world.next_pause()
    world.server.down = False
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
    [refused] = world.refusals
    assert isinstance(refused, StreamRefused)
    assert refused.permanent
    assert "\n" not in str(refused)
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


def test_a_header_that_is_no_header_is_one_failure_and_no_traceback(world, log):
    world.stream.startService()
    world.server.send(HEADER.replace(COMPONENT, "@@"))
    assert world.server.transport.disconnecting
    world.server.hang_up(ConnectionDone)
    assert len(world.refusals) == 1
    assert log.failures() == []


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


def test_a_late_failure_of_the_negotiation_does_not_cut_a_stream_that_is_up(world):
    world.stream.startService()
    world.server.accept()
    world.clock.advance(NEGOTIATION_LIMIT)
    assert not world.server.transport.aborted


def test_a_fault_of_ours_is_told_to_who_waits(world, log, monkeypatch):
    fault = RuntimeError("a fault")

    def explain(_failure):
        raise fault

    monkeypatch.setattr(stream_service, "explain", explain)
    ready = world.stream.ready
    world.stream.startService()
    world.server.hang_up()
    assert log.failures() == [fault]
    error = outcome(ready)
    assert isinstance(error, StreamRefused)
    assert "see the log" in str(error)
    assert world.stream.refused is error


def test_a_failed_negotiation_cuts_the_connection(world):
    world.stream.startService()
    world.server.xmlstream.dispatch(Failure(ValueError("it failed")), INIT_FAILED_EVENT)
    assert world.server.transport.aborted


def test_each_stream_has_its_own_limit_of_negotiation(world):
    world.stream.startService()
    world.clock.advance(NEGOTIATION_LIMIT - 1)
    world.server.hang_up()
    world.next_pause()
    world.clock.advance(NEGOTIATION_LIMIT - 1)
    assert not world.server.transport.aborted
    world.clock.advance(1)
    assert world.server.transport.aborted


@pytest.mark.parametrize("first", ["error", "negotiation"])
def test_the_first_reason_is_what_is_told(world, log, first):
    world.stream.startService()
    world.server.send(HEADER)
    if first == "error":
        world.server.send(stream_error("system-shutdown"))
    world.clock.advance(NEGOTIATION_LIMIT)
    world.server.hang_up()
    (line,) = lines_of(log, "next attempt")
    told = "shutting down" if first == "error" else "did not answer in time"
    assert told in line


def test_the_reason_of_one_stream_is_not_told_of_the_next(world, log):
    world.stream.startService()
    world.server.send(HEADER)
    world.server.send(stream_error("system-shutdown"))
    world.server.hang_up()
    world.next_pause()
    world.server.hang_up()
    first, second = lines_of(log, "next attempt")
    assert "shutting down" in first
    assert "the connection was lost" in second


def test_a_stream_is_told_once_when_it_is_up(world, log):
    world.stream.startService()
    assert lines_of(log, "connected") == []
    world.server.accept()
    assert lines_of(log, "connected") == [f"{COMPONENT}: connected"]


@pytest.mark.parametrize("exception", [InvalidFormat, IndexError, KeyError])
def test_what_twisted_can_not_take_ends_the_stream_and_is_no_traceback(world, log, exception):
    def can_not(root):
        raise exception("no")

    world.stream.startService()
    world.server.xmlstream.authenticator.streamStarted = can_not
    world.server.send(HEADER)
    assert world.server.transport.disconnecting
    world.server.hang_up(ConnectionDone)
    assert len(world.refusals) == 1
    assert log.failures() == []


def test_what_a_server_says_is_cut_and_no_secret_is_told(world, log):
    world.stream.startService()
    world.server.send(HEADER)
    said = "no\r\n\x9b " + "x" * 100_000
    world.server.send(stream_error("system-shutdown", said))
    world.server.hang_up()
    (line,) = lines_of(log, "next attempt")
    assert line.isprintable()
    assert len(line) < 300
    shown = repr(world.stream) + str(world.stream) + "".join(map(repr, log))
    assert SECRET not in shown


def test_a_failure_of_the_service_itself_is_logged(world, log):
    def fail(refusal):
        raise RuntimeError("on_refused is broken")

    world.stream.on_refused = fail
    world.stream.startService()
    world.server.send(HEADER)
    world.server.send(stream_error("host-unknown"))
    world.server.hang_up(ConnectionDone)
    assert [str(error) for error in log.failures()] == ["on_refused is broken"]


@pytest.mark.parametrize("markup", ["<!-- -->", "<?a b?>", "<message><!-- --></message>"])
def test_what_xmpp_forbids_is_told_and_tried_again(world, log, markup):
    world.stream.startService()
    world.server.accept()
    world.server.send(markup)
    assert "<restricted-xml " in world.server.received()
    assert world.server.transport.disconnecting
    world.server.hang_up(ConnectionDone)
    (line,) = lines_of(log, "next attempt")
    assert "the server sent a comment" in line
    assert "restricted-xml" in line
    world.next_pause()
    assert world.server.attempts == 2


def test_what_xmpp_forbids_in_the_first_stream_is_final(world):
    world.stream.startService()
    world.server.send(HEADER + "<!-- -->")
    world.server.hang_up(ConnectionDone)
    assert "restricted-xml" in str(world.refusals[0])


# --- started twice


def test_started_twice_it_has_one_stream(world):
    world.stream.startService()
    world.server.accept()
    world.stream.startService()
    assert world.server.attempts == 1
    world.server.hang_up()
    world.stream.startService()
    world.next_pause()
    assert world.server.attempts == 2
    world.stream.stopService()
    world.server.hang_up()
    assert world.clock.getDelayedCalls() == []


@pytest.mark.parametrize("at_once", [False, True])
def test_refused_it_can_be_started_without_a_stop(world, at_once):
    if at_once:
        world.stream.on_refused = lambda _error: world.stream.startService()
    world.stream.startService()
    world.server.send(HEADER + stream_error("host-unknown"))
    world.server.hang_up(ConnectionDone)
    if not at_once:
        assert world.stream.refused is not None
        world.stream.startService()
    assert world.stream.refused is None
    assert world.server.attempts == 2


# --- redirects


def redirected(world, *, up=False):
    """Let the server send us elsewhere, at the start of the stream or when it is up."""
    namespace = "urn:ietf:params:xml:ns:xmpp-streams"
    error = f"<see-other-host xmlns='{namespace}'>other.example:5223</see-other-host>"
    world.server.send(f"{'' if up else HEADER}<stream:error>{error}</stream:error>")
    world.server.hang_up(ConnectionDone)


def test_a_redirect_that_the_endpoint_follows_is_no_failure(world, log):
    asked = []
    world.server.see_other_host = lambda text: asked.append(text) or True
    world.stream.startService()
    redirected(world)
    assert asked == ["other.example:5223"]
    assert world.server.attempts == 2
    assert world.clock.getDelayedCalls() == [world.stream._negotiation]
    assert lines_of(log, "next attempt") == []


def test_a_redirect_that_it_does_not_follow_is_a_failure(world, log):
    world.server.see_other_host = lambda _text: False
    world.stream.startService()
    redirected(world)
    assert world.next_pause() == 1
    (line,) = lines_of(log, "next attempt")
    assert "(see-other-host)" in line
    # A failure that follows is not taken for a redirect, too.
    world.server.see_other_host = lambda _text: True
    world.server.hang_up()
    assert world.next_pause() == 2


def test_an_endpoint_that_knows_no_redirects_gets_none(world):
    world.stream.startService()
    redirected(world)
    assert world.next_pause() == 1


def test_the_endpoint_hears_of_each_stream_that_lasted(world):
    heard = []
    world.server.stream_up = lambda: heard.append(world.server.attempts)
    world.stream.startService()
    for lasted in (0, LONGEST_PAUSE - 1, LONGEST_PAUSE, 0, LONGEST_PAUSE):
        world.server.accept()
        world.clock.advance(lasted)
        world.server.hang_up()
        world.next_pause()
    assert heard == [3, 5]


def test_streams_that_end_in_a_redirect_at_once_are_redirects_in_a_row(world):
    # As ServerEndpoint counts them.
    row = []
    world.server.stream_up = row.clear
    world.server.see_other_host = lambda text: len(row) < 5 and row.append(text) is None
    world.stream.startService()
    for _ in range(5):
        world.server.accept()
        redirected(world, up=True)
    assert world.server.attempts == 6
    world.server.accept()
    redirected(world, up=True)
    assert world.server.attempts == 6
    assert world.next_pause() > 0
    # One that lasted may redirect again.
    world.server.accept()
    world.clock.advance(LONGEST_PAUSE)
    redirected(world, up=True)
    assert world.server.attempts == 8

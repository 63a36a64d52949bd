"""Messages that come back as errors: whose error counts, for how long, and what ends the wait."""

from __future__ import annotations

import pytest
from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.words.protocols.jabber.xmlstream import TimeoutError as StreamTimeoutError

from tests.support.streams import (
    COMPONENT,
    ME,
    PEER,
    URL,
    WIRES,
    ClientWire,
    ComponentWire,
    clock_of,
    connected,
    outcome,
    stanza,
)
from twisted_oob import ErrorCondition, FileInfo, OOBHandler
from twisted_oob.errors import StreamRefused
from twisted_oob.testing import MemoryServer, result_of

pytestmark = pytest.mark.usefixtures("log")

on_every_stream = pytest.mark.parametrize("make", WIRES.values(), ids=WIRES)

XMLNS = "xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'"
ERROR = f"<error type='cancel'><service-unavailable {XMLNS}/></error>"


def bounce(wire, message, error=ERROR, from_=PEER, name="message", **attributes):
    """Let a message come back; by default as its recipient's server would send it."""
    attributes = {"type": "error", "id": message.get("id"), "to": wire.me} | attributes
    wire.receive(stanza(name, error, from_=from_, **attributes))


def sent(to=PEER, wire=ClientWire, **options):
    """Give a handler, its wire, the Deferred of a message whose bounce is waited for, and that."""
    handler, end = connected(wire=wire)
    told = handler.send_message(to, URL, bounce_timeout=2.0, **options)
    return handler, end, told, end.sent()[0]


def settled(handler):
    """Whether nothing is kept of any message."""
    outbox = handler._outbox
    kept = (outbox._unsent, outbox._watched, outbox.bounces._waiting)
    return not any(kept) and clock_of(handler).getDelayedCalls() == []


@on_every_stream
def test_message_that_bounces_ends_in_its_condition(make):
    handler, wire, told, message = sent(wire=make)
    assert not told.called
    text = (
        f"<error type='cancel'><item-not-found {XMLNS}/><text {XMLNS}>no such user</text></error>"
    )
    bounce(wire, message, text)
    condition = outcome(told)
    assert isinstance(condition, ErrorCondition)
    assert (condition, condition.error.text) == ("not-found", "no such user")
    assert settled(handler)


@on_every_stream
def test_message_that_does_not_bounce_in_time_ends_well(make):
    handler, wire, told, message = sent(wire=make)
    clock_of(handler).advance(1.9)
    assert not told.called
    clock_of(handler).advance(0.2)
    assert outcome(told) is None
    assert settled(handler)
    bounce(wire, message)
    assert wire.sent() == []


@pytest.mark.parametrize(
    ("to", "from_", "counts"),
    [
        (PEER, PEER, True),
        (PEER, "peer@far.example", True),
        (PEER, "far.example", True),
        (PEER, "PEER@Far.Example/phone", True),
        (PEER, "FAR.example", True),
        (PEER, "peer@far.example/PHONE", False),
        (PEER, "other@far.example", False),
        (PEER, "far.example/phone", False),
        (PEER, "example", False),
        (PEER, "evil.example", False),
        (PEER, "home.example", False),
        (PEER, ME, False),
        (PEER, None, False),
        (PEER, "a..b", False),
        (PEER, "", False),
        ("peer@far.example", "peer@far.example", True),
        ("peer@far.example", "far.example", True),
        ("peer@far.example", PEER, False),
        ("far.example", "far.example", True),
        ("far.example", "peer@far.example", False),
        # Our own server answers for our own account.
        ("me@home.example", None, True),
        ("me@home.example", "me@home.example", True),
        ("me@home.example", "home.example", True),
        ("me@home.example", ME, True),
        ("me@home.example", "me@home.example/other", False),
        ("me@home.example", PEER, False),
        ("me@home.example/other", None, True),
        ("other@home.example", None, False),
        ("other@home.example", "home.example", True),
    ],
)
def test_whose_error_counts(to, from_, counts):
    handler, wire, told, message = sent(to)
    bounce(wire, message, from_=from_)
    assert told.called is counts
    clock_of(handler).advance(2.0)
    assert outcome(told) == ("unavailable" if counts else None)
    assert settled(handler)


def test_a_component_waits_for_the_bounce_at_the_address_that_it_sent_from():
    sender = "alice@" + COMPONENT
    _handler, wire, told, message = sent(sender, wire=ComponentWire, sender=sender)
    bounce(wire, message, from_=None, to=sender)
    assert outcome(told) == "unavailable"


@pytest.mark.parametrize("from_", [None, PEER])
def test_a_stream_that_does_not_know_who_we_are_takes_only_what_is_from_the_recipient(from_):
    handler, wire, told, message = sent()
    handler.bound_stream.me = None
    bounce(wire, message, from_=from_)
    assert told.called is (from_ == PEER)


@pytest.mark.parametrize(
    "changed",
    [
        {"id": "guessed"},
        {"id": None},
        {"type": "chat"},
        {"type": None},
        {"name": "presence"},
        {"name": "iq"},
    ],
)
def test_what_is_no_bounce_of_it_is_ignored(changed):
    _handler, wire, told, message = sent()
    bounce(wire, message, **changed)
    assert not told.called
    bounce(wire, message)
    assert outcome(told) == "unavailable"


@pytest.mark.parametrize("error", ["", "<error/>", "<error xmlns='urn:x'/>", "text"])
def test_an_error_that_says_nothing_is_a_bounce(error):
    _handler, wire, told, message = sent()
    bounce(wire, message, error)
    condition = outcome(told)
    assert (condition, condition.error.condition) == ("reject", "undefined-condition")


def test_a_bounce_is_handled_and_no_other_error_is():
    messages, seen = [], []
    handler, wire = connected(None, messages.append)
    wire.xmlstream.addObserver("/message", seen.append, -1)
    told = handler.send_message(PEER, URL, bounce_timeout=2.0)
    message = wire.sent_one()
    with_url = f"<x xmlns='jabber:x:oob'><url>{URL}</url></x>{ERROR}"
    bounce(wire, message, with_url, from_="evil@evil.example")
    bounce(wire, message, with_url)
    bounce(wire, message, with_url)
    assert outcome(told) == "unavailable"
    assert [vars(element).get("handled", False) for element in seen] == [False, True, False]
    assert messages == []


def test_several_messages_are_told_apart():
    handler, wire = connected()
    told = [handler.send_message(PEER, URL, bounce_timeout=2.0) for _ in range(3)]
    messages = wire.sent()
    bounce(wire, messages[1])
    assert [one.called for one in told] == [False, True, False]
    clock_of(handler).advance(2.0)
    assert [outcome(one) for one in told] == [None, "unavailable", None]


def test_only_the_bounce_of_the_file_counts():
    handler, wire = connected()
    told = handler.send_message(PEER, URL, "A cat", info=FileInfo("a.jpg"), bounce_timeout=2.0)
    message, description = wire.sent()
    bounce(wire, description)
    assert not told.called
    bounce(wire, message)
    assert outcome(told) == "unavailable"
    assert settled(handler)


@on_every_stream
def test_the_time_runs_from_when_it_is_written(make):
    handler, wire = connected(wire=make)
    wire.lose()
    told = handler.send_message(PEER, URL, bounce_timeout=2.0)
    clock_of(handler).advance(100)
    assert not told.called
    wire.open()
    message = wire.sent_one()
    clock_of(handler).advance(1.5)
    bounce(wire, message)
    assert outcome(told) == "unavailable"
    assert settled(handler)


def test_message_that_waits_for_a_stream_ends_as_any_other():
    handler = OOBHandler(reactor=Clock(), timeout=10.0)
    first, second, third = (
        handler.send_message(PEER, f"{URL}?{number}", bounce_timeout=2.0) for number in range(3)
    )
    first.cancel()
    assert isinstance(outcome(first), CancelledError)
    clock_of(handler).advance(9.0)
    refused = StreamRefused("the password is wrong")
    fourth = handler.send_message(PEER, URL, bounce_timeout=2.0)
    clock_of(handler).advance(1.0)
    assert [type(outcome(one)) for one in (second, third)] == [StreamTimeoutError] * 2
    handler.stream_refused(refused)
    assert outcome(fourth) is refused
    assert settled(handler)


@on_every_stream
def test_cancelled_wait_leaves_nothing(make):
    handler, wire, told, message = sent(wire=make)
    told.cancel()
    assert isinstance(outcome(told), CancelledError)
    assert settled(handler)
    bounce(wire, message)


@on_every_stream
def test_lost_stream_fails_what_may_still_bounce(make):
    handler, wire, told, message = sent(wire=make)
    wire.lose()
    assert isinstance(outcome(told), (ConnectionLost, ConnectionDone))
    assert settled(handler)
    wire.open()
    bounce(wire, message)
    assert wire.sent() == []


def test_stream_that_is_lost_while_it_is_written_fails_it():
    handler, wire = connected()
    wire.xmlstream.send = lambda _: wire.lose()
    told = handler.send_message(PEER, URL, bounce_timeout=2.0)
    assert isinstance(outcome(told), ConnectionLost)
    assert settled(handler)


def test_message_that_cannot_be_written_fails():
    def send(_):
        raise OSError("no way out")

    handler, wire = connected()
    wire.xmlstream.send = send
    assert isinstance(outcome(handler.send_message(PEER, URL, bounce_timeout=2.0)), OSError)
    assert settled(handler)


def test_what_is_sent_when_one_fails_with_its_stream_belongs_to_the_next():
    handler, wire, told, _message = sent()
    other = handler.send_url(PEER, URL)
    wire.sent()
    again = []

    def join(_):
        wire.open()
        again.append(handler.send_url(PEER, URL))
        again.append(handler.send_message(PEER, URL, bounce_timeout=2.0))

    told.addErrback(join)
    wire.lose()
    assert isinstance(outcome(other), ConnectionLost)
    request, message = wire.sent()
    assert [one.called for one in again] == [False, False]
    wire.answer(request)
    bounce(wire, message)
    assert [outcome(one) for one in again] == [None, "unavailable"]


def test_bounce_that_comes_while_it_is_written_counts():
    """As between components of one process."""
    handler, wire = connected()

    def send(element):
        wire.receive(stanza("message", ERROR, type="error", id=element["id"], from_=PEER))

    wire.xmlstream.send = send
    assert outcome(handler.send_message(PEER, URL, bounce_timeout=2.0)) == "unavailable"
    assert settled(handler)


def test_a_server_in_memory_bounces_what_is_for_nobody():
    server = MemoryServer()
    end = server.client("me@example.org/laptop")
    handler = OOBHandler(reactor=server.clock)
    handler.setHandlerParent(end)
    told = handler.send_message("nobody@example.org/x", URL, bounce_timeout=2.0)
    assert result_of(told) == "unavailable"


@pytest.mark.parametrize(
    ("seconds", "kind"), [(0, ValueError), (-1, ValueError), ("2", TypeError), (True, TypeError)]
)
def test_a_time_that_is_not_good_fails_and_sends_nothing(seconds, kind):
    handler, wire = connected()
    error = outcome(handler.send_message(PEER, URL, bounce_timeout=seconds))
    assert isinstance(error, kind)
    assert str(error).startswith("bounce_timeout must be a number of seconds")
    assert wire.sent() == []


def test_without_a_bounce_timeout_nothing_is_kept():
    handler, wire = connected()
    assert outcome(handler.send_message(PEER, URL)) is None
    assert settled(handler)
    bounce(wire, wire.sent_one())

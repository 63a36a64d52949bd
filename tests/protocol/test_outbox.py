"""Messages that wait for a stream: in order, in time, not too many, and never lost silently."""

from __future__ import annotations

import pytest
from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.words.protocols.jabber.xmlstream import TimeoutError as StreamTimeoutError

from tests.support.streams import PEER, URL, ClientWire, clock_of, connected, outcome
from twisted_oob import OOBHandler
from twisted_oob.errors import OOBError, QueueFull, StreamRefused
from twisted_oob.protocol.outbox import MOST_UNSENT

pytestmark = pytest.mark.usefixtures("log")


class Broken:
    """A send that fails, for as many messages as it is told to."""

    def __init__(self, wire, times):
        self.times = times
        self.send = wire.xmlstream.send
        wire.xmlstream.send = self

    def __call__(self, stanza):
        if self.times:
            self.times -= 1
            raise OSError("no way out")
        self.send(stanza)


def waiting(count, **options):
    """Give a handler and the Deferreds of so many messages that wait for a stream."""
    handler = OOBHandler(reactor=Clock(), **options)
    return handler, [handler.send_message(PEER, f"{URL}?{number}") for number in range(count)]


def join(handler):
    """Give a stream that the handler is on, not yet negotiated."""
    wire = ClientWire()
    handler.setHandlerParent(wire.manager)
    wire.connect()
    return wire


def bodies(wire):
    """Give the number of each message that was written."""
    found = [stanza.findtext("body") for stanza in wire.sent() if stanza.tag == "message"]
    return [int(body.partition("?")[2]) for body in found]


def open_(wire):
    wire.transport.clear()
    wire.negotiate()


def test_message_on_a_stream_is_written_at_once():
    handler, wire = connected()
    assert outcome(handler.send_message(PEER, f"{URL}?7")) is None
    assert bodies(wire) == [7]


def test_message_without_a_stream_fires_once_it_is_written():
    handler, messages = waiting(3)
    wire = join(handler)
    assert not any(message.called for message in messages)
    seen = []
    messages[0].addCallback(lambda _: seen.extend(bodies(wire)))
    open_(wire)
    assert seen == [0]
    assert [outcome(message) for message in messages] == [None] * 3
    assert bodies(wire) == [1, 2]
    assert clock_of(handler).getDelayedCalls() == []


def test_message_that_the_stream_does_not_take_fails_and_the_others_are_written():
    handler, messages = waiting(3)
    wire = join(handler)
    wire.transport.clear()
    broken = Broken(wire, 0)
    messages[0].addCallback(lambda _: setattr(broken, "times", 1))
    wire.negotiate()
    assert [type(outcome(message)) for message in messages] == [type(None), OSError, type(None)]
    wire.lose()
    wire.open()
    assert bodies(wire) == []


def test_message_that_an_open_stream_does_not_take_fails():
    handler, wire = connected()
    Broken(wire, 1)
    assert isinstance(outcome(handler.send_message(PEER, URL)), OSError)
    assert outcome(handler.send_message(PEER, f"{URL}?1")) is None
    assert bodies(wire) == [1]


@pytest.mark.parametrize("seconds", [900, 5])
def test_message_fails_if_no_stream_comes_in_time(seconds):
    handler, (first,) = waiting(1, **({} if seconds == 900 else {"timeout": seconds}))
    clock_of(handler).advance(1)
    second = handler.send_message(PEER, f"{URL}?1")
    clock_of(handler).advance(seconds - 1)
    error = outcome(first)
    assert isinstance(error, StreamTimeoutError)
    assert "no stream" in str(error)
    assert not second.called
    wire = join(handler)
    open_(wire)
    assert bodies(wire) == [1]
    assert clock_of(handler).getDelayedCalls() == []


def test_message_of_a_handler_without_a_timeout_waits_for_ever():
    handler, (message,) = waiting(1, timeout=None)
    assert clock_of(handler).getDelayedCalls() == []
    open_(wire := join(handler))
    assert outcome(message) is None
    assert bodies(wire) == [0]


def test_cancelled_message_leaves_the_queue():
    handler, messages = waiting(3)
    messages[1].cancel()
    assert isinstance(outcome(messages[1]), CancelledError)
    open_(wire := join(handler))
    assert bodies(wire) == [0, 2]
    messages[0].cancel()
    assert outcome(messages[0]) is None
    assert clock_of(handler).getDelayedCalls() == []


def test_a_thousand_messages_wait_and_one_more_fails_at_once():
    handler, messages = waiting(MOST_UNSENT)
    assert MOST_UNSENT == 1000
    error = outcome(handler.send_message(PEER, URL))
    assert isinstance(error, QueueFull)
    assert isinstance(error, OOBError)
    messages[0].cancel()
    outcome(messages[0])
    last = handler.send_message(PEER, f"{URL}?1000")
    open_(wire := join(handler))
    assert bodies(wire) == list(range(1, 1001))
    assert outcome(last) is None


def test_a_thousand_messages_are_no_limit_for_an_open_stream():
    handler, wire = connected()
    for number in range(MOST_UNSENT + 5):
        handler.send_message(PEER, f"{URL}?{number}")
    assert len(bodies(wire)) == MOST_UNSENT + 5


def test_message_that_is_sent_when_another_is_written_comes_after_those_that_wait():
    handler, messages = waiting(2)
    more = []
    messages[0].addCallback(lambda _: more.append(handler.send_message(PEER, f"{URL}?9")))
    open_(wire := join(handler))
    assert bodies(wire) == [0, 1, 9]
    assert outcome(more[0]) is None


def test_message_that_the_application_fired_itself_stops_no_other():
    handler, messages = waiting(3)
    messages[0].callback(None)
    messages[1].callback(None)
    open_(wire := join(handler))
    assert bodies(wire) == [0, 1, 2]
    assert outcome(messages[2]) is None


def test_messages_fail_if_the_stream_is_refused():
    handler, messages = waiting(2)
    again = []
    messages[0].addErrback(lambda _: again.append(handler.send_message(PEER, URL)))
    handler.stream_refused(refused := StreamRefused("the password is wrong"))
    assert outcome(messages[1]) is refused
    # Nothing says that it is refused still.
    assert not again[0].called


def test_messages_without_a_stream_are_sent_in_order_once_with_it():
    handler = OOBHandler(reactor=Clock())
    wanted = [f"{URL}?{number}" for number in range(10)]
    for url in wanted:
        handler.send_message(PEER, url)
    wire = ClientWire()
    handler.setHandlerParent(wire.manager)
    wire.open()
    assert [sent.find("body").text for sent in wire.sent()] == wanted
    wire.lose()
    wire.open()
    assert wire.sent() == []


def test_messages_wait_for_the_next_stream_if_sending_one_loses_this():
    handler = OOBHandler(reactor=Clock())
    for number in range(3):
        handler.send_message(PEER, f"{URL}?{number}")
    request = handler.send_url(PEER, URL)
    wire = ClientWire()
    handler.setHandlerParent(wire.manager)
    wire.connect()
    sent = []

    def send(element):
        sent.append(element)
        wire.lose()

    wire.xmlstream.send = send
    wire.negotiate()
    assert [str(element.body) for element in sent] == [f"{URL}?0"]
    assert not request.called
    wire.open()
    bodies = [element.findtext("body") for element in wire.sent()]
    assert bodies == [f"{URL}?1", f"{URL}?2", None]


def test_messages_are_sent_once_if_sending_one_opens_the_next_stream():
    handler = OOBHandler(reactor=Clock())
    for number in range(3):
        handler.send_message(PEER, f"{URL}?{number}")
    wire = ClientWire()
    handler.setHandlerParent(wire.manager)
    wire.connect()
    sent = []

    def send(element):
        sent.append(str(element.body))
        wire.lose()
        wire.open()

    wire.xmlstream.send = send
    wire.negotiate()
    sent += [element.findtext("body") for element in wire.sent()]
    assert sent == [f"{URL}?{number}" for number in range(3)]

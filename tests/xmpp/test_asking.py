"""AskingHandler: requests on one stream after the other, and who waits for a stream."""

from __future__ import annotations

import pytest
from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.words.protocols.jabber.error import StanzaError
from twisted.words.protocols.jabber.jid import JID
from twisted.words.protocols.jabber.xmlstream import TimeoutError as IQTimeoutError

from tests.support.streams import COMPONENT, ME, PEER, WIRES, ClientWire, outcome
from twisted_oob import OOBHandler, StreamRefused
from twisted_oob.xmpp.asking import AskingHandler
from twisted_oob.xmpp.stanza import Payload

from wokkel.subprotocols import XMPPHandler  # isort: skip

pytestmark = pytest.mark.usefixtures("log")

PAYLOAD = Payload("urn:example:ask", "query", (("item", "a"),))
REFUSED = StreamRefused("no such account")


class Asked:
    """A handler with a clock, on a stream of some kind."""

    def __init__(self, wire=ClientWire, *, connected=True):
        self.clock = Clock()
        self.handler = AskingHandler(self.clock)
        self.wire = wire()
        self.handler.setHandlerParent(self.wire.manager)
        if connected:
            self.wire.open()

    def ask(self, kind="get", recipient=PEER, timeout=5):
        return self.handler.ask(kind, PAYLOAD, recipient, timeout=timeout)


@pytest.fixture(params=WIRES)
def wire(request):
    return WIRES[request.param]


def test_who_was_asked_answers(wire):
    one = Asked(wire)
    asking = one.ask()
    sent = one.wire.sent_one()
    assert (sent.get("to"), sent.get("type")) == (PEER, "get")
    one.wire.answer(sent, from_="stranger@far.example/x")
    assert not asking.called
    one.wire.receive(
        f"<iq type='result' id='{sent.get('id')}' from='{PEER}' to='{one.wire.me}'>"
        "<query xmlns='urn:example:ask'>x</query></iq>"
    )
    assert str(outcome(asking).query) == "x"
    assert one.clock.getDelayedCalls() == []


def test_an_error_is_its_failure():
    one = Asked()
    asking = one.ask()
    one.wire.answer(
        one.wire.sent_one(),
        "<error type='cancel'><forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>",
    )
    error = outcome(asking)
    assert isinstance(error, StanzaError)
    assert error.condition == "forbidden"


def test_an_answer_that_another_handler_took_is_left_alone():
    one = Asked()
    one.wire.xmlstream.addObserver("/iq", lambda iq: setattr(iq, "handled", True), 1)
    asking = one.ask()
    one.wire.answer(one.wire.sent_one())
    assert not asking.called
    asking.addErrback(lambda _: None).cancel()


def test_its_requests_and_those_of_another_handler_do_not_mix():
    one = Asked()
    other = OOBHandler(reactor=one.clock)
    other.setHandlerParent(one.wire.manager)
    mine, theirs = one.ask(), other.send_url(PEER, "https://files.example/a")
    for sent in one.wire.sent():
        one.wire.answer(sent)
    assert outcome(mine) is None
    assert outcome(theirs) is None


def test_silence_fails_it():
    one = Asked()
    asking = one.ask()
    one.clock.advance(5)
    assert isinstance(outcome(asking), IQTimeoutError)


def test_what_is_asked_without_a_stream_waits_for_one(wire):
    one = Asked(wire, connected=False)
    asking = one.ask()
    one.wire.open()
    one.wire.answer(one.wire.sent_one())
    assert outcome(asking) is None


def test_a_stream_that_is_lost_fails_what_was_asked_on_it():
    one = Asked()
    asking = one.ask()
    one.wire.lose()
    assert isinstance(outcome(asking), ConnectionLost)
    assert one.handler.me is None
    assert one.clock.getDelayedCalls() == []


def test_who_is_no_jid_is_an_error_at_once():
    with pytest.raises(ValueError, match="not a valid JID"):
        Asked().ask(recipient="a..b")


def test_its_address_is_that_of_the_stream():
    assert Asked().handler.me == JID(ME)
    assert Asked(WIRES["wokkel component"]).handler.me == JID(COMPONENT)
    assert Asked(connected=False).handler.me is None


def test_a_handler_that_was_taken_off_is_done_with_the_stream(wire):
    one = Asked(wire)
    asking = one.ask()
    one.handler.disownHandlerParent(one.wire.manager)
    assert isinstance(outcome(asking), ConnectionDone)
    assert one.handler.me is None
    one.wire.sent()
    one.ask().addErrback(lambda _: None).cancel()
    assert one.wire.sent() == []


def test_a_handler_can_change_its_stream():
    one = Asked()
    one.handler.disownHandlerParent(one.wire.manager)
    asking = one.ask()
    other = ClientWire()
    other.open()
    one.handler.setHandlerParent(other.manager)
    other.answer(other.sent_one())
    assert outcome(asking) is None


def test_an_answer_on_the_stream_before_does_not_count():
    one = Asked()
    one.handler.disownHandlerParent(one.wire.manager)
    other = ClientWire()
    other.open()
    one.handler.setHandlerParent(other.manager)
    asking = one.ask()
    sent = other.sent_one()
    one.wire.answer(sent)
    assert not asking.called
    other.answer(sent)
    assert outcome(asking) is None


class Told(XMPPHandler):
    """Calls something when it is told of a stream, and keeps what it was told."""

    def __init__(self, made=lambda: None):
        super().__init__()
        self.made = made
        self.initialized = 0

    def connectionMade(self):
        self.made()

    def connectionInitialized(self):
        self.initialized += 1


def test_who_is_taken_off_while_streams_are_told_of_does_not_hide_the_next_handler(wire):
    one = Asked(wire, connected=False)
    manager = one.wire.manager
    waiting = one.handler.wait_for_stream(None)
    waiting.addCallback(lambda _: one.handler.disownHandlerParent(manager))
    after = Told()
    after.setHandlerParent(manager)
    one.wire.open()
    assert after.initialized == 1
    assert one.handler.me is None


def test_who_is_taken_off_just_before_the_stream_is_told_of_has_none(wire):
    made = wire()
    handler = AskingHandler(Clock())
    before = Told(lambda: handler.parent and handler.disownHandlerParent(made.manager))
    before.setHandlerParent(made.manager)
    handler.setHandlerParent(made.manager)
    made.open()
    assert handler.me is None
    assert handler.xmlstream is None


def test_an_answer_is_taken_once_although_the_manager_tells_twice():
    one = Asked()
    one.handler.connectionInitialized()
    asking = one.ask()
    one.wire.answer(one.wire.sent_one())
    assert outcome(asking) is None


# Who waits for a stream.


def test_a_stream_that_is_there_is_not_waited_for():
    assert outcome(Asked().handler.wait_for_stream(5)) == JID(ME)


def test_a_stream_that_comes_is_told_once(wire):
    one = Asked(wire, connected=False)
    waiting = [one.handler.wait_for_stream(seconds) for seconds in (5, None)]
    one.clock.advance(4)
    one.wire.open()
    assert [outcome(each) for each in waiting] == [JID(one.wire.me)] * 2
    assert one.clock.getDelayedCalls() == []
    if one.wire.negotiates:
        one.wire.lose()
        assert not one.handler.wait_for_stream(None).called


def test_it_is_not_waited_for_without_end():
    one = Asked(connected=False)
    waiting = one.handler.wait_for_stream(5)
    one.clock.advance(5)
    assert isinstance(outcome(waiting), IQTimeoutError)
    one.wire.open()


def test_who_waits_can_leave():
    one = Asked(connected=False)
    waiting = one.handler.wait_for_stream(5)
    waiting.cancel()
    assert isinstance(outcome(waiting), CancelledError)
    assert one.clock.getDelayedCalls() == []
    one.wire.open()


def test_what_waits_fails_when_there_will_be_no_stream():
    one = Asked(connected=False)
    waiting = [one.ask(timeout=None), one.handler.wait_for_stream(5)]
    assert one.handler.stream_refused(REFUSED) is True
    assert [outcome(each) for each in waiting] == [REFUSED] * 2
    assert one.handler.stream_refused(REFUSED) is False
    assert one.clock.getDelayedCalls() == []


def test_one_that_leaves_when_another_fails():
    one = Asked(connected=False)
    first, second = one.handler.wait_for_stream(5), one.handler.wait_for_stream(5)
    first.addErrback(lambda _: second.cancel())
    one.handler.stream_refused(REFUSED)
    assert outcome(first) is None
    assert isinstance(outcome(second), CancelledError)


def test_a_manager_that_has_been_refused_already_fails_it_at_once():
    one = Asked(connected=False)
    one.wire.manager.refused = REFUSED
    assert outcome(one.ask()) is REFUSED
    assert outcome(one.handler.wait_for_stream(5)) is REFUSED


def test_what_waits_fails_on_joining_a_manager_that_was_refused():
    handler = AskingHandler(Clock())
    waiting = handler.wait_for_stream(None)
    wire = ClientWire()
    wire.manager.refused = REFUSED
    handler.setHandlerParent(wire.manager)
    assert outcome(waiting) is REFUSED


def test_one_who_loses_the_stream_leaves_the_others_to_the_next():
    one = Asked(connected=False)
    first, second = one.handler.wait_for_stream(None), one.handler.wait_for_stream(None)
    first.addCallback(lambda _: one.wire.lose())
    one.wire.open()
    assert first.called
    assert not second.called
    one.wire.open()
    assert outcome(second) == JID(ME)

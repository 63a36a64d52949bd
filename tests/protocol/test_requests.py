"""Requests for jabber:iq:oob before they are offers: the gate, the limit, and whose they are."""

from __future__ import annotations

from collections import deque

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from tests.support.offers import REJECT, assert_answer
from tests.support.streams import (
    ME,
    PEER,
    ClientWire,
    Direct,
    clock_of,
    connected,
    query,
    stanza,
)
from twisted_oob import OOBHandler
from twisted_oob.xmpp.gate import Verdict

from wokkel.generic import FallbackHandler  # isort: skip

pytestmark = pytest.mark.usefixtures("log")

KINDS = pytest.mark.parametrize("kind", [OOBHandler, Direct], ids=["ordinary", "direct"])
# What goes the ordinary way also if the handler is direct, and what does not.
PAYLOADS = pytest.mark.parametrize("payload", [query(), f" {query()}", query() + "<x xmlns='u'/>"])


def never(_offer):
    raise AssertionError("the application saw it")


class Gate:
    """Gives verdicts in turn, and keeps whom it judged, and the ids of their requests."""

    def __init__(self, *verdicts):
        self.verdicts = deque(verdicts)
        self.judged = []
        self.ids = []

    def judge(self, sender, id_):
        self.judged.append(sender)
        self.ids.append(id_)
        return self.verdicts.popleft()


SHORT = "<error type='{}'><{} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"


def short(wire, condition, type_):
    """Whether exactly a short error was sent."""
    xml = wire.transport.value().decode()
    wire.transport.clear()
    return (
        SHORT.format(type_, condition) in xml
        and len(xml) < len(SHORT) + len(condition) + len(PEER) + len(ME) + 60
        and "query" not in xml
    )


# The gate


@KINDS
@PAYLOADS
@pytest.mark.parametrize("type_", ["set", "get", "offer"])
def test_denied_request_gets_a_short_error_and_is_neither_read_nor_logged(
    kind, payload, type_, log
):
    gate = Gate(Verdict.DENY)
    _handler, wire = connected(never, handler=kind, gate=gate)
    wire.receive("<presence/>")
    wire.offer(payload=payload, type=type_)
    assert short(wire, "not-acceptable", "modify")
    assert gate.judged == [PEER]
    assert log == []


@KINDS
def test_the_id_of_a_denied_request_comes_back_as_it_was(kind):
    _handler, wire = connected(never, handler=kind, gate=Gate(Verdict.DENY))
    wire.receive(f"<iq type='set' from='{PEER}' id='a&#10;b&#9;&apos;&lt;&#13;'>{query()}</iq>")
    assert wire.sent_one().get("id") == "a\nb\t'<\r"


@KINDS
@PAYLOADS
def test_dropped_request_is_taken_and_not_answered(kind, payload, log):
    gate = Gate(Verdict.DROP)
    _handler, wire = connected(never, handler=kind, gate=gate)
    FallbackHandler().setHandlerParent(wire.manager)
    wire.receive("<presence/>")
    wire.offer(payload=payload)
    assert wire.sent() == []
    assert gate.judged == [PEER]
    assert log == []


@KINDS
def test_admitted_request_is_an_offer(kind):
    gate = Gate(Verdict.ADMIT, Verdict.DENY, Verdict.ADMIT)
    offers = []
    _handler, wire = connected(offers.append, handler=kind, gate=gate)
    for number in range(3):
        wire.offer(f"o{number}", from_=f"a..b/{number}" if number == 1 else PEER)
    assert [offer.element["id"] for offer in offers] == ["o0", "o2"]
    assert gate.judged == [PEER, "a..b/1", PEER]
    assert gate.ids == ["o0", "o1", "o2"]


@KINDS
def test_request_without_a_from_is_judged_too(kind):
    gate = Gate(Verdict.DENY)
    _handler, wire = connected(never, handler=kind, gate=gate)
    wire.offer(from_=None)
    assert short(wire, "not-acceptable", "modify")
    assert gate.judged == [None]


@KINDS
def test_a_handler_that_takes_no_offers_asks_its_gate_only_if_nobody_else_takes_them(kind):
    gate = Gate(Verdict.DROP)
    _handler, wire = connected(handler=kind, gate=gate)
    second = OOBHandler(lambda offer: offer.reply_success(), reactor=Clock())
    second.setHandlerParent(wire.manager)
    wire.offer()
    assert_answer(wire.sent_one())
    assert gate.judged == []
    second.disownHandlerParent(wire.manager)
    wire.offer()
    assert wire.sent() == []
    assert gate.judged == [PEER]


def test_answers_and_messages_pass_no_gate():
    handler, wire = connected(never, never, gate=Gate())
    asked = handler.send_url(PEER, "https://files.example/")
    wire.answer(wire.sent_one())
    assert asked.called
    wire.receive(stanza("message", "<body>hello</body>", from_=PEER))


@KINDS
def test_request_that_the_gate_cannot_judge_is_not_an_offer(kind, log):
    _handler, wire = connected(never, handler=kind, gate=Gate())
    wire.offer()
    assert wire.sent() == []
    log.clear()


# Too many


@KINDS
def test_one_offer_more_than_may_be_open_gets_a_short_resource_constraint(kind):
    offers = []
    handler, wire = connected(offers.append, handler=kind, max_open_offers=3)
    for number in range(3):
        wire.offer(f"o{number}")
    assert wire.sent() == []
    for number in range(5):
        wire.offer(f"more{number}")
        assert short(wire, "resource-constraint", "wait")
    assert len(offers) == 3
    offers[0].reply_success()
    wire.sent_one()
    wire.offer("next")
    assert len(offers) == 4
    assert len(clock_of(handler).getDelayedCalls()) == 1


@KINDS
def test_a_thousand_offers_may_be_open(kind):
    offers = []
    _handler, wire = connected(offers.append, handler=kind)
    for number in range(1001):
        wire.offer(f"o{number}")
    assert len(offers) == 1000
    assert short(wire, "resource-constraint", "wait")


def test_offers_that_are_answered_at_once_are_never_too_many():
    _handler, wire = connected(lambda offer: offer.reply_success(), max_open_offers=1)
    for number in range(50):
        wire.offer(f"o{number}")
    assert [sent.get("type") for sent in wire.sent()] == ["result"] * 50


def test_offers_of_a_lost_stream_leave_their_places():
    offers = []
    _handler, wire = connected(lambda offer: offers.append(offer) or Deferred(), max_open_offers=1)
    for _ in range(3):
        wire.offer()
        wire.lose()
        wire.open()
    assert len(offers) == 3


# Whose they are


@KINDS
@pytest.mark.parametrize("other", [OOBHandler, Direct], ids=["ordinary", "direct"])
@pytest.mark.parametrize("order", [1, -1])
@PAYLOADS
def test_a_handler_that_takes_no_offers_leaves_them_to_another(kind, other, order, payload):
    taken = []
    wire = ClientWire()
    wire.open()
    without, taking = kind(reactor=Clock()), other(taken.append, reactor=Clock())
    for handler in (without, taking)[::order]:
        handler.setHandlerParent(wire.manager)
    wire.receive("<presence/>")
    for type_ in ("set", "get", "set"):
        wire.offer(payload=payload, type=type_)
    usable = "xmlns='u'" not in payload
    assert len(taken) == (2 if usable else 0)
    assert [sent.get("type") for sent in wire.sent()] == ["error"] * (1 if usable else 3)


@KINDS
@pytest.mark.parametrize("other", [OOBHandler, Direct], ids=["ordinary", "direct"])
@pytest.mark.parametrize("fallback_first", [True, False])
def test_offer_that_nobody_takes_is_refused_once(kind, other, fallback_first):
    wire = ClientWire()
    wire.open()
    handlers = [kind(reactor=Clock()), other(reactor=Clock())]
    handlers.insert(0 if fallback_first else 2, FallbackHandler())
    for handler in handlers:
        handler.setHandlerParent(wire.manager)
    for payload in (query(), f"{query()} "):
        wire.offer(payload=payload)
        sent = wire.sent_one()
        sent[0].tail = None
        assert_answer(sent, REJECT)


@KINDS
def test_offers_are_taken_from_when_on_offer_is_set_until_it_is_not(kind):
    taken = []
    handler, wire = connected(handler=kind)
    wire.offer()
    assert_answer(wire.sent_one(), REJECT)
    handler.on_offer = taken.append
    wire.offer()
    assert wire.sent() == []
    handler.on_offer = None
    wire.offer("o2")
    assert wire.sent_one().get("id") == "o2"
    assert len(taken) == 1


@KINDS
def test_two_handlers_of_which_one_takes_offers_and_one_messages(kind):
    offers, messages = [], []
    _first, wire = connected(None, messages.append, handler=kind)
    kind(offers.append, reactor=Clock()).setHandlerParent(wire.manager)
    wire.receive("<presence/>")
    wire.offer()
    wire.receive(
        stanza(
            "message", "<x xmlns='jabber:x:oob'><url>https://files.example/</url></x>", from_=PEER
        )
    )
    assert (len(offers), len(messages)) == (1, 1)


@KINDS
def test_handler_that_a_request_takes_off_the_stream_answers_nothing(kind):
    handler, wire = connected(handler=kind)
    wire.xmlstream.addObserver("/iq", lambda _: handler.disownHandlerParent(wire.manager))
    wire.offer()
    assert wire.sent() == []

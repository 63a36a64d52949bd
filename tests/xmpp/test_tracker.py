"""send_url: what is sent, whose answer counts, and every way that it can end (RFC 6120 8.1.2.1)."""

from __future__ import annotations

import re
import sys
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.words.protocols.jabber.error import StanzaError
from twisted.words.protocols.jabber.jid import JID
from twisted.words.protocols.jabber.xmlstream import TimeoutError as IQTimeoutError
from twisted.words.xish import domish

from tests.support.streams import (
    COMPONENT,
    ME,
    PEER,
    URL,
    ClientWire,
    ComponentWire,
    canonical,
    clock_of,
    connected,
    outcome,
    query,
    stanza,
)
from twisted_oob import NS_IQ_OOB, ErrorCondition, OOBHandler
from twisted_oob.xmpp.deadlines import DeadlineQueue
from twisted_oob.xmpp.stanza import Payload, iq_element
from twisted_oob.xmpp.tracker import RequestTracker

# Wokkel's own imports need what importing twisted_oob puts back.
from wokkel.generic import FallbackHandler, parseXml  # isort: skip

STANZAS = "xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'"
ITEM_NOT_FOUND = f"<error type='cancel'><item-not-found {STANZAS}/></error>"


pytestmark = pytest.mark.usefixtures("log")


# What is sent


def test_request_is_that_of_the_standard():
    handler, wire = connected()
    handler.send_url(PEER, URL)
    sent = wire.sent_one()
    assert canonical(sent) == canonical(
        stanza("iq", query(), type="set", id=sent.get("id"), to=PEER)
    )


def test_request_carries_desc_and_sid():
    handler, wire = connected()
    handler.send_url(JID(PEER), URL + "?a=1&b=2", "A <cat> & \u00e9", sid="s1")
    sent = wire.sent_one()
    payload = query(URL + "?a=1&amp;b=2", "A &lt;cat&gt; &amp; \u00e9").replace(
        "<query", "<query sid='s1'"
    )
    assert canonical(sent) == canonical(
        stanza("iq", payload, type="set", id=sent.get("id"), to=PEER)
    )


def test_component_names_itself_and_client_does_not():
    for wire_class, from_ in [(ComponentWire, COMPONENT), (ClientWire, None)]:
        handler, wire = connected(wire=wire_class)
        handler.send_url(PEER, URL)
        assert wire.sent_one().get("from") == from_


@pytest.mark.parametrize("sender", ["alice@" + COMPONENT, JID("alice@" + COMPONENT)])
def test_component_sends_from_the_given_address(sender):
    handler, wire = connected(wire=ComponentWire)
    answer = handler.send_url(PEER, URL, sender=sender)
    sent = wire.sent_one()
    assert sent.get("from") == "alice@" + COMPONENT
    wire.answer(sent, to="alice@" + COMPONENT)
    assert outcome(answer) is None


def test_ids_are_unique_and_cannot_be_guessed():
    handler, wire = connected()
    for _ in range(300):
        handler.send_url(PEER, URL)
    ids = [sent.get("id") for sent in wire.sent()]
    assert len(set(ids)) == 300
    # 16 characters of 64 are 96 bits; were they counted up, ids would share their beginnings.
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{16,}", id_) for id_ in ids)
    assert len({id_[:3] for id_ in ids}) > 250
    assert len({id_[-3:] for id_ in ids}) > 250


# What is not sent


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"url": "files.example"}, "scheme"),
        ({"url": ""}, "blank"),
        ({"url": URL + " "}, "U\\+0020"),
        ({"url": None}, "url"),
        ({"desc": "\x00"}, "desc"),
        ({"desc": 1}, "desc"),
        ({"sid": "\x00"}, "sid"),
        ({"recipient": ""}, "JID"),
        ({"recipient": "a@"}, "JID"),
        ({"recipient": "a..b"}, "JID"),
        ({"recipient": None}, "JID"),
        ({"sender": "a@"}, "JID"),
        ({"sender": 1}, "JID"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": -1}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
        ({"timeout": "5"}, "timeout"),
    ],
)
@pytest.mark.parametrize("online", [True, False])
def test_what_cannot_be_sent_fails_with_value_error_and_sends_nothing(arguments, told, online):
    handler, wire = connected()
    if not online:
        wire.lose()
    result = outcome(handler.send_url(**({"recipient": PEER, "url": URL} | arguments)))
    assert isinstance(result, ValueError)
    assert re.search(told, str(result))
    if not online:
        wire.open()
    assert wire.sent() == []
    assert clock_of(handler).getDelayedCalls() == []


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), "5"])
def test_handler_refuses_timeout_that_is_no_time(timeout):
    with pytest.raises(ValueError, match="timeout"):
        OOBHandler(timeout=timeout, reactor=Clock())


# Answers


def test_result_means_the_peer_has_the_file():
    handler, wire = connected()
    answer = handler.send_url(PEER, URL)
    assert not answer.called
    wire.answer(wire.sent_one())
    assert outcome(answer) is None
    assert clock_of(handler).getDelayedCalls() == []


@pytest.mark.parametrize(
    ("error", "equal_to", "condition", "type_", "text"),
    [
        (ITEM_NOT_FOUND, "not-found", "item-not-found", "cancel", None),
        (
            ITEM_NOT_FOUND.replace("</error>", f"<text {STANZAS}>gone \u00e9</text></error>"),
            "not-found",
            "item-not-found",
            "cancel",
            "gone \u00e9",
        ),
        (
            f"<error type='modify'><not-acceptable {STANZAS}/><text {STANZAS}>no</text></error>",
            "reject",
            "not-acceptable",
            "modify",
            "no",
        ),
        (
            f"<error type='cancel'><service-unavailable {STANZAS}/></error>",
            "reject",
            "service-unavailable",
            "cancel",
            None,
        ),
        (
            f"<error type='wait'><resource-constraint {STANZAS}/><mine xmlns='urn:x'/></error>",
            "reject",
            "resource-constraint",
            "wait",
            None,
        ),
        (
            f"<error type='wait'><item-not-found {STANZAS}/></error>",
            "not-found",
            "item-not-found",
            "wait",
            None,
        ),
        (
            f"<error type='auth'><of-tomorrow {STANZAS}/></error>",
            "reject",
            "of-tomorrow",
            "auth",
            None,
        ),
        ("<error code='404'>Not Found</error>", "not-found", "item-not-found", "cancel", None),
        ("<error code='406'/>", "reject", "not-acceptable", "modify", None),
        ("<error code='999'/>", "reject", "undefined-condition", "cancel", None),
        ("<error code='x' type='wait'/>", "reject", "undefined-condition", "wait", None),
        ("<error/>", "reject", "undefined-condition", "cancel", None),
        (
            f"<error type='wait'><text {STANZAS}>busy</text></error>",
            "reject",
            "undefined-condition",
            "wait",
            "busy",
        ),
        (
            "<error type='modify'><item-not-found xmlns='urn:other'/></error>",
            "reject",
            "undefined-condition",
            "modify",
            None,
        ),
        (query(), "reject", "undefined-condition", "cancel", None),
        (query() + ITEM_NOT_FOUND, "not-found", "item-not-found", "cancel", None),
    ],
)
def test_error_fires_with_its_condition(error, equal_to, condition, type_, text):
    handler, wire = connected()
    answer = handler.send_url(PEER, URL)
    wire.answer(wire.sent_one(), error)
    result = outcome(answer)
    assert isinstance(result, ErrorCondition)
    assert isinstance(result, str)
    assert result == equal_to
    assert isinstance(result.error, StanzaError)
    assert (result.error.condition, result.error.type) == (condition, type_)
    if "code='4" not in error:
        assert result.error.text == text


def test_error_without_a_child_is_an_answer():
    handler, wire = connected()
    answer = handler.send_url(PEER, URL)
    wire.answer(wire.sent_one(), type="error")
    assert outcome(answer) == "reject"


BARE = JID(ME).userhost()
DOMAIN = JID(ME).host
OTHERS = [PEER, "evil@evil.example", BARE + "/other", "other@" + DOMAIN, "far.example", "", "a..b"]


@pytest.mark.parametrize(
    ("asked", "answerers"),
    [
        (PEER, [PEER, "PEER@Far.Example/phone", "peer@far\u3002example/phone"]),
        ("peer@far.example", ["peer@far.example", "Peer@FAR.example"]),
        ("far.example", ["far.example", "FAR.EXAMPLE"]),
        ("stra\u00dfe@far.example/\u00e9", ["strasse@far.example/e\u0301"]),
        (BARE, [None, BARE, BARE.upper(), ME, DOMAIN, DOMAIN.upper()]),
        (ME, [ME]),
        (BARE + "/other", [BARE + "/other"]),
        (DOMAIN, [DOMAIN]),
    ],
)
def test_answer_counts_from_the_one_who_was_asked(asked, answerers):
    for answerer in answerers:
        handler, wire = connected()
        answer = handler.send_url(asked, URL)
        wire.answer(wire.sent_one(), from_=answerer)
        assert outcome(answer) is None


@pytest.mark.parametrize(
    ("asked", "strangers"),
    [
        (
            PEER,
            [
                None,
                "",
                "peer@far.example",
                "peer@far.example/Phone",
                "peer@far.example/other",
                "evil@far.example/phone",
                "peer@evil.example/phone",
                "far.example",
                "far.example/phone",
                ME,
                BARE,
                DOMAIN,
                "a..b",
                "@",
            ],
        ),
        ("peer@far.example", [None, PEER, "far.example", ME, BARE, DOMAIN]),
        ("far.example", [None, "peer@far.example", "sub.far.example", "example", DOMAIN]),
        (BARE, OTHERS),
        (ME, [None, BARE, DOMAIN, *OTHERS]),
        (BARE + "/desk2", [None, ME, BARE, DOMAIN]),
        (DOMAIN, [None, ME, BARE, "other@" + DOMAIN]),
    ],
)
def test_answer_of_anyone_else_is_ignored_and_the_request_stays(asked, strangers):
    handler, wire = connected()
    answer = handler.send_url(asked, URL)
    sent = wire.sent_one()
    for stranger in strangers:
        wire.answer(sent, from_=stranger)
        wire.answer(sent, ITEM_NOT_FOUND, from_=stranger)
    assert not answer.called
    assert wire.sent() == []
    wire.answer(sent)
    assert outcome(answer) is None


def test_component_counts_answers_to_the_address_it_sent_from():
    alice = "alice@" + COMPONENT
    handler, wire = connected(wire=ComponentWire)
    answer = handler.send_url(alice, URL, sender=alice + "/r")
    sent = wire.sent_one()
    wire.answer(sent, from_="bob@" + COMPONENT)
    assert not answer.called
    wire.answer(sent, from_=COMPONENT)
    assert outcome(answer) is None


class OpenStream:
    """A stream that keeps what is sent, as elements."""

    def __init__(self, me=None):
        self.me = me
        self.sent = []

    def send_iq(self, *parts):
        self.sent.append(iq_element(*parts))


PAYLOAD = Payload(NS_IQ_OOB, "query", (("url", URL),))


def ask(tracker, recipient=PEER, **options):
    return tracker.request("set", PAYLOAD, recipient, **options)


@pytest.mark.parametrize("me", [JID(ME), None])
@pytest.mark.parametrize("answerer", [None, BARE, ME, DOMAIN, *OTHERS])
def test_own_server_is_asked_without_an_address(me, answerer):
    tracker = RequestTracker(DeadlineQueue(Clock()))
    stream = OpenStream(me)
    tracker.stream_opened(stream)
    answer = ask(tracker, None)
    (sent,) = stream.sent
    assert not sent.hasAttribute("to")
    iq = parseXml(stanza("iq", type="result", id=sent["id"], from_=answerer).encode())
    counts = answerer is None or (me is not None and answerer in (BARE, ME, DOMAIN))
    assert tracker.take_answer(iq) is counts
    assert answer.called is counts


def test_answer_to_an_unknown_id_is_ignored():
    handler, wire = connected()
    answer = handler.send_url(PEER, URL)
    sent = wire.sent_one()
    for id_ in ["unknown", "", None, sent.get("id")[:-1], sent.get("id").swapcase()]:
        wire.answer(sent, id=id_)
    assert not answer.called


def test_only_the_first_of_two_answers_counts():
    handler, wire = connected()
    answer = handler.send_url(PEER, URL)
    sent = wire.sent_one()
    wire.answer(sent, ITEM_NOT_FOUND)
    wire.answer(sent)
    wire.answer(sent, ITEM_NOT_FOUND)
    assert outcome(answer) == "not-found"


@pytest.mark.parametrize("type_", ["get", "set"])
def test_request_with_our_id_is_no_answer(type_):
    handler, wire = connected()
    answer = handler.send_url(PEER, URL)
    wire.answer(wire.sent_one(), type=type_)
    assert not answer.called


def test_answer_with_a_child_called_handled_counts():
    handler, wire = connected()
    answer = handler.send_url(PEER, URL)
    wire.answer(wire.sent_one(), "<handled/>", type="result")
    assert outcome(answer) is None


def test_answer_that_another_handler_took_is_left_alone():
    handler, wire = connected()
    answer = handler.send_url(PEER, URL)
    sent = wire.sent_one()

    def take(iq):
        iq.handled = True

    wire.xmlstream.addObserver("/iq", take, priority=1)
    wire.answer(sent)
    assert not answer.called


def test_answer_is_marked_as_handled_and_a_strangers_is_not():
    handler, wire = connected()
    handler.send_url(PEER, URL)
    sent = wire.sent_one()
    seen = []
    wire.xmlstream.addObserver("/iq", lambda iq: seen.append(iq.handled), priority=-1)
    wire.answer(sent, from_="evil@evil.example")
    wire.answer(sent)
    assert seen == [None, True]


def test_fallback_handler_answers_neither_offers_nor_answers():
    handler, wire = connected(lambda offer: None)
    FallbackHandler().setHandlerParent(wire.manager)
    handler.send_url(PEER, URL)
    wire.answer(wire.sent_one())
    wire.offer()
    wire.offer(payload=query("bad"))
    assert [(sent.get("type"), sent.get("id")) for sent in wire.sent()] == [("error", "o1")]


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["error", "text", "item-not-found", "x"]),
            st.sampled_from(["", "urn:ietf:params:xml:ns:xmpp-stanzas", "urn:x"]),
            st.dictionaries(st.sampled_from(["type", "code"]), st.text("0459wait", max_size=4)),
        ),
        max_size=4,
    )
)
def test_any_error_is_an_answer(children):
    iq = domish.Element((None, "iq"))
    parent = iq
    for name, uri, attributes in children:
        child = parent.addElement((uri or None, name))
        child.attributes.update(attributes)
        if name == "error":
            parent = child
    tracker = RequestTracker(DeadlineQueue(Clock()))
    stream = OpenStream()
    tracker.stream_opened(stream)
    answer = ask(tracker)
    iq.attributes.update({"id": stream.sent[0]["id"], "from": PEER, "type": "error"})
    assert tracker.take_answer(iq)
    error = outcome(answer)
    assert isinstance(error, StanzaError)
    assert error.condition is not None


# No answer


@pytest.mark.parametrize(
    ("of_handler", "own", "due"),
    [({}, None, 900), ({"timeout": 5}, None, 5), ({}, 7.5, 7.5), ({"timeout": 5}, 5000, 5000)],
)
def test_fails_with_timeout_error_exactly_at_its_time(of_handler, own, due):
    handler, wire = connected(**of_handler)
    answer = handler.send_url(PEER, URL, timeout=own)
    sent = wire.sent_one()
    clock_of(handler).advance(due - 0.001)
    assert not answer.called
    clock_of(handler).advance(0.001)
    assert isinstance(outcome(answer), IQTimeoutError)
    wire.answer(sent)
    assert wire.sent() == []


def test_handler_without_timeout_waits_for_ever():
    handler, wire = connected(timeout=None)
    answer = handler.send_url(PEER, URL)
    assert clock_of(handler).getDelayedCalls() == []
    wire.answer(wire.sent_one())
    assert outcome(answer) is None


def test_timeout_runs_from_the_request_also_without_a_stream():
    handler = OOBHandler(timeout=10, reactor=Clock())
    answer = handler.send_url(PEER, URL)
    clock_of(handler).advance(6)
    wire = ClientWire()
    handler.setHandlerParent(wire.manager)
    wire.open()
    assert len(wire.sent()) == 1
    clock_of(handler).advance(4)
    assert isinstance(outcome(answer), IQTimeoutError)


def test_request_of_a_timed_out_one_leaves_other_deadlines_alone():
    handler, _wire = connected()
    first = handler.send_url(PEER, URL, timeout=10)
    second = handler.send_url(PEER, URL, timeout=20)
    first.addErrback(lambda _: handler.send_url(PEER, URL, timeout=900))
    clock_of(handler).advance(10)
    clock_of(handler).advance(10)
    assert isinstance(outcome(second), IQTimeoutError)


@pytest.mark.parametrize("error", [ConnectionLost, ConnectionDone])
def test_fails_with_the_reason_that_the_stream_was_lost_for(error):
    handler, wire = connected()
    answers = [handler.send_url(PEER, URL) for _ in range(3)]
    wire.lose(Failure(error("gone")))
    assert [type(outcome(answer)) for answer in answers] == [error] * 3
    assert clock_of(handler).getDelayedCalls() == []


def test_fails_with_connection_done_where_no_reason_is_given():
    handler, _wire = connected()
    answer = handler.send_url(PEER, URL)
    handler.connectionLost(None)
    assert isinstance(outcome(answer), ConnectionDone)


def test_cancelled_request_fails_and_its_late_answer_is_ignored():
    handler, wire = connected()
    answer = handler.send_url(PEER, URL)
    sent = wire.sent_one()
    answer.cancel()
    assert isinstance(outcome(answer), CancelledError)
    assert clock_of(handler).getDelayedCalls() == []
    wire.answer(sent)
    wire.answer(sent, ITEM_NOT_FOUND)
    wire.lose()


def test_cancelling_an_answered_request_does_nothing():
    handler, wire = connected()
    answer = handler.send_url(PEER, URL)
    wire.answer(wire.sent_one())
    answer.cancel()
    assert outcome(answer) is None


def test_request_that_could_not_be_written_fails_and_is_forgotten():
    handler, wire = connected()

    def fail(_stanza):
        raise OSError("no way out")

    wire.xmlstream.send = fail
    answer = handler.send_url(PEER, URL)
    assert isinstance(outcome(answer), OSError)
    assert clock_of(handler).getDelayedCalls() == []


# Without a stream


def urls(elements):
    return [element[0][0].text for element in elements]


@pytest.mark.parametrize("with_parent", [True, False])
def test_requests_without_a_stream_are_sent_in_order_once_with_it(with_parent):
    handler = OOBHandler(reactor=Clock())
    wire = ClientWire()
    if with_parent:
        handler.setHandlerParent(wire.manager)
        wire.connect()
    wanted = [f"{URL}?{number}" for number in range(20)]
    answers = [handler.send_url(PEER, url) for url in wanted]
    if not with_parent:
        handler.setHandlerParent(wire.manager)
        wire.connect()
    wire.negotiate()
    sent = wire.sent()
    assert urls(sent) == wanted
    for request in reversed(sent):
        wire.answer(request)
    assert [outcome(answer) for answer in answers] == [None] * 20
    wire.lose()
    wire.open()
    assert wire.sent() == []


def test_nothing_is_sent_before_the_stream_is_negotiated():
    handler = OOBHandler(reactor=Clock())
    wire = ClientWire()
    handler.setHandlerParent(wire.manager)
    wire.connect()
    wire.transport.clear()
    handler.send_url(PEER, URL)
    handler.send_message(PEER, URL)
    assert wire.transport.value() == b""


def test_request_that_ended_while_waiting_is_never_sent():
    handler = OOBHandler(reactor=Clock())
    late = handler.send_url(PEER, URL + "?late", timeout=5)
    cancelled = handler.send_url(PEER, URL + "?cancelled")
    handler.send_url(PEER, URL + "?kept")
    clock_of(handler).advance(5)
    cancelled.cancel()
    assert isinstance(outcome(late), IQTimeoutError)
    assert isinstance(outcome(cancelled), CancelledError)
    wire = ClientWire()
    handler.setHandlerParent(wire.manager)
    wire.open()
    assert urls(wire.sent()) == [URL + "?kept"]


def test_request_that_was_sent_and_lost_is_not_sent_again():
    handler, wire = connected()
    lost = handler.send_url(PEER, URL)
    sent = wire.sent_one()
    wire.lose()
    assert isinstance(outcome(lost), ConnectionLost)
    wire.open()
    assert wire.sent() == []
    wire.answer(sent)
    wire.answer(sent, ITEM_NOT_FOUND)


def test_request_made_when_another_is_lost_waits_for_the_next_stream():
    handler, wire = connected()
    again = []
    answer = handler.send_url(PEER, URL)
    answer.addErrback(lambda _: again.append(handler.send_url(PEER, URL + "?again")))
    wire.sent()
    wire.lose()
    assert not again[0].called
    wire.open()
    sent = wire.sent_one()
    assert urls([sent]) == [URL + "?again"]
    wire.answer(sent)
    assert outcome(again[0]) is None


def test_waiting_requests_survive_a_stream_that_never_opens():
    handler = OOBHandler(reactor=Clock())
    wire = ClientWire()
    handler.setHandlerParent(wire.manager)
    answer = handler.send_url(PEER, URL)
    wire.connect()
    wire.lose()
    assert not answer.called
    wire.open()
    wire.answer(wire.sent_one())
    assert outcome(answer) is None


def test_answer_before_the_request_was_sent_does_not_count():
    tracker = RequestTracker(DeadlineQueue(Clock()))
    answer = ask(tracker)
    (id_,) = tracker.ids
    early = parseXml(stanza("iq", type="result", id=id_, from_=PEER).encode())
    assert not tracker.take_answer(early)
    assert not tracker.take_empty_result(early.attributes)
    assert not answer.called


def test_request_cancelled_by_the_sending_of_another_is_not_sent():
    """What runs while the waiting ones are sent may end one of them."""
    tracker = RequestTracker(DeadlineQueue(Clock()))
    answers = [ask(tracker) for _ in range(3)]

    class Cancelling(OpenStream):
        def send_iq(self, *parts):
            OpenStream.send_iq(self, *parts)
            answers[1].cancel()

    tracker.stream_opened(stream := Cancelling())
    assert len(stream.sent) == 2
    assert isinstance(outcome(answers[1]), CancelledError)


def test_stream_lost_while_the_waiting_are_sent_keeps_the_rest_for_the_next():
    tracker = RequestTracker(DeadlineQueue(Clock()))
    answers = [ask(tracker) for _ in range(3)]

    class Dying(OpenStream):
        def send_iq(self, *parts):
            OpenStream.send_iq(self, *parts)
            tracker.stream_lost(Failure(ConnectionLost()))

    tracker.stream_opened(first := Dying())
    assert len(first.sent) == 1
    assert isinstance(outcome(answers[0]), ConnectionLost)
    tracker.stream_opened(second := OpenStream())
    assert len(second.sent) == 2
    assert not answers[1].called


def test_request_cancelled_by_the_failure_of_another_ends_once():
    tracker = RequestTracker(DeadlineQueue(Clock()))
    tracker.stream_opened(OpenStream())
    first, second = ask(tracker), ask(tracker)
    first.addErrback(lambda _: second.cancel())
    tracker.stream_lost(Failure(ConnectionLost()))
    assert outcome(first) is None
    assert isinstance(outcome(second), CancelledError)


def test_request_whose_sending_loses_the_stream_and_fails_ends_once():
    tracker = RequestTracker(DeadlineQueue(Clock()))

    class Breaking(OpenStream):
        def send_iq(self, *_parts):
            tracker.stream_lost(Failure(ConnectionLost()))
            raise RuntimeError

    tracker.stream_opened(Breaking())
    assert isinstance(outcome(ask(tracker)), ConnectionLost)


def test_payload_of_a_request_that_was_never_sent_is_not_kept():
    payload = Payload(NS_IQ_OOB, "query", (("url", URL),))
    others = sys.getrefcount(payload)
    answer = RequestTracker(DeadlineQueue(Clock())).request("set", payload, PEER)
    assert sys.getrefcount(payload) == others + 1
    answer.cancel()
    assert isinstance(outcome(answer), CancelledError)
    assert sys.getrefcount(payload) == others


# Many


@pytest.mark.parametrize("end", ["answer", "time", "loss", "cancel"])
def test_ten_thousand_unanswered_requests_end_with_one_timer(end):
    tracker = RequestTracker(DeadlineQueue(clock := Clock()))
    tracker.stream_opened(stream := OpenStream(JID(ME)))
    answers = [ask(tracker, timeout=900) for _ in range(10_000)]
    results = []
    for answer in answers:
        answer.addBoth(results.append)
    assert len(clock.getDelayedCalls()) == 1
    if end == "answer":
        for sent in reversed(stream.sent):
            sent.attributes.update({"from": PEER, "type": "result"})
            assert tracker.take_answer(sent)
    elif end == "time":
        clock.advance(900)
    elif end == "loss":
        tracker.stream_lost(Failure(ConnectionLost()))
    else:
        for answer in answers:
            answer.cancel()
    assert len(results) == 10_000
    assert clock.getDelayedCalls() == []
    assert tracker._requests == {}
    assert tracker.deadlines._heap == []


def test_nothing_of_an_ended_request_is_kept():
    handler, wire = connected()
    for number in range(50):
        answer = handler.send_url(PEER, URL)
        sent = wire.sent_one()
        if number % 2:
            wire.answer(sent)
        else:
            answer.cancel()
        with suppress(CancelledError):
            outcome(answer)
    assert handler._tracker._requests == {}
    assert handler._deadlines._heap == []

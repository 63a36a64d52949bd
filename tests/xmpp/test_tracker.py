"""RequestTracker: ids, whose answer counts, and every way that a request ends."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.words.protocols.jabber.error import StanzaError
from twisted.words.protocols.jabber.jid import JID
from twisted.words.xish import domish

from tests.support.streams import ME, PEER, outcome, stanza
from twisted_oob.xmpp.deadlines import DeadlineQueue
from twisted_oob.xmpp.stanza import Payload, iq_element
from twisted_oob.xmpp.tracker import RequestTracker

# Wokkel's own imports need what importing twisted_oob puts back.
from wokkel.generic import parseXml  # isort: skip

pytestmark = pytest.mark.usefixtures("log")
BARE = JID(ME).userhost()
DOMAIN = JID(ME).host
OTHERS = [PEER, "evil@evil.example", BARE + "/other", "other@" + DOMAIN, "far.example", "", "a..b"]


class OpenStream:
    """A stream that keeps what is sent, as elements."""

    def __init__(self, me=None):
        self.me = me
        self.sent = []

    def send_iq(self, *parts):
        self.sent.append(iq_element(*parts))


PAYLOAD = Payload("urn:example:ask", "query", (("item", "a"),))


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


def test_payload_of_an_unsent_request_is_freed_at_its_end():
    payload = Payload("urn:example:ask", "query", (("item", "b"),))
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

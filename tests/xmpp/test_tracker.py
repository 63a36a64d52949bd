"""RequestTracker: ids, whose answer counts, and every way that a request ends."""

from __future__ import annotations

import gc
import os
import re
import subprocess
import sys
import weakref
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.logger import LogLevel, formatEvent
from twisted.python.failure import Failure
from twisted.words.protocols.jabber import jid as words_jid
from twisted.words.protocols.jabber.error import StanzaError
from twisted.words.protocols.jabber.jid import JID
from twisted.words.protocols.jabber.xmlstream import TimeoutError as IQTimeoutError
from twisted.words.xish import domish

from tests.support.streams import COMPONENT, ME, PEER, outcome, stanza
from twisted_oob.xmpp.deadlines import DeadlineQueue
from twisted_oob.xmpp.stanza import Payload, iq_element
from twisted_oob.xmpp.tracker import RequestTracker, new_id

# Wokkel's own imports need what importing twisted_oob puts back.
from wokkel.generic import parseXml  # isort: skip

pytestmark = pytest.mark.usefixtures("log")

ROOT = Path(__file__).resolve().parents[2]
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


def opened(me=None):
    """Give a tracker and the stream that it sends on."""
    tracker = RequestTracker(DeadlineQueue(Clock()))
    tracker.stream_opened(stream := OpenStream(me))
    return tracker, stream


def take_element(tracker, id_, sender):
    return tracker.take_answer(parseXml(stanza("iq", type="result", id=id_, from_=sender).encode()))


def take_attributes(tracker, id_, sender):
    given = {"type": "result", "id": id_, "from": sender}
    return tracker.take_empty_result(
        {key: value for key, value in given.items() if value is not None}
    )


both_ways = pytest.mark.parametrize("take", [take_element, take_attributes])

# Ids.


def test_ids_are_96_random_bits():
    ids = [new_id() for _ in range(2000)]
    assert len(set(ids)) == 2000
    assert all(re.fullmatch("[0-9a-f]{24}", id_) for id_ in ids)
    # No place of an id has fewer values than chance would give it.
    assert all(len(set(column)) == 16 for column in zip(*ids, strict=True))


FORK = """
import os
from twisted_oob.xmpp.tracker import new_id

known = {new_id()}
read, write = os.pipe()
if os.fork() == 0:
    os.write(write, " ".join(new_id() for _ in range(100)).encode())
    os._exit(0)
os.wait()
theirs = set(os.read(read, 10000).decode().split())
print(len(theirs), len(theirs & (known | {new_id() for _ in range(1000)})))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_processes_do_not_share_ids():
    done = subprocess.run(
        [sys.executable, "-c", FORK], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["100", "0"], done.stderr


# Whose answer counts (RFC 6120 section 8.1.2.1).

# Our own full JIDs, and that of a component with no user part.
IDENTITIES = [ME, COMPONENT, "alice@" + COMPONENT + "/r"]


def counting(me, to):
    """Give every sender whose answer counts, by the standard."""
    own = JID(me).userhost() if me else None
    if to is None or to == own:
        return {to, None} | ({me, own, JID(me).host} if me else set())
    return {to}


@both_ways
@pytest.mark.parametrize(
    ("of_stream", "of_request"),
    [
        *((me, None) for me in [*IDENTITIES, None]),
        # The stream's own address does not count if the request has another.
        *(("somebody@else.example/x", me) for me in IDENTITIES),
    ],
)
def test_answer_counts_from_whom_the_standard_says(of_stream, of_request, take):
    """Every asked address with every answerer: own, bare, full, the server's, a stranger's."""
    addresses = [*IDENTITIES, *(JID(one).userhost() for one in IDENTITIES), *OTHERS]
    addresses += ["home.example", "else.example", "somebody@else.example"]
    for to in {None, *addresses} - {"", "a..b"}:
        for answerer in {None, *addresses}:
            tracker, stream = opened(of_stream and JID(of_stream))
            answer = ask(tracker, to, sender=of_request)
            counts = answerer in counting(of_request or of_stream, to)
            assert take(tracker, stream.sent[0]["id"], answerer) is counts, (to, answerer)
            assert answer.called is counts, (to, answerer)


@both_ways
@pytest.mark.parametrize(
    ("to", "sender"),
    [
        (PEER, "PEER@Far.Example/phone"),
        ("Peer@FAR.example/phone", PEER),
        ("stra\u00dfe@far.example/\u00e9", "strasse@far.example/e\u0301"),
        (BARE, DOMAIN.upper()),
        (JID(PEER), PEER),
        (None, BARE.upper()),
        ("peer@b\u00fccher.example/😀", "peer@xn--bcher-kva.example./😀"),
        ("peer@XN--bcher-KVA.example", "peer@b\u00fccher.example"),
        (JID("peer@xn--bcher-kva.example."), "peer@B\u00dcCHER\u3002example"),
        (JID("peer@xn--bcher-kva.example."), "peer@xn--bcher-kva.example."),
        ("[0::1]", "[::1]"),
    ],
)
def test_addresses_are_compared_as_prepared(to, sender, take):
    tracker, stream = opened(JID(ME))
    answer = ask(tracker, to)
    assert take(tracker, stream.sent[0]["id"], sender)
    assert answer.called


@both_ways
@pytest.mark.parametrize("me", ["a@b\u00fccher.example/r", "a@xn--bcher-kva.example./r"])
@pytest.mark.parametrize("to", [None, "a@b\u00fccher.example", "a@xn--bcher-kva.example"])
@pytest.mark.parametrize("own", ["a@{}/r", "a@{}", "{}"])
@pytest.mark.parametrize(
    "domain", ["b\u00fccher.example", "xn--bcher-kva.example", "B\u00dcCHER.example."]
)
def test_our_own_address_is_the_same_however_it_is_written(me, to, own, domain, take):
    tracker, stream = opened(JID(me))
    answer = ask(tracker, to)
    assert take(tracker, stream.sent[0]["id"], own.format(domain))
    assert answer.called


@both_ways
def test_no_address_is_kept_for_ever(take):
    interned = set(words_jid.__internJIDs)
    tracker, stream = opened(JID("bot@files.example/r"))
    for sender in (None, "one@files.example/a"):
        answer = ask(tracker, JID("peer@home.example/b"), sender=sender)
        assert not take(tracker, stream.sent[-1]["id"], "evil@evil.example/c")
        assert take(tracker, stream.sent[-1]["id"], "Peer@home.example/b")
        assert answer.called
    assert set(words_jid.__internJIDs) == interned


@both_ways
def test_answer_to_an_unknown_id_is_not_taken(take):
    tracker, stream = opened(JID(ME))
    answer = ask(tracker)
    for id_ in ("unknown", None, stream.sent[0]["id"].swapcase() + "x"):
        assert not take(tracker, id_, PEER)
    assert not answer.called


def test_answer_of_a_stranger_is_logged(log):
    tracker, stream = opened(JID(ME))
    ask(tracker)
    assert not take_element(tracker, stream.sent[0]["id"], "evil@evil.example")
    (event,) = log.ours()
    assert event["log_level"] is LogLevel.warn
    assert formatEvent(event) == (f"Ignored an answer from evil@evil.example: {PEER} was asked")


# What a request fires with.


@pytest.mark.parametrize(
    ("kind", "held", "given"),
    [("get", "<x/>", True), ("get", "", False), ("set", "<x/>", False), ("set", "", False)],
)
def test_only_a_get_fires_with_what_the_result_holds(kind, held, given):
    tracker, stream = opened()
    answer = tracker.request(kind, PAYLOAD, PEER)
    iq = parseXml(stanza("iq", held, type="result", id=stream.sent[0]["id"], from_=PEER).encode())
    assert tracker.take_answer(iq)
    assert outcome(answer) is (iq if given else None)


def test_error_is_what_on_error_makes_of_it():
    tracker, stream = opened()
    answer = ask(tracker, on_error=lambda error: [error.condition])
    iq = parseXml(stanza("iq", type="error", id=stream.sent[0]["id"], from_=PEER).encode())
    assert tracker.take_answer(iq)
    assert outcome(answer) == ["undefined-condition"]


@pytest.mark.parametrize("arguments", [{"recipient": "a..b"}, {"sender": "@"}, {"sender": 1}])
def test_invalid_address_is_a_value_error_and_nothing_is_kept(arguments):
    tracker, stream = opened()
    with pytest.raises(ValueError, match="JID"):
        ask(tracker, **arguments)
    assert stream.sent == list(tracker.ids) == []


def settled_by_an_answer(tracker, stream, _answer):
    assert take_element(tracker, stream.sent[0]["id"], PEER)


def settled_by_an_empty_result(tracker, stream, _answer):
    assert take_attributes(tracker, stream.sent[0]["id"], PEER)


def settled_by_time(tracker, _stream, _answer):
    tracker.deadlines._clock.advance(5)


def settled_by_loss(tracker, _stream, _answer):
    tracker.stream_lost(Failure(ConnectionLost()))


def settled_by_cancel(_tracker, _stream, answer):
    answer.cancel()


ENDS = {
    settled_by_an_answer: None,
    settled_by_an_empty_result: None,
    settled_by_time: IQTimeoutError,
    settled_by_loss: ConnectionLost,
    settled_by_cancel: CancelledError,
}


@pytest.mark.parametrize(("settle", "error"), ENDS.items())
def test_each_end_frees_the_request_at_once(settle, error):
    tracker, stream = opened()
    answer = ask(tracker, timeout=5)
    result = []
    answer.addBoth(lambda end: result.append(getattr(end, "type", end)))
    kept = weakref.ref(answer)
    settle(tracker, stream, answer)
    assert result == [error]
    assert list(tracker.ids) == []
    assert tracker.deadlines._clock.getDelayedCalls() == []
    gc.disable()
    try:
        del answer
        assert kept() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("settle", ENDS)
def test_each_end_leaves_other_requests_their_deadlines(settle):
    tracker, stream = opened()
    first = ask(tracker, timeout=5)
    first.addErrback(lambda _: None)
    if settle is not settled_by_loss:
        second = ask(tracker, "other@far.example", timeout=7)
        settle(tracker, stream, first)
        assert not second.called
        tracker.deadlines._clock.advance(7)
        assert isinstance(outcome(second), IQTimeoutError)


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


def test_request_sent_on_the_next_stream_while_others_fail_is_not_failed_with_them():
    """It is either sent or failed, never both, even if an errback opens the next stream."""
    tracker = RequestTracker(DeadlineQueue(Clock()))
    first, second = ask(tracker), ask(tracker)
    after = OpenStream()
    first.addErrback(lambda _: tracker.stream_opened(after))

    class Dying(OpenStream):
        def send_iq(self, *parts):
            tracker.stream_lost(Failure(ConnectionLost()))

    tracker.stream_opened(Dying())
    assert outcome(first) is None
    (sent,) = after.sent
    assert not second.called
    assert take_element(tracker, sent["id"], PEER)
    assert outcome(second) is None


def test_request_cancelled_by_the_failure_of_another_ends_once():
    tracker = RequestTracker(DeadlineQueue(Clock()))
    tracker.stream_opened(OpenStream())
    first, second = ask(tracker), ask(tracker)
    first.addErrback(lambda _: second.cancel())
    tracker.stream_lost(Failure(ConnectionLost()))
    assert outcome(first) is None
    assert isinstance(outcome(second), CancelledError)


def test_waiting_request_that_cannot_be_written_fails_alone():
    tracker = RequestTracker(DeadlineQueue(clock := Clock()))
    first, second = (ask(tracker, timeout=5) for _ in range(2))

    class Failing(OpenStream):
        def send_iq(self, *parts):
            if not self.sent:
                self.sent.append(None)
                raise OSError("no way out")
            OpenStream.send_iq(self, *parts)

    tracker.stream_opened(stream := Failing())
    assert isinstance(outcome(first), OSError)
    assert take_element(tracker, stream.sent[1]["id"], PEER)
    assert outcome(second) is None
    assert clock.getDelayedCalls() == []


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


def test_a_line_of_the_log_shows_the_beginning_of_a_long_address(log):
    tracker = RequestTracker(DeadlineQueue(Clock()))
    tracker.stream_opened(stream := OpenStream())
    ask(tracker)
    answer = stanza("iq", type="result", id=stream.sent[0]["id"], from_="a@b/" + "c" * 100_000)
    assert not tracker.take_answer(parseXml(answer.encode()))
    # Others may log meanwhile.
    (sender,) = [event["sender"] for event in log if "sender" in event]
    assert len(sender) == 200


def test_requests_that_wait_may_be_failed_and_those_that_were_sent_go_on():
    tracker, stream = opened()
    sent = ask(tracker)
    tracker.stream_lost(Failure(ConnectionLost()))
    assert isinstance(outcome(sent), ConnectionLost)
    waiting = [ask(tracker, timeout=5) for _ in range(3)]
    again = []
    waiting[0].addErrback(lambda _: waiting[1].cancel() or again.append(ask(tracker)))
    tracker.fail_waiting(error := ValueError("there is no way"))
    assert isinstance(outcome(waiting[1]), CancelledError)
    assert outcome(waiting[2]) is error
    tracker.stream_opened(stream)
    assert len(stream.sent) == 2
    tracker.fail_waiting(error)
    assert not again[0].called
    take_element(tracker, stream.sent[1]["id"], PEER)
    assert outcome(again[0]) is None

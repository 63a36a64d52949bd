"""How often a responder answers each sender, on streams in memory; time is the test's."""

from __future__ import annotations

import pytest
from twisted.internet.defer import CancelledError
from twisted.logger import LogLevel, formatEvent

from tests.support.scripted import FRIEND, Served, fetched
from tests.support.streams import URL, ComponentWire, InternalWire, query, stanza
from twisted_oob.errors import FetchFailed, Forbidden

STRANGER = "mallory@far.example/x"
REQUESTS = {
    "disco": "<query xmlns='http://jabber.org/protocol/disco#info'/>",
    "items": "<query xmlns='http://jabber.org/protocol/disco#items'/>",
    "version": "<query xmlns='jabber:iq:version'/>",
    "ping": "<ping xmlns='urn:xmpp:ping'/>",
    "unknown": "<query xmlns='urn:example:unknown'/>",
    "two children": "<a xmlns='urn:a'/><b xmlns='urn:b'/>",
    "no child": "",
}

DIRECT = pytest.mark.parametrize("direct", [False, True])


@DIRECT
def test_a_stranger_is_denied_in_short_and_then_dropped(direct):
    served = Served(direct=direct)
    one = stanza("iq", query(), type="set", id="q", from_=STRANGER, to=served.end.me)
    served.end.receive(one)
    sent = served.end.transport.value()
    # No echo: an answer that is much longer than its question serves to flood.
    assert URL.encode() not in sent
    assert len(sent) < 2 * len(one)
    assert served.answers() == ["not-acceptable"]
    assert served.offer(STRANGER, 1000) == ["not-acceptable"] * 9
    served.clock.advance(10)
    assert served.offer(STRANGER, 1000) == ["not-acceptable"] * 10
    assert served.fetcher.urls == []


@DIRECT
@pytest.mark.parametrize("request_", REQUESTS)
@pytest.mark.parametrize(("sender", "burst"), [(STRANGER, 10), (FRIEND, 30)])
def test_other_requests_are_answered_at_a_bounded_rate(direct, request_, sender, burst):
    served = Served(direct=direct)
    payload = REQUESTS[request_]
    assert len(served.ask(payload, sender, 200)) == burst
    served.clock.advance(1)
    assert len(served.ask(payload, sender, 200)) == 2
    # A friend can offer files all the same.
    served.offer()
    assert len(served.fetcher.transfers) == 1


@pytest.mark.parametrize(
    "payload",
    [query("not a URL"), "<query xmlns='jabber:iq:oob'/>"],
    ids=["no URI", "no URL"],
)
@pytest.mark.parametrize(("sender", "burst"), [(STRANGER, 10), (FRIEND, 100)])
@DIRECT
def test_malformed_offers_are_answered_at_a_bounded_rate(direct, sender, burst, payload):
    served = Served(direct=direct)
    assert len(served.offer(sender, 200, payload)) == burst
    served.clock.advance(1)
    assert len(served.offer(sender, 200, payload)) == 2


@pytest.mark.parametrize("wire", [ComponentWire, InternalWire])
def test_on_a_component_it_is_the_same(wire):
    served = Served(wire=wire)
    for _ in range(30):
        served.end.receive(
            stanza("iq", query(), type="set", id="q", from_=STRANGER, to=served.end.me)
        )
    assert served.answers() == ["not-acceptable"] * 10


def test_the_servers_own_pings_are_always_answered():
    served = Served()
    for sender in (None, "home.example", "me@home.example"):
        assert served.ask(REQUESTS["ping"], sender, 500) == ["result"] * 500


def test_offers_beyond_the_share_are_told_so_and_then_dropped():
    served = Served()
    assert served.offer(count=80) == ["resource-constraint"] * 44
    assert served.offer(count=500) == ["resource-constraint"] * 56
    served.clock.advance(3)
    assert served.offer(count=500) == ["resource-constraint"] * 6
    # What has its place is fetched all the same.
    while served.fetcher.transfers:
        served.fetcher.transfers.pop(0).callback(fetched())
    assert served.answers() == ["result"] * 36


def test_what_is_beyond_all_places_is_refused_by_the_turns():
    served = Served(allow_from=["*"])
    assert served.offer("a@home.example", 36) + served.offer("b@home.example", 36) == []
    served.receive(query(), "c@home.example")
    (refusal,) = served.end.sent()
    assert "too many transfers" in "".join(refusal.itertext())


def test_successes_are_never_delayed_nor_counted():
    served = Served(concurrency=2)
    for _ in range(1000):
        assert served.offer() == []
        served.fetcher.transfers.pop().callback(fetched())
        assert served.answers() == ["result"]
    assert served.clock.getDelayedCalls() == []


@pytest.mark.parametrize(
    ("error", "told"), [(Forbidden("no"), "not-acceptable"), (FetchFailed("no"), "item-not-found")]
)
def test_failures_are_told_at_a_bounded_rate_and_keep_their_places_meanwhile(error, told):
    served = Served()
    served.fetcher.outcome = error
    # A hundred at once; four wait to be told, 32 wait for a turn; beyond, nothing is said.
    assert served.offer(count=300) == [told] * 100
    assert len(served.fetcher.urls) == 104
    served.clock.advance(0.5)
    assert served.answers() == [told]
    for _ in range(100):
        served.clock.advance(0.5)
    # Every one that was admitted got its answer.
    assert served.answers() == [told] * 35
    assert served.offer() == [told]
    served.clock.advance(60)
    assert served.clock.getDelayedCalls() == []


def test_failures_of_one_delay_nobody_else():
    served = Served(allow_from=["*"])
    served.fetcher.outcome = FetchFailed("no")
    served.offer(count=300)
    for number in range(20):
        assert served.offer(f"polite{number}@home.example/x") == ["item-not-found"]


def test_an_unexpected_error_is_a_failure_like_any_other(log):
    served = Served()
    served.fetcher.outcome = RuntimeError("a fault of ours")
    assert served.offer(count=300) == ["internal-server-error"] * 100
    served.clock.advance(0.5)
    assert served.answers() == ["internal-server-error"]
    assert len(log.failures()) == 101


@pytest.fixture
def failing():
    """A responder with four offers that wait to be told that they failed."""
    served = Served(grace=30)
    served.fetcher.outcome = FetchFailed("no")
    served.offer(count=104)
    return served


def test_who_waits_to_be_told_of_a_failure_is_told_at_once_when_it_stops(failing):
    stopped = failing.responder.stopService()
    assert failing.answers() == ["item-not-found"] * 4
    failing.clock.advance(0)
    assert stopped.called
    assert failing.clock.getDelayedCalls() == []


def test_who_waits_to_be_told_of_a_failure_is_forgotten_with_the_stream(failing, log):
    failing.end.lose()
    assert failing.responder.fetches._open == {}
    assert failing.responder.fetches._turns._senders == {}
    failing.responder.stopService()
    assert failing.clock.getDelayedCalls() == []


def test_an_offer_that_is_cancelled_is_no_failure(log):
    served = Served()
    served.offer(count=36)
    for transfer in list(served.fetcher.transfers):
        transfer.addErrback(lambda failure: failure.trap(CancelledError) and failure)
    served.end.lose()
    assert served.responder.fetches._open == {}
    assert len(served.responder.limits._failures) == 0


def test_it_takes_offers_as_soon_as_it_is_attached():
    served = Served(start=False)
    assert served.offer() == []
    assert served.fetcher.urls == [URL]


def test_one_that_is_stopped_answers_at_a_bounded_rate_too():
    served = Served()
    served.responder.stopService()
    assert served.offer(count=300) == ["resource-constraint"] * 100
    assert served.offer(count=300) == []


def test_a_flood_costs_a_line_at_debug_for_each_denial_and_one_at_info_a_minute(log):
    served = Served()
    secret = query("https://me:hunter2@files.example/a.png?signature=hunter2#hunter2")
    for _ in range(20):
        served.offer(STRANGER, 100, secret)
        served.ask(REQUESTS["disco"], STRANGER, 100)
    served.clock.advance(60)
    levels = [event["log_level"] for event in log.ours()]
    assert levels == [LogLevel.debug] * 10 + [LogLevel.info]
    assert all(len(formatEvent(event)) < 200 for event in log.ours())
    assert not any("hunter2" in repr(event) for event in log)
    assert "Denied 10 and dropped 3990 requests in the last minute; senders: 1," in formatEvent(
        log.ours()[-1]
    )
    served.responder.stopService()
    assert served.clock.getDelayedCalls() == []


@pytest.mark.parametrize("outcome", ["success", "failure", "unexpected", "lost", "no room"])
def test_every_line_of_the_log_is_bounded(log, outcome):
    sender = f"{'u' * 1000}@{'.'.join(['d' * 60] * 15)}/{'r' * 1000}"
    served = Served(allow_from=["*"])
    payload = query(f"https://me:hunter2@files.example/{'p' * 7000}?hunter2", "d" * 9000)
    if outcome == "no room":
        served.offer(sender, 37, payload)
        log[:] = log[-4:]
    else:
        served.offer(sender, 1, payload)
        (transfer,) = served.fetcher.transfers
        if outcome == "success":
            transfer.callback(fetched())
        elif outcome == "failure":
            transfer.errback(FetchFailed("no", detail="x" * 10_000))
        elif outcome == "unexpected":
            transfer.errback(RuntimeError("x"))
        else:
            served.end.lose()
    lines = [
        formatEvent(event)
        for event in log.ours()
        if event["log_namespace"].endswith("OOBResponder")
    ]
    assert len(lines) >= 2
    assert all(len(line) < 1000 for line in lines)
    assert not any("hunter2" in line for line in lines)
    log.failures()

"""How many a Receiver takes at once, and how it ends: by itself, or with the stream."""

from __future__ import annotations

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import formatEvent

from tests.support.receiving import URL, Receiving, arrive, condition, is_told_to_wait
from tests.support.scripted import fetched
from tests.support.streams import logged, outcome
from twisted_oob import FetchFailed
from twisted_oob.testing import Peer
from twisted_oob.transfer.arrivals import MESSAGE, OFFER

KINDS = [OFFER, MESSAGE]


# --- how many


def test_four_are_fetched_at_once_and_the_others_in_turn():
    given = Receiving(decision=True)
    answers = [given.peer.offer(f"{URL}?{number}") for number in range(3)]
    for number in range(3, 6):
        given.message(f"{URL}?{number}")
    assert len(given.fetcher.urls) == 4
    given.clock.advance(10)
    given.transfer(0).callback(fetched())
    given.transfer(1).errback(FetchFailed("no"))
    assert given.fetcher.urls == [f"{URL}?{number}" for number in range(6)]
    assert [condition(answer) for answer in answers[:2]] == [None, "item-not-found"]
    given.clock.advance(1)
    given.transfer(5).callback(fetched())
    # What it waited is not counted.
    assert [one.seconds for one in given.told] == [10.0, 10.0, 1.0]


def test_questions_do_not_wait_for_transfers():
    given = Receiving()
    for number in range(9):
        given.peer.offer(f"{URL}?{number}")
    assert len(given.asked) == 9


def test_offers_and_messages_beyond_the_most_are_turned_away():
    given = Receiving(most_open=2)
    for kind in (OFFER, MESSAGE):
        for number in range(2):
            arrive(given, kind, f"{URL}?{kind}{number}")
    assert len(given.asked) == 4
    with logged() as events:
        late = given.peer.offer(f"{URL}?late")
        given.message(f"{URL}?late")
        assert [event["kind"] for event in events.ours()] == [OFFER, MESSAGE]
        assert URL not in repr(list(events.ours()))
    assert is_told_to_wait(late)
    assert len(given.asked) == 4
    assert given.told == []
    for _, question in list(given.asked):
        question.callback(False)
    for kind in (OFFER, MESSAGE):
        arrive(given, kind)
    assert len(given.asked) == 5  # one file, named in two ways


# --- the loss of the stream


def at_step(given, kind, step):
    """Bring an arrival to a step; gives its answer."""
    if step == "waiting":
        given.decision = True
        other = Peer(given.end, "romeo@example.net/orchard")
        for number in range(4):
            given.message(f"{URL}?{number}", sender=other.jid.full())
    given.decision = None if step == "asking" else True
    return arrive(given, kind)


STEPS = ["asking", "waiting", "fetching"]


@pytest.mark.parametrize("step", STEPS)
def test_the_loss_of_the_stream_ends_its_offers(step):
    given = Receiving()
    at_step(given, OFFER, step)
    (_, question), transfers = given.asked[-1], list(given.fetcher.transfers)
    given.end.lose()
    assert [(one.condition, one.text) for one in given.told] == [
        ("recipient-unavailable", "the connection was lost")
    ]
    # What it waited for was cancelled, and the error taken.
    waited_for = {"asking": question, "fetching": transfers[-1] if transfers else None}.get(step)
    assert waited_for is None or waited_for.called
    assert len(given.fetcher.transfers) == {"asking": 0, "waiting": 4, "fetching": 1}[step]
    given.end.open()
    assert given.end.sent() == []


@pytest.mark.parametrize("step", STEPS)
def test_messages_outlast_the_stream(step):
    given = Receiving()
    at_step(given, MESSAGE, step)
    given.end.lose()
    assert given.told == []
    if step == "asking":
        given.asked[-1][1].callback(True)
    if step == "waiting":
        given.transfer(0).callback(fetched())
    given.transfer().callback(fetched())
    assert given.told[-1].arrival.url == URL
    assert set(given.conditions()) == {"received"}


def test_a_transfer_that_takes_its_time_to_be_cancelled_is_told_when_it_is():
    given = Receiving(decision=True)
    given.fetcher.fetch = lambda *_, **__: waiting_out
    waiting_out = Deferred(lambda _: None)
    waiting_out.cancel = lambda: None  # as one that waits for a thread
    given.peer.offer(URL)
    given.end.lose()
    given.receiver.stopService()
    assert given.told == []
    waiting_out.errback(CancelledError())
    assert given.conditions() == ["recipient-unavailable"]


# --- the end


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("step", STEPS)
def test_a_stop_ends_what_is_not_received(kind, step):
    given = Receiving()
    answer = at_step(given, kind, step)
    before = len(given.asked)
    assert outcome(given.receiver.stopService()) is None
    assert [one.condition for one in given.told] == ["resource-constraint"] * before
    if kind == OFFER:
        assert is_told_to_wait(answer)
    # Nobody who comes later is asked about or told.
    late = given.peer.offer(URL)
    given.message(f"{URL}?late")
    assert is_told_to_wait(late)
    assert (len(given.asked), len(given.told)) == (before, before)


def test_a_stop_waits_until_the_last_is_told_and_answered():
    given = Receiving(decision=True)
    given.fetcher.fetch = lambda *_, **__: waiting_out
    waiting_out = Deferred()
    waiting_out.cancel = lambda: None
    answer = given.peer.offer(URL)
    stops = [given.receiver.stopService(), given.receiver.stopService()]
    assert [stop.called for stop in stops] == [False, False]
    waiting_out.callback(fetched())  # the cancellation came too late
    assert [outcome(stop) for stop in stops] == [None, None]
    assert outcome(answer) is None
    assert given.conditions() == ["received"]


def test_tell_may_stop_the_receiver_and_what_it_was_told_of_stays_received():
    stops = []

    def tell(one):
        given.told.append(one)
        stops.append(given.receiver.stopService())

    given = Receiving(decision=True, tell=tell)
    first, second = given.peer.offer(f"{URL}?1"), given.peer.offer(f"{URL}?2")
    given.transfer(0).callback(fetched())
    assert outcome(first) is None
    assert condition(second) == "resource-constraint"
    assert given.conditions() == ["received", "resource-constraint"]
    assert [outcome(stop) for stop in stops] == [None, None]


def test_accept_may_stop_the_receiver():
    stops = []

    def accept(_):
        stops.append(given.receiver.stopService())
        return Deferred()

    given = Receiving(accept=accept)
    answer = given.peer.offer(URL)
    assert condition(answer) == "resource-constraint"
    assert outcome(stops[0]) is None
    assert given.fetcher.urls == []


def test_it_may_be_started_again():
    given = Receiving(decision=True)
    outcome(given.receiver.stopService())
    given.receiver.startService()
    answer = given.peer.offer(URL)
    given.transfer().callback(fetched())
    assert outcome(answer) is None


def test_a_start_says_what_it_removed():
    given = Receiving()
    given.fetcher.remove_leftovers = lambda: 1
    with logged() as events:
        given.receiver.startService()
        [event] = events.ours()
    assert event["removed"] == 1
    assert formatEvent(event) == "Removed 1 unfinished file of an earlier run"

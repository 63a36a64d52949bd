"""The same file wanted again while it is fetched: one fetch, and an answer for each."""

from __future__ import annotations

import pytest
from twisted.internet.defer import CancelledError
from twisted.logger import formatEvent

from tests.support.scripted import FRIEND, ScriptedFetcher, Served, fetched
from tests.support.streams import URL, outcome, query
from tests.transfer.test_fair_fetcher import Fair
from twisted_oob import FileInfo
from twisted_oob.errors import FetchFailed, ResourceConstraint

SHA256 = "a" * 64


@pytest.mark.parametrize("kinds", [(False, False), (True, True), (False, True), (True, False)])
def test_the_same_file_of_the_same_sender_is_fetched_once(kinds):
    fair = Fair()
    wanted = [fair.want(url=URL, patient=patient) for patient in kinds]
    assert (fair.fetcher.urls, fair.fetches.running) == ([URL], 1)
    file = fetched()
    fair.fetcher.transfers.pop().callback(file)
    assert [outcome(one) for one in wanted] == [file, file]
    assert not fair.kept
    # What is over is not joined.
    fair.want(url=URL)
    assert fair.fetcher.urls == [URL, URL]


@pytest.mark.parametrize(
    "again",
    [
        {"url": f"{URL}?other"},
        {"name": "other@home.example"},
        {"info": FileInfo(size=5)},
        {"info": FileInfo(size=4, sha256=SHA256)},
        {"info": None},
        {"fetcher": ScriptedFetcher()},
    ],
)
def test_another_file_or_sender_or_folder_is_a_transfer_of_its_own(again):
    fair = Fair()
    one = {"url": URL, "info": FileInfo(size=4)}
    fair.want(**one)
    fair.want(**(one | again))
    assert fair.fetches.running == 2


def test_another_name_of_the_file_is_the_same_file():
    fair = Fair()
    fair.want(url=URL, info=FileInfo(name="a", size=4, sha256=SHA256))
    fair.want(url=f"{URL}#x", info=FileInfo(name="b", size=4, sha256=SHA256.upper()))
    assert fair.fetches.running == 1


def test_each_has_its_own_two_lines_in_the_log(log):
    fair = Fair()
    fair.want(url=URL)
    fair.clock.advance(1)
    fair.want(url=URL, patient=False)
    fair.finish()
    assert [formatEvent(event) for event in log.ours()] == [
        f"Message from friend@home.example/phone: {URL}",
        f"Offer from friend@home.example/phone: {URL}",
        f"Offer from friend@home.example/phone ended: {URL}: success: 4 bytes in /a/file, 0.00 s",
        f"Message from friend@home.example/phone ended: {URL}: success: 4 bytes in /a/file, 1.00 s",
    ]


@pytest.mark.parametrize("gone", [[0], [1], [0, 1], [1, 0], [2, 0]])
@pytest.mark.parametrize("waiting", [False, True])
def test_whoever_goes_the_others_get_the_file(gone, waiting):
    fair = Fair(concurrency=1)
    before = fair.want() if waiting else None
    wanted = [fair.want(url=URL, patient=patient) for patient in (False, True, False)]
    for one in gone:
        wanted[one].cancel()
    assert [type(error) for error in fair.failures] == [CancelledError] * len(gone)
    if before is not None:
        fair.finish()
    assert fair.fetcher.urls[-1] == URL
    assert fair.finish() == 1
    assert all(one.called for one in wanted)
    assert len(fair.failures) == len(gone)
    assert not fair.kept


@pytest.mark.parametrize("waiting", [False, True])
def test_when_all_have_gone_the_fetch_ends(waiting):
    fair = Fair(concurrency=1)
    before = fair.want() if waiting else None
    wanted = [fair.want(url=URL) for _ in range(3)]
    for one in wanted:
        one.cancel()
    assert [type(error) for error in fair.failures] == [CancelledError] * 3
    if before is not None:
        fair.finish()
        assert len(fair.fetcher.urls) == 1
    assert fair.fetches.running == 0
    assert not fair.kept


def test_one_that_comes_while_the_last_one_goes_begins_anew():
    fair = Fair()
    fair.fetcher.stubborn = True
    one = fair.want(url=URL)
    one.cancel()
    one.cancel()
    assert not fair.failures
    again = fair.want(url=URL)
    assert len(fair.fetcher.transfers) == 2
    # Its cancellation came too late: the file is there.
    file = fetched()
    for transfer in fair.fetcher.transfers:
        transfer.callback(file)
    assert (outcome(one), outcome(again)) == (file, file)
    assert not fair.kept


def test_a_failure_is_told_to_each_and_counts_for_each():
    fair = Fair()
    wanted = [fair.want(url=URL, patient=False) for _ in range(3)]
    error = FetchFailed("no")
    fair.fetcher.transfers.pop().errback(error)
    assert [outcome(one) for one in wanted] == [error] * 3
    assert not fair.kept
    assert sum(fair.limits.wait_for_failure("friend@home.example") == 0 for _ in range(100)) == 97


def test_a_flood_of_the_same_offer_is_bounded_and_leaves_room_for_others():
    fair = Fair()
    flood = [fair.want(url=URL, patient=False) for _ in range(2000)]
    assert fair.fetches.running == 1
    told = [one for one in flood if one.called]
    assert len(flood) - len(told) == 33
    assert {type(error) for error in fair.failures} == {ResourceConstraint}
    other = fair.want("other@home.example", patient=False)
    assert fair.finish() == 2
    assert other.called
    assert all(one.called for one in flood)
    assert not fair.kept


def test_a_flood_of_the_same_message_is_bounded():
    fair = Fair()
    for _ in range(1100):
        fair.want(url=URL)
    assert len(fair.failures) == 100
    fair.finish()
    assert not fair.kept


def test_an_offer_that_joins_a_message_which_waits_has_the_turn_of_an_offer():
    fair = Fair(concurrency=1)
    for _ in range(10):
        fair.want()
    message, offer = fair.want(url=URL), fair.want(url=URL, patient=False)
    fair.finish()
    assert fair.fetcher.urls[-1] == URL
    fair.finish()
    assert (message.called, offer.called) == (True, True)


def test_on_a_stream_each_offer_has_one_answer():
    served = Served()
    assert served.offer(FRIEND, 5, query()) == []
    served.fetcher.transfers.pop().callback(fetched())
    assert served.answers() == ["result"] * 5
    assert served.fetcher.urls == [URL]


# --- the wait for a turn


def test_an_offer_waits_for_its_turn_for_a_bounded_time_and_a_message_does_not():
    fair = Fair(concurrency=1, queue_timeout=60)
    runs = fair.want(patient=False)
    offer = fair.want(url=URL, patient=False)
    message = fair.want(url=URL)
    fair.clock.advance(59)
    late = fair.want(url=URL, patient=False)
    assert not fair.failures
    fair.clock.advance(1)
    error = outcome(offer)
    assert (error.condition, error.type) == ("resource-constraint", "wait")
    assert "60 s" in error.text
    fair.finish()
    fair.finish()
    assert all(one.called for one in (runs, message, late))
    assert len(fair.failures) == 1
    assert not fair.kept


def test_what_runs_may_take_longer():
    fair = Fair(queue_timeout=60)
    offer = fair.want(patient=False)
    fair.clock.advance(1000)
    assert not offer.called
    fair.finish()
    assert offer.called
    assert not fair.kept

"""How a FairFetcher stops: its Fetchers with it, and in a bounded time whatever hangs."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock

from tests.support.scripted import ScriptedFetcher, Served
from tests.support.streams import URL, outcome
from tests.transfer.test_fair_fetcher import Fair
from twisted_oob.errors import ResourceConstraint
from twisted_oob.transfer.stopping import LAST, wait_until


class Stoppable(ScriptedFetcher):
    """Notes when it is stopped and started; it has stopped when ``stopped`` fires."""

    def __init__(self):
        super().__init__()
        self.calls = []
        self.stopped = Deferred()

    def stop(self):
        self.calls.append("stop")
        return self.stopped

    def start(self):
        self.calls.append("start")


@pytest.fixture
def fair():
    return stoppable(grace=30)


def stoppable(**options):
    fair = Fair(**options)
    fair.fetcher = fetcher = Stoppable()
    fair.fetches._fetcher = fetcher
    fair.fetches.add_fetcher(fetcher)
    return fair


def test_the_fetchers_stop_when_nothing_runs_any_more(fair):
    room = Stoppable()
    for _ in range(2):
        fair.fetches.add_fetcher(room)
    one = fair.want(fetcher=room)
    stopped = fair.fetches.stop()
    assert (room.calls, fair.fetcher.calls) == ([], [])
    fair.finish_of(room)
    assert one.called
    fair.clock.advance(0)
    assert (room.calls, fair.fetcher.calls) == (["stop"], ["stop"])
    assert not stopped.called
    room.stopped.callback(None)
    assert not stopped.called
    fair.fetcher.stopped.callback(None)
    assert stopped.called
    assert not fair.kept
    fair.fetches.start()
    assert room.calls == ["stop", "start"]


def test_without_transfers_they_stop_at_once(fair):
    stopped = fair.fetches.stop()
    assert fair.fetcher.calls == ["stop"]
    fair.fetcher.stopped.callback(None)
    assert stopped.called
    assert fair.fetches.stop().called
    assert fair.fetcher.calls == ["stop"]


def test_a_fetcher_that_does_not_stop_is_left(fair):
    stopped = fair.fetches.stop()
    fair.clock.advance(LAST - 0.1)
    assert not stopped.called
    fair.clock.advance(0.1)
    assert stopped.called
    # It is of no use to the next stop that it ends now.
    fair.fetches.start()
    again = fair.fetches.stop()
    late, fair.fetcher.stopped = fair.fetcher.stopped, Deferred()
    late.callback(None)
    assert again.called
    assert not fair.kept


def test_a_fetcher_whose_stop_ends_with_the_next_start_ends_no_other(fair):
    stopped = fair.fetches.stop()
    fair.fetcher.start = lambda: fair.fetcher.stopped.callback(None)
    fair.fetches.start()
    # Whoever starts us may have more to start, before those who wait go on.
    assert not stopped.called
    fair.clock.advance(0)
    assert stopped.called
    assert not fair.kept


def test_a_fetcher_that_somebody_else_stops_is_no_fault_of_ours(fair, log):
    both = [fair.want(url=URL, patient=patient) for patient in (False, True)]
    for transfer in list(fair.fetcher.transfers):
        transfer.cancel()
    assert {(one.condition, one.type) for one in map(outcome, both)} == {
        ("resource-constraint", "wait")
    }
    assert log.failures() == []


def test_a_fetcher_that_fails_to_stop_is_told_in_the_log(fair, log):
    fair.fetcher.stopped = fail(RuntimeError("no"))
    assert fair.fetches.stop().called
    assert [type(error) for error in log.failures()] == [RuntimeError]


@pytest.mark.parametrize("grace", [0, 30])
def test_a_fetch_that_does_not_end_is_answered_and_left(grace):
    fair = Fair(grace=grace)
    fair.fetcher.stubborn = True
    wanted = [fair.want(url=URL, patient=patient) for patient in (False, True)]
    wanted.append(fair.want("other@home.example"))
    stopped = fair.fetches.stop()
    fair.clock.advance(grace)
    # Two share one fetch: the second to go waits for its end.
    assert len(fair.failures) == 1
    fair.clock.advance(LAST - 0.1)
    assert not stopped.called
    fair.clock.advance(0.1)
    assert [type(error) for error in fair.failures] == [ResourceConstraint] * 3
    fair.clock.advance(0)
    assert stopped.called
    for transfer in fair.fetcher.transfers:
        transfer.callback(None)
    assert len(fair.failures) == 3
    assert not fair.kept


@pytest.mark.parametrize("at", [0, 10, 29])
def test_another_stop_neither_begins_the_grace_anew_nor_ends_it(fair, at):
    one = fair.want()
    stops = [fair.fetches.stop()]
    fair.clock.advance(at)
    stops.append(fair.fetches.stop())
    assert not fair.failures
    fair.clock.advance(29.9 - at)
    assert not fair.failures
    fair.clock.advance(0.1)
    assert type(outcome(one)) is ResourceConstraint
    fair.clock.advance(0)
    stops.append(fair.fetches.stop())
    assert [stop.called for stop in stops] == [False] * 3
    fair.fetcher.stopped.callback(None)
    assert [stop.called for stop in stops] == [True] * 3
    assert fair.fetcher.calls == ["stop"]


def test_what_was_cancelled_is_told_that_it_stops_also_if_it_was_started_again():
    fair = Fair(grace=30)
    fair.fetcher.stubborn = True
    one = fair.want()
    stopped = fair.fetches.stop()
    fair.clock.advance(30)
    fair.fetches.start()
    fair.clock.advance(0)
    assert stopped.called
    fair.fetcher.transfers[0].cancel()
    assert type(outcome(one)) is ResourceConstraint
    fair.fetcher.stubborn = False
    again = fair.want()
    fair.finish()
    assert again.called
    assert not fair.kept


@pytest.mark.parametrize("end", ["in time", "late", "failing"])
def test_a_part_that_does_not_end_is_left_at_the_deadline(log, end):
    clock, ending = Clock(), Deferred()
    clock.advance(100)
    waited = Deferred.fromCoroutine(wait_until(103, clock, ending))
    clock.advance(2)
    assert not waited.called
    if end == "in time":
        ending.callback(None)
    elif end == "failing":
        ending.errback(RuntimeError())
    else:
        clock.advance(1)
    assert waited.called
    assert not clock.getDelayedCalls()
    assert len(log.failures()) == (end == "failing")
    if end == "late":
        ending.callback(None)


def test_every_offer_has_one_answer_when_the_disk_hangs(log):
    served = Served(grace=10)
    served.fetcher.stubborn = True
    served.offer(count=6)
    stopped = served.responder.stopService()
    assert served.answers() == ["resource-constraint"] * 2
    served.clock.advance(10)
    served.clock.advance(5)
    assert served.answers() == ["resource-constraint"] * 4
    served.clock.advance(0)
    assert stopped.called
    for transfer in served.fetcher.transfers:
        transfer.callback(None)
    assert served.answers() == []
    assert served.clock.getDelayedCalls() == []

"""Who gets a turn, what is kept, and how it ends; the transfers and the time are the test's."""

from __future__ import annotations

import pytest
import pytest_twisted
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.task import Clock, deferLater
from twisted.logger import formatEvent
from twisted.words.protocols.jabber.jid import JID

from tests.support.scripted import ScriptedFetcher, fetched
from tests.support.streams import URL, outcome
from twisted_oob import FileInfo
from twisted_oob.errors import FetchFailed, ResourceConstraint
from twisted_oob.transfer.fair_fetcher import FairFetcher, Wanted
from twisted_oob.xmpp.gate import Limits, Sender, Verdict


class Fair:
    """A FairFetcher that was started; ``failures`` has what each fetch failed with, in order."""

    def __init__(self, concurrency=8, grace=0.0, **options):
        self.clock = Clock()
        self.fetcher = ScriptedFetcher()
        self.limits = Limits(self.clock)
        self.fetches = FairFetcher(
            self.fetcher,
            limits=self.limits,
            reactor=self.clock,
            concurrency=concurrency,
            grace=grace,
            **options,
        )
        self.fetches.start()
        self.failures = []
        self._wanted = 0

    def want(self, name="friend@home.example", *, url=None, patient=True, **more):
        """Want a file, another one each time unless its URL is given; gives the Deferred of it."""
        what = "Message" if patient else "Offer"
        self._wanted += 1
        url = f"{URL}?{self._wanted}" if url is None else url
        wanted = Wanted(what, JID(f"{name}/phone"), name, url, patient=patient, **more)
        done = ensureDeferred(self.fetches.fetch(wanted))
        return done.addErrback(self._failed)

    def _failed(self, failure):
        self.failures.append(failure.value)
        return failure.value

    def finish(self):
        """Let every transfer end that runs now; gives how many there were."""
        return self.finish_of(self.fetcher)

    @staticmethod
    def finish_of(fetcher):
        """Let every transfer of a fetcher end that runs now; gives how many there were."""
        running, fetcher.transfers = fetcher.transfers, []
        for transfer in running:
            transfer.callback(fetched())
        return len(running)

    @property
    def kept(self):
        """Whatever is kept of anybody, which is nothing in the end."""
        kept = self.fetches
        return [
            *kept._open,
            *kept._transfers,
            *kept._turns._senders,
            *self.clock.getDelayedCalls(),
        ]


def test_a_thousand_messages_are_all_fetched_and_offers_of_others_have_turns_meanwhile():
    fair = Fair()
    senders = [f"sender{number}@home.example" for number in range(20)]
    wanted = [fair.want(name) for _ in range(50) for name in senders]
    assert not fair.failures
    finished = fair.finish()
    offers = [fair.want(f"polite{number}@home.example", patient=False) for number in range(10)]
    for _ in range(5):  # thirty wait for a turn each: in the fifth round of eight, all had theirs
        finished += fair.finish()
    assert all(offer.called for offer in offers)
    assert sum(one.called for one in wanted) == 8 * 6 - 10
    while finished < 1010:
        assert fair.fetches.running == min(8, 1010 - finished)
        finished += fair.finish()
    assert all(one.called for one in wanted)
    assert not fair.failures
    assert not fair.kept


def test_offers_of_the_same_sender_go_before_its_messages():
    fair = Fair(concurrency=2)
    messages = [fair.want() for _ in range(10)]
    offer = fair.want(patient=False)
    fair.finish()
    fair.finish()
    assert offer.called
    assert sum(one.called for one in messages) == 1


def test_beyond_the_bound_a_message_is_refused_and_an_offer_is_not():
    fair = Fair()
    for _ in range(1000):
        fair.want()
    assert not fair.failures
    assert type(outcome(fair.want())) is ResourceConstraint
    assert fair.fetches.has_room("friend@home.example")
    offers = [fair.want(patient=False) for _ in range(32)]
    assert len(fair.failures) == 1
    assert not any(offer.called for offer in offers)


def test_failing_messages_hold_up_neither_what_is_good_nor_the_bound():
    fair = Fair()
    fair.fetcher.outcome = FetchFailed("no")
    for _ in range(300):
        fair.want()
    # A burst is told at once, the others two a second; they don't run meanwhile.
    assert len(fair.failures) == 100
    assert len(fair.fetcher.urls) == 300
    assert fair.fetches.running == 0
    fair.fetcher.outcome = None
    good = fair.want()
    assert fair.finish() == 1
    assert good.called
    # They count all the same, until they are told.
    for _ in range(800):
        fair.want()
    assert len(fair.failures) == 100
    assert type(outcome(fair.want())) is ResourceConstraint
    fair.clock.advance(50)
    assert len(fair.failures) == 201
    fair.want()
    assert len(fair.failures) == 201


def test_messages_give_back_nothing_that_malformed_offers_have_cost():
    fair = Fair()
    friend = Sender("friend@home.example", allowed=True, own=False)
    for _ in range(100):
        assert fair.limits.judge_offer(friend, has_room=True) is Verdict.ADMIT
    for _ in range(20):
        fair.want()
    assert fair.limits.judge_offer(friend, has_room=True) is Verdict.DROP
    fair.want(patient=False)
    assert fair.limits.judge_offer(friend, has_room=True) is Verdict.ADMIT


def test_a_failing_offer_keeps_its_turn_while_its_answer_waits():
    fair = Fair()
    fair.fetcher.outcome = FetchFailed("no")
    for _ in range(136):
        fair.want(patient=False)
    assert len(fair.fetcher.urls) == 104
    assert len(fair.failures) == 100


def test_when_it_stops_what_waits_is_told_at_once_and_no_other_begins():
    fair = Fair(grace=30)
    fair.fetcher.outcome = FetchFailed("no")
    for _ in range(120):
        fair.want("failing@home.example")
    fair.fetcher.outcome = None
    for _ in range(1000):
        fair.want()
    fair.failures.clear()
    begun = len(fair.fetcher.urls)
    stopped = fair.fetches.stop()
    told = [type(error) for error in fair.failures]
    assert told.count(FetchFailed) == 20
    assert told.count(ResourceConstraint) == 996
    assert {str(e) for e in fair.failures if isinstance(e, ResourceConstraint)} == {
        "the responder is stopping; try again later"
    }
    assert type(outcome(fair.want())) is ResourceConstraint
    assert len(fair.fetcher.urls) == begun
    assert not stopped.called
    assert fair.finish() == 4
    fair.clock.advance(0)
    assert stopped.called
    assert not fair.kept


def test_the_turn_of_a_failure_that_is_told_as_it_stops_is_nobodys():
    fair = Fair(concurrency=1, grace=30)
    fair.fetcher.outcome = FetchFailed("no")
    for _ in range(101):
        fair.want(patient=False)
    fair.fetcher.outcome = None
    waiting = [fair.want(patient=patient) for patient in (False, True)]
    begun = len(fair.fetcher.urls)
    stopped = fair.fetches.stop()
    assert [type(outcome(one)) for one in waiting] == [ResourceConstraint] * 2
    assert len(fair.fetcher.urls) == begun
    fair.clock.advance(0)
    assert stopped.called
    assert not fair.kept


def test_what_fails_within_the_grace_is_told_at_once():
    fair = Fair(grace=30)
    fair.fetcher.outcome = FetchFailed("no")
    for _ in range(100):
        fair.want()
    fair.fetcher.outcome = None
    one = fair.want()
    fair.fetches.stop()
    fair.fetcher.transfers.pop().errback(FetchFailed("no"))
    assert type(outcome(one)) is FetchFailed
    fair.clock.advance(0)
    assert not fair.kept


def test_what_does_not_finish_within_the_grace_is_told_then():
    fair = Fair(grace=30)
    one = fair.want()
    stopped = fair.fetches.stop()
    fair.clock.advance(30)
    assert type(outcome(one)) is ResourceConstraint
    fair.clock.advance(0)
    assert stopped.called
    assert fair.fetches.running == 0
    assert not fair.kept


def test_it_can_be_started_again():
    fair = Fair()
    fair.fetches.stop()
    fair.fetches.start()
    one = fair.want()
    fair.finish()
    assert one.called
    assert not fair.failures


@pytest.mark.parametrize("state", ["waiting", "running", "failing"])
def test_what_is_cancelled_leaves_nothing_behind(state):
    fair = Fair(concurrency=1)
    if state == "failing":
        fair.fetcher.outcome = FetchFailed("no")
        for _ in range(100):
            fair.want()
    other = Deferred() if state != "waiting" else fair.want()
    one = fair.want()
    one.cancel()
    if state == "waiting":
        assert not other.called
        fair.finish()
    assert type(fair.failures[-1]) is (FetchFailed if state == "failing" else CancelledError)
    assert fair.fetches.running == 0
    assert not fair.kept


def test_those_who_watch_hear_how_many_run(log):
    fair = Fair(concurrency=2)
    heard = []

    def fails(_running):
        raise RuntimeError("a fault of the watcher")

    fair.fetches.on_running += [fails, heard.append]
    fair.want("a@home.example")
    fair.want("b@home.example")
    fair.want("c@home.example")
    while fair.fetches.running:
        fair.finish()
    assert heard == [1, 2, 1, 2, 1, 0]
    assert {type(error) for error in log.failures()} == {RuntimeError}


def test_a_wanted_file_can_have_a_fetcher_of_its_own():
    fair = Fair()
    room = ScriptedFetcher()
    info = FileInfo(name="a.png")
    one = fair.want(url=URL, fetcher=room, info=info)
    assert (room.urls, room.infos, fair.fetcher.urls) == ([URL], [info], [])
    room.transfers.pop().callback(fetched())
    assert outcome(one).size == 4


@pytest.mark.parametrize("what", ["Offer", "Message", "Room message"])
def test_the_log_tells_what_it_is_and_how_it_ended(log, what):
    fair = Fair()
    secret = f"{URL}?token=hunter2"
    for error in (None, FetchFailed("no", detail="HTTP status 500")):
        fair.fetcher.outcome = error
        done = ensureDeferred(fair.fetches.fetch(Wanted(what, None, "", secret)))
        fair.finish()
        outcome(done)
    lines = [formatEvent(event) for event in log.ours()]
    assert lines == [
        f"{what} from None: {URL}",
        f"{what} from None ended: {URL}: success: 4 bytes in /a/file, 0.00 s",
        f"{what} from None: {URL}",
        f"{what} from None ended: {URL}: item-not-found: HTTP status 500, 0.00 s",
    ]


def test_no_repr_tells_a_secret_of_the_url():
    assert "hunter2" not in repr(Wanted("Offer", None, "", f"{URL}?token=hunter2"))


@pytest_twisted.ensureDeferred
async def test_a_step_of_the_wall_clock_ends_neither_a_wait_nor_the_grace(monkeypatch):
    from twisted.internet import reactor

    fetcher = ScriptedFetcher()
    limits = Limits(reactor)
    fetches = FairFetcher(
        fetcher, limits=limits, reactor=reactor, concurrency=1, grace=40, queue_timeout=50
    )
    fetches.start()
    first, second = (
        ensureDeferred(fetches.fetch(Wanted("Offer", None, "", f"{URL}?{one}"))) for one in "12"
    )
    wall = reactor.seconds
    with monkeypatch.context() as patched:
        patched.setattr(reactor, "seconds", lambda: wall() + 60)
        await deferLater(reactor, 0.001)
        assert not second.called
        stopped = fetches.stop()
        with pytest.raises(ResourceConstraint, match="stopping"):
            await second
        patched.setattr(reactor, "seconds", lambda: wall() + 120)
        await deferLater(reactor, 0.001)
        assert not first.called
        fetcher.transfers[0].callback(fetched())
        await stopped
    assert await first == fetched()

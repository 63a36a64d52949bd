"""Turns: how much one sender may have, whose turn is next, and that nothing is lost."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from twisted_oob.errors import ResourceConstraint
from twisted_oob.transfer.turns import Turns


class Runs:
    """Enters places and notes, in order, whose turn came."""

    def __init__(self, concurrency):
        self.turns = Turns(concurrency)
        self.order = []
        self.running = []

    def enter(self, name, *, patient=False, at_once=None):
        """Enter a place; ``at_once``: what to do with it as soon as its turn comes."""
        place = self.turns.enter(name, patient)

        def ran(_):
            self.order.append(name)
            self.running.append(place)
            if at_once is not None:
                at_once(place)

        place.turn.addCallback(ran)
        return place

    def fill(self, name):
        """Enter as many places as there are for a sender; gives how many run and wait."""
        places = []
        while self.turns.has_room(name):
            places.append(self.enter(name))
        with pytest.raises(ResourceConstraint, match="too many"):
            self.enter(name)
        running = sum(place.running for place in places)
        return running, len(places) - running

    def finish(self):
        """Let the transfer end that has run for the longest time."""
        self.running.pop(0).leave()


@pytest.mark.parametrize(
    ("concurrency", "running", "waiting"),
    [(1, 1, 4), (2, 1, 8), (3, 1, 12), (4, 2, 16), (8, 4, 32), (100, 50, 400)],
)
def test_one_sender_has_at_most_half_of_the_transfers_and_of_the_queue(
    concurrency, running, waiting
):
    runs = Runs(concurrency)
    assert runs.fill("flood") == (running, waiting)
    # The other half is there for others, and no more than that.
    assert runs.fill("other") == (min(running, concurrency - running), waiting)


def test_all_places_together_are_bounded():
    runs = Runs(8)
    found = [runs.fill(f"sender {number}") for number in range(10)]
    assert found[:3] == [(4, 32), (4, 32), (0, 0)]
    few = Runs(8)
    senders = 0
    while few.turns.has_room(f"sender {senders}"):
        few.enter(f"sender {senders}")
        senders += 1
    assert senders == 72


def test_turns_go_round():
    runs = Runs(1)
    for name in "aaaabbbc":
        runs.enter(name)
    for _ in range(8):
        runs.finish()
    assert runs.order == list("abcababa")


def test_whoever_comes_new_waits_for_no_more_than_what_runs_and_one_of_each():
    runs = Runs(1)
    runs.fill("flood")
    for number in range(4):
        runs.enter(f"polite {number}")
    for _ in range(6):
        runs.finish()
    assert runs.order == ["flood", *(f"polite {number}" for number in range(4)), "flood", "flood"]


def test_one_sender_alone_is_served_in_the_order_it_came():
    runs = Runs(2)
    places = [runs.enter("a") for _ in range(9)]
    started = []
    while runs.running:
        started.append(places.index(runs.running[0]))
        runs.finish()
    assert started == list(range(9))


def test_who_leaves_while_waiting_has_no_turn():
    runs = Runs(1)
    first, *rest = [runs.enter("a") for _ in range(5)]
    rest[0].leave()
    rest[2].leave()
    other = runs.enter("b")
    other.leave()
    first.leave()
    assert [place.running for place in rest] == [False, True, False, False]
    assert runs.fill("a") == (0, 3)


def test_to_leave_twice_is_to_leave():
    runs = Runs(1)
    first, _second, third = (runs.enter("a") for _ in range(3))
    first.leave()
    first.leave()
    assert not third.running


def test_nothing_is_kept_of_who_has_left():
    runs = Runs(2)
    for number in range(1000):
        runs.enter(f"sender {number}").leave()
    assert runs.turns._senders == {}
    assert not runs.turns._line


def test_transfers_that_end_at_once_use_no_stack():
    """A forbidden URL is an error before anything was waited for."""
    runs = Runs(2000)
    blocked = [runs.enter(name) for name in "ab" for _ in range(1000)]
    for _ in range(4000):
        runs.enter("a", at_once=lambda place: place.leave())
    blocked[0].leave()
    assert runs.order.count("a") == 5000


def test_what_a_turn_causes_may_enter_and_leave():
    runs = Runs(1)
    first = runs.enter("a")
    runs.enter("b", at_once=lambda place: (runs.enter("a"), runs.enter("b"), place.leave()))
    runs.enter("c")
    first.leave()
    for _ in range(3):
        runs.running[-1].leave()
    assert runs.order == list("abcab")


def test_a_share_holds_while_turns_are_given():
    runs = Runs(2)
    first = runs.enter("a")
    filled = []

    def end_and_fill(place):
        place.leave()
        filled.append(runs.fill("a"))

    runs.enter("a", at_once=end_and_fill)
    for _ in range(7):
        runs.enter("a")
    first.leave()
    # Seven were waiting, and none of them had had its turn yet.
    assert filled == [(0, 1)]


def test_patient_places_have_a_bound_of_their_own_and_one_sender_has_half():
    runs = Runs(8)
    for name in "ab":
        assert runs.fill(name) == (4, 32)
    for name in "ac":
        for _ in range(1000):
            runs.enter(name, patient=True)
        with pytest.raises(ResourceConstraint, match="too many"):
            runs.enter(name, patient=True)
    with pytest.raises(ResourceConstraint, match="too many"):
        runs.enter("d", patient=True)
    # Each kind leaves the other its room.
    assert not runs.turns.has_room("d")
    for _ in range(2):  # the first turn is c's, who has come since; the second is a's
        runs.finish()
    assert runs.turns.has_room("d")


def test_offers_of_a_sender_go_before_its_patient_places():
    runs = Runs(1)
    order = []
    for number, patient in enumerate([True, True, True, False, False]):
        place = runs.enter("a", patient=patient)
        place.turn.addCallback(lambda _, number=number: order.append(number))
    while runs.running:
        runs.finish()
    assert order == [0, 3, 4, 1, 2]


def test_turns_go_round_whether_they_are_patient_or_not():
    runs = Runs(1)
    for name in "AAAAbbbCC":
        runs.enter(name, patient=name.isupper())
    while runs.running:
        runs.finish()
    assert "".join(runs.order) == "AbCAbCAbA"


def test_who_steps_aside_gives_its_turn_and_keeps_its_place():
    runs = Runs(1)
    first = runs.enter("a", patient=True)
    others = [runs.enter("a", patient=True) for _ in range(999)]
    first.step_aside()
    first.step_aside()
    assert [place.running for place in (first, *others[:2])] == [False, True, False]
    with pytest.raises(ResourceConstraint):
        runs.enter("a", patient=True)
    first.leave()
    first.step_aside()
    assert [place.running for place in others[:2]] == [True, False]
    runs.enter("a", patient=True)
    # What waits, and what is not patient, has no turn to give.
    others[5].step_aside()
    offer = runs.enter("b")
    runs.running.pop().leave()
    assert offer.running
    offer.step_aside()
    assert offer.running


class ManySenders(RuleBasedStateMachine):
    """Places that come and go in any order never break a share, and never idle without need."""

    CONCURRENCY = 5

    def __init__(self):
        super().__init__()
        self.runs = Runs(self.CONCURRENCY)
        self.open = {}

    def of(self, name, *, running):
        return [place for place in self.open_in(running) if self.open[place] == name]

    def open_in(self, running, *, patient=False):
        """Give the places that run, or those of one kind that wait."""
        return [
            place
            for place in self.open
            if place.running is running
            and (running or place.patient is patient)
            and not place.aside
        ]

    def patient(self, name):
        return [place for place, owner in self.open.items() if place.patient and owner == name]

    @rule(name=st.sampled_from("abcd"))
    def enter(self, name):
        if self.runs.turns.has_room(name):
            self.open[self.runs.enter(name)] = name
        else:
            assert len(self.open_in(False)) == 40 or len(self.of(name, running=False)) == 20

    @rule(name=st.sampled_from("abcd"))
    def enter_patient(self, name):
        self.open[self.runs.enter(name, patient=True)] = name

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def step_aside(self, data):
        data.draw(st.sampled_from(list(self.open))).step_aside()

    @precondition(lambda self: self.open)
    @rule(data=st.data(), patient=st.booleans())
    def join(self, data, patient):
        other = data.draw(st.sampled_from(list(self.open)))
        name = self.open[other]
        try:
            place = self.runs.turns.join(other, patient)
        except ResourceConstraint:
            assert not patient
            assert len(self.open_in(False)) >= 40 or len(self.of(name, running=False)) >= 20
        else:
            assert place.joined
            self.open[place] = name

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def hand_over(self, data):
        place = data.draw(st.sampled_from(list(self.open)))
        heirs = [
            one
            for one, name in self.open.items()
            if one.joined and name == self.open[place] and one.patient is place.patient
        ]
        if heirs and not (place.aside or place.joined):
            heir, ran, turn = data.draw(st.sampled_from(heirs)), place.running, place.turn
            place.hand_over(heir)
            assert (place.joined, heir.joined, heir.running) == (True, False, ran)
            assert heir.turn is turn

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def leave(self, data):
        place = data.draw(st.sampled_from(list(self.open)))
        place.leave()
        del self.open[place]

    @invariant()
    def shares_hold(self):
        running, waiting = self.open_in(True), self.open_in(False)
        assert len(running) <= self.CONCURRENCY
        assert len(waiting) <= 8 * self.CONCURRENCY
        for name in "abcd":
            own, waiting = (len(self.of(name, running=state)) for state in (True, False))
            assert own <= self.CONCURRENCY // 2
            assert waiting <= 8 * self.CONCURRENCY // 2
            waiting = sum(
                not (one.running or one.aside or one.joined)
                for one, owner in self.open.items()
                if owner == name
            )
            # A turn that somebody may have is not kept back.
            assert not waiting or own == self.CONCURRENCY // 2 or len(running) == self.CONCURRENCY

    @invariant()
    def what_is_open_is_all_that_is_kept(self):
        kept = self.runs.turns
        assert set(kept._senders) == set(self.open.values())
        assert kept._running == len(self.open_in(True))
        assert kept._waiting == len(self.open_in(False))
        assert kept._kept_patient == sum(len(self.patient(name)) for name in "abcd")


TestManySenders = ManySenders.TestCase
TestManySenders.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)

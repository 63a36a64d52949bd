"""Turns: which transfer may run next, so that nobody's flood keeps others waiting.

Theory of operation
===================

What comes in: a sender's name with each file. What goes out: a Place, whose ``turn`` fires when the
file's transfer may run. Whoever entered or joined must leave. A place is patient if nobody waits
for it.

=======  =====================  ==================================================================
state    counts as              leads to
=======  =====================  ==================================================================
waiting  waiting, of its        running, when its sender's turn has come; joined, if it hands its
         sender and of all      turn over; left
running  running, likewise      joined, likewise; aside, if it is patient and steps aside; left
joined   waiting, as above      waiting or running, if another hands its turn over to it; left
aside                           left
left     nothing
=======  =====================  ==================================================================

Whoever wants what another place of the same sender is there for joins it: that place's turn is for
both. It counts as one that waits, or a flood of them would have no bound.

At most ``concurrency`` places run and WAITING_PER_TRANSFER times as many wait. One sender has at
most half of each, also while nobody wants the other half: it will be wanted at once when somebody
comes, and a transfer can't be taken back.

Patient places run like all others, but don't count as waiting. They have a bound of their own,
MOST_PATIENT, and one sender has at most half of it. All of them count there until they are left,
also those that run, those that have joined and those that have stepped aside.

Senders stand in a line while they have a waiting place and may run one more. Whenever a place ends,
the first in the line gets a turn for its oldest waiting place, a patient one only if it has no
other. If it may have another turn, it goes to the end of the line. So with n senders, each gets
every n-th turn, however many files the others have, and whoever waits needs no more than one turn
of each of the others.

Each step takes the same time however many places there are. What is kept is bounded by the places.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from twisted.internet.defer import Deferred

from twisted_oob.errors import ResourceConstraint

WAITING_PER_TRANSFER: Final = 8
"""How many offers may wait for their turn, for each transfer that may run at once."""
MOST_PATIENT: Final = 2000
"""How many patient places there are."""


class Place:
    """What an offer, or a file of a message, has from when it is accepted until it is answered.

    Attributes:
        patient: Whether nobody waits for it.
        turn: Fires with None when the transfer may run.
        running: Whether it has its turn.
        joined: Whether it has no turn of its own, as another place's is for both.
        aside: Whether it has given its turn back and is still there.
    """

    __slots__ = ("_turns", "aside", "joined", "patient", "running", "sender", "turn")

    def __init__(self, turns: Turns, sender: _Sender, *, patient: bool, joined: bool) -> None:
        self._turns: Turns | None = turns
        self.sender = sender
        self.patient = patient
        self.joined = joined
        self.running = self.aside = False
        self.turn: Deferred[None] = Deferred()

    def hand_over(self, heir: Place) -> None:
        """Swap the turn, had or awaited, with a joined place of the same sender.

        ``turn`` goes with it. What waits goes to the end of its sender's line, which is another
        one if one of the two is patient and the other is not.
        """
        if self._turns is not None:
            self._turns.handed_over(self, heir)

    def step_aside(self) -> None:
        """Give the turn of a patient place back, and keep the place."""
        if self._turns is not None and self.running and self.patient:
            self._turns.stepped_aside(self)

    def leave(self) -> None:
        """Give the place up; the next in the line gets its turn. A second time does nothing."""
        turns, self._turns = self._turns, None
        if turns is not None:
            turns.left(self)


class _Sender:
    """What one sender has: ``waiting`` and ``patient``, which wait in the order they came.

    ``kept_patient`` counts all its patient places, whatever their state; ``joined`` those that have
    joined and are not patient.
    """

    __slots__ = ("joined", "kept_patient", "name", "patient", "running", "waiting")

    def __init__(self, name: str) -> None:
        self.name = name
        self.running = self.kept_patient = self.joined = 0
        self.waiting: OrderedDict[Place, None] = OrderedDict()
        self.patient: OrderedDict[Place, None] = OrderedDict()

    @property
    def waits(self) -> bool:
        """Whether a place of it waits for a turn."""
        return bool(self.waiting or self.patient)

    def line_of(self, place: Place) -> OrderedDict[Place, None]:
        """Where a place of it waits."""
        return self.patient if place.patient else self.waiting


class Turns:
    """Gives each sender a fair share of the transfers, and turns that go round.

    Args:
        concurrency: How many places run at once.
    """

    def __init__(self, concurrency: int) -> None:
        self._most_running = concurrency
        self._most_waiting = concurrency * WAITING_PER_TRANSFER
        self._running = self._waiting = self._kept_patient = 0
        # Halves; of one transfer, somebody must have the whole.
        self._share_running = max(1, self._most_running // 2)
        self._share_waiting = self._most_waiting // 2
        self._senders: dict[str, _Sender] = {}
        self._line: OrderedDict[_Sender, None] = OrderedDict()
        self._dealing = False

    def has_room(self, name: str) -> bool:
        """Tell whether a sender may have another place now that is not patient."""
        sender = self._senders.get(name)
        if (
            self._running < self._most_running
            and not self._line
            and (sender is None or self._may_run(sender))
        ):
            # It would not have to wait.
            return True
        return self._may_wait(sender)

    def has_patience(self, name: str) -> bool:
        """Tell whether a sender may have another patient place now."""
        if self._kept_patient >= MOST_PATIENT:
            return False
        sender = self._senders.get(name)
        return sender is None or sender.kept_patient < MOST_PATIENT // 2

    def enter(self, name: str, patient: bool = False) -> Place:
        """Give a sender a place.

        Args:
            name: Who it is; equal names are one sender.
            patient: Whether nobody waits for it.

        Raises:
            ResourceConstraint: It has its share already, or all places are taken.
        """
        if not (self.has_patience(name) if patient else self.has_room(name)):
            raise _too_many()
        sender = self._senders.get(name)
        if sender is None:
            sender = self._senders[name] = _Sender(name)
        place = Place(self, sender, patient=patient, joined=False)
        sender.line_of(place)[place] = None
        self._count(place, 1)
        if self._may_run(sender):
            # If it stands in the line already, it stays where it is.
            self._line[sender] = None
            self._deal()
        return place

    def join(self, other: Place, patient: bool = False) -> Place:
        """Give the sender of a place another one, which needs no turn.

        Args:
            other: The place, which is not left.
            patient: As for ``enter``.

        Raises:
            ResourceConstraint: It has its share already, or all places are taken.
        """
        sender = other.sender
        if not (self.has_patience(sender.name) if patient else self._may_wait(sender)):
            raise _too_many()
        place = Place(self, sender, patient=patient, joined=True)
        sender.joined += not patient
        self._count(place, 1)
        return place

    def handed_over(self, place: Place, heir: Place) -> None:
        """Swap a turn; only the place itself calls it."""
        sender = place.sender
        if place.running:
            place.running, heir.running = False, True
            # What runs does not count as waiting.
            self._waiting += (not place.patient) - (not heir.patient)
        else:
            del sender.line_of(place)[place]
            sender.line_of(heir)[heir] = None
        place.joined, heir.joined = True, False
        sender.joined += (not place.patient) - (not heir.patient)
        place.turn, heir.turn = heir.turn, place.turn

    def stepped_aside(self, place: Place) -> None:
        """Take a turn back; only the place itself calls it."""
        place.aside = True
        self._end_turn(place)
        self._deal()

    def left(self, place: Place) -> None:
        """Take a place back; only the place itself calls it."""
        sender, ran = place.sender, place.running
        if ran:
            self._end_turn(place)
        elif place.joined:
            sender.joined -= not place.patient
        elif not place.aside:
            del sender.line_of(place)[place]
            if not sender.waits:
                self._line.pop(sender, None)
        if place.patient or not ran:
            self._count(place, -1)
        if not (sender.running or sender.waiting or sender.joined or sender.kept_patient):
            del self._senders[sender.name]
        self._deal()

    def _may_wait(self, sender: _Sender | None) -> bool:
        if self._waiting >= self._most_waiting:
            return False
        return sender is None or len(sender.waiting) + sender.joined < self._share_waiting

    def _count(self, place: Place, by: int) -> None:
        if place.patient:
            place.sender.kept_patient += by
            self._kept_patient += by
        else:
            self._waiting += by

    def _end_turn(self, place: Place) -> None:
        sender = place.sender
        place.running = False
        self._running -= 1
        sender.running -= 1
        if sender.waits:
            self._line[sender] = None

    def _may_run(self, sender: _Sender) -> bool:
        return sender.running < self._share_running

    def _deal(self) -> None:
        """Give turns as long as there are any."""
        # A transfer may end as soon as it has begun. A loop, as its end must not call us deeper
        # and deeper.
        if self._dealing:
            return
        self._dealing = True
        try:
            while self._line and self._running < self._most_running:
                sender, _ = self._line.popitem(last=False)
                if sender.waiting:
                    place, _ = sender.waiting.popitem(last=False)
                    self._waiting -= 1
                else:
                    place, _ = sender.patient.popitem(last=False)
                self._running += 1
                sender.running += 1
                place.running = True
                if sender.waits and self._may_run(sender):
                    self._line[sender] = None
                place.turn.callback(None)
        finally:
            self._dealing = False


def _too_many() -> ResourceConstraint:
    return ResourceConstraint("too many transfers at once; try again later")

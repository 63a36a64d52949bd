"""Turns: which transfer may run next, so that nobody's flood keeps others waiting.

Theory of operation
===================

What comes in: a sender's name with each offer. What goes out: a Place, whose ``turn`` fires when
the offer's transfer may run. Whoever entered must leave.

=======  =====================  ==================================================================
state    counts as              leads to
=======  =====================  ==================================================================
waiting  waiting, of its        running, when its sender's turn has come; left, if ``turn`` is
         sender and of all      cancelled or the place is left
running  running, likewise      left
left     nothing
=======  =====================  ==================================================================

At most ``concurrency`` places run and WAITING_PER_TRANSFER times as many wait. One sender has at
most half of each, also while nobody wants the other half: it will be wanted at once when somebody
comes, and a transfer can't be taken back.

Senders stand in a line while they have a waiting place and may run one more. Whenever a place ends,
the first in the line gets a turn for its oldest waiting place. If it may have another turn, it goes
to the end of the line. So with n senders, each gets every n-th turn, however many offers the others
made, and whoever waits needs no more than one turn of each of the others.

Each step takes the same time however many places there are. What is kept is bounded by the places.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from twisted.internet.defer import Deferred

from twisted_oob.errors import ResourceConstraint

WAITING_PER_TRANSFER: Final = 8
"""How many offers may wait for their turn, for each transfer that may run at once."""


class Place:
    """What an offer has from the time it is accepted until it is answered.

    Attributes:
        turn: Fires with None when the transfer may run. To cancel it is to leave.
        running: Whether it has had its turn.
    """

    __slots__ = ("_turns", "running", "sender", "turn")

    def __init__(self, turns: Turns, sender: _Sender) -> None:
        self._turns: Turns | None = turns
        self.sender = sender
        self.running = False
        self.turn: Deferred[None] = Deferred(lambda _: self.leave())

    def leave(self) -> None:
        """Give the place up; the next in the line gets its turn. A second time does nothing."""
        turns, self._turns = self._turns, None
        if turns is not None:
            turns.left(self)


class _Sender:
    """What one sender has: ``waiting`` in the order in which they came."""

    __slots__ = ("name", "running", "waiting")

    def __init__(self, name: str) -> None:
        self.name = name
        self.running = 0
        self.waiting: OrderedDict[Place, None] = OrderedDict()


class Turns:
    """Gives each sender a fair share of the transfers, and turns that go round.

    Args:
        concurrency: How many places run at once.
    """

    def __init__(self, concurrency: int) -> None:
        self._most_running = concurrency
        self._most_waiting = concurrency * WAITING_PER_TRANSFER
        self._running = self._waiting = 0
        # Halves; of one transfer, somebody must have the whole.
        self._share_running = max(1, self._most_running // 2)
        self._share_waiting = self._most_waiting // 2
        self._senders: dict[str, _Sender] = {}
        self._line: OrderedDict[_Sender, None] = OrderedDict()
        self._dealing = False

    def has_room(self, name: str) -> bool:
        """Tell whether a sender may have another place now."""
        sender = self._senders.get(name)
        if (
            self._running < self._most_running
            and not self._line
            and (sender is None or self._may_run(sender))
        ):
            # It would not have to wait.
            return True
        if self._waiting >= self._most_waiting:
            return False
        return sender is None or len(sender.waiting) < self._share_waiting

    def enter(self, name: str) -> Place:
        """Give a sender a place.

        Args:
            name: Who it is; equal names are one sender.

        Raises:
            ResourceConstraint: It has its share already, or all places are taken.
        """
        if not self.has_room(name):
            raise ResourceConstraint("too many transfers at once; try again later")
        sender = self._senders.get(name)
        if sender is None:
            sender = self._senders[name] = _Sender(name)
        place = Place(self, sender)
        sender.waiting[place] = None
        self._waiting += 1
        if self._may_run(sender):
            # If it stands in the line already, it stays where it is.
            self._line[sender] = None
            self._deal()
        return place

    def left(self, place: Place) -> None:
        """Take a place back; only the place itself calls it."""
        sender = place.sender
        if place.running:
            self._running -= 1
            sender.running -= 1
            if sender.waiting:
                self._line[sender] = None
        else:
            del sender.waiting[place]
            self._waiting -= 1
            if not sender.waiting:
                self._line.pop(sender, None)
        if not sender.running and not sender.waiting:
            del self._senders[sender.name]
        self._deal()

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
                place, _ = sender.waiting.popitem(last=False)
                self._waiting -= 1
                self._running += 1
                sender.running += 1
                place.running = True
                if sender.waiting and self._may_run(sender):
                    self._line[sender] = None
                place.turn.callback(None)
        finally:
            self._dealing = False

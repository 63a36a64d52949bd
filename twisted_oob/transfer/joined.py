"""Joined: one transfer, and all who want its file.

Theory of operation
===================

Who sees no answer soon offers the same file again. It must not be fetched twice: so the second
offer becomes another Member of the Transfer that the first one has begun. What comes in are members
with their places (see turns.py). What goes out is the outcome of the transfer, once for each.

=======  =========================  ===============================================================
state    of a member                leads to
=======  =========================  ===============================================================
waiting  the transfer waits for     fetching, with the turn; left
         its turn
fetching the transfer runs          ended, with the file or the error; left
ended    it has the outcome
left     it was cancelled, or has
         given up
=======  =========================  ===============================================================

One of the members' places has the turn, or waits for it. If that member leaves, it hands the turn
over to another: the transfer goes on for those that are left. An offer goes before messages: one
that joins a message which still waits takes over its turn, too, as offers have the shorter line.

With the last one the transfer is cancelled, and that one waits for its end, which may be some time
away: only then nothing is left of it, and its place is free. It may even be the file, as a
cancellation may come too late. (``give_up`` does not wait.) Nobody joins a transfer that is
cancelled.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

if TYPE_CHECKING:
    from twisted_oob.files.fetched import FetchedFile
    from twisted_oob.transfer.turns import Place
    from twisted_oob.xmpp.deadlines import Clock, Timer


class Transfer:
    """One fetch of a file that all its members want.

    Args:
        place: The place of the first member.
        on_closed: Called once, when nobody may join any more.

    Attributes:
        turn: Fires when it may fetch.
        fetching: Whether it has its turn and has not ended.
    """

    def __init__(self, place: Place, on_closed: Callable[[], object]) -> None:
        self.turn = place.turn
        self.fetching = False
        self._on_closed: Callable[[], object] | None = on_closed
        # Has the turn, or waits for it.
        self._holder = place
        # In the order they came: the offers, and those that are patient.
        self._members: tuple[dict[Member, None], dict[Member, None]] = ({}, {})
        self._task: Deferred[FetchedFile] | None = None

    @property
    def closed(self) -> bool:
        """Whether it has ended or is cancelled, so that nobody may join."""
        return self._on_closed is None

    @property
    def holder(self) -> Place:
        """The place that has the turn, or waits for it."""
        return self._holder

    def add(self, place: Place) -> Member:
        """Make a member of whoever has a place: the first one's, or one that has joined it."""
        member = Member(self, place)
        self._members[place.patient][member] = None
        if self._holder.patient and not (place.patient or self._holder.running):
            self._hand_over(place)
        return member

    def start(self, work: Coroutine[Deferred[Any], Any, FetchedFile]) -> None:
        """Begin what gives the file. It waits for ``turn``, and calls ``begin_to_fetch`` then."""
        task = self._task = Deferred.fromCoroutine(work)
        if self.closed:
            # What its first steps caused has cancelled it.
            task.cancel()
        task.addBoth(self._ended)

    def begin_to_fetch(self) -> None:
        """Note that the turn has come: nobody waits for it any more."""
        self.fetching = True
        for members in self._members:
            for member in members:
                member.stop_clock()

    def leave(self, member: Member) -> bool:
        """Let a member go.

        Returns:
            Whether the transfer is being cancelled, as it was the last one. That can be asked for
            again.
        """
        others = (one for members in self._members for one in members if one is not member)
        heir = next(others, None)
        if heir is not None:
            del self._members[member.place.patient][member]
            if self._holder is member.place:
                self._hand_over(heir.place)
            return False
        self._close()
        if self._task is not None:
            self._task.cancel()
        return True

    def _hand_over(self, heir: Place) -> None:
        self._holder.hand_over(heir)
        self._holder = heir

    def _ended(self, outcome: FetchedFile | Failure) -> None:
        self.fetching = False
        self._close()
        # One that has given up is still there if it was the last one.
        members = [one for members in self._members for one in members if not one.settled]
        # All of them first: what one is told may cancel another.
        for member in members:
            member.settle(outcome)
        for member in members:
            member.wake()

    def _close(self) -> None:
        on_closed, self._on_closed = self._on_closed, None
        if on_closed is not None:
            on_closed()


class Member:
    """One of those who want the file of a Transfer.

    Attributes:
        place: Its place; whoever has made it leaves it.
        done: Whatever is done for the member; whoever has made it sets this, and may cancel it.
        stopped: Whether it was cancelled as we stop.
        gave_up: Whether it has given up.
    """

    __slots__ = (
        "_outcome",
        "_timer",
        "_transfer",
        "_waiter",
        "done",
        "gave_up",
        "place",
        "stopped",
    )

    def __init__(self, transfer: Transfer, place: Place) -> None:
        self.place = place
        self.done: Deferred[FetchedFile]
        self.stopped = self.gave_up = False
        # A list, as somebody's own Fetcher may give anything.
        self._outcome: list[FetchedFile | Failure] = []
        self._transfer = transfer
        self._timer: Timer | None = None
        self._waiter: Deferred[None] | None = None

    @property
    def settled(self) -> bool:
        """Whether it has its outcome."""
        return bool(self._outcome)

    @property
    def fetching(self) -> bool:
        """Whether the transfer runs, and this waits for its end."""
        return not self._outcome and self._transfer.fetching

    def limit(self, clock: Clock, seconds: float, error: Callable[[], Exception]) -> None:
        """Give up with this error if the turn has not come after some seconds."""
        if not self._outcome and not self._transfer.holder.running:
            self._timer = clock.callLater(seconds, lambda: self.give_up(error()))

    def stop_clock(self) -> None:
        """Wait for the turn however long it takes."""
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()

    def stop(self) -> None:
        """Cancel what is done for it, as we stop."""
        self.stopped = True
        self.done.cancel()

    def give_up(self, error: Exception) -> None:
        """End with an error at once; the transfer goes on for others, or is cancelled."""
        if not self._outcome:
            self.gave_up = True
            self.settle(Failure(error))
            self._transfer.leave(self)
            self.wake()

    async def wait(self) -> FetchedFile:
        """Wait for the outcome.

        Returns:
            The file.

        Raises:
            CancelledError: It was cancelled.
            Exception: The error of the transfer, or that of ``give_up``.
        """
        while not self._outcome:
            # Another one each time: the last member may be cancelled again and again.
            self._waiter = Deferred()
            try:
                await self._waiter
            except CancelledError:
                if not self._outcome and not self._transfer.leave(self):
                    self.settle(Failure(CancelledError()))
        [outcome] = self._outcome
        if isinstance(outcome, Failure):
            outcome.raiseException()
        return outcome

    def settle(self, outcome: FetchedFile | Failure) -> None:
        """Set the outcome, once."""
        self.stop_clock()
        self._outcome.append(outcome)

    def wake(self) -> None:
        """Let ``wait`` see the outcome."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.called:
            waiter.callback(None)

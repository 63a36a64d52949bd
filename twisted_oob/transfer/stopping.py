"""Stopping: ends what a FairFetcher has begun, within a bounded time.

========  ==========================================  ============================================
state     what goes on                                leads to
========  ==========================================  ============================================
open      everything                                  grace, by ``stop``
grace     what waits has ended with an error; what    last, when nothing is open, or after
          runs may finish                             ``grace`` seconds; open, by ``start``
last      what still ran is cancelled, and the        closed, when nothing is open and they have
          Fetchers stop                               stopped, or after LAST seconds; open, by
                                                      ``start``
closed    nothing                                     open, by ``start``
========  ==========================================  ============================================

A disk that hangs may keep a transfer from ending, and a Fetcher from stopping. After LAST seconds
whoever wants the file is told that we stop, as everybody else, and what hangs is left alone.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.logger import Logger

from twisted_oob.errors import ResourceConstraint

if TYPE_CHECKING:
    from twisted_oob.transfer.joined import Member
    from twisted_oob.xmpp.deadlines import Clock, Timer

LAST: Final = 4.5
"""Seconds in which everything that was cancelled must end. After five the process should be gone,
and it needs a moment to send the last answers."""

# The responder's: operators filter by it.
_log = Logger("twisted_oob.transfer.responder.OOBResponder")


class _State(Enum):
    OPEN = "open"
    GRACE = "grace"
    LAST = "last"
    CLOSED = "closed"


class Stopping:
    """Knows what is open, and ends it.

    Args:
        clock: Delays calls.
        grace: Seconds that what runs gets to finish.
        open_: Whoever waits for a file, in order of arrival: whoever came first is told first. This
            takes care of it.
        running: Tells how many transfers run.
    """

    def __init__(
        self, clock: Clock, grace: float, open_: dict[Member, None], running: Callable[[], int]
    ) -> None:
        self._clock = clock
        self._grace = grace
        self._running = running
        self._state = _State.OPEN
        self._open = open_
        self._fetchers: list[Any] = []
        # Those that have been told to stop since the start, and those that have not stopped yet.
        self._stopped: list[Any] = []
        self._left: list[Any] = []
        self._on_stopped: list[Deferred[None]] = []
        self._timer: Timer | None = None
        self._answering = False

    @property
    def closed(self) -> bool:
        """Whether nothing may begin."""
        return self._state is not _State.OPEN

    def add_fetcher(self, fetcher: Any) -> None:
        """Stop and start a Fetcher, too, if it has ``stop()`` and ``start()``."""
        if not any(fetcher is known for known in self._fetchers):
            self._fetchers.append(fetcher)

    def begun(self, member: Member) -> None:
        """Note that somebody waits for a file; its ``done`` is set."""
        self._open[member] = None

    def ended(self, member: Member) -> None:
        """Note that somebody is about to be told what became of a file."""
        self._open.pop(member, None)
        if self.closed and not self._open and not self._answering:
            # The answer is sent when our caller has ended; the end of all comes after that.
            self._answering = True
            self._clock.callLater(0, self._answered)

    def start(self) -> None:
        """Let everything begin again, and what runs go on.

        Whoever waits for a stop hears that it is over.
        """
        # First, as a Fetcher that starts may end its own stop, and that must not be the end of all.
        self._state = _State.OPEN
        self._stop_timer()
        fetchers, self._stopped = self._stopped, []
        for fetcher in fetchers:
            start = getattr(fetcher, "start", None)
            if start is not None:
                start()
        waiting, self._on_stopped = self._on_stopped, []
        for stopped in waiting:
            # Not at once: whoever starts us may not have started everything yet.
            self._clock.callLater(0, stopped.callback, None)

    def stop(self) -> Deferred[None]:
        """End everything; see the module's docstring.

        Returns:
            A Deferred that fires when nothing is left, ``grace`` and LAST seconds after the first
            call at the latest.
        """
        if self._state is _State.CLOSED or (
            self._state is _State.LAST and not self._open and not self._left
        ):
            return succeed(None)
        stopped: Deferred[None] = Deferred()
        self._on_stopped.append(stopped)
        if self._state is _State.OPEN:
            self._state = _State.GRACE
            self._begin_to_stop()
        return stopped

    def _begin_to_stop(self) -> None:
        for member in list(self._open):
            if not member.fetching:
                member.stop()
        if not (self._open and self._grace):
            self._cancel_all()
            return
        _log.info(
            "Stopping; {transfers} {grace:g} s to finish",
            transfers=_have(self._running()),
            grace=self._grace,
        )
        self._timer = self._clock.callLater(self._grace, self._cancel_all)

    def _cancel_all(self) -> None:
        if self._state is not _State.GRACE:
            return
        self._state = _State.LAST
        self._stop_timer()
        self._timer = self._clock.callLater(LAST, self._leave_all)
        # A copy: each one leaves as it is cancelled.
        for member in list(self._open):
            member.stop()
        self._stop_fetchers()
        self._close_if_over()

    def _stop_fetchers(self) -> None:
        left = [one for one in self._fetchers if callable(getattr(one, "stop", None))]
        self._stopped, self._left = list(left), left

        def ended(_result: object, fetcher: Any) -> None:
            # Of a list of its own: it may come after the next start.
            left.remove(fetcher)
            self._close_if_over()

        for fetcher in self._stopped:
            maybeDeferred(fetcher.stop).addErrback(_not_stopped).addBoth(ended, fetcher)

    def _leave_all(self) -> None:
        self._left = []
        for member in list(self._open):
            member.give_up(stopping())
        self._close_if_over()

    def _answered(self) -> None:
        self._answering = False
        if self._state is _State.GRACE and not self._open:
            self._cancel_all()
        else:
            self._close_if_over()

    def _close_if_over(self) -> None:
        if self._state is not _State.LAST or self._open or self._answering or self._left:
            return
        self._state = _State.CLOSED
        self._stop_timer()
        waiting, self._on_stopped = self._on_stopped, []
        for stopped in waiting:
            stopped.callback(None)

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()


async def wait_until(deadline: float, clock: Clock, ending: Deferred[Any]) -> None:
    """Wait for what ends, or until a time of the clock; then it is left alone.

    An error of what ends is logged.
    """
    waiter: Deferred[None] = Deferred()
    timer = clock.callLater(max(0.0, deadline - clock.seconds()), waiter.callback, None)

    def ended(_result: object) -> None:
        if timer.active():
            timer.cancel()
            waiter.callback(None)

    ending.addErrback(lambda failure: _log.failure("A part could not be stopped", failure=failure))
    ending.addBoth(ended)
    await waiter


def stopping() -> ResourceConstraint:
    """Make the error that is told as we stop."""
    return ResourceConstraint("the responder is stopping; try again later")


def _have(count: int) -> str:
    return "1 transfer has" if count == 1 else f"{count} transfers have"


def _not_stopped(failure: Any) -> None:
    _log.failure("A Fetcher could not be stopped", failure=failure)

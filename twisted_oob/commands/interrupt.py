"""Runs a command's coroutine in the reactor, and ends it with Ctrl-C, SIGTERM or a closed pipe.

=================  ========================================================  ===============
what happens       what is done                                              exit status
=================  ========================================================  ===============
it returns         nothing                                                   what it returned
Ctrl-C (SIGINT)    the coroutine is cancelled: CancelledError is raised at   130
                   what it awaits, and its ``finally`` clauses give back
                   what it borrowed
SIGTERM            the same                                                  143
SIGHUP             the same, unless it is ignored (nohup)                    129
OutputClosed       nothing; it has ended by that already                     141, as SIGPIPE
a second signal    the process ends at once                                  130, 143 or 129
STOP_LIMIT later   the same                                                  130, 143 or 129
an error           it is logged; it is a fault of ours                       1
=================  ========================================================  ===============

Python's own way, KeyboardInterrupt, can come between any two instructions of the reactor, which
then goes on as if nothing had been. So a signal only schedules the cancellation here.

Before ``run`` is called, while options are parsed and passwords asked for, Ctrl-C is a
KeyboardInterrupt as everywhere; whoever calls ``run`` ends with 130 for that.
"""

from __future__ import annotations

import atexit
import signal
from collections.abc import Callable, Coroutine
from typing import Any, Final, NoReturn

from twisted.internet.defer import ensureDeferred
from twisted.internet.task import react

from twisted_oob.commands.events import OutputClosed
from twisted_oob.commands.exit_status import end_at_once

STOP_LIMIT: Final = 5.0
"""Seconds that a command has to end after a signal: a thread may hang in the disk."""

_OUTPUT_CLOSED: Final = 128 + signal.SIGPIPE

Main = Callable[[Any], Coroutine[Any, Any, int]]
"""What a command does: takes the reactor, and returns the exit status."""


def run(main: Main, reactor: Any = None) -> NoReturn:
    """Run a command to its end, and exit with its status.

    Args:
        main: The command. Cancelled, it should say what it had done until then, give everything
            back, and let the CancelledError pass.
        reactor: The reactor; by default the one that is installed.
    """
    interrupt = _Interrupt()
    interrupt.take_over()
    react(interrupt.main, (main,), reactor)


class _Interrupt:
    """What signals do to a coroutine."""

    def __init__(self) -> None:
        self._number: int | None = None
        self._cancel: Callable[[], None] = _nothing

    def take_over(self) -> None:
        """Handle the signals from now on."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._on_signal)

    async def main(self, reactor: Any, main: Main) -> None:
        """Run the command; raises SystemExit with its status, which ``react`` makes the process's.

        Args:
            reactor: The reactor.
            main: The command.
        """
        # As it begins to run, the reactor puts a handler of its own in place of that for SIGTERM.
        reactor.callWhenRunning(self.take_over)
        work = ensureDeferred(main(reactor))
        # Python calls a handler between any two instructions, also within the reactor's own.
        self._cancel = lambda: reactor.callFromThread(work.cancel)
        if self._number is not None:
            self._cancel()
        try:
            status = await work
        except OutputClosed:
            status = _OUTPUT_CLOSED
        except Exception:
            # Not every library fails with CancelledError if it is cancelled.
            if self._number is None:
                raise
        raise SystemExit(status if self._number is None else 128 + self._number)

    def _on_signal(self, number: int, _frame: object) -> None:
        if self._number is not None:
            end_at_once(128 + number)
        self._number = number
        # Not a timer of the reactor's: those end when it stops and waits for its threads.
        signal.signal(signal.SIGALRM, lambda *_: end_at_once(128 + number))
        signal.setitimer(signal.ITIMER_REAL, STOP_LIMIT)
        # Threads have ended by then. What is left takes no time of its own, and no handlers.
        atexit.register(signal.setitimer, signal.ITIMER_REAL, 0)
        self._cancel()


def _nothing() -> None:
    """Leave a signal for later: there is nothing yet that it could cancel."""

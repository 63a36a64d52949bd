"""ServiceSignals: what signals do to the service, from the moment that it is made.

===============  =================================================================================
signal           what is done
===============  =================================================================================
SIGTERM, SIGINT  the reactor stops: transfers have their grace, and the exit status is 0
a second one     the process ends at once, by that signal; or with 128 and its number as the status
                 if it is the first process of a container, which the kernel would spare
SIGHUP           the log is opened again, and what may have changed is read again. If the terminal
                 that we were started on is gone, we stop as by SIGTERM
SIGUSR1          the log is rotated, if we have a file for it
===============  =================================================================================

A signal that comes before the reactor runs has its effect as soon as that runs.

Python calls a handler between any two instructions, also in the middle of the reactor's own. So a
handler only leaves a call for the reactor.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any, Final

from twisted_oob.commands.exit_status import end_at_once, stop

_STOPPING: Final = (signal.SIGTERM, signal.SIGINT)


class ServiceSignals:
    """Handles the signals of the process.

    Args:
        reactor: The reactor of the process; it may not be running yet.

    Attributes:
        on_hangup: Called on SIGHUP.
        on_rotate: Called on SIGUSR1.
    """

    def __init__(self, reactor: Any) -> None:
        self.on_hangup: Callable[[], object] = _nothing
        self.on_rotate: Callable[[], object] = _nothing
        self._reactor = reactor
        self._stopping = False
        self._outlives_terminal = False
        self._terminals: list[int] = []

    def take_over(self) -> None:
        """Handle the signals from now on."""
        # Who was started by nohup keeps running when the terminal is gone.
        self._outlives_terminal = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        signal.signal(signal.SIGHUP, self._hang_up)
        signal.signal(signal.SIGUSR1, self._rotate)
        for number in _STOPPING:
            # A shell lets what it starts in the background ignore Ctrl-C.
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._stop)
        self._reactor.callWhenRunning(self._running)

    def hold(self) -> None:
        """Let the signals that stop us wait until the reactor runs; call this just before.

        As it begins to run, the reactor puts a handler of its own in place of that for SIGTERM, by
        which the process would end with the signal and not with 0.
        """
        if not self._reactor.running:
            signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)

    def _running(self) -> None:
        signal.signal(signal.SIGTERM, _at_once() if self._stopping else self._stop)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)
        # Not before: a daemon has left its terminal by now.
        self._terminals = [number for number in range(3) if os.isatty(number)]

    def _stop(self, _number: int, _frame: object) -> None:
        self._stopping = True
        for number in _STOPPING:
            signal.signal(number, _at_once())
        self._reactor.callFromThread(stop, self._reactor)

    def _hang_up(self, _number: int, _frame: object) -> None:
        self._reactor.callFromThread(self._hung_up)

    def _hung_up(self) -> None:
        gone = any(not os.isatty(number) for number in self._terminals)
        if gone and not self._outlives_terminal:
            stop(self._reactor)
        else:
            self.on_hangup()

    def _rotate(self, _number: int, _frame: object) -> None:
        self._reactor.callFromThread(self._tell_rotate)

    def _tell_rotate(self) -> None:
        # A signal may have come before anybody wanted to hear of it.
        self.on_rotate()


def _at_once() -> Callable[[int, Any], object] | signal.Handlers:
    """Give what ends the process by a signal."""
    return _exit if os.getpid() == 1 else signal.SIG_DFL


def _exit(number: int, _frame: object) -> None:
    end_at_once(128 + number)


def _nothing() -> None:
    """Do nothing: whoever wants to hear of the signal has not said so."""

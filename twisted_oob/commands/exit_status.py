"""The exit status of a twistd process, which a plugin has no other way to choose.

``twistd`` exits with 0 whatever its services ran into, and catches what they raise.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
from typing import Any

from twisted.internet.error import ReactorNotRunning


def stop_with_status(reactor: Any, status: int) -> None:
    """Stop the reactor in the ordinary way, and let the process then exit with a status.

    ``status``: 0 to 255. May be called before the reactor runs.
    """
    atexit.register(_exit, status)
    reactor.callWhenRunning(_stop, reactor)


def _stop(reactor: Any) -> None:
    with contextlib.suppress(ReactorNotRunning):  # something else has stopped it already
        reactor.stop()


def exit_cleanly_on_sigterm(reactor: Any) -> None:
    """Let SIGTERM stop the reactor and the process exit with 0: it did what it was told.

    By itself, twistd ends with the signal that stopped it. A second SIGTERM ends it at once.
    """

    def stop(_number: int, _frame: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        reactor.callFromThread(_stop, reactor)

    # The reactor installs its own handler when it begins to run.
    reactor.callWhenRunning(signal.signal, signal.SIGTERM, stop)


def _exit(status: int) -> None:
    for stream in (sys.__stdout__, sys.__stderr__):
        if stream is not None:
            stream.flush()
    os._exit(status)

"""The exit status of a twistd process, which a plugin can't choose in any other way.

``twistd`` exits with 0 whatever its services ran into, and it catches what they raise.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
from typing import Any, NoReturn

from twisted.internet.error import ReactorNotRunning


def stop_with_status(reactor: Any, status: int) -> None:
    """Stop the reactor in the ordinary way, and let the process then exit with a status.

    Services are stopped and buffers are flushed as always.

    Args:
        reactor: The reactor of the process; it may not be running yet.
        status: The exit status, 0 to 255.
    """
    # twistd returns from its run as if all were well; an atexit handler has the last word.
    atexit.register(end_at_once, status)
    # reactor.stop() fails before the reactor runs, when services are started.
    reactor.callWhenRunning(_stop, reactor)


def exit_cleanly_on_sigterm(reactor: Any) -> None:
    """Let SIGTERM stop the reactor and the process exit with 0: it did what it was told.

    By itself, twistd ends with the signal that stopped it, which service managers may take for a
    failure. A second SIGTERM ends the process at once.

    Args:
        reactor: The reactor of the process; it may not be running yet.
    """

    def stop(_number: int, _frame: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        # Python runs this between any two instructions, also in the middle of the reactor's own.
        reactor.callFromThread(_stop, reactor)

    # The reactor installs its own handler when it begins to run; this must come after it.
    reactor.callWhenRunning(signal.signal, signal.SIGTERM, stop)


def _stop(reactor: Any) -> None:
    with contextlib.suppress(ReactorNotRunning):  # something else has stopped it already
        reactor.stop()


def end_at_once(status: int) -> NoReturn:
    """End the process without waiting for anything, and with this status whatever it was to be."""
    # os._exit flushes nothing; sys.exit waits for what hangs, and has no effect as Python exits.
    for stream in (sys.__stdout__, sys.__stderr__):
        with contextlib.suppress(OSError, ValueError, RuntimeError):  # closed, or being written
            if stream is not None:
                stream.flush()
    os._exit(status)

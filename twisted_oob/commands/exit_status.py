"""The exit status of a twistd process, which a plugin can't choose in any other way.

``twistd`` exits with 0 whatever its services run into. What they raise as they start ends a daemon
before whoever started it has gone: that process then exits with 1 (CanNotStart). In the foreground,
twistd would show a traceback.
"""

from __future__ import annotations

import atexit
import contextlib
import os
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
    reactor.callWhenRunning(stop, reactor)


class CanNotStart(SystemExit, Exception):
    """A daemon can't start, and the log says why.

    To twistd it is an Exception, which it tells the process that waits for the start. To Python it
    is an exit with status 1, which needs no traceback.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.code = 1


def stop(reactor: Any) -> None:
    """Stop the reactor, unless it stops already."""
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

"""Hashing a file in a thread, while the reactor goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure

from twisted_oob.files.progress import ProgressObserver
from twisted_oob.files.source import SourceFile


def hash_in_thread(
    source: SourceFile, on_progress: Callable[[int, int], object] | None = None
) -> Deferred[str]:
    """Hash a file in a thread of the installed reactor's pool.

    Args:
        source: The file.
        on_progress: Called with the bytes that are hashed and the size, in the reactor's thread.

    Returns:
        A Deferred that fires with the SHA-256 in hex. It fails with an OSError if the file can't be
        read or got shorter, and with a ValueError if it was closed. To cancel it stops the thread
        soon.
    """
    from twisted.internet import reactor  # noqa: PLC0415  (importing this must not install one)

    from_thread: Any = reactor
    observer = ProgressObserver(on_progress)
    failed = threading.Event()

    def step(done: int, size: int) -> None:
        if failed.is_set():
            raise CancelledError
        if on_progress is not None:
            from_thread.callFromThread(tell, done, size)

    def tell(done: int, size: int) -> None:
        if not failed.is_set():
            observer(done, size)

    def note(failure: Failure) -> Failure:
        failed.set()
        return failure

    return deferToThread(source.sha256, step).addErrback(note)

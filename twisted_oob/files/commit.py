"""Committing: the last step of every file, in few threads that share what is slow."""

from __future__ import annotations

import math
import threading
from pathlib import Path
from typing import Any, Final, NamedTuple

from twisted.internet.defer import Deferred

from twisted_oob._file_info import FileInfo
from twisted_oob.files.folders import FILE_MODE
from twisted_oob.files.landing import Landing, commit_all

# More threads hinder the reactor more than they help the disk.
_THREADS: Final = 2
# Files that one thread commits together. All of them are open at that time, so this bounds the
# descriptors.
_SHARE: Final = 32


class Committer:
    """Commits files in a few threads of the reactor's pool.

    Most of a small file's time goes into syncing, and syncing several files together takes less
    time than one after the other. So when more files wait than there are threads, each thread takes
    its share of them and commits the share together.

    Args:
        reactor: Has the thread pool.
        directory: The folder in which the files land.
        mode: As for a Landing.
    """

    def __init__(self, reactor: Any, directory: Path, mode: int = FILE_MODE) -> None:
        self._reactor = reactor
        self._directory = directory
        self._mode = mode
        # Guards the next two. The reactor adds files, the threads take them.
        self._lock = threading.Lock()
        self._threads = 0
        self._waiting: list[_Ready] = []

    def landing(self, info: FileInfo | None = None) -> Landing:
        """Give a new Landing for this folder; ``info``: what was offered, as for a Landing."""
        return Landing(self._directory, info, mode=self._mode)

    def commit(self, landing: Landing, name: str, rest: bytearray) -> Deferred[Path]:
        """Commit a file.

        Args:
            landing: What was written so far.
            name: One safe path segment.
            rest: What is left to write.

        Returns:
            A Deferred that fires with the file's path when it is on the disk for good, or fails
            with the errors of a Landing.
        """
        ready = _Ready(landing, name, rest, Deferred())
        with self._lock:
            self._waiting.append(ready)
            more = self._threads < _THREADS
            self._threads += more
        if more:
            self._reactor.getThreadPool().callInThread(self._work)
        return ready.committed

    def _work(self) -> None:
        while share := self._share():
            outcomes = commit_all(self._directory, [ready[:3] for ready in share])
            self._reactor.callFromThread(_fire, share, outcomes)

    def _share(self) -> list[_Ready]:
        """Take a fair share of what waits; an empty one ends the thread."""
        with self._lock:
            count = min(math.ceil(len(self._waiting) / _THREADS), _SHARE)
            share, self._waiting = self._waiting[:count], self._waiting[count:]
            if not share:
                # Under the same lock that found nothing to do: a file that is added a moment later
                # sees that a thread is missing, and begins one.
                self._threads -= 1
            return share


class _Ready(NamedTuple):
    """A file that has everything but its last bytes and its name."""

    landing: Landing
    name: str
    rest: bytearray
    committed: Deferred[Path]


def _fire(share: list[_Ready], outcomes: list[Path | Exception]) -> None:
    for ready, outcome in zip(share, outcomes, strict=True):
        if isinstance(outcome, Exception):
            ready.committed.errback(outcome)
        else:
            ready.committed.callback(outcome)

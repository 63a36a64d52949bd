"""Publishing: the last step of every file, in few threads that share what is slow."""

from __future__ import annotations

import math
import threading
from pathlib import Path
from typing import Any, Final, NamedTuple

from twisted.internet.defer import Deferred

from twisted_oob.files.landing import Landing, publish_all

_PUBLISHERS: Final = 2  # threads; with more of them they rather hinder the reactor
_SHARE: Final = 32  # files that one of them has open at a time


class Committer:
    """Publishes files in a few threads of the reactor's pool.

    Of more files than those can begin with each thread takes its share at once, as syncing is what
    takes most of a small file's time, and several of them at once take less.

    ``reactor``: for its threads. ``directory``: where the files land.
    """

    def __init__(self, reactor: Any, directory: Path) -> None:
        self._reactor = reactor
        self._directory = directory
        self._lock = threading.Lock()
        self._threads = 0
        self._waiting: list[_Ready] = []

    def landing(self) -> Landing:
        """Give a file that is to be, for this folder."""
        return Landing(self._directory)

    def publish(self, landing: Landing, name: str, rest: bytearray) -> Deferred[Path]:
        """Publish a file; fires with its path when it is there for good.

        ``name``: one safe path segment. ``rest``: what is left to write. Its errors are Landing's.
        """
        ready = _Ready(landing, name, rest, Deferred())
        with self._lock:
            self._waiting.append(ready)
            more = self._threads < _PUBLISHERS
            self._threads += more
        if more:
            self._reactor.getThreadPool().callInThread(self._work)
        return ready.published

    def _work(self) -> None:
        while share := self._share():
            outcomes = publish_all(self._directory, [ready[:3] for ready in share])
            self._reactor.callFromThread(_tell, share, outcomes)

    def _share(self) -> list[_Ready]:
        with self._lock:
            count = min(math.ceil(len(self._waiting) / _PUBLISHERS), _SHARE)
            share, self._waiting = self._waiting[:count], self._waiting[count:]
            if not share:
                self._threads -= 1
            return share


class _Ready(NamedTuple):
    landing: Landing
    name: str
    rest: bytearray
    published: Deferred[Path]


def _tell(share: list[_Ready], outcomes: list[Path | Exception]) -> None:
    for ready, outcome in zip(share, outcomes, strict=True):
        if isinstance(outcome, Exception):
            ready.published.errback(outcome)
        else:
            ready.published.callback(outcome)

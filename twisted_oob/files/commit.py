"""Committing: the last step of every file, in one thread that shares what is slow.

Most of a small file's time goes into syncing, and syncing several files together takes less time
than one after the other. So one thread takes all that waits, up to a limit, and commits it
together. A second thread would only take half of what they could share, and hinder the reactor.

A large file is written and synced before it comes here, so that it does not hold up small ones.
"""

from __future__ import annotations

import itertools
import threading
from pathlib import Path
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from twisted_oob.errors import NoRoom
from twisted_oob.files.forks import tell_of_forks
from twisted_oob.files.landing import Landing, commit_all
from twisted_oob.files.workers import Threads, as_error

# Files that are committed together. All of them are open at that time, so this bounds the
# descriptors.
_SHARE: Final = 32


class Committer:
    """Commits files in a thread of its own.

    Args:
        reactor: Gets the results (IReactorFromThreads).
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._threads = Threads(1, "twisted_oob committer")
        self.forget_parent()
        tell_of_forks(self)

    def forget_parent(self) -> None:
        """Begin without files, in a child that was just forked."""
        # Guards the next two. The reactor adds files, the thread takes them.
        self._lock = threading.Lock()
        self._waiting: dict[Commit, None] = {}  # in order, and one in the middle can leave
        self._works = False

    def commit(self, landing: Landing, name: str, rest: bytes | bytearray) -> Commit:
        """Commit a file.

        Args:
            landing: What was written so far.
            name: One safe path segment.
            rest: What is left to write.

        Returns:
            What tells when the file is on the disk for good.
        """
        commit = Commit(self, landing, name, rest)
        with self._lock:
            self._waiting[commit] = None
            starts = not self._works
            self._works = True
        if starts:
            try:
                self._threads.start(self)
            except NoRoom:
                with self._lock:
                    self._works = False
                    del self._waiting[commit]
                commit.done.errback(Failure())
        return commit

    def take_back(self, commit: Commit) -> bool:
        """Take a file back; False if the committer has taken it."""
        with self._lock:
            waited = commit in self._waiting
            self._waiting.pop(commit, None)
        return waited

    def run(self) -> None:
        """Commit all that waits. The committer's thread calls this."""
        taken: list[Commit] = []
        while True:
            try:
                taken = self._take()
                if not taken:
                    return
                outcomes = commit_all([(each.landing, each.name, each.rest) for each in taken])
            except BaseException as error:  # whoever waits for these files must hear of it
                outcomes = [as_error(error)] * len(taken)
            self._reactor.callFromThread(_fire, taken, outcomes)

    def _take(self) -> list[Commit]:
        """Take what waits, up to the limit; nothing ends the thread's work."""
        with self._lock:
            taken = list(itertools.islice(self._waiting, _SHARE))
            for each in taken:
                del self._waiting[each]
            # Under the same lock that found nothing to do: a file that is added a moment later
            # sees that nobody works, and starts the thread.
            self._works = bool(taken)
            return taken


class Commit:
    """The commit of one file.

    Args:
        committer: Has it.
        landing: What was written so far.
        name: The wanted name.
        rest: What is left to write.

    Attributes:
        done: Fires with the final path when the file is on the disk for good, or fails with the
            errors of a Landing. If it fails, discard the Landing: a file without its final name is
            removed, one with it stays.
    """

    def __init__(
        self, committer: Committer, landing: Landing, name: str, rest: bytes | bytearray
    ) -> None:
        self.landing = landing
        self.name = name
        self.rest = rest
        self.done: Deferred[Path] = Deferred(self._cancelled)
        self._committer = committer

    def take_back(self) -> bool:
        """Take the file back, unless the committer has taken it.

        Returns:
            Whether the committer will never have it. ``done`` fails with CancelledError then. (If
            not, what has happened or will happen is told by ``done``, as if nobody had asked.)
        """
        taken_back = self._committer.take_back(self)
        if taken_back:
            self.done.errback(CancelledError())
        return taken_back

    def _cancelled(self, _: object) -> None:
        self._committer.take_back(self)


def _fire(taken: list[Commit], outcomes: list[Path | Exception]) -> None:
    for commit, outcome in zip(taken, outcomes, strict=True):
        if commit.done.called:
            continue  # cancelled
        if isinstance(outcome, Exception):
            commit.done.errback(outcome)
        else:
            commit.done.callback(outcome)

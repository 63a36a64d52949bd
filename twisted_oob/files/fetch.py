"""Fetching: HTTP GETs under a policy, each streamed to a file; so many of them at once.

Theory of operation
===================

URLs go in. Each comes out as a ``FetchedFile`` or as an error, by the Deferred of ``fetch()``. What
one transfer does is told in ``transfer.py``. Here they take turns:

=========  ======================================  ===============================================
state      at most                                 leads to
=========  ======================================  ===============================================
waiting    ``waiting``; another one is refused     running, in the order in which they came; over,
           (NoRoom)                                if it is cancelled
running    ``concurrency``                         over, when its caller is told
left over  those whose disk hangs                  over, when nothing of it is left
over
=========  ======================================  ===============================================

A waiting URL holds nothing but itself: no descriptor, no thread, no timer. The limits of a transfer
begin with *running*.

What is *left over* holds no turn: if the disk hangs for hours, others still are told of it, each at
its own limit. It is bounded all the same. Only what was open before the disk hung can be left over,
and what the few threads were doing; nothing else opens any more.

``stop()`` ends all of them. It waits until nothing is left, but at most LAST seconds: what a thread
still has then is removed when its disk goes on, if the process lives so long.
"""

from __future__ import annotations

import dataclasses
from os import PathLike
from pathlib import Path
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.python.failure import Failure

from twisted_oob._checks import check_callable, checked_count, checked_mode, wrong_type
from twisted_oob._file_info import FileInfo
from twisted_oob._urls import load_tables
from twisted_oob.errors import NoRoom, ResourceConstraint, WrongType
from twisted_oob.files.commit import Committer
from twisted_oob.files.fetched import FetchedFile
from twisted_oob.files.folder import Folder
from twisted_oob.files.landing import FILE_MODE
from twisted_oob.files.leftovers import remove_leftovers
from twisted_oob.files.monotonic import MonotonicReactor
from twisted_oob.files.policy import FetchPolicy
from twisted_oob.files.progress import OnProgress
from twisted_oob.files.tools import Tools
from twisted_oob.files.transfer import Transfer
from twisted_oob.files.trust import HttpsTrust
from twisted_oob.files.workers import Workers

CONCURRENCY: Final = 64
"""How many transfers of a Fetcher run at once, by default."""
WAITING: Final = 1000
"""How many wait for that, by default."""
LAST: Final = 5.0
"""Seconds that a disk which hangs has, when the Fetcher stops."""

_WRITERS: Final = 4


class Fetcher:
    """Fetches files from strangers' URLs into one folder.

    Args:
        reactor: Makes connections (IReactorTCP), resolves names (IReactorPluggableNameResolver) and
            gets the results of threads (IReactorFromThreads).
        policy: What is accepted.
        directory: An existing folder for the files and their part files. Several processes may
            share it.
        tls_policy: An IPolicyForHTTPS that verifies servers, and is asked alone: what it accepts is
            accepted. The default trusts the platform's authorities, and the certificates of the
            policy's ``ca_file``.
        clock: An IReactorTime for the limits and the waits of a transfer. The default is the
            reactor's, by the monotonic clock: nobody's setting of the time ends a transfer.
        concurrency: How many transfers run at once. Others wait, in the order in which they came.
        waiting: How many may wait. Another one fails at once.
        file_mode: The permissions of a file with its final name, whatever the umask.

    Raises:
        WrongType: The policy is no FetchPolicy, the directory no path, or one of the numbers no
            int. It is a TypeError.
        NotADirectoryError: The directory does not exist, or is not a directory.
        OSError: The policy's ``ca_file`` can't be read.
        ValueError: The ``ca_file`` contains no certificate, or there is a ``tls_policy``, which
            would not know of it; a number is too small, or the mode has other bits than 0o777.

    Attributes:
        policy: The same.
        directory: The same, as an absolute path.
    """

    def __init__(
        self,
        reactor: Any,
        policy: FetchPolicy,
        directory: str | Path,
        *,
        tls_policy: Any = None,
        clock: Any = None,
        concurrency: int = CONCURRENCY,
        waiting: int = WAITING,
        file_mode: int = FILE_MODE,
    ) -> None:
        if not isinstance(policy, FetchPolicy):
            raise wrong_type("policy", "a FetchPolicy", policy)
        if not isinstance(directory, str | PathLike):
            raise wrong_type("directory", "a path", directory)
        self._concurrency = checked_count("concurrency", concurrency)
        self._most_waiting = checked_count("waiting", waiting, least=0)
        checked_mode("file_mode", file_mode)
        self.policy = policy
        # Absolute from the start: a daemon changes its working directory.
        self.directory = Path(directory).absolute()
        if not self.directory.is_dir():
            raise NotADirectoryError(
                f"the directory for fetched files must be an existing folder: {directory} is not"
            )
        if tls_policy is not None and policy.ca_file is not None:
            raise ValueError("give the policy's ca_file or a tls_policy, not both")
        if tls_policy is None:
            tls_policy = HttpsTrust(policy.ca_file)
            tls_policy.warn()
        load_tables()
        timed = MonotonicReactor(reactor)
        self._tools = Tools(
            reactor=timed,
            clock=timed if clock is None else clock,
            policy=policy,
            tls_policy=tls_policy,
            folder=Folder(self.directory),
            file_mode=file_mode,
            writers=Workers(reactor, _WRITERS, "twisted_oob writer"),
            committer=Committer(reactor),
        )
        # Each one's Deferred fires when its turn comes; in order.
        self._waiting: dict[Deferred[None], None] = {}
        self._running = 0
        self._giving = False
        # Of which something is left.
        self._transfers: dict[Transfer, None] = {}
        self._stopped = False
        self._on_stopped: list[Deferred[None]] = []
        self._last: Any = None

    def fetch(
        self, url: str, *, info: FileInfo | None = None, on_progress: OnProgress | None = None
    ) -> Deferred[FetchedFile]:
        """Fetch a file whole.

        Args:
            url: An http or https URL. Its userinfo goes to that origin only, as Basic credentials
                (RFC 7617).
            info: What was said of the file. A file of another size or SHA-256 is a failure, found
                before the file gets its name. Its name is preferred to those of the server and the
                URL; it is made safe likewise.
            on_progress: Called with the bytes of the body that came so far and the length that the
                server declares, or None without such a length, each time that more came. The first
                error that it raises is logged; then it is not called any more.

        Returns:
            A Deferred that fires when the file is on the disk for good. If it fails, nothing is
            left behind; only if the disk takes longer than half a second, the rest is removed when
            it goes on. ``cancel()`` aborts the connection and removes the file, unless the file is
            about to get its final name: then the Deferred fires as if nobody had cancelled it.

        Raises:
            Forbidden: The policy forbids the URL, an address or a redirect.
            TooLarge: The file is larger than the policy allows, or was offered as such.
            FetchFailed: The server did not give the file whole, not in time, or not the file that
                was offered; ``detail`` tells the two sizes or hashes.
            TryLater: The server answered 503 or 429 and asks to come back later than there is time
                for, or did so four times. Its type is ``wait``.
            NoRoom: The disk, the quota or the file descriptors are used up, or too many wait.
            CommitPending: The disk hangs while the file gets its name. It is a NoRoom, and its
                ``later`` tells how that ends.
            ResourceConstraint: The Fetcher was stopped; or the machine has no CA roots, so that no
                https server can be verified.
            OSError: The folder can't be used for another reason.
            CancelledError: The caller cancelled the Deferred, or stopped the Fetcher.
            WrongType: ``url`` is no str, ``info`` no FileInfo, or ``on_progress`` can't be called.
        """
        try:
            if not isinstance(url, str):
                raise wrong_type("url", "a str", url)
            if not isinstance(info, FileInfo | None):
                raise wrong_type("info", "a FileInfo or None", info)
            check_callable("on_progress", on_progress)
        except WrongType:
            return fail(Failure())
        if self._stopped:
            return fail(_stopped())
        turn: Deferred[None] | None = None
        if self._running < self._concurrency and not self._waiting:
            self._running += 1
        elif len(self._waiting) < self._most_waiting:
            turn = Deferred(lambda turn: self._waiting.pop(turn, None))
            self._waiting[turn] = None
        else:
            return fail(self._too_many())
        return Deferred.fromCoroutine(self._fetch(turn, url, info, on_progress))

    def remove_leftovers(self) -> int:
        """Remove part files of processes that died. Blocks, so call it at the start.

        Returns:
            The number of files that were removed.
        """
        return remove_leftovers(self.directory)

    def stop(self) -> Deferred[None]:
        """End everything: what waits and what runs fails with CancelledError.

        Returns:
            A Deferred that fires when nothing is left, and the folder is closed; or after LAST
            seconds, whatever hangs.
        """
        if not self._stopped:
            self._stopped = True
            self._tools.folder.close()
            for turn in list(self._waiting):
                turn.cancel()
            for transfer in list(self._transfers):
                transfer.end(CancelledError())
        if not self._transfers:
            return succeed(None)
        if not self._on_stopped:
            self._last = self._tools.clock.callLater(LAST, lambda: _fire(self._end_stop()))
        stopped: Deferred[None] = Deferred()
        self._on_stopped.append(stopped)
        return stopped

    def start(self) -> None:
        """Fetch again after a stop; without one, this does nothing."""
        if self._stopped:
            self._stopped = False
            self._tools = dataclasses.replace(self._tools, folder=Folder(self.directory))
            _fire(self._end_stop())

    async def _fetch(
        self,
        turn: Deferred[None] | None,
        url: str,
        info: FileInfo | None,
        on_progress: OnProgress | None,
    ) -> FetchedFile:
        if turn is not None:
            await turn
        try:
            transfer = Transfer(self._tools, info, on_progress, self._over)
            self._transfers[transfer] = None
            return await transfer.fetch(url)
        finally:
            self._running -= 1
            self._give_turns()

    def _give_turns(self) -> None:
        # One that fails at once gives its turn back at once: a loop, so that a thousand of them are
        # no thousand calls within each other.
        if self._giving:
            return
        self._giving = True
        while self._waiting and self._running < self._concurrency:
            turn = next(iter(self._waiting))
            del self._waiting[turn]
            self._running += 1
            turn.callback(None)
        self._giving = False

    def _over(self, transfer: Transfer) -> None:
        del self._transfers[transfer]
        if not self._transfers and (told := self._end_stop()):
            # Its caller is told before those who wait for the stop.
            self._tools.reactor.callLater(0, _fire, told)

    def _end_stop(self) -> list[Deferred[None]]:
        """Give the Deferreds of those who wait for the stop, which is over."""
        last, self._last = self._last, None
        if last is not None and last.active():
            last.cancel()
        told, self._on_stopped = self._on_stopped, []
        return told

    def _too_many(self) -> NoRoom:
        return NoRoom(
            "too many transfers at once; try again later",
            detail=f"{self._running} transfers run, and {len(self._waiting)} wait",
        )


def _fire(waiting: list[Deferred[None]]) -> None:
    for each in waiting:
        each.callback(None)


def _stopped() -> ResourceConstraint:
    return ResourceConstraint(
        "nothing is fetched any more; try again later", detail="the Fetcher was stopped"
    )

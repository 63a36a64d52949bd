"""LateFiles: files that were told as failed, as their disk was slow, and that ended well later.

Whoever offered such a file was told to offer it again. It depends on the file what happens then:

===================  ============================================================================
the file             the same file, offered again by the same sender
===================  ============================================================================
has no name yet      waits a moment for it (LONGEST_WAIT), and then fails as before: a second copy
                     would wait for the same disk
has got its name     is answered with it, as long as it is there unchanged
did not get it       is fetched, as if nothing had been
===================  ============================================================================

What is known is bounded, in number (MOST) and in time (KEPT). A look at the disk blocks, and this
disk has been slow. So looks have a thread of their own, and one that takes long is given up: then
the file counts as gone.
"""

from __future__ import annotations

import os
import stat
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_oob._shown import counted
from twisted_oob._urls import shown_url
from twisted_oob.errors import CommitPending
from twisted_oob.files.workers import Workers
from twisted_oob.xmpp.jid import shown

if TYPE_CHECKING:
    from twisted_oob.files.fetched import FetchedFile
    from twisted_oob.transfer.wanted import Wanted
    from twisted_oob.xmpp.deadlines import Clock

KEPT: Final = 3600.0
"""Seconds for which a file that was late, or still is, is known."""
MOST: Final = 1000
"""How many are known; the oldest is forgotten first."""
LONGEST_WAIT: Final = 0.5
"""Seconds that a file offered again waits for one that is late still. Whoever sees its name in the
folder sees it a moment before we know that it is there for good."""
LONGEST_LOOK: Final = 5.0
"""Seconds after which a look at the disk is given up."""

_MOST_REASON: Final = 300

# The responder's, as all lines about what it was offered.
_log = Logger("twisted_oob.transfer.responder.OOBResponder")

Identity = tuple[int, ...]


class _Late:
    """A file that was late: ``file`` and ``identity`` are None until it has its name.

    ``waiters``: each fires when it is known how it ended.
    """

    __slots__ = ("detail", "fetcher", "file", "identity", "later", "since", "waiters")

    def __init__(self, error: CommitPending, fetcher: Any, since: float) -> None:
        # Not the error itself: its traceback has all that the transfer had.
        self.later, self.detail = error.later, error.detail
        # Kept, as the key holds its identity.
        self.fetcher = fetcher
        self.since = since
        self.file: FetchedFile | None = None
        self.identity: Identity | None = None
        self.waiters: list[Deferred[None]] = []

    def settle(self) -> None:
        """Tell those who wait that it is known how it ended."""
        waiters, self.waiters = self.waiters, []
        for waiter in waiters:
            waiter.callback(None)


class LateFiles:
    """Knows what became of files that were late.

    Args:
        reactor: Tells the time, and gets what the thread has seen (IReactorFromThreads). With a
            ``task.Clock``, which has no threads, a look blocks.
    """

    def __init__(self, reactor: Clock) -> None:
        self._clock = reactor
        self._look: Callable[[Path], Deferred[Identity | None]]
        if callable(getattr(reactor, "callFromThread", None)):
            workers = Workers(reactor, 1, "twisted_oob late files")
            self._look = lambda path: workers.run(_identify, path)
        else:
            self._look = lambda path: maybeDeferred(_identify, path)
        # By ``Wanted.key``, the oldest first.
        self._known: OrderedDict[bytes, _Late] = OrderedDict()

    def __contains__(self, key: bytes) -> bool:
        """Whether anything is known of what was wanted."""
        return key in self._known

    def expect(self, wanted: Wanted, key: bytes, error: CommitPending) -> None:
        """Wait for the end of a commit that is late.

        Args:
            wanted: What it is the file of.
            key: Its key.
            error: What its transfer failed with.
        """
        late = _Late(error, wanted.fetcher, self._clock.seconds())
        self._known.pop(key, None)  # so that it comes last
        self._known[key] = late
        self._forget_old()
        about: dict[str, object] = {
            "what": wanted.what,
            "sender": None if wanted.sender is None else shown(wanted.sender.full()),
            "url": shown_url(wanted.url),
        }

        def landed(file: FetchedFile) -> Deferred[None]:
            _log.info(
                "{what} from {sender} is there after all: {url}: {amount} in {file}",
                **about,
                amount=counted(file.size, "byte"),
                size=file.size,
                file=file.path,
            )
            return Deferred.fromCoroutine(self._remember(key, late, file))

        def failed(failure: Failure) -> None:
            reason = str(failure.value) or type(failure.value).__name__
            _log.info(
                "{what} from {sender} has failed after all: {url}: {reason}",
                **about,
                reason=reason[:_MOST_REASON],
            )
            self._forget(key, late)

        error.later.addCallbacks(landed, failed)
        error.later.addErrback(
            lambda failure: _log.failure("A file that was late is lost", failure=failure)
        )
        error.later.addCallback(lambda _: late.settle())

    async def find(self, key: bytes) -> FetchedFile | None:
        """Find a file that was late.

        Returns:
            The file, which is there, unchanged; None if there is no such file.

        Raises:
            CommitPending: It is late still.
        """
        self._forget_old()
        late = self._known.get(key)
        if late is None:
            return None
        if late.file is None:
            await self._wait_for(late)
        if late.file is None:
            if self._known.get(key) is not late:
                return None
            raise CommitPending(late.later, detail=late.detail)
        if await self._identity(late.file) == late.identity:
            return late.file
        self._forget(key, late)
        return None

    async def _wait_for(self, late: _Late) -> None:
        waiter: Deferred[None] = Deferred()
        late.waiters.append(waiter)
        timer = self._clock.callLater(LONGEST_WAIT, waiter.callback, None)
        try:
            await waiter
        finally:
            if timer.active():
                timer.cancel()
            if waiter in late.waiters:
                late.waiters.remove(waiter)

    async def _remember(self, key: bytes, late: _Late, file: FetchedFile) -> None:
        identity = await self._identity(file)
        if identity is None:
            self._forget(key, late)
            return
        late.file, late.identity = file, identity
        if self._known.get(key) is late:
            late.since = self._clock.seconds()
            self._known.move_to_end(key)

    async def _identity(self, file: FetchedFile) -> Identity | None:
        look = self._look(file.path)
        timer = self._clock.callLater(LONGEST_LOOK, look.cancel)
        try:
            return await look
        except CancelledError:
            if timer.active():  # not by the timer: nobody wants the file any more
                raise
            return None
        except Exception as error:
            # No file, no folder, no thread: nobody can tell.
            _log.debug("A file that was late can't be seen: {error!r}", error=error)
            return None
        finally:
            if timer.active():
                timer.cancel()

    def _forget(self, key: bytes, late: _Late) -> None:
        if self._known.get(key) is late:
            del self._known[key]

    def _forget_old(self) -> None:
        oldest_kept = self._clock.seconds() - KEPT
        while self._known:
            key, late = next(iter(self._known.items()))
            if late.since > oldest_kept and len(self._known) <= MOST:
                return
            del self._known[key]


def _identify(path: Path) -> Identity | None:
    """Tell what file is there; None if it is no regular file. It blocks.

    Raises:
        OSError: There is no file.
    """
    status = os.lstat(path)
    if not stat.S_ISREG(status.st_mode):
        return None
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)

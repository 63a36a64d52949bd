"""One transfer: from a URL to a file with its name, or to one error.

Theory of operation
===================

The work is one coroutine (``Transfer._run``). A URL goes in, a ``FetchedFile`` or one error comes
out. In between, it is in one of these states:

===========  ======================================  ===========  ===========================
state        waits for                               stall limit  leads to
===========  ======================================  ===========  ===========================
resolving    the resolver, in a thread               runs         connecting
connecting   TCP                                     runs         asking
asking       the TLS handshake for https, then the   runs         redirecting, waiting or
             head of the answer                                   reading; writing, to open a
                                                                  large file
redirecting  the old connection to be gone           runs         resolving, for the next hop
waiting      the old connection to be gone, then     stopped      resolving, for the same hop
             the time that a busy server asks for
reading      a piece of the body, or its end         runs         writing, or committing at
                                                                  the end
writing      a thread that writes the piece (or      stopped      reading; committing, after
             opens a large file before the first,                 the sync
             or syncs it after the last)
committing   the committing thread, which writes     stopped      done
             the rest, checks the file against its
             offer, syncs it, gives it its name and
             syncs the folder
done         the old connection to be gone           stopped      (a FetchedFile)
giving up    a thread that discards the file, then   stopped      (an error)
             the old connection to be gone
===========  ======================================  ===========  ===========================

Every state but *done* leads to *giving up*, too.

What ends a transfer early
--------------------------

- The policy. It judges the URL and each redirect before *resolving* (``read_url``, ``next_hop``),
  every address before *connecting* (``JudgedConnections``), the head of the answer before *reading*
  (``read_answer``) and each byte of the body in *reading* (``Body``). It raises.
- The offer, if it tells size or SHA-256 of its file. Its size is judged by the policy before
  *resolving*. Another declared length ends the transfer before *reading*, one byte too many ends it
  in *reading*, and the whole file is checked as it is synced, before it has a name (see
  ``expected.py``).
- The server, the network or the disk. They raise, too. ``explained`` says in our words what the
  errors of the network mean.
- The limits (``limits.py``): the time for the whole, from *resolving* to *done*; silence and
  slowness while we expect bytes, which the table's third column tells; and the bytes before the
  body.
- The caller, who cancels the Deferred, or stops the Fetcher.

The last two call ``end()`` with their error. The first call notes it, stops the limits, aborts the
connection and interrupts the work. What that means depends on whom the work waits for:

=====================  ===========================================================================
the work waits for     it is interrupted
=====================  ===========================================================================
the network, or time   at once
a thread that has not  at once: the job is taken back
begun with the job
a writer               when it is done; then the file is discarded. A limit does not interrupt the
                       last two steps of a large file, which has come whole: its end and its sync.
the committing thread  not at all: the name is the commit point. If the thread has taken the file,
                       what becomes of it is what the caller is told.
=====================  ===========================================================================

A disk that hangs
-----------------

A thread can't be stopped. If we closed the descriptor while it writes, the descriptor's number
could be another file's a moment later, and that file would get the rest of the piece. So a file is
discarded only after the thread is done with it, and the work waits for that, however long it takes.

The caller does not. Whoever waits for the end (``fetch``) is told GRACE seconds after the transfer
began to end, and the work is left to itself:

====================================  ============================================================
the work, after GRACE                 the caller is told
====================================  ============================================================
waits for a writer, or for a thread   the error; what is left is removed when the disk goes on
that discards the file
waits for the committing thread, or   CommitPending, as nobody knows how it ends; its ``later``
goes on in spite of a limit           fires when the work ends
====================================  ============================================================

A limit that is met while the work waits for the disk, and not for the server, is the disk's fault.
The error of such a transfer is NoRoom: the file may well be fetched later.

So a Deferred that fails has left nothing if the disk answers within half a second, and one that
fires has left its file. No file with its final name is removed.

What is given back
------------------

==========  ================================  =================================================
borrowed    on the way to *done*              when *giving up*
==========  ================================  =================================================
connection  aborted once the body has ended   aborted at once
            (and before each further hop)
descriptor  closed by the commit              closed by ``Landing.discard``
part        renamed by the commit             unlinked by ``Landing.discard``
final name  stays                             (not given yet)
timers      cancelled                         cancelled
==========  ================================  =================================================

Whatever touches the disk blocks, so it runs in threads of our own (``workers.py``), one call at a
time for each file: pieces in one of a few writers, commits in the Committer's (``disk_work.py``). A
transfer that opened nothing needs no thread to discard it.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from twisted_oob._file_info import FileInfo
from twisted_oob.errors import CommitPending, FetchFailed
from twisted_oob.files.answer import Answer, read_answer
from twisted_oob.files.body import Body
from twisted_oob.files.caller import Caller
from twisted_oob.files.connections import JudgedConnections
from twisted_oob.files.disk_work import DiskWork
from twisted_oob.files.failures import explained, slow_disk
from twisted_oob.files.fetched import FetchedFile
from twisted_oob.files.get import Get
from twisted_oob.files.hops import Hops
from twisted_oob.files.landing import Landing
from twisted_oob.files.limits import Limits
from twisted_oob.files.pace import Pace
from twisted_oob.files.progress import OnProgress, ProgressObserver
from twisted_oob.files.tools import Tools
from twisted_oob.files.urls import read_url
from twisted_oob.files.workers import as_error

GRACE: Final = 0.5
"""Seconds that the disk has to answer, when a transfer ends early."""

# A file that is declared as larger has its room promised before its body comes.
_SMALL: Final = 256 * 1024

_P = ParamSpec("_P")
_T = TypeVar("_T")


class _File(Enum):
    """How far the file has come."""

    UNFINISHED = "some of the body may be still to come"
    WHOLE = "all of the body has come"
    COMMITTING = "the committing thread has it, or will have it"
    NAMED = "it has its final name"


class Transfer:
    """One fetch, from its URL to its file; the states are those of the module's docstring.

    Args:
        tools: The Fetcher's.
        info: As for ``Fetcher.fetch``.
        on_progress: As for ``Fetcher.fetch``.
        over: Called with this transfer when nothing of it is left. That may be long after its
            caller was told, if the disk hangs.
    """

    _coroutine: Any  # a types.CoroutineType; typing has none that knows cr_running
    _work: Deferred[FetchedFile]

    def __init__(
        self,
        tools: Tools,
        info: FileInfo | None,
        on_progress: OnProgress | None,
        over: Callable[[Transfer], object],
    ) -> None:
        self._tools = tools
        self._info = info
        self._on_progress = on_progress
        self._on_over = over
        self._landing: Landing | None = None
        self._limits = Limits(tools.clock, tools.policy, self._limit_met)
        pace = Pace(tools.reactor)
        self._connections = JudgedConnections(
            tools.reactor, tools.policy, tools.tls_policy, self._limits.heard, pace=pace
        )
        self._hops = Hops(tools.clock, tools.policy, self._connections, self._limits, pace)
        self._disk = DiskWork(tools)
        self._file = _File.UNFINISHED
        # Why it ends early: the error of a limit or of the caller; and what the work met.
        self._verdict: Exception | None = None
        self._met: Exception | None = None
        # It was a limit that ended it, and not the caller.
        self._out_of_time = False
        self._grace: Any = None
        self._caller = Caller(lambda: self.end(CancelledError()))
        # What was promised for later.
        self._later: Deferred[FetchedFile] | None = None

    async def fetch(self, url: str) -> FetchedFile:
        """Fetch the URL. Call this once.

        Raises:
            Exception: As for ``Fetcher.fetch``.
        """
        self._limits.start()
        self._coroutine = self._run(url)
        self._work = Deferred.fromCoroutine(self._coroutine)
        self._work.addBoth(self._over)
        return await self._caller.wait()

    def end(self, verdict: Exception) -> None:
        """End the transfer early, unless its file has its name.

        Args:
            verdict: What the caller is told, unless there is an earlier verdict.
        """
        if not self._caller.told:
            self._out_of_time = False
        self._end_early(verdict)

    def _end_early(self, verdict: Exception) -> None:
        if self._file is _File.NAMED:
            return
        self._verdict = self._verdict or verdict
        self._begin_to_end()
        if self._coroutine.cr_running:
            # The work's own call has led here, such as one to on_progress.
            self._tools.reactor.callLater(0, self._interrupt)
        else:
            self._interrupt()

    def _limit_met(self, error: FetchFailed) -> None:
        if self._verdict is None:
            self._out_of_time = True
            whole = self._file is not _File.UNFINISHED
            if self._disk.waits and (whole or self._disk.waited >= GRACE):
                self._verdict = slow_disk(error)
        self._end_early(error)

    def _interrupt(self) -> None:
        if self._file is _File.NAMED or self._met is not None:
            return
        if self._disk.waits:
            self._disk.take_back()
        else:
            self._work.cancel()

    def _begin_to_end(self) -> Deferred[None]:
        """Give the work GRACE; the Deferred fires when no connection is left."""
        if self._grace is None:
            self._grace = self._tools.clock.callLater(GRACE, self._leave)
        return self._stop()

    def _leave(self) -> None:
        """Tell the caller, and leave the work to itself."""
        # One of the two has led here.
        error = self._verdict or self._met or CancelledError()
        if self._met is None and (self._file is _File.COMMITTING or self._goes_on):
            self._later = Deferred()
            why = str(error) or type(error).__name__
            detail = f"the file has not got its name yet, and the transfer ended: {why}"
            error = CommitPending(self._later, detail=detail)
        elif self._out_of_time and self._disk.waits:
            error = slow_disk(error)
        self._caller.tell(error)

    def _over(self, result: FetchedFile | Failure) -> None:
        """Note that nothing is left of the work."""
        self._end_grace()
        later, self._later = self._later, None
        if later is None:
            if isinstance(result, Failure):
                self._caller.tell(as_error(result.value or CancelledError()))
            else:
                self._caller.tell(result)
        elif isinstance(result, FetchedFile):
            later.callback(result)
        else:
            later.errback(result)
        self._on_over(self)

    def _end_grace(self) -> None:
        if self._grace is not None and self._grace.active():
            self._grace.cancel()

    async def _run(self, url: str) -> FetchedFile:
        try:
            return await self._transfer(url)
        except Exception as error:
            # What ended the transfer counts, not the CancelledError that it led to.
            self._met = explained(error)
            gone = self._begin_to_end()
            if self._landing is not None:
                await self._disk.discard(self._landing)
            await gone
            # The caller knows of the verdict already, if there is something to tell later.
            told = self._met if self._later is not None else self._verdict or self._met
            if told is error:
                raise
            raise told from error
        finally:
            self._stop()

    async def _transfer(self, url: str) -> FetchedFile:
        if self._info is not None and self._info.size is not None:
            self._tools.policy.check_size(self._info.size)
        target, head, get = await self._hops.ask(read_url(url))
        answer = read_answer(head, target.path, self._tools.policy, self._info)
        length = answer.length
        if length is None and self._info is not None:
            length = self._info.size
        landing = self._landing = Landing(
            self._tools.folder, self._info, length=length, mode=self._tools.file_mode
        )
        if length is not None and length > _SMALL:
            # The server waits meanwhile, and so its silence is no stall.
            self._limits.watch(on=False)
            await self._in_thread(landing.open)
            self._limits.watch(on=True)
        rest = await self._read(get, answer, landing)
        self._file = _File.WHOLE
        gone = self._connections.hang_up()
        if landing.size:
            # The file has more than one piece. Write and sync it here, so that a large file, which
            # takes long, does not keep small ones waiting for the committing thread.
            await self._in_thread(landing.write, rest)
            await self._in_thread(landing.sync)
            rest = bytearray()
        path = await self._committed(landing, answer.name, rest)
        await gone
        return FetchedFile(
            path=path,
            size=landing.size,
            sha256=landing.sha256,
            url=target.url,
            media_type=answer.media_type,
        )

    async def _read(self, get: Get, answer: Answer, landing: Landing) -> bytearray:
        """Write the body, but for its last piece, which is returned."""
        progress = ProgressObserver(self._on_progress)

        def came(received: int) -> None:
            self._limits.read(received)
            progress(received, answer.length)

        body = Body(self._tools.policy, self._limits.watch, self._info, came)
        get.deliver(body)
        piece = await body.read()
        while not body.ended:
            await self._in_thread(landing.write, piece)
            piece = await body.read()
        return piece

    async def _in_thread(
        self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """Call what blocks.

        Raises:
            CancelledError: The transfer ended before, so that it was not called, or meanwhile.
        """
        self._go_on()
        result = await self._disk.call(function, *args, **kwargs)
        self._go_on()
        return result

    async def _committed(self, landing: Landing, name: str, rest: bytearray) -> Path:
        """Have the file committed. Once the committer has taken it, nothing ends that early."""
        self._go_on()
        self._file = _File.COMMITTING
        path = await self._disk.commit(landing, name, rest)
        self._file = _File.NAMED
        self._end_grace()
        self._stop()
        return path

    @property
    def _goes_on(self) -> bool:
        """Whether it has met a limit that does not interrupt it."""
        return self._file is not _File.UNFINISHED and self._out_of_time

    def _go_on(self) -> None:
        """Raise CancelledError if the transfer has begun to end."""
        if self._verdict is not None and not self._goes_on:
            raise CancelledError

    def _stop(self) -> Deferred[None]:
        """Stop the limits and abort the connection; the Deferred fires when it is gone."""
        self._limits.stop()
        return self._connections.hang_up()

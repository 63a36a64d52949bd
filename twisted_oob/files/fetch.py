"""Fetching: one HTTP GET under a policy, streamed to a file.

Theory of operation
===================

A transfer is one coroutine (``_Transfer._run``). A URL goes in. A ``FetchedFile`` or one error
comes out, when nothing of the transfer is left running. In between, the transfer is in one of these
states:

===========  ======================================  ===========  ===========================
state        waits for                               stall limit  leads to
===========  ======================================  ===========  ===========================
resolving    the resolver, in a thread               runs         connecting
connecting   TCP                                     runs         asking
asking       the TLS handshake for https, then the   runs         redirecting, waiting or
             head of the answer                                   reading
redirecting  the old connection to be gone           runs         resolving, for the next hop
waiting      the old connection to be gone, then     stopped      resolving, for the same hop
             the time that a busy server asks for
reading      a piece of the body, or its end         runs         writing, or committing at
                                                                  the end
writing      a thread that writes the piece          stopped      reading
committing   a thread that writes the rest, checks   stopped      done
             the file against its offer, syncs it,
             gives it its name and syncs the folder
done                                                              (a FetchedFile)
giving up    the running thread, then one that                    (an error)
             discards the file, then the old
             connection to be gone
===========  ======================================  ===========  ===========================

Every state but *done* leads to *giving up*, too.

What ends a transfer early
--------------------------

- The policy. It judges the URL and each redirect before *resolving* (``read_url``, ``next_hop``),
  every address before *connecting* (``JudgedConnections``), the head of the answer before *reading*
  (``read_answer``) and each byte of the body in *reading* (``Body``). It raises.
- The offer, if it tells size or SHA-256 of its file. Its size is judged by the policy before
  *resolving*. Another declared length ends the transfer before *reading*, one byte too many ends it
  in *reading*, and the whole file is checked in *committing*, before it has a name (see
  ``expected.py``).
- The server, the network or the disk. They raise, too. ``explained`` says in our words what the
  errors of the network mean.
- The limits (``limits.py``): the time for the whole, from *resolving* to *done*; silence and
  slowness while we expect bytes, which the table's third column tells; and the bytes before the
  body.
- The caller, who cancels the Deferred.

The limits note their error in ``_verdict`` and then cancel the coroutine, as the caller does. The
caller notes nothing, so the error is a CancelledError. The first cancellation stops the limits and
aborts the connection at once; another one waits for the same end.

What is given back
------------------

==========  ================================  =================================================
borrowed    on the way to *done*              when *giving up*
==========  ================================  =================================================
connection  aborted once the body has ended   aborted at once
            (and before each further hop)
descriptor  closed by the commit              closed by ``Landing.discard``
part file   unlinked by the commit            unlinked by ``Landing.discard``
final name  stays                             unlinked, if the file has got one
two timers  cancelled                         cancelled
==========  ================================  =================================================

Threads
-------

Whatever touches the disk blocks, so it runs in threads of the reactor's pool, one call at a time
for each file: pieces in a thread of their own (``_in_thread``), commits in the Committer's few.

A thread can't be stopped. If we closed the descriptor while it writes, the descriptor's number
could be another file's a moment later, and that file would get the rest of the piece. If we did not
wait, it could create a file after the caller was told that nothing is left. So a cancellation in
*writing* or *committing* waits until the thread is done (``wait_out``), and only then discards the
file. The resolver's thread is different: it is not the reactor's (``resolving.py``) and holds
nothing, so nobody waits for it, and its result is ignored.

A cancellation can come after the thread has named the file and before the reactor knows. Then the
file is removed again, name and all. That keeps one promise for callers: a Deferred that fails has
left nothing, one that fires has left its file.
"""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from twisted.internet.defer import Deferred, fail
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_oob._checks import check_callable, wrong_type
from twisted_oob._file_info import FileInfo
from twisted_oob.errors import WrongType
from twisted_oob.files.answer import read_answer
from twisted_oob.files.body import Body
from twisted_oob.files.commit import Committer
from twisted_oob.files.connections import JudgedConnections
from twisted_oob.files.failures import explained
from twisted_oob.files.fetched import FetchedFile
from twisted_oob.files.folders import FILE_MODE
from twisted_oob.files.hops import Hops
from twisted_oob.files.landing import remove_leftovers
from twisted_oob.files.limits import Limits
from twisted_oob.files.pace import Pace
from twisted_oob.files.policy import FetchPolicy
from twisted_oob.files.progress import OnProgress, ProgressObserver
from twisted_oob.files.trust import HttpsTrust
from twisted_oob.files.urls import read_url
from twisted_oob.files.wait_out import wait_out

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Fetcher:
    """Fetches files from strangers' URLs into one folder.

    Args:
        reactor: Makes connections (IReactorTCP), resolves names (IReactorPluggableNameResolver) and
            has a thread pool.
        policy: What is accepted.
        directory: An existing folder for the files and their part files. Several processes may
            share it.
        tls_policy: An IPolicyForHTTPS that verifies servers, and is asked alone: what it accepts is
            accepted. The default trusts the platform's authorities, and the certificates of the
            policy's ``ca_file``.
        clock: An IReactorTime for the limits and the waits of a transfer. The default is the
            reactor.
        file_mode: The permission bits that a file has with its final name, whatever the umask.

    Raises:
        WrongType: The policy is no FetchPolicy, or the directory no path. It is a TypeError.
        NotADirectoryError: The directory does not exist, or is not a directory.
        OSError: The policy's ``ca_file`` can't be read.
        ValueError: The ``ca_file`` contains no certificate, or there is a ``tls_policy``, which
            would not know of it.

    Attributes:
        policy: The same.
    """

    def __init__(
        self,
        reactor: Any,
        policy: FetchPolicy,
        directory: str | Path,
        *,
        tls_policy: Any = None,
        clock: Any = None,
        file_mode: int = FILE_MODE,
    ) -> None:
        if not isinstance(policy, FetchPolicy):
            raise wrong_type("policy", "a FetchPolicy", policy)
        if not isinstance(directory, str | PathLike):
            raise wrong_type("directory", "a path", directory)
        self._reactor = reactor
        self.policy = policy
        # Absolute from the start: a daemon changes its working directory.
        self._directory = Path(directory).absolute()
        if not self._directory.is_dir():
            raise NotADirectoryError(
                f"the directory for fetched files must be an existing folder: {directory} is not"
            )
        if tls_policy is not None and policy.ca_file is not None:
            raise ValueError("give the policy's ca_file or a tls_policy, not both")
        if tls_policy is None:
            tls_policy = HttpsTrust(policy.ca_file)
            tls_policy.warn()
        self._tls_policy = tls_policy
        self._clock = reactor if clock is None else clock
        self._committer = Committer(reactor, self._directory, file_mode)

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
            left behind. ``cancel()`` aborts the connection and removes the file, even if the file
            has just got its final name.

        Raises:
            Forbidden: The policy forbids the URL, an address or a redirect.
            TooLarge: The file is larger than the policy allows, or was offered as such.
            FetchFailed: The server did not give the file whole, not in time, or not the file that
                was offered; ``detail`` tells the two sizes or hashes.
            TryLater: The server answered 503 or 429 and asks to come back later than there is time
                for, or did so four times. Its type is ``wait``.
            NoRoom: The disk, the quota or the file descriptors are used up.
            OSError: The folder can't be used for another reason.
            CancelledError: The caller cancelled the Deferred.
            WrongType: ``info`` is no FileInfo, or ``on_progress`` can't be called.
        """
        try:
            if not isinstance(info, FileInfo | None):
                raise wrong_type("info", "a FileInfo or None", info)
            check_callable("on_progress", on_progress)
        except WrongType:
            return fail(Failure())
        transfer = _Transfer(
            self._reactor,
            self._clock,
            self.policy,
            self._committer,
            self._tls_policy,
            info=info,
            on_progress=on_progress,
        )
        return transfer.start(url)

    def remove_leftovers(self) -> int:
        """Remove part files of processes that died. Blocks, so call it at the start.

        Returns:
            The number of files that were removed.
        """
        return remove_leftovers(self._directory)


class _Transfer:
    """One fetch, from its URL to its file; the states are those of the module's docstring."""

    _log = Logger()
    _task: Deferred[FetchedFile]

    def __init__(
        self,
        reactor: Any,
        clock: Any,
        policy: FetchPolicy,
        committer: Committer,
        tls_policy: Any,
        *,
        info: FileInfo | None,
        on_progress: OnProgress | None,
    ) -> None:
        self._reactor = reactor
        self._policy = policy
        self._info = info
        self._on_progress = on_progress
        self._landing = committer.landing(info)
        self._committer = committer
        self._limits = Limits(clock, policy, self._give_up)
        pace = Pace(reactor)
        self._connections = JudgedConnections(
            reactor, policy, tls_policy, self._limits.heard, pace=pace
        )
        self._hops = Hops(clock, policy, self._connections, self._limits, pace)
        self._verdict: Exception | None = None

    def start(self, url: str) -> Deferred[FetchedFile]:
        self._task = Deferred.fromCoroutine(self._run(url))
        return self._task

    async def _run(self, url: str) -> FetchedFile:
        self._limits.start()
        try:
            return await self._transfer(url)
        except Exception as error:
            # What ended the transfer counts, not the CancelledError that it led to.
            verdict = self._verdict or explained(error)
            gone = self._stop()
            await self._discard()
            await wait_out(gone)
            if verdict is error:
                raise
            raise verdict from error
        finally:
            self._stop()

    async def _transfer(self, url: str) -> FetchedFile:
        if self._info is not None and self._info.size is not None:
            self._policy.check_size(self._info.size)
        target, head, get = await self._hops.ask(read_url(url))
        answer = read_answer(head, target.path, self._policy, self._info)
        progress = ProgressObserver(self._on_progress)

        def came(received: int) -> None:
            self._limits.read(received)
            progress(received, answer.length)

        body = Body(self._policy, self._limits.watch, self._info, came)
        get.deliver(body)
        piece = await body.read()
        while not body.ended:
            await self._in_thread(self._landing.write, piece)
            piece = await body.read()
        gone = self._connections.hang_up()
        if self._landing.size:
            # The file has more than one piece. Write and sync it here, so that a large file, which
            # takes long, does not keep small ones waiting for a committing thread.
            await self._in_thread(self._landing.write, piece)
            await self._in_thread(self._landing.sync)
            piece = bytearray()
        committed = self._committer.commit(self._landing, answer.name, piece)
        path = await wait_out(committed, self._stop)
        await wait_out(gone)
        return FetchedFile(
            path=path,
            size=self._landing.size,
            sha256=self._landing.sha256,
            url=target.url,
            media_type=answer.media_type,
        )

    def _give_up(self, verdict: Exception) -> None:
        """Cancel the coroutine from the inside, with this error instead of CancelledError."""
        self._verdict = verdict
        self._task.cancel()

    def _stop(self) -> Deferred[None]:
        """Stop the limits and abort the connection; the Deferred fires when it is gone."""
        self._limits.stop()
        return self._connections.hang_up()

    async def _discard(self) -> None:
        try:
            await self._in_thread(self._landing.discard)
        except OSError:
            # The error that ended the transfer matters more to the caller than this one.
            self._log.failure("Could not remove the part of a file that was given up")

    async def _in_thread(
        self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """Call what blocks. A cancellation aborts the connection, but waits for the call."""
        pool = self._reactor.getThreadPool()
        job = deferToThreadPool(self._reactor, pool, function, *args, **kwargs)
        return await wait_out(job, self._stop)

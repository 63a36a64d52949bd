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
connecting   TCP, and TLS for https                  runs         asking
asking       the headers of the response             runs         redirecting or reading
redirecting  the old connection to be gone           runs         resolving, for the next hop
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
  every address before *connecting* (``JudgedEndpoints``), the headers before *reading*
  (``check_answer``) and each byte of the body in *reading* (``check_size``). It raises.
- The offer, if it tells size or SHA-256 of its file. Its size is judged by the policy before
  *resolving*. Another declared length ends the transfer before *reading*, one byte too many ends it
  in *reading*, and the whole file is checked in *committing*, before it has a name (see
  ``expected.py``).
- The server, the network or the disk. They raise, too. ``explained`` says in our words what the
  errors of the network mean.
- Header bytes: more than ``_HEADER_BYTES`` in one hop before the body. They are counted below TLS,
  so an endless handshake ends here as well.
- The stall limit: no byte for ``stall_timeout`` seconds. It runs only while we expect bytes: if we
  pause the server because the disk is slow, its silence is no fault.
- The limit for the whole: ``timeout`` seconds from *resolving* to *done*.
- The caller, who cancels the Deferred.

Header bytes and both limits note their error in ``_verdict`` and then cancel the coroutine, as the
caller does. The caller notes nothing, so the error is a CancelledError. The first cancellation
stops both limits and aborts the connection at once; another one waits for the same end.

What is given back
------------------

==========  ================================  =================================================
borrowed    on the way to *done*              when *giving up*
==========  ================================  =================================================
connection  aborted once the body has ended   aborted at once
            (and at each redirect)
descriptor  closed by the commit              closed by ``Landing.discard``
part file   unlinked by the commit            unlinked by ``Landing.discard``
final name  stays                             unlinked, if the file has got one
two limits  cancelled                         cancelled
==========  ================================  =================================================

Threads
-------

Whatever touches the disk blocks, so it runs in threads of the reactor's pool, one call at a time
for each file: pieces in a thread of their own (``_in_thread``), commits in the Committer's few.

A thread can't be stopped. If we closed the descriptor while it writes, the descriptor's number
could be another file's a moment later, and that file would get the rest of the piece. If we did not
wait, it could create a file after the caller was told that nothing is left. So a cancellation in
*writing* or *committing* waits until the thread is done (``wait_out``), and only then discards the
file. The resolver's thread is different: it holds nothing, so nobody waits for it, and its result
is ignored.

A cancellation can come after the thread has named the file and before the reactor knows. Then the
file is removed again, name and all. That keeps one promise for callers: a Deferred that fails has
left nothing, one that fires has left its file.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar

from twisted.internet.defer import Deferred, fail
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.client import Agent, HTTPConnectionPool
from twisted.web.http_headers import Headers

from twisted_oob._checks import check_callable, wrong_type
from twisted_oob._file_info import FileInfo
from twisted_oob._version import __version__
from twisted_oob.errors import FetchFailed, WrongType
from twisted_oob.files.answer import read_answer
from twisted_oob.files.body import Body
from twisted_oob.files.commit import Committer
from twisted_oob.files.endpoints import JudgedEndpoints
from twisted_oob.files.failures import explained
from twisted_oob.files.fetched import FetchedFile
from twisted_oob.files.landing import FILE_MODE, remove_leftovers
from twisted_oob.files.policy import REDIRECTS, FetchPolicy
from twisted_oob.files.progress import OnProgress, ProgressObserver
from twisted_oob.files.trust import AlsoTrusting
from twisted_oob.files.urls import Target, read_url
from twisted_oob.files.wait_out import wait_out

# Bytes a server may send in one hop before the body: TLS handshake, interim responses and headers.
_HEADER_BYTES: Final = 256 * 1024

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
        tls_policy: An IPolicyForHTTPS that verifies servers. The default trusts the platform's
            authorities, and the certificates of the policy's ``ca_file``.
        clock: An IReactorTime for the two time limits. The default is the reactor.
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
        self._tls_policy = tls_policy or AlsoTrusting(policy.ca_file)
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
        self._clock = clock
        self._policy = policy
        self._info = info
        self._on_progress = on_progress
        self._landing = committer.landing(info)
        self._committer = committer
        self._endpoints = JudgedEndpoints(reactor, policy, tls_policy, self._heard)
        # No connection is kept for another request: that one would not be judged.
        pool = HTTPConnectionPool(reactor, persistent=False)
        self._agent = Agent.usingEndpointFactory(reactor, self._endpoints, pool=pool)
        self._header_room = math.inf
        self._deadline: Any = None
        self._stall: Any = None
        self._verdict: Exception | None = None

    def start(self, url: str) -> Deferred[FetchedFile]:
        self._task = Deferred.fromCoroutine(self._run(url))
        return self._task

    async def _run(self, url: str) -> FetchedFile:
        late = FetchFailed(
            "timed out", detail=f"the file was not whole after {self._policy.timeout} s"
        )
        self._deadline = self._clock.callLater(self._policy.timeout, self._give_up, late)
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
        target, response = await self._ask(read_url(url))
        answer = read_answer(response, target.path, self._policy, self._info)
        progress = ProgressObserver(self._on_progress)
        body = Body(
            self._policy,
            self._watch,
            self._info,
            lambda received: progress(received, answer.length),
        )
        response.deliverBody(body)
        piece = await body.read()
        while not body.ended:
            await self._in_thread(self._landing.write, piece)
            piece = await body.read()
        gone = self._endpoints.hang_up()
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

    async def _ask(self, target: Target) -> tuple[Target, Any]:
        """Ask for the target, and follow redirects (RFC 9110 section 15.4).

        Returns:
            The last target, and its response with the body still to be delivered.
        """
        for hop in itertools.count(1):
            self._watch(on=True)
            self._header_room = _HEADER_BYTES
            headers = Headers(
                {
                    b"Accept": [b"*/*"],
                    # A compressed file is not the file that was offered, and may be a zip bomb.
                    b"Accept-Encoding": [b"identity"],
                    b"User-Agent": [f"twisted_oob/{__version__}".encode()],
                }
            )
            if target.authorization is not None:
                headers.setRawHeaders(b"Authorization", [target.authorization])
            response = await self._agent.request(b"GET", target.url.encode("ascii"), headers)
            self._header_room = math.inf
            if response.code not in REDIRECTS:
                break
            # A transfer never has two connections, however many redirects there are.
            await wait_out(self._endpoints.hang_up())
            [location] = response.headers.getRawHeaders(b"location", [None])[:1]
            target = self._policy.next_hop(target, location, hop)
        return target, response

    def _heard(self, count: int) -> bool:
        """Note that bytes came; False if they were too many and the transfer ends."""
        self._header_room -= count
        if self._header_room < 0:
            self._give_up(
                FetchFailed(
                    "the server's headers are too long",
                    detail=f"more than {_HEADER_BYTES} bytes before the body",
                )
            )
            return False
        if self._stall is not None:
            self._stall.reset(self._policy.stall_timeout)
        return True

    def _watch(self, *, on: bool) -> None:
        """Watch for a stall from now on, or stop while we keep the server waiting."""
        if self._stall is not None:
            self._stall.cancel()
        self._stall = None
        if on:
            self._stall = self._clock.callLater(self._policy.stall_timeout, self._stalled)

    def _stalled(self) -> None:
        self._stall = None
        silence = f"no byte from the server for {self._policy.stall_timeout} s"
        self._give_up(FetchFailed("timed out", detail=silence))

    def _give_up(self, verdict: Exception) -> None:
        """Cancel the coroutine from the inside, with this error instead of CancelledError."""
        self._verdict = verdict
        self._task.cancel()

    def _stop(self) -> Deferred[None]:
        """Stop both limits and abort the connection; the Deferred fires when it is gone."""
        self._watch(on=False)
        if self._deadline.active():
            self._deadline.cancel()
        return self._endpoints.hang_up()

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

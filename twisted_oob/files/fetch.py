"""Fetching: one HTTP GET under a policy, streamed to a file.

A transfer is one coroutine. Whatever ends it early (an error, a limit, a cancellation) goes
through its cleaning up: the connection is aborted and the file removed before the Deferred fires.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Protocol
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.client import Agent, BrowserLikePolicyForHTTPS, HTTPConnectionPool, ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH

from twisted_oob._version import __version__
from twisted_oob.errors import FetchFailed
from twisted_oob.files.commit import Committer
from twisted_oob.files.endpoints import JudgedEndpoints
from twisted_oob.files.failures import causes, explained
from twisted_oob.files.landing import remove_leftovers
from twisted_oob.files.names import file_name
from twisted_oob.files.policy import REDIRECTS, FetchPolicy
from twisted_oob.files.urls import Target, read_url

_PIECE: Final = 256 * 1024  # bytes gathered before the server is paused and a thread writes them
_HEADERS: Final = 256 * 1024  # bytes a server may send before its file begins

_P = ParamSpec("_P")
_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True, slots=True)
class FetchedFile:
    """A file that is whole, on the disk, and under its final name.

    ``path``: absolute.
    ``size``: bytes.
    ``sha256``: of the whole file, in hex.
    ``url``: where it finally came from, after redirects; without userinfo and fragment.
    """

    path: Path
    size: int
    sha256: str
    url: str


class Fetcher:
    """Fetches files from strangers' URLs into one folder.

    ``reactor``: for connections (IReactorTCP), names (IReactorPluggableNameResolver) and threads.
    ``policy``: what is accepted.
    ``directory``: an existing folder; files and their temporary files are made there. Several
        processes may share it.
    ``tls_policy``: an IPolicyForHTTPS, how servers are verified; by default
        BrowserLikePolicyForHTTPS, which takes the platform's roots.
    ``clock``: an IReactorTime for the two time limits; by default the reactor.
    """

    def __init__(
        self,
        reactor: Any,
        policy: FetchPolicy,
        directory: str | Path,
        *,
        tls_policy: Any = None,
        clock: Any = None,
    ) -> None:
        self._reactor = reactor
        self._policy = policy
        # Absolute from the start: a daemon changes its working directory.
        self._directory = Path(directory).absolute()
        if not self._directory.is_dir():
            raise NotADirectoryError(f"files land in an existing folder, not in {directory}")
        self._tls_policy = BrowserLikePolicyForHTTPS() if tls_policy is None else tls_policy
        self._clock = reactor if clock is None else clock
        self._publisher = Committer(reactor, self._directory)

    def fetch(self, url: str) -> Deferred[FetchedFile]:
        """Fetch a file whole: when the Deferred fires, it is on the disk for good.

        ``url``: http or https. Userinfo in it goes to that origin alone, as Basic credentials.

        It fails with Forbidden or TooLarge where the policy says no, with FetchFailed where the
        file can't be had, with NoRoom where there is no room for it; with an OSError where the
        folder can't be used. Nothing is left behind then. ``cancel()`` aborts the connection and
        removes the file, even one that has just got its final name: a Deferred that fails with
        CancelledError has left nothing, one that fires has left its file.
        """
        transfer = _Transfer(
            self._reactor,
            self._clock,
            self._policy,
            self._publisher,
            self._tls_policy,
        )
        return transfer.start(url)

    def remove_leftovers(self) -> int:
        """Remove temporary files of processes that died; give their number. Blocks: at start."""
        return remove_leftovers(self._directory)


class _Transfer:
    """One fetch, from its URL to its file."""

    _log = Logger()
    _task: Deferred[FetchedFile]

    def __init__(
        self,
        reactor: Any,
        clock: Any,
        policy: FetchPolicy,
        publisher: Committer,
        tls_policy: Any,
    ) -> None:
        self._reactor = reactor
        self._clock = clock
        self._policy = policy
        self._landing = publisher.landing()
        self._publisher = publisher
        self._endpoints = JudgedEndpoints(reactor, policy, tls_policy, self._heard)
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
        late = FetchFailed("timed out", detail=f"not whole within {self._policy.timeout} s")
        self._deadline = self._clock.callLater(self._policy.timeout, self._give_up, late)
        try:
            return await self._transfer(url)
        except Exception as error:
            verdict = self._verdict or explained(error)
            gone = self._stop()
            await self._discard()
            await _settled(gone)
            if verdict is error:
                raise
            raise verdict from error
        finally:
            self._stop()

    async def _transfer(self, url: str) -> FetchedFile:
        target, response = await self._answer(read_url(url))
        length = None if response.length is UNKNOWN_LENGTH else response.length
        encodings = response.headers.getRawHeaders(b"content-encoding", [])
        self._policy.check_answer(response.code, encodings, length)
        [disposition] = response.headers.getRawHeaders(b"content-disposition", [None])[:1]
        name = file_name(disposition, target.path)
        body = _Body(self._policy, self._watch)
        response.deliverBody(body)
        piece = await body.take()
        while not body.ended:
            await self._in_thread(self._landing.write, piece)
            piece = await body.take()
        self._watch(on=False)
        gone = self._endpoints.hang_up()
        if self._landing.size:
            # What takes a large file long must not keep small ones from being published.
            await self._in_thread(self._landing.write, piece)
            await self._in_thread(self._landing.sync)
            piece = bytearray()
        path = await _settled(self._publisher.publish(self._landing, name, piece), self._stop)
        await _settled(gone)
        return FetchedFile(
            path=path, size=self._landing.size, sha256=self._landing.sha256, url=target.url
        )

    async def _answer(self, target: Target) -> tuple[Target, Any]:
        """Ask for the target, and for where it redirects to, until there is another answer."""
        for hop in itertools.count(1):
            self._watch(on=True)
            self._header_room = _HEADERS
            headers = Headers(
                {
                    b"Accept": [b"*/*"],
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
            await _settled(self._endpoints.hang_up())
            [location] = response.headers.getRawHeaders(b"location", [None])[:1]
            target = self._policy.next_hop(target, location, hop)
        return target, response

    def _heard(self, count: int) -> bool:
        """Note that bytes came; False where they were too many, and the transfer is over."""
        self._header_room -= count
        if self._header_room < 0:
            self._give_up(FetchFailed("too much before the file", detail="endless headers"))
            return False
        if self._stall is not None:
            self._stall.reset(self._policy.stall_timeout)
        return True

    def _watch(self, *, on: bool) -> None:
        """Begin to watch for a stall, or leave off while we keep the server waiting ourselves."""
        if self._stall is not None and self._stall.active():
            self._stall.cancel()
        self._stall = None
        if on:
            self._stall = self._clock.callLater(self._policy.stall_timeout, self._stalled)

    def _stalled(self) -> None:
        self._stall = None
        silence = f"not a byte for {self._policy.stall_timeout} s"
        self._give_up(FetchFailed("timed out", detail=silence))

    def _give_up(self, verdict: Exception) -> None:
        self._verdict = verdict
        self._task.cancel()

    def _stop(self) -> Deferred[None]:
        """Stop both clocks and abort the connection; fires when it is gone."""
        self._watch(on=False)
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        return self._endpoints.hang_up()

    async def _discard(self) -> None:
        try:
            await self._in_thread(self._landing.discard)
        except OSError:
            self._log.failure("A file that was given up could not be removed")

    async def _in_thread(
        self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """Call what blocks. After a cancellation it still runs to its end, the connection not."""
        pool = self._reactor.getThreadPool()
        job = deferToThreadPool(self._reactor, pool, function, *args, **kwargs)
        return await _settled(job, self._stop)


async def _settled(job: Deferred[_T], on_cancel: Callable[[], object] = lambda: None) -> _T:
    """Wait for what can't be stopped. A cancellation meanwhile is raised when it has ended."""
    outcome: list[_T | Failure] = []
    waiter: Deferred[None] = Deferred()

    def ended(result: _T | Failure) -> None:
        outcome.append(result)
        waiter.callback(None)

    job.addBoth(ended)
    cancelled = False
    while not outcome:
        waiter = Deferred()
        try:
            await waiter
        except CancelledError:
            cancelled = True
            on_cancel()
    if cancelled:
        raise CancelledError
    [result] = outcome
    if isinstance(result, Failure):
        result.raiseException()
    return result


class _Body(Protocol):
    """Gathers a response's body into pieces, and pauses the server while one is written.

    Reading and writing take turns: at full speed together they would keep two processors busy,
    and whoever waits for an answer from this process would wait for a processor, too.
    """

    transport: Any

    def __init__(self, policy: FetchPolicy, flowing: Callable[..., None]) -> None:
        self._policy = policy
        self._flowing = flowing
        self._gathered = bytearray()
        self._received = 0
        self._paused = False
        self._end: Exception | None = None
        self._more: Deferred[None] | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing comes after what was taken."""
        return self._end is not None and not self._gathered

    async def take(self) -> bytearray:
        """Give what has come: a piece at least, or all the rest, after which it has ``ended``.

        TooLarge, or FetchFailed where the file is not whole.
        """
        if self._paused:
            self._paused = False
            if self._end is None:
                self._flowing(on=True)
            self.transport.resumeProducing()
        while self._end is None and len(self._gathered) < _PIECE:
            self._more = Deferred()
            await self._more
        if self._end is not None and not isinstance(self._end, ResponseDone):
            raise self._end
        piece, self._gathered = self._gathered, bytearray()
        return piece

    def dataReceived(self, data: bytes) -> None:
        if self._end is not None:
            return
        self._received += len(data)
        try:
            self._policy.check_size(self._received)
            self._gathered += data
        except Exception as error:  # were it the last piece, Twisted would take the file for whole
            self.transport.pauseProducing()
            self._ended(error)
            return
        if len(self._gathered) >= _PIECE and not self._paused:
            self._paused = True
            self._flowing(on=False)
            self.transport.pauseProducing()
            self._wake()

    def connectionLost(self, reason: Any) -> None:  # type: ignore[override]  # always has one
        if reason.check(ResponseDone):
            self._ended(reason.value)
        elif reason.check(PotentialDataLoss):
            self._ended(FetchFailed("the server does not say where the file ends"))
        else:
            self._ended(FetchFailed("the file ended early", detail=causes(reason.value)))

    def _ended(self, end: Exception) -> None:
        if self._end is None:
            self._end = end
            self._flowing(on=False)
            self._wake()

    def _wake(self) -> None:
        more, self._more = self._more, None
        if more is not None:
            more.callback(None)

"""Putting a file: one HTTP PUT under a policy, streamed from the disk.

Theory of operation
===================

In come a URL, an open file and headers. Nothing comes out but success, or one error, when no
connection is left. A transfer is one coroutine (``_Put._run``):

===========  ==========================================  ==========================================
state        waits for                                   leads to
===========  ==========================================  ==========================================
resolving    the resolver, in a thread                   connecting
connecting   TCP                                         sending
sending      the connection to take more, for https      answered, at any time; waiting, when all
             after its handshake, or a thread that       is sent
             reads the file (``Outgoing``)
waiting      the head of the answer                      answered
answered     the old connection to be gone               done, for a 200 or 201; else an error
giving up    the old connection to be gone               (an error)
===========  ==========================================  ==========================================

Every state but *done* leads to *giving up*, too. What leads there:

- The policy, which judges the URL and each address, as for a Fetcher (``JudgedConnections``).
- The server and the network. ``explained`` says in our words what their errors mean.
- The file: it can't be read, or got shorter. What was promised by Content-Length does not come any
  more, so the connection is aborted.
- Bytes before the body of the answer: more than ``MOST_BEFORE_BODY``, counted below TLS.
- The stall limit: no byte moved in either direction for ``stall_timeout`` seconds. The kernel may
  hold megabytes, for which a slow line needs longer than that. So we look now and then whether the
  server's system has confirmed some of them.
- The caller, who cancels the Deferred. There is no limit for the whole here: that is the caller's.

As in a Fetcher, limits note their error in ``_verdict`` and cancel the coroutine.

Redirects are not followed: a slot's headers are secrets, and for its server only. Nothing of the
answer but its status counts, and its body is never read: the connection is aborted, which a server
that has answered can't mind.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from http.client import responses
from typing import Any, Final

from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from twisted_oob._tls import NoRoots
from twisted_oob.errors import FetchFailed, Forbidden, NoRoom, UploadFailed
from twisted_oob.files.connections import JudgedConnections
from twisted_oob.files.failures import NO_TLS, explained
from twisted_oob.files.header_lines import MOST_BEFORE_BODY, TOO_LONG
from twisted_oob.files.outgoing import Outgoing
from twisted_oob.files.policy import FetchPolicy
from twisted_oob.files.progress import ProgressObserver
from twisted_oob.files.put_request import PutRequest, request_head
from twisted_oob.files.source import SourceFile
from twisted_oob.files.urls import Target, read_url
from twisted_oob.files.wait_out import wait_out

# How often in a stall_timeout we look whether bytes have moved.
_LOOKS: Final = 8
_STORED: Final = frozenset({200, 201})
_MOST_QUOTED: Final = 60
# Shorter ones are words of a language.
_WORD: Final = re.compile(r"[^\W_]{4,}")


def put(
    reactor: Any,
    url: str,
    source: SourceFile,
    *,
    policy: FetchPolicy,
    tls_policy: Any,
    media_type: str,
    headers: Sequence[tuple[str, str]] = (),
    on_progress: Callable[[int, int], object] | None = None,
) -> Deferred[None]:
    """Put a file whole to a URL.

    Args:
        reactor: Makes connections (IReactorTCP), resolves names, tells the time (IReactorTime) and
            has a thread pool.
        url: An http or https URL.
        source: The file. The caller closes it, when the Deferred has fired.
        policy: Its ``allow_networks``, ``deny_networks``, ``stall_timeout`` and ``user_agent``
            count.
        tls_policy: An IPolicyForHTTPS that verifies servers.
        media_type: The Content-Type.
        headers: Further headers, in order, without line breaks.
        on_progress: Called with the bytes that have left and the size, each time that some have.

    Returns:
        A Deferred that fires with None when the server has answered 200 or 201. It fails with
        UploadFailed, with OSError if the file can't be read, or with CancelledError. ``cancel()``
        aborts the connection.
    """
    try:
        target = read_url(url)
    except Forbidden as error:
        return fail(UploadFailed(None, f"the URL can't be used: {error.text}"))
    head = request_head(target, source.size, media_type, headers, user_agent=policy.user_agent)
    return _Put(reactor, source, policy, tls_policy, on_progress).start(target, head)


class _Put:
    """One transfer; the states are those of the module's docstring."""

    _task: Deferred[None]

    def __init__(
        self,
        reactor: Any,
        source: SourceFile,
        policy: FetchPolicy,
        tls_policy: Any,
        on_progress: Callable[[int, int], object] | None,
    ) -> None:
        self._reactor = reactor
        self._policy = policy
        self._connections = JudgedConnections(reactor, policy, tls_policy, self._heard)
        self._body = Outgoing(reactor, source, self._sent, self._unreadable)
        self._size = source.size
        self._progress = ProgressObserver(on_progress)
        self._room = MOST_BEFORE_BODY
        self._request: PutRequest | None = None
        self._acknowledged = 0
        self._last_moved = self._last_look = reactor.seconds()
        self._stall: Any = None
        self._verdict: Exception | None = None

    def start(self, target: Target, head: bytes) -> Deferred[None]:
        self._task = Deferred.fromCoroutine(self._run(target, head))
        return self._task

    async def _run(self, target: Target, head: bytes) -> None:
        self._look()
        try:
            await self._send(target, head)
        except Exception as error:
            # What ended the transfer counts, not the CancelledError that it led to.
            verdict = self._verdict or _explained(error, target)
            await wait_out(self._stop())
            if verdict is error:
                raise
            raise verdict from error
        finally:
            self._stop()

    async def _send(self, target: Target, head: bytes) -> None:
        request: PutRequest = await self._connections.connect(
            target, lambda: PutRequest(head, self._body)
        )
        self._request = request
        status, reason = await request.answer
        if status not in _STORED:
            raise UploadFailed(status, _told(status, reason, head))
        if not self._body.whole:
            raise UploadFailed(status, f"the server answered {status} before it had the whole file")
        await wait_out(self._stop())

    def _heard(self, count: int) -> bool:
        """Note that bytes came; False if they were too many and the transfer ends."""
        self._room -= count
        if self._room < 0:
            self._give_up(UploadFailed(None, TOO_LONG))
            return False
        self._moved()
        return True

    def _sent(self, done: int) -> None:
        """Note that bytes have left."""
        self._moved()
        self._progress(done, self._size)

    def _unreadable(self, failure: Failure | None) -> None:
        error = None if failure is None else failure.value
        shorter = UploadFailed(None, "the file got shorter while it was sent")
        self._give_up(error if isinstance(error, Exception) else shorter)

    def _moved(self) -> None:
        """Note that bytes moved just now."""
        self._last_moved = self._reactor.seconds()

    def _look(self) -> None:
        """Look whether bytes moved without a word to us; give up if none did for too long."""
        now = self._reactor.seconds()
        acknowledged = 0 if self._request is None else self._request.acknowledged()
        if acknowledged > self._acknowledged:
            # Nobody knows when. It may have been just after the last look.
            self._last_moved = max(self._last_moved, self._last_look)
            self._acknowledged = acknowledged
        self._last_look = now
        limit = self._policy.stall_timeout
        left = self._last_moved + limit - now
        if left > 0:
            self._stall = self._reactor.callLater(min(left, limit / _LOOKS), self._look)
        else:
            self._give_up(UploadFailed(None, f"no byte went or came for {limit:g} s"))

    def _give_up(self, verdict: Exception) -> None:
        """Cancel the coroutine from the inside, with this error instead of CancelledError."""
        self._verdict = verdict
        self._task.cancel()

    def _stop(self) -> Deferred[None]:
        """Stop the limit and abort the connection; the Deferred fires when it is gone."""
        if self._stall is not None and self._stall.active():
            self._stall.cancel()
        self._stall = None
        return self._connections.hang_up()


def _explained(error: Exception, target: Target) -> Exception:
    """Say in words for the sender what an error of the network means."""
    told = explained(error)
    where = f"{target.host}, port {target.port}"
    if isinstance(error, NoRoots):
        return UploadFailed(None, f"{error} ({where})")
    if isinstance(told, Forbidden):
        return UploadFailed(None, f"{told.detail} ({where})")
    if isinstance(told, NoRoom):
        return UploadFailed(None, "this process has too many open files")
    if isinstance(told, FetchFailed):
        advice = "; is its certificate of an authority that ca_file must name?"
        return UploadFailed(None, f"{told.text} ({where}){advice * (told.text == NO_TLS)}")
    return told


def _told(status: int, reason: bytes, head: bytes) -> str:
    """Give a status as a person may read it, with its reason phrase.

    A server may say there what we sent, with the secrets of the URL and the headers. Then, or if it
    is no short plain text, the standard's phrase takes its place.
    """
    phrase = reason.decode("ascii", "replace").strip()
    sent = head.decode().lower()
    if (
        not phrase.isprintable()
        or not 0 < len(phrase) <= _MOST_QUOTED
        or any(word in sent for word in _WORD.findall(phrase.lower()))
    ):
        phrase = responses.get(status, "")
    return f"the server answered {status} {phrase}".rstrip()

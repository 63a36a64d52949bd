"""UploadHandler: HTTP File Upload (XEP-0363 1.2.0), from a file to the URL to give away.

Theory of operation
===================

An upload is one coroutine (``_Upload._run``). It borrows the handler's stream for what is asked
over XMPP, and ``files.put`` for what goes over HTTP.

==========  ========================================================  =============================
state       waits for                                                 leads to
==========  ========================================================  =============================
detached    a stream that is up                                       finding
finding     the answers of disco, once for each stream                asking
asking      a slot                                                    putting; pausing
pausing     the time that the service names, else a few seconds       asking
putting     ``put``                                                   done; asking, once, if the
                                                                      slot is gone
done                                                                  (the URL)
==========  ========================================================  =============================

A slot is asked for only when we have no good one: at first, after a refusal that tells us to wait,
and when the server says that the slot is gone (``GONE``). Servers count each towards a quota.

One timer limits all of it. While *putting* it leads to UploadFailed, before that to TimeoutError,
as for all else that waits for an answer over XMPP. Each answer may take ``stall_timeout``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timezone
from ipaddress import IPv4Network, IPv6Network
from os import PathLike
from pathlib import Path
from typing import Any, Final, TypeVar

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.words.protocols.jabber.error import StanzaError
from twisted.words.protocols.jabber.xmlstream import TimeoutError as IQTimeoutError

from twisted_oob._checks import check_callable, check_flag, checked_reactor
from twisted_oob._file_info import FileInfo
from twisted_oob.errors import FileTooLarge, Forbidden, UploadFailed
from twisted_oob.files.policy import FetchPolicy
from twisted_oob.files.put import put
from twisted_oob.files.source import SourceFile, media_type_of
from twisted_oob.files.trust import HttpsTrust
from twisted_oob.files.urls import read_url
from twisted_oob.protocol.slots import Slot, read_refusal, read_slot, slot_name, slot_request
from twisted_oob.protocol.upload_service import (
    Found,
    UploadService,
    check_takes,
    find_services,
    server_domain,
)
from twisted_oob.xmpp.asking import AskingHandler
from twisted_oob.xmpp.stream import BoundStream

_T = TypeVar("_T")

GONE: Final = frozenset({401, 403, 409, 410, 413})
"""The statuses of a slot that can't be used any more: expired, used up, or over a quota."""
_WAITS: Final = (2.0, 5.0, 10.0)
"""Seconds before each further request for a slot if the service doesn't say until when to wait."""


class UploadHandler(AskingHandler):
    """Uploads files to the server's own service, over HTTP (XEP-0363).

    Add it to any stream manager that takes Wokkel's handlers, beside an OOBHandler or alone.

    Args:
        reactor: Makes connections, resolves names, tells the time and has a thread pool; None for
            the global reactor.
        allow_networks: Networks that the service may be in although they are not global unicast, or
            hold an address of this machine.
        deny_networks: Networks that it must not be in, whatever else allows it.
        allow_http: Whether the URLs of a slot may be http. The file can be read on its way then.
        ca_file: A file of certificates in PEM format that the service may be verified with, beside
            the platform's.
        timeout: Seconds for a whole upload, from finding the service to the server's answer.
        stall_timeout: Seconds without a byte in either direction, or without an answer over XMPP.

    Raises:
        TypeError: An argument has the wrong type. The message names it.
        ValueError: A number of seconds is not above 0, or the ``ca_file`` contains no certificate.
        OSError: The ``ca_file`` can't be read.

    Attributes:
        allow_networks: The same. It is read at each upload, and may be replaced by a longer tuple.
    """

    def __init__(
        self,
        reactor: Any = None,
        *,
        allow_networks: tuple[IPv4Network | IPv6Network, ...] = (),
        deny_networks: tuple[IPv4Network | IPv6Network, ...] = (),
        allow_http: bool = False,
        ca_file: str | Path | None = None,
        timeout: float = 900.0,
        stall_timeout: float = 30.0,
    ) -> None:
        reactor = checked_reactor(reactor)
        super().__init__(reactor)
        self._reactor = reactor
        self.allow_networks = allow_networks
        self._deny_networks = deny_networks
        self._allow_http = check_flag("allow_http", allow_http)
        self._timeout = timeout
        self._stall_timeout = stall_timeout
        self._policy()
        self._tls_policy = HttpsTrust(ca_file)
        self._found: Found | None = None
        self._search: Deferred[Found] | None = None
        self._searchers: list[Deferred[Found]] = []

    def _policy(self, timeout: float | None = None) -> FetchPolicy:
        return FetchPolicy(
            allow_networks=self.allow_networks,
            deny_networks=self._deny_networks,
            timeout=self._timeout if timeout is None else timeout,
            stall_timeout=self._stall_timeout,
        )

    def find_service(self) -> Deferred[UploadService | None]:
        """Find the server's upload service. The answer is kept for as long as the stream lasts.

        Returns:
            A Deferred. Of several services it gives the one that takes the largest files; None if
            the server has none. It fails with TimeoutError (of Twisted Words) if there is no stream
            in time, with the reason that the stream was lost for, with StreamRefused or with
            CancelledError.
        """
        return Deferred.fromCoroutine(self._service())

    def upload(
        self,
        path: str | PathLike[str] | SourceFile,
        *,
        name: str | None = None,
        media_type: str | None = None,
        on_progress: Callable[[int, int], object] | None = None,
        timeout: float | None = None,
    ) -> Deferred[str]:
        """Upload a file.

        Args:
            path: Where it is, or the open file, which the caller then closes.
            name: The name to give it; None for its own. Only the last segment counts.
            media_type: Its media type, without parameters; None for what its name tells.
            on_progress: Called with the bytes that have left and the size, each time that some
                have. It begins anew if the server wants a new slot.
            timeout: Seconds for the whole upload; None for the handler's.

        Returns:
            A Deferred. It fires with the URL to give away, when the server has the whole file. It
            fails with:

            - UploadServiceNotFound: the server has no such service;
            - FileTooLarge: the service does not take as large a file;
            - SlotRefused: the service does not take it now, or for another reason;
            - UploadFailed: its HTTP server did not take it whole, or not in time;
            - OSError: the file can't be read;
            - TimeoutError (of Twisted Words), StreamRefused, or what the stream was lost for:
              nobody answered over XMPP;
            - CancelledError: after ``cancel()``, which closes the connection at once;
            - ValueError or TypeError: an argument is not valid. Nothing is sent then.
        """
        try:
            check_callable("on_progress", on_progress)
            policy = self._policy(timeout)
            info = FileInfo(name, None, media_type)
            if isinstance(path, SourceFile) and path.closed:
                raise ValueError(f"{path.path} is closed")
            source = path if isinstance(path, SourceFile) else SourceFile(path)
        except Exception:
            return fail(Failure())
        uploading = _Upload(
            self,
            self._reactor,
            source,
            info=info,
            policy=policy,
            tls_policy=self._tls_policy,
            allow_http=self._allow_http,
            on_progress=on_progress,
        ).start()
        if source is not path:
            uploading.addBoth(_closing, source)
        return uploading

    async def _service(self) -> UploadService | None:
        """Find the service, together with others who do at the same time."""
        me = await self.wait_for_stream(self._timeout)
        if self._found is not None:
            return self._found.best
        searcher: Deferred[Found] = Deferred(self._leave)
        self._searchers.append(searcher)
        if self._search is None:
            self._search = Deferred.fromCoroutine(self._find(server_domain(me)))
            self._search.addBoth(self._searched)
        return (await searcher).best

    async def _find(self, domain: str | None) -> Found:
        return Found((), complete=True) if domain is None else await find_services(self, domain)

    def _searched(self, result: Found | Failure) -> None:
        self._search = None
        # Who did not answer may be there a moment later.
        if isinstance(result, Found) and (result.services or result.complete):
            self._found = result
        searchers, self._searchers = self._searchers, []
        for searcher in searchers:
            if not searcher.called:
                searcher.callback(result)

    def _leave(self, searcher: Deferred[Found]) -> None:
        if searcher in self._searchers:
            self._searchers.remove(searcher)
            if not self._searchers and self._search is not None:
                self._search.cancel()

    def _stream_lost(self, stream: BoundStream, reason: Failure) -> None:
        # The next stream may lead to another server.
        self._found = None
        super()._stream_lost(stream, reason)


def _closing(result: _T, source: SourceFile) -> _T:
    source.close()
    return result


class _Upload:
    """One upload; the states are those of the module's docstring.

    Args:
        handler: Asks over XMPP.
        reactor: As for the handler.
        source: The file.
        info: The name and the media type to upload it with, if they are not its own.
        policy: The rules for connections, and all limits of time.
        tls_policy: Verifies https servers.
        allow_http: As for the handler.
        on_progress: As for ``put``.
    """

    _task: Deferred[str]
    _timer: Any

    def __init__(
        self,
        handler: UploadHandler,
        reactor: Any,
        source: SourceFile,
        *,
        info: FileInfo,
        policy: FetchPolicy,
        tls_policy: HttpsTrust,
        allow_http: bool,
        on_progress: Callable[[int, int], object] | None,
    ) -> None:
        self._handler = handler
        self._reactor = reactor
        self._source = source
        name = slot_name(source.name if info.name is None else info.name)
        self._media_type = info.media_type or media_type_of(name)
        self._request = slot_request(name, source.size, self._media_type)
        self._policy = policy
        self._tls_policy = tls_policy
        self._allow_http = allow_http
        self._on_progress = on_progress
        self._putting = False
        self._verdict: Exception | None = None

    def start(self) -> Deferred[str]:
        self._timer = self._reactor.callLater(self._policy.timeout, self._late)
        self._task = Deferred.fromCoroutine(self._run())
        return self._task

    async def _run(self) -> str:
        try:
            service = await self._service()
            for last in (False, True):
                slot = await self._slot(service)
                _judge(slot, allow_http=self._allow_http)
                try:
                    await self._put(slot)
                except UploadFailed as error:
                    if last or error.status not in GONE:
                        raise
                else:
                    break
            return slot.get
        except CancelledError as error:
            if self._verdict is None:
                raise
            raise self._verdict from error
        finally:
            if self._timer.active():
                self._timer.cancel()

    def _late(self) -> None:
        seconds = f"{self._policy.timeout:g} s"
        self._verdict = (
            UploadFailed(None, f"the server did not have the whole file after {seconds}")
            if self._putting
            else IQTimeoutError(f"no slot for the file after {seconds}")
        )
        self._task.cancel()

    async def _service(self) -> UploadService:
        await self._handler.wait_for_stream(None)
        return check_takes(await self._handler.find_service(), self._source.size)

    async def _slot(self, service: UploadService) -> Slot:
        """Ask for a slot, and again for as long as the service only says to wait."""
        waits = iter(_WAITS)
        while True:
            try:
                answer = await self._handler.ask(
                    "get", self._request, service.jid, timeout=self._policy.stall_timeout
                )
                return read_slot(answer)
            except StanzaError as error:
                refusal = read_refusal(error, datetime.now(timezone.utc))
                if isinstance(refusal, FileTooLarge):
                    raise refusal from None
                if error.type != "wait" and refusal.retry is None:
                    raise refusal from None
            except ValueError as error:
                raise UploadFailed(None, str(error)) from None
            seconds = refusal.retry or next(waits, math.inf)
            if seconds >= self._timer.getTime() - self._reactor.seconds():
                raise refusal
            await deferLater(self._reactor, seconds)

    async def _put(self, slot: Slot) -> None:
        self._putting = True
        try:
            await put(
                self._reactor,
                slot.put,
                self._source,
                policy=self._policy,
                tls_policy=self._tls_policy,
                media_type=self._media_type,
                headers=slot.headers,
                on_progress=self._on_progress,
            )
        finally:
            self._putting = False


def _judge(slot: Slot, *, allow_http: bool) -> None:
    """Judge both URLs of a slot: where we put a file, and what we give away.

    Raises:
        UploadFailed: One can't be used.
    """
    for method, url in (("PUT", slot.put), ("GET", slot.get)):
        try:
            scheme = read_url(url).scheme
        except Forbidden as error:
            raise UploadFailed(
                None, f"the slot's {method} URL can't be used: {error.text}"
            ) from None
        if scheme != "https" and not allow_http:
            raise UploadFailed(
                None, f"the slot's {method} URL is {scheme}, not https; allow_http=True takes it"
            )

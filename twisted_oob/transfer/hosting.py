"""Hosting: how a local file gets a URL, by an upload to the server or by a share of our own.

=============  ==================================  =====================================
``via``        tried first                         if there is no service, or the file
                                                   is too large for it
=============  ==================================  =====================================
``'auto'``     the upload, if there is an          the share, if there is one
               UploadHandler; else the share
``'upload'``   the upload                          it fails
``'share'``    the share                           --
=============  ==================================  =====================================

An upload that was begun and fails is not made up for by a share: its URL reaches fewer people, and
whoever sends should hear at once that their server refuses. A slot that is refused for an empty
file says no more than a limit does, though: some servers (ejabberd) take no empty files.

What was kept of the same file (``kept.py``) spares the upload or the new share.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import unquote, urlsplit

from twisted.logger import Logger
from twisted.words.protocols.jabber.xmlstream import TimeoutError as IQTimeoutError

from twisted_oob._file_info import FileInfo
from twisted_oob.errors import FileTooLarge, SlotRefused, UploadServiceNotFound
from twisted_oob.files.hashing import hash_in_thread
from twisted_oob.files.progress import ProgressObserver
from twisted_oob.files.urls import path_of
from twisted_oob.protocol.upload_service import check_takes
from twisted_oob.xmpp.ready import local_host

if TYPE_CHECKING:
    from twisted.words.protocols.jabber.jid import JID

    from twisted_oob.files.share import FileShare
    from twisted_oob.files.shared_file import SharedFile
    from twisted_oob.files.source import SourceFile
    from twisted_oob.transfer.kept import KeptUrls
    from twisted_oob.transfer.uploads import UploadHandler

PLACES: Final = ("auto", "upload", "share")
"""What ``via`` may be."""

_MARGIN: Final = 5.0
"""Seconds that an upload's own limit is later than that of the sending."""
# What neither XML (XML 1.0 section 2.2) nor a line of text can hold.
_NOT_IN_NAMES: Final = re.compile("[\0-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")

OnProgress: TypeAlias = "Callable[[str, int, int], object]"
"""Called with the phase (``'hash'``, ``'upload'``, ``'read'``), the bytes that are done and the
size."""

_log = Logger()


class UrlHost:
    """In the place of a FileHost for a URL, which has its place already.

    Args:
        url: The URL.
    """

    via: str | None = "url"
    shared: SharedFile | None = None

    def __init__(self, url: str) -> None:
        self.url: str | None = url
        name = unquote(path_of(url).rpartition("/")[2])
        self.info = FileInfo(sendable_name(name) or None)
        self._url = url

    async def give_url(
        self, manager: Any, recipient: JID, seconds: float | None, *, lasting: bool = False
    ) -> str:
        """Give the URL."""
        return self._url

    def keep(self) -> None:
        """Do nothing: the URL is somebody else's."""

    def close(self) -> None:
        """Do nothing: the URL is somebody else's."""


class FileHost:
    """Gives one open file a URL.

    Args:
        source: The file. It is closed by ``close``.
        place: One of PLACES. What it forces must be there.
        share: A FileShare, or None.
        uploads: An UploadHandler, or None.
        tell: Called as something goes on, until this is closed; None if nobody wants to know.
        kept: Keeps URLs; None if the share ends with this.

    Attributes:
        via: What is or was tried last, ``'upload'`` or ``'share'``; None before.
        url: The URL, once there is one.
        info: What is known of the file; its SHA-256 after it was hashed.
        shared: The SharedFile that was made for the URL; None if there is no such thing.
    """

    def __init__(
        self,
        source: SourceFile,
        *,
        place: str,
        share: FileShare | None,
        uploads: UploadHandler | None,
        tell: OnProgress | None,
        kept: KeptUrls | None = None,
    ) -> None:
        self.via: str | None = None
        self.url: str | None = None
        self.info = FileInfo(sendable_name(source.name), source.size, source.media_type)
        self.shared: SharedFile | None = None
        self._source = source
        self._share = None if place == "upload" else share
        self._uploads = None if place == "share" else uploads
        self._kept = kept
        self._progress = ProgressObserver(tell)
        self._closed = False

    async def give_url(
        self, manager: Any, recipient: JID, seconds: float | None, *, lasting: bool = False
    ) -> str:
        """Give the file its URL.

        Args:
            manager: The manager of a stream that is up: a share is reached at its address.
            recipient: Who should reach it.
            seconds: How long an upload may take; None for as long as it takes.
            lasting: Whether a share that is kept will do: it may end before it was read.

        Raises:
            UploadServiceNotFound, FileTooLarge, SlotRefused, UploadFailed: It can't be uploaded.
            OSError: It can't be read, or got shorter.
            ValueError: The share does not run.
            Exception: What the share's endpoint could not listen for.
        """
        if self._uploads is not None:
            try:
                self.url = url = await self._upload(self._uploads, seconds)
                return url
            except (FileTooLarge, SlotRefused, UploadServiceNotFound) as error:
                if self._share is None or (isinstance(error, SlotRefused) and self._source.size):
                    raise
                _log.debug("Shared, not uploaded: {error}", error=error)
        if self._share is None:
            raise ValueError("neither share nor uploads is there")
        self.url = url = await self._serve(self._share, manager, recipient, lasting)
        return url

    def keep(self) -> None:
        """Let the share outlast this, if one was made for it and shares are kept."""
        if self.shared is not None and self._share is not None and self._kept is not None:
            self._kept.keep_share(self._share, self.shared)
            self._closed = True

    def close(self) -> None:
        """End the share of the file, if there is one that is not kept, and close the file."""
        if self._closed:
            return
        if self.shared is not None:
            self.shared.close()
        self._source.close()
        self._closed = True

    async def _upload(self, uploads: UploadHandler, seconds: float | None) -> str:
        self.via = "upload"
        known = None if self._kept is None else self._kept.upload_of(self._source)
        if known is not None:
            self._learn(known[1])
            return known[0]
        try:
            service = await uploads.find_service()
        except IQTimeoutError:
            raise UploadServiceNotFound("the server does not tell if it takes uploads") from None
        # Before the file is hashed, which may take long.
        check_takes(service, self._source.size)
        sha256 = await self._hash()
        self._learn(sha256)
        url: str = await uploads.upload(
            self._source,
            name=self.info.name,
            media_type=self.info.media_type,
            on_progress=self._teller("upload"),
            # The limit of the whole sending comes first, and is another outcome.
            timeout=None if seconds is None else seconds + _MARGIN,
        )
        if self._kept is not None:
            self._kept.keep_upload(self._source, url, sha256)
        return url

    async def _serve(self, share: FileShare, manager: Any, recipient: JID, lasting: bool) -> str:
        self.via = "share"
        if not share.running:
            raise ValueError("share does not run: call its startService first")
        await share.ready
        shared = None
        if lasting and self._kept is not None:
            shared = self._kept.share_of(share, self._source)
        if shared is None:
            shared = self.shared = share.add(
                self._source,
                name=self.info.name,
                media_type=self.info.media_type,
                on_progress=self._teller("read"),
            )
        self._learn(await shared.hash(self._teller("hash")))
        host = local_host(manager)
        url = shared.url if host is None or not share.is_at(host) else shared.url_for(host)
        if is_loopback(urlsplit(url).hostname or "") and not is_loopback(recipient.host):
            _log.warn(
                "{recipient} may not reach the shared file: its address is of this machine only. "
                "Set public_url (--public-url) to where it is reached.",
                recipient=recipient.full(),
            )
        return url

    async def _hash(self) -> str:
        return await hash_in_thread(self._source, self._teller("hash"))

    def _learn(self, sha256: str) -> None:
        self.info = FileInfo(self.info.name, self.info.size, self.info.media_type, sha256)

    def _teller(self, phase: str) -> Callable[[int, int], None]:
        return partial(self._told, phase)

    def _told(self, phase: str, done: int, total: int) -> None:
        # A thread or a reader may have something to tell after the end.
        if not self._closed:
            self._progress(phase, done, total)


def sendable_name(name: str) -> str:
    """Give a file's name as XML and HTTP can hold it: what they can't becomes U+FFFD."""
    return _NOT_IN_NAMES.sub("\ufffd", name)


def is_loopback(host: str) -> bool:
    """Whether a host is this machine to itself: localhost (RFC 6761) or a loopback address."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")

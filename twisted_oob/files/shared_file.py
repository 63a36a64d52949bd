"""SharedFile: one file of a FileShare, from its URL to its end."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from twisted.internet.defer import Deferred, succeed
from twisted.web.http import datetimeToString

from twisted_oob._checks import check_callable, check_not_empty
from twisted_oob._file_info import FileInfo
from twisted_oob.files.hashing import hash_in_thread
from twisted_oob.files.headers import describe
from twisted_oob.files.readers import Readers
from twisted_oob.files.source import SourceFile

if TYPE_CHECKING:
    from twisted_oob.files.sendfile import Sending

_ETAG_BYTES: Final = 16


class SharedFile:
    """A file that is shared; ``FileShare.add`` makes it.

    Args:
        source: The open file.
        info: What is known of it; its name, size and media type must be.
        url_for: Gives its URL on a host, or that which all hosts have if the host is None.
        on_progress: See ``FileShare.add``.
        on_close: Called once when it is closed.

    Attributes:
        info: What is known of it. The SHA-256 is there after ``hash``.
        source: The open file; for what serves it, as are the next two.
        readers: What its readers have got.
        sendings: Those that run.
    """

    def __init__(
        self,
        source: SourceFile,
        info: FileInfo,
        *,
        url_for: Callable[[str | None], str],
        on_progress: Callable[[int, int], object] | None,
        on_close: Callable[[], None],
    ) -> None:
        self.source = source
        self.info = info
        self.readers = Readers(source.size, on_progress)
        self.sendings: set[Sending] = set()
        self._url_for = url_for
        self._on_close = on_close
        # A file's time must not be later than ours (RFC 9110 section 8.8.2.1).
        modified = max(0.0, min(source.modified, time.time()))
        self._modified = datetimeToString(modified)
        # Nothing else ever has it, and one file never has two contents.
        self._etags = [_quoted(secrets.token_urlsafe(_ETAG_BYTES))]

    def __repr__(self) -> str:
        # The URL is secret.
        return f"<{type(self).__name__} of {self.source.path}>"

    @property
    def url(self) -> str:
        """Its URL: ``PUBLIC/TOKEN/NAME``. Whoever has it can read the file."""
        return self._url_for(None)

    def url_for(self, host: str) -> str:
        """Give the URL as somebody can reach it who reaches this machine by another name.

        Args:
            host: A host name or an address; an IPv6 address gets its brackets. If the share has a
                public URL, that is what counts.

        Raises:
            ValueError: No URL can have such a host.
            WrongType: The host is no str. It is a TypeError.
        """
        return self._url_for(check_not_empty("host", host))

    @property
    def reads(self) -> int:
        """How often the whole file was read; see the module ``files.readers``."""
        return self.readers.reads

    def when_read(self) -> Deferred[None]:
        """Wait until the whole file was read once.

        Returns:
            A Deferred that fires when the kernel has every byte for the reader; this process may
            end then. It fires at once if that was before, and never if the file is closed before.
            It can be cancelled.
        """
        return self.readers.when_whole()

    def hash(self, on_progress: Callable[[int, int], object] | None = None) -> Deferred[str]:
        """Hash the file in a thread. Its SHA-256 then is in ``info``, and its ETag.

        Args:
            on_progress: Called with the bytes that are hashed and the size.

        Returns:
            A Deferred that fires with the SHA-256 in hex. It fails with an OSError if the file
            can't be read or got shorter, and with a ValueError if it was closed. To cancel it stops
            the thread.
        """
        check_callable("on_progress", on_progress)
        if self.info.sha256 is not None:
            return succeed(self.info.sha256)
        return hash_in_thread(self.source, on_progress).addCallback(self._know)

    def close(self) -> None:
        """End it: its URL is unknown from now on, and whoever still reads it is cut off.

        A second call does nothing.
        """
        if self.source.closed:
            return
        self._on_close()
        for sending in list(self.sendings):
            sending.stop()
        self.source.close()

    def headers(self) -> dict[str, str]:
        """Give the headers that each answer with the file has."""
        return {
            **describe(self.info.name or "", self.info.media_type or ""),
            "ETag": self._etags[-1].decode(),
            "Last-Modified": self._modified.decode(),
        }

    def still(self, validators: Sequence[bytes]) -> bool:
        """Tell whether the file is still the one that an If-Range means (RFC 9110 section 13.1.5).

        Args:
            validators: The header's values. One is good: a strong ETag that this file has or had,
                or exactly its Last-Modified.
        """
        return len(validators) == 1 and validators[0] in (*self._etags, self._modified)

    def _know(self, sha256: str) -> str:
        if self.info.sha256 is None:
            self.info = replace(self.info, sha256=sha256)
            # The first ETag means the same bytes: a reader who has it can go on.
            self._etags.append(_quoted(sha256))
        return sha256


def _quoted(tag: str) -> bytes:
    return f'"{tag}"'.encode()

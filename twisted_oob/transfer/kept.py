"""KeptUrls: URLs that outlast the sending of a file, and serve for the same file again.

Many clients load a picture anew whenever they show the message, and so do a person's other devices.
So a share may stay open for some time after its message. The same file, unchanged, gets the same
URL again meanwhile: servers count each upload towards a quota.

==========  ===============================  ====================================================
URL         kept from                        ends
==========  ===============================  ====================================================
a share's   its message, which has not       after the time that is set, counted anew when it is
            bounced                          sent again; when MOST_KEPT newer ones are kept; with
                                             its FileShare
an upload   the end of the upload            after that time too, but LONGEST_UPLOAD at most, as
                                             the server may delete it; then it is forgotten
==========  ===============================  ====================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from twisted_oob.files.share import FileShare
    from twisted_oob.files.shared_file import SharedFile
    from twisted_oob.files.source import SourceFile
    from twisted_oob.xmpp.deadlines import Clock

MOST_KEPT: Final = 100
"""How many shares, and how many uploads, are kept at most; the oldest go first."""
LONGEST_UPLOAD: Final = 3 * 3600.0
"""Seconds for which the URL of an upload serves again at most."""

_Key: TypeAlias = "tuple[tuple[int, ...], str]"


class KeptUrls:
    """Keeps the URLs of files that were sent.

    Args:
        seconds: How long.
        clock: Tells the time.
    """

    def __init__(self, seconds: float, clock: Clock) -> None:
        self._seconds = seconds
        self._clock = clock
        # The oldest first. Two sendings at once may share one file twice.
        self._shares: list[tuple[_Key, SharedFile]] = []
        self._uploads: dict[_Key, tuple[str, str, float]] = {}

    def keep_share(self, share: FileShare, shared: SharedFile) -> None:
        """Keep a shared file for the whole time from now on.

        Args:
            share: What shares it.
            shared: It. It is closed by this from now on.
        """
        share.expire(shared, self._seconds)
        self._shares = [one for one in self._shares if not one[1].source.closed]
        if len(self._shares) >= MOST_KEPT:
            self._shares.pop(0)[1].close()
        self._shares.append((_key(shared.source), shared))

    def share_of(self, share: FileShare, source: SourceFile) -> SharedFile | None:
        """Give what is kept of the same file, for the whole time from now on; None without.

        Args:
            share: What shares it.
            source: The file.
        """
        key = _key(source)
        for one in self._shares:
            known, shared = one
            if known == key and not shared.source.closed:
                share.expire(shared, self._seconds)
                self._shares.remove(one)
                self._shares.append(one)
                return shared
        return None

    def keep_upload(self, source: SourceFile, url: str, sha256: str) -> None:
        """Keep the URL of an upload.

        Args:
            source: The file.
            url: The URL to give away.
            sha256: The SHA-256 of the file in hex.
        """
        until = self._clock.seconds() + min(self._seconds, LONGEST_UPLOAD)
        self._uploads.pop(_key(source), None)
        if len(self._uploads) >= MOST_KEPT:
            del self._uploads[next(iter(self._uploads))]
        self._uploads[_key(source)] = url, sha256, until

    def upload_of(self, source: SourceFile) -> tuple[str, str] | None:
        """Give the URL and the SHA-256 of an upload of the same file; None without.

        Args:
            source: The file.
        """
        url, sha256, until = self._uploads.get(_key(source), ("", "", 0.0))
        if not url or self._clock.seconds() >= until:
            return None
        return url, sha256


def _key(source: SourceFile) -> _Key:
    return source.identity, source.name

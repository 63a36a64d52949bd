"""FetchedFile: what a Fetcher gives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from twisted_oob._urls import shown_url


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class FetchedFile:
    """A file that is whole, on the disk, and under its final name.

    Its ``repr`` shows the URL without its query, which may be as secret as a password.

    Attributes:
        path: The absolute path.
        size: The size in bytes.
        sha256: The SHA-256 of the whole file, in hex.
        url: Where the file came from in the end, after redirects; without userinfo and fragment.
        media_type: The media type without parameters, in lower case: the server's or, if that is
            missing or not valid, the offer's. None if neither tells.
    """

    path: Path
    size: int
    sha256: str
    url: str
    media_type: str | None = None

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(path={self.path!r}, size={self.size!r}, "
            f"sha256={self.sha256!r}, url={shown_url(self.url)!r}, "
            f"media_type={self.media_type!r})"
        )

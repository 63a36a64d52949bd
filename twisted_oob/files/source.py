"""SourceFile: a local file that is handed to others, as it was when it was opened.

A path may mean another file a moment later, and a file may grow or shrink. So a file is opened
once. From then on it is that inode and that size: what is hashed, what is announced and what is
sent are the same bytes, unless somebody writes into the very file meanwhile.
"""

from __future__ import annotations

import errno
import hashlib
import mimetypes
import os
import stat
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Final

from twisted_oob._checks import wrong_type

_PIECE: Final = 1024 * 1024
_UNKNOWN_TYPE: Final = "application/octet-stream"


class SourceFile:
    """An open regular file of a known size. Opening and reading block.

    Args:
        path: Where it is. A symbolic link is followed now, and never again.

    Raises:
        OSError: It can't be opened, or is no regular file. The text of an IsADirectoryError says
            how to hand over a folder.
        WrongType: The path is no path. It is a TypeError.

    Attributes:
        path: The path as it was given.
        size: The bytes that it had when it was opened.
        modified: When it was last changed until then, in seconds since 1970 (POSIX).
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        if not isinstance(path, str | PathLike):
            raise wrong_type("path", "a path", path)
        self.path = Path(path)
        # A FIFO without a writer would hold up the process here.
        self._fd = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            status = os.fstat(self._fd)
            _check_regular(self.path, status.st_mode)
        except BaseException:
            self.close()
            raise
        self.size = status.st_size
        self.modified = status.st_mtime

    @property
    def name(self) -> str:
        """Its name without the folder."""
        return self.path.name

    @property
    def media_type(self) -> str:
        """The media type that its name tells; ``application/octet-stream`` if it tells nothing."""
        kind, encoding = mimetypes.guess_type(self.path.name)
        # A compressed file is the archive, not what is in it.
        return _UNKNOWN_TYPE if kind is None or encoding is not None else kind

    @property
    def closed(self) -> bool:
        """Whether it can't be read any more."""
        return self._fd < 0

    def read(self, offset: int, count: int) -> bytes:
        """Read a piece.

        Args:
            offset: Where it begins.
            count: How many bytes at most.

        Returns:
            The bytes, never any beyond ``size``. An empty piece before ``size`` means that the file
            got shorter.

        Raises:
            OSError: It can't be read.
            ValueError: It is closed.
        """
        if self._fd < 0:
            raise ValueError(f"{self.path} is closed")
        return os.pread(self._fd, min(count, self.size - offset), offset)

    def sha256(self, on_progress: Callable[[int, int], object] | None = None) -> str:
        """Hash all of it.

        Args:
            on_progress: Called after each piece with the bytes that are hashed and the size, in the
                thread that called this.

        Returns:
            The SHA-256 in hex.

        Raises:
            OSError: It can't be read, or got shorter.
            ValueError: It was closed meanwhile.
        """
        found = hashlib.sha256()
        done = 0
        while done < self.size:
            piece = self.read(done, _PIECE)
            if not piece:
                raise OSError(errno.EIO, "the file got shorter while it was read", str(self.path))
            found.update(piece)
            done += len(piece)
            if on_progress is not None:
                on_progress(done, self.size)
        return found.hexdigest()

    def close(self) -> None:
        """Close it. A second call does nothing."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def _check_regular(path: Path, mode: int) -> None:
    if stat.S_ISDIR(mode):
        archive = f"{path.name or 'folder'}.tar.gz"
        raise IsADirectoryError(
            errno.EISDIR,
            f"it is a folder; pack it into one file first: tar -czf {archive} {path}",
            str(path),
        )
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))

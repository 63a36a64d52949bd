"""SourceFile: a local file that is handed to others, as it was when it was opened.

A path may mean another file a moment later, and a file may grow or shrink. So a file is opened
once. From then on it is that inode and that size: what is hashed, what is announced and what is
sent are the same bytes, unless somebody writes into the very file meanwhile.

Threads read it. One of them may be at it when the file is closed. Its descriptor's number could
then become that of another file, and the thread would read that one. So ``close`` only says that no
reading may begin, and the descriptor goes with the last one that runs.
"""

from __future__ import annotations

import errno
import hashlib
import mimetypes
import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Final

from twisted_oob._checks import wrong_type

_PIECE: Final = 1024 * 1024
_UNKNOWN_TYPE: Final = "application/octet-stream"
# What Linux reads ahead at least, by default. So if one byte of this many is in memory, all are.
_READ_AHEAD: Final = 64 * 1024


def media_type_of(name: str) -> str:
    """Give the media type that a file's name tells; if it tells nothing, application/octet-stream.

    Args:
        name: The name without a folder.
    """
    # Without the "./", what precedes a colon counts as the scheme of a URL.
    kind, encoding = mimetypes.guess_type(f"./{name}")
    # A compressed file is the archive, not what is in it.
    return _UNKNOWN_TYPE if kind is None or encoding is not None else kind


class SourceFile:
    """An open regular file of a known size. Opening and reading block.

    Args:
        path: Where it is. A symbolic link is followed now, and never again.
        folder: The descriptor of an open folder, or None. With it, the path's last segment is
            looked up there, and a symbolic link is not followed.

    Raises:
        OSError: It can't be opened, is no regular file, or does not tell its size. The text of an
            IsADirectoryError says how to hand over a folder.
        WrongType: The path is no path. It is a TypeError.

    Attributes:
        path: The path as it was given.
        size: The bytes that it had when it was opened.
        modified: When it was last changed until then, in seconds since 1970 (POSIX).
        identity: Equal for two files only if they are the same inode, unchanged in between.
    """

    def __init__(self, path: str | PathLike[str], *, folder: int | None = None) -> None:
        if not isinstance(path, str | PathLike):
            raise wrong_type("path", "a path", path)
        self.path = Path(path)
        # Guards the next two.
        self._lock = threading.Lock()
        self._readers = 0
        self._closed = False
        # A FIFO without a writer would hold up the process here.
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
        if folder is None:
            self._fd = os.open(self.path, flags)
        else:
            self._fd = os.open(self.path.name, flags | os.O_NOFOLLOW, dir_fd=folder)
        try:
            status = os.fstat(self._fd)
            _check_regular(self.path, status.st_mode)
            # In /proc, files say that they are empty.
            if not status.st_size and os.pread(self._fd, 1, 0) and not os.fstat(self._fd).st_size:
                raise OSError(
                    errno.EINVAL, "it does not tell its size; copy it first", str(self.path)
                )
        except BaseException:
            self.close()
            raise
        self.size = status.st_size
        self.modified = status.st_mtime
        # The last one can't be set: it tells of changes that keep the size and the time.
        self.identity = (
            status.st_dev,
            status.st_ino,
            status.st_size,
            status.st_mtime_ns,
            status.st_ctime_ns,
        )

    @property
    def name(self) -> str:
        """Its name without the folder."""
        return self.path.name

    @property
    def media_type(self) -> str:
        """The media type that its name tells; ``application/octet-stream`` if it tells nothing."""
        return media_type_of(self.path.name)

    @property
    def closed(self) -> bool:
        """Whether it can't be read any more."""
        return self._closed

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
        with self._reading() as fd:
            return os.pread(fd, max(0, min(count, self.size - offset)), offset)

    def send_to(self, socket: int, offset: int, count: int) -> int:
        """Hand a piece over to a socket, without a copy of it in this process (sendfile(2)).

        Args:
            socket: The descriptor of a socket that doesn't block.
            offset: Where the piece begins.
            count: How many bytes at most.

        Returns:
            How many bytes the kernel took. 0 before ``size`` means that the file got shorter.

        Raises:
            OSError: It can't be read or sent. BlockingIOError if the socket has no room.
            ValueError: It is closed.
        """
        with self._reading() as fd:
            return os.sendfile(socket, fd, offset, max(0, min(count, self.size - offset)))

    def in_memory(self, offset: int, count: int) -> bool:
        """Tell whether a piece can be read without waiting for the disk.

        It samples the piece, and never waits. If the system can't tell, the answer is False.

        Args:
            offset: Where the piece begins.
            count: How many bytes.

        Raises:
            ValueError: It is closed.
        """
        end = min(offset + count, self.size)
        one = bytearray(1)
        try:
            with self._reading() as fd:
                for position in (*range(offset, end, _READ_AHEAD), end - 1):
                    os.preadv(fd, [one], position, os.RWF_NOWAIT)
        except (OSError, AttributeError):  # not every system has it, nor every file system
            return False
        return True

    def load(self, offset: int, count: int) -> None:
        """Get a piece into memory. It blocks until the disk has given it.

        Args:
            offset: Where the piece begins.
            count: How many bytes.

        Raises:
            OSError: It can't be read.
            ValueError: It is closed.
        """
        for position in range(offset, min(offset + count, self.size), _READ_AHEAD):
            self.read(position, _READ_AHEAD)

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
        """Close it. A second call does nothing.

        A thread that is reading a piece gets it; the descriptor is closed then.
        """
        with self._lock:
            first, self._closed = not self._closed, True
            if first and not self._readers:
                os.close(self._fd)

    @contextmanager
    def _reading(self) -> Iterator[int]:
        with self._lock:
            if self._closed:
                raise ValueError(f"{self.path} is closed")
            self._readers += 1
        try:
            yield self._fd
        finally:
            with self._lock:
                self._readers -= 1
                if self._closed and not self._readers:
                    os.close(self._fd)


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

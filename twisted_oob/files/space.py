"""Room on a file system that is promised to the files that are on their way.

A file whose length is declared is refused before its first byte if it will not fit. What fits is
what is free, less what the other running transfers of this process still have to write.
"""

from __future__ import annotations

import os
import threading
from typing import Final

from twisted_oob.errors import NoRoom
from twisted_oob.files.forks import tell_of_forks


class Space:
    """The room on one file system. Every method may be called in any thread."""

    def __init__(self) -> None:
        self.forget_parent()
        tell_of_forks(self)

    def forget_parent(self) -> None:
        """Begin without promises, in a child that was just forked."""
        self._lock = threading.Lock()
        self._promised = 0

    def promise(self, size: int, fd: int) -> None:
        """Promise room to a file. Blocks.

        Args:
            size: The bytes that it still has to write.
            fd: A descriptor of a folder on the file system.

        Raises:
            NoRoom: It does not fit.
        """
        with self._lock:
            free = _free(fd)
            if free is not None and size > free - self._promised:
                raise NoRoom(
                    "no room for the file now",
                    detail=f"{size} bytes are declared, {free} are free on the disk, and "
                    f"{self._promised} of these are promised to other files",
                )
            self._promised += size

    def end(self, size: int) -> None:
        """End a promise, or a part of it: the bytes are written, or will not be."""
        with self._lock:
            # A forked child begins with none, and may end those of its parent's files.
            self._promised = max(0, self._promised - size)


_spaces: Final[dict[int, Space]] = {}


def space_of(device: int) -> Space:
    """Give the Space of a file system (``st_dev``), the same one for the whole process."""
    # setdefault is one step, whatever thread comes first.
    return _spaces.get(device) or _spaces.setdefault(device, Space())


def _free(fd: int) -> int | None:
    """Give the free bytes; None if the file system does not tell."""
    try:
        told = os.fstatvfs(fd)
    except OSError:
        return None
    # Some file systems in user space leave all figures 0.
    return told.f_bavail * told.f_frsize if told.f_blocks else None

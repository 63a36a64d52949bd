"""AppendedFile: the file of a log that others may move away, or make empty, while it is written.

Twisted's own LogFile keeps its position. If ``logrotate`` copies the file and makes it empty
(``copytruncate``), the next line of a LogFile lands behind as many NUL bytes as there were bytes
before. It can't write to a pipe either, such as ``/dev/stdout`` in a container.
"""

from __future__ import annotations

import fcntl
import os
import re
import stat
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

LONGEST: Final = 1_000_000
"""Bytes after which twistd begins another file, unless an operator did so before."""

_NAMED: Final = {"/dev/stdout": 1, "/dev/stderr": 2}
_DESCRIPTOR: Final = re.compile(r"/dev/fd/([0-9]{1,9})")


class AppendedFile:
    """A file that text is appended to, wherever it ends by then. Any thread may do so.

    Args:
        path: Its absolute path. A pipe, a device and a descriptor (``/dev/stdout``) are taken as
            they are, and never opened again.

    Raises:
        OSError: It can't be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.RLock()
        number = descriptor(path)
        # Not anew: root may have opened it for us, or it is a socket (systemd).
        self._fd = _open(path) if number is None else os.dup(number)
        self._regular = number is None and stat.S_ISREG(os.fstat(self._fd).st_mode)

    def write(self, text: str) -> None:
        """Append text; begin another file before that if this one is long.

        Raises:
            OSError: It can't be written.
        """
        rest = memoryview(text.encode())
        with self._lock:
            if self._regular and os.fstat(self._fd).st_size >= LONGEST:
                self.rotate()
            while rest:
                rest = rest[os.write(self._fd, rest) :]

    def flush(self) -> None:
        """Do nothing: no text waits here."""

    def reopen(self) -> None:
        """Write to what has the path now.

        Raises:
            OSError: It can't be opened. The text goes on where it went.
        """
        if self._regular:
            self._replace(_open(self._path))

    def rotate(self) -> None:
        """Give the file the suffix ``.1``, older ones the next number, and begin another.

        If the folder can't be written to, the text goes on where it went.
        """
        if not self._regular:
            return
        with self._lock, suppress(OSError):
            mode = stat.S_IMODE(os.fstat(self._fd).st_mode)
            for number in sorted(self._numbers(), reverse=True):
                self._numbered(number).rename(self._numbered(number + 1))
            self._path.rename(self._numbered(1))
            fd = _open(self._path)
            with suppress(OSError):
                os.fchmod(fd, mode)
            self._replace(fd)

    def _replace(self, fd: int) -> None:
        with self._lock:
            old, self._fd = self._fd, fd
            os.close(old)

    def _numbers(self) -> list[int]:
        pattern = re.compile(re.escape(self._path.name) + r"\.([1-9][0-9]*)")
        found = (pattern.fullmatch(other.name) for other in self._path.parent.iterdir())
        return [int(match[1]) for match in found if match]

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")


def descriptor(path: Path) -> int | None:
    """Give the number of the open file that a path stands for; None if it is a usual path."""
    match = _DESCRIPTOR.fullmatch(str(path))
    return _NAMED.get(str(path)) if match is None else int(match[1])


def _open(path: Path) -> int:
    # Without waiting for the reader of a pipe, but what is written waits.
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY
    fd = os.open(path, flags | os.O_NONBLOCK, 0o666)
    fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) & ~os.O_NONBLOCK)
    return fd

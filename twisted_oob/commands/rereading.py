"""Rereading: what SIGHUP makes the service read again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from twisted_oob.commands.values import not_usable

if TYPE_CHECKING:
    from twisted.logger import Logger


class Rereading:
    """Reads files again, and tells of it.

    What can't be read, or is wrong, is left as it was.

    Args:
        log: Takes one line for what was read, and a warning for each file that was not.
    """

    def __init__(self, log: Logger) -> None:
        self._log = log
        self._files: list[tuple[str, Path, Callable[[], object]]] = []

    def add(self, option: str, path: Path, read: Callable[[], object]) -> None:
        """Read a file again from now on, unless it is a pipe, which gives what it has once.

        Args:
            option: What named it.
            path: The file, which may be created later.
            read: Reads it and puts it to use. It may raise OSError and ValueError.
        """
        if (path.is_file() or not path.exists()) and not _is_descriptor(path):
            self._files.append((option, path, read))

    def __call__(self) -> None:
        """Read everything again."""
        done = [f"{each[0]} {each[1]}" for each in self._files if self._read(*each)]
        self._log.info("Read again: {files}", files=", ".join(done) or "nothing")

    def _read(self, option: str, path: Path, read: Callable[[], object]) -> bool:
        try:
            if path.exists() and not path.is_file():
                # To open a pipe, for one, is to wait for whoever writes into it.
                raise ValueError("it is no file any more")
            read()
        except (OSError, ValueError) as error:
            self._log.warn(
                "{reason}; what was read before holds", reason=not_usable(option, path, error)
            )
            return False
        return True


def _is_descriptor(path: Path) -> bool:
    """Whether it stands for an open file, such as ``/dev/fd/63``, that another may be by then."""
    return path.parent == Path("/dev/fd") or path.parts[:2] == ("/", "proc")

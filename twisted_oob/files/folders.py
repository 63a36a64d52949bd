"""Folders: makes folders with a mode, and takes back those that nothing landed in."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Final

DIR_MODE: Final = 0o700
"""The mode of a folder that nobody else may look into."""
FILE_MODE: Final = 0o600
"""The permission bits of a file that nobody else may read."""


class Folders:
    """Makes folders, and remembers which of them it made.

    Args:
        mode: The mode of each folder that is made, whatever the umask says: a daemon's would leave
            nothing of what a group should have.
    """

    def __init__(self, mode: int = DIR_MODE) -> None:
        self._mode = mode
        self._made: list[Path] = []

    def make(self, path: Path, *, parents: bool = False) -> None:
        """Make a folder, unless it is there. What is there keeps its mode.

        Args:
            path: The folder.
            parents: Whether its parents are made, too.

        Raises:
            FileExistsError: Something that is no folder is there.
            OSError: It can't be made.
        """
        if parents:
            for parent in reversed(path.parents):
                # One that is there may refuse in many ways, such as EROFS.
                if not parent.is_dir():
                    self._make(parent)
        self._make(path)

    def _make(self, path: Path) -> None:
        try:
            path.mkdir(mode=DIR_MODE)
        except OSError:
            if not path.is_dir():
                raise
            return
        self._made.append(path)
        # mkdir(2) masks the mode, and knows no set-group-ID bit.
        path.chmod(self._mode)

    def remove_empty(self) -> None:
        """Remove those that were made here and are empty."""
        while self._made:
            with suppress(OSError):  # not empty, or gone
                self._made.pop().rmdir()

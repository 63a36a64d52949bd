"""AllowFile: entries of an AllowList in a file, which can be read again."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from twisted_oob.commands.values import parse_allowed, parse_existing_file

# In an address, a # can follow anything but a space.
_COMMENT: Final = re.compile(r"(?:^|\s)#.*")


class AllowFile:
    """A file of ``--allow-file``: an entry of ``--allow-from`` in each line.

    Empty lines do not count, nor does what follows a ``#`` at the start of a line or after a space.

    Args:
        path: The file.

    Raises:
        OSError: It can't be read.
        ValueError: It is not UTF-8 text, or a line is no entry; the message names the line.

    Attributes:
        path: The same.
        entries: What it holds.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: tuple[str, ...] = ()
        self.read()

    def read(self) -> None:
        """Read the file, again or for the first time.

        Raises:
            OSError: As for the class; the entries are those before.
            ValueError: Likewise.
        """
        self.entries = tuple(_entries(self.path.read_bytes()))


def parse_allow_file(text: str) -> AllowFile:
    """Read a file of entries for an AllowList."""
    return AllowFile(parse_existing_file(text))


def _entries(data: bytes) -> list[str]:
    try:
        lines = data.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8 text") from None
    entries = []
    for number, line in enumerate(lines, 1):
        entry = _COMMENT.sub("", line).strip()
        if entry:
            try:
                entries.append(parse_allowed(entry))
            except ValueError as error:
                raise ValueError(f"line {number}: {entry!r}: {error}") from None
    return entries

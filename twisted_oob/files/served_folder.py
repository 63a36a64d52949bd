"""ServedFolder: a folder whose files others may ask for by name.

Who asks is trusted with these files, and with nothing else that this process can read. So a name
is one segment of a path, and it is looked up below the open folder's descriptor. What it names is
opened without following a link, and is looked at again once it is open: whoever may write into the
folder can't lead us out of it, however fast they replace one thing by another.

===========================  ===================================================================
what is in the folder        whether it is served
===========================  ===================================================================
a regular file               yes
its name begins with a dot   no: it is hidden
its name can't be shown      no: control characters, bytes that are no text, characters that hide
on a line                    or reorder others, nothing but white space
a symbolic link, a folder,   no
a FIFO, a socket, a device
===========================  ===================================================================

The folder itself may be a symbolic link. It is followed at each use, so that an operator may
replace all of its files at once.
"""

from __future__ import annotations

import errno
import fnmatch
import heapq
import os
import re
import stat
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Final, TypeAlias

from twisted_oob._checks import checked_count, wrong_type
from twisted_oob.files.source import SourceFile

MOST_LISTED: Final = 50
"""How many files a listing has, by default."""

# No name is longer, as file systems count bytes. It also bounds the work for a pattern.
_LONGEST: Final = 255
# As in names.py: Cc controls terminals, Cf hides or reorders text, Cs is no text, Zl and Zp break
# lines. XML can't hold the two noncharacters.
_NOT_SHOWN: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_NOT_IN_XML: Final = frozenset("\ufffe\uffff")
# What opening says of a name that is too long, and of what has replaced the file since the look at
# it: a link, a folder, a socket, or (in source.py) anything else that is no regular file.
_NOT_REGULAR: Final = frozenset(
    {errno.ENAMETOOLONG, errno.ELOOP, errno.EISDIR, errno.ENXIO, errno.EINVAL}
)
# What people put around a name that has spaces.
_QUOTES: Final = ('""', "''", "``", "“”", "„“", "„”", "\u2018\u2019", "«»", "»«")


@dataclass(frozen=True, slots=True)
class ServedFile:
    """One file of a listing.

    Attributes:
        name: Its name, which can be shown on a line.
        size: Its size in bytes.
        modified: When it was last changed, in seconds since 1970 (POSIX).
    """

    name: str
    size: int
    modified: float


# A class that has a method ``list`` can't name the type.
Listing: TypeAlias = "tuple[list[ServedFile], int]"
"""Files, and how many more there are."""


class ServedFolder:
    """A folder whose regular files can be listed, and opened by name. Both block.

    Args:
        path: The folder. It is opened anew at each use, and need not be there before.

    Raises:
        WrongType: The path is no path. It is a TypeError.

    Attributes:
        path: The path as it was given.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        if not isinstance(path, str | PathLike):
            raise wrong_type("path", "a path", path)
        self.path = Path(path)

    def list(self, pattern: str | None = None, most: int = MOST_LISTED) -> Listing:
        """List files, the newest first, and by name among those of one time.

        What is kept in memory does not grow with the folder.

        Args:
            pattern: Which names: a pattern of fnmatch, or a part of the name if it has no ``*``,
                ``?`` or ``[``. Case does not count. None or an empty one for all.
            most: How many files at most, 1 or more.

        Returns:
            The files, and how many more there are.

        Raises:
            OSError: The folder can't be read. Its strerror is for anybody, without the path; its
                cause says why.
            ValueError: ``most`` is below 1.
            WrongType: An argument has the wrong type. It is a TypeError.
        """
        checked_count("most", most)
        matches = _matcher(pattern)
        found = 0

        def candidates(folder: int) -> Iterator[tuple[int, str, os.stat_result]]:
            nonlocal found
            for name in _served_names(folder):
                if not matches(name):
                    continue
                try:
                    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
                except OSError:  # it went away meanwhile
                    continue
                if stat.S_ISREG(status.st_mode):
                    found += 1
                    yield -status.st_mtime_ns, name, status

        with self._opened() as folder:
            newest = heapq.nsmallest(most, candidates(folder))
        files = [ServedFile(name, one.st_size, one.st_mtime) for _, name, one in newest]
        return files, found - len(files)

    def open(self, name: str) -> SourceFile:
        """Open a file of the folder.

        If no file has exactly this name, the only one whose name is alike counts: without the
        quotes around it, or with other case, other white space or another form of Unicode.

        Args:
            name: Its name, as somebody wrote it.

        Raises:
            FileNotFoundError: The folder serves no such file.
            OSError: The folder can't be read (see ``list``), or the file can't be.
            WrongType: The name is no str. It is a TypeError.
        """
        if not isinstance(name, str):
            raise wrong_type("name", "a str", name)
        with self._opened() as folder:
            for wanted in _spellings(name):
                source = self._open_exactly(folder, wanted)
                if source is None:
                    alike = _only_alike(folder, wanted)
                    source = None if alike is None else self._open_exactly(folder, alike)
                if source is not None:
                    return source
        raise FileNotFoundError(errno.ENOENT, "there is no such file")

    @contextmanager
    def _opened(self) -> Iterator[int]:
        try:
            folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            # Never a FileNotFoundError: that says something of a file.
            raise OSError(errno.EIO, "the folder of files can't be read at the moment") from error
        try:
            yield folder
        finally:
            os.close(folder)

    def _open_exactly(self, folder: int, name: str) -> SourceFile | None:
        """Open the file of exactly this name; None if the folder serves no such file."""
        if not _is_served(name):
            return None
        try:
            # To open a device may do something already.
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if not stat.S_ISREG(status.st_mode):
                return None
            return SourceFile(self.path / name, folder=folder)
        except (FileNotFoundError, UnicodeEncodeError):
            return None
        except OSError as error:
            if error.errno in _NOT_REGULAR:
                return None
            raise


def _served_names(folder: int) -> Iterator[str]:
    """Give the names in a folder that may be served, if these are files."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if _is_served(entry.name):
                yield entry.name


def _is_served(name: str) -> bool:
    """Whether a file of this name is served: one segment, not hidden, which a line can show."""
    return (
        0 < len(name) <= _LONGEST
        and not name.startswith(".")
        and "/" not in name
        and not name.isspace()
        and _can_be_shown(name)
    )


def _can_be_shown(name: str) -> bool:
    if name.isascii():  # most names, and much faster
        return name.isprintable()
    return not any(one in _NOT_IN_XML or unicodedata.category(one) in _NOT_SHOWN for one in name)


def _spellings(name: str) -> Iterator[str]:
    """Give the names that somebody may mean, the likeliest first."""
    yield name
    trimmed = name.strip()
    if len(trimmed) > 2 and trimmed[0] + trimmed[-1] in _QUOTES:  # noqa: PLR2004
        yield trimmed[1:-1]


def _only_alike(folder: int, wanted: str) -> str | None:
    """Give the one name in the folder that is alike; None if there is not just one."""
    if len(wanted) > _LONGEST:
        return None
    key = _alike(wanted)
    alike = [name for name in _served_names(folder) if _alike(name) == key]
    return alike[0] if len(alike) == 1 else None


def _alike(name: str) -> str:
    """Give what names have in common that people take for one."""
    return " ".join(_folded(name).split())


def _folded(text: str) -> str:
    folded = unicodedata.normalize("NFC", text).casefold()
    return unicodedata.normalize("NFC", folded)


def _matcher(pattern: str | None) -> Callable[[str], bool]:
    """Make of a pattern what tells whether a name matches it."""
    if pattern is None or pattern == "":
        return lambda _name: True
    if not isinstance(pattern, str):
        raise wrong_type("pattern", "a str or None", pattern)
    wanted = _folded(pattern)
    if len(wanted) > _LONGEST:
        return lambda _name: False
    if not any(one in wanted for one in "*?["):
        return lambda name: wanted in _folded(name)
    # What fnmatch makes of it never tries a star anew once what follows it was found. So the time
    # grows with the two lengths, and not with a power of the stars.
    try:
        match = re.compile(fnmatch.translate(wanted)).match
    except re.error:  # a set that some versions of Python can't translate
        return lambda _name: False
    return lambda name: match(_folded(name)) is not None

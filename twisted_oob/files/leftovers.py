"""Parts that a dead process left behind.

Whoever gets the lock of a process knows that it is dead (see ``folder.py``), and removes its parts,
then its lock. Where a file system has no locks, nothing is taken for a leftover.

A stranger in a shared folder could plant a link, a FIFO or a folder under such a name. No name is
followed, nothing waits, and only regular files are removed.

Without a journal (ext2), a power cut in the middle of a rename can leave a file with both names and
a count of one. To remove the part would then free the file. So a part that is also a file with a
final name stays, until fsck puts the count right.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import stat
from collections import Counter
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Final

from twisted_oob.files.folder import PARTS, lock_name

_LOCK: Final = re.compile(r"owner-([0-9a-f]{32})\.lock")
_PART: Final = re.compile(r"([0-9a-f]{32})-[0-9a-f]+\.part")
# Versions before 1.0 had their parts in the folder itself, each with a lock of its own.
_OLD_PART: Final = re.compile(r"\.oob-[0-9a-f]{32}\.part")


def remove_leftovers(directory: Path) -> int:
    """Remove the parts of processes that are dead. Blocks.

    Parts of a living process, this one included, stay. So does what can't be removed.

    Args:
        directory: The folder in which files land. It may be gone.

    Returns:
        The number of parts that were removed.
    """
    with contextlib.ExitStack() as opened:
        try:
            fd = _open_folder(directory, None)
            opened.callback(os.close, fd)
            inodes = _inodes(fd)
            # One of them is the part itself.
            removed = _remove_old(fd, {inode for inode, names in inodes.items() if names > 1})
        except OSError:
            return 0
        with contextlib.suppress(OSError):
            parts = _open_folder(PARTS, fd)
            opened.callback(os.close, parts)
            removed += _remove_of_the_dead(parts, inodes.keys())
            os.rmdir(PARTS, dir_fd=fd)
        return removed


def _open_folder(path: Path | str, folder_fd: int | None) -> int:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    if folder_fd is not None:
        flags |= os.O_NOFOLLOW
    return os.open(path, flags, dir_fd=folder_fd)


def _inodes(fd: int) -> Counter[int]:
    """Give the inodes of what is in a folder, and how many names each has in there."""
    with os.scandir(fd) as entries:
        return Counter(entry.inode() for entry in entries)


def _remove_old(fd: int, kept: AbstractSet[int]) -> int:
    names = [name for name in os.listdir(fd) if _OLD_PART.fullmatch(name)]
    return sum(_remove_abandoned(name, fd, kept) for name in names)


def _remove_of_the_dead(parts: int, kept: AbstractSet[int]) -> int:
    """Remove the parts of dead processes, but for those whose inodes are ``kept``."""
    names = os.listdir(parts)
    of: dict[str, list[str]] = {}
    for name in names:
        if part := _PART.fullmatch(name):
            of.setdefault(part[1], []).append(name)
    removed = 0
    for name in names:
        if lock := _LOCK.fullmatch(name):
            removed += _remove_with_lock(name, of.pop(lock[1], []), parts, kept)
    for token, orphans in of.items():
        # Their owner could not remove them. A lock is there before its parts are: if it is not
        # there now, it was not made since the names were read.
        if not _exists(lock_name(token), parts):
            removed += sum(_remove_abandoned(name, parts, kept) for name in orphans)
    return removed


def _remove_with_lock(lock: str, names: list[str], parts: int, kept: AbstractSet[int]) -> int:
    try:
        fd = _open_and_lock(lock, parts)
    except OSError:  # a living process holds it, or it is gone meanwhile
        return 0
    try:
        removed = sum(_remove(name, parts, kept) for name in names)
        with contextlib.suppress(OSError):
            os.unlink(lock, dir_fd=parts)
    finally:
        os.close(fd)
    return removed


def _remove_abandoned(name: str, folder_fd: int, kept: AbstractSet[int]) -> bool:
    """Remove a part that nobody has locked."""
    try:
        fd = _open_and_lock(name, folder_fd)
    except OSError:
        return False
    try:
        return _remove(name, folder_fd, kept)
    finally:
        os.close(fd)


def _open_and_lock(name: str, folder_fd: int) -> int:
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    fd = os.open(name, flags, dir_fd=folder_fd)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(f"{name} is no regular file")
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise
    return fd


def _remove(name: str, folder_fd: int, kept: AbstractSet[int]) -> bool:
    try:
        status = os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
        if not stat.S_ISREG(status.st_mode) or (status.st_nlink == 1 and status.st_ino in kept):
            return False
        os.unlink(name, dir_fd=folder_fd)
    except OSError:
        return False
    return True


def _exists(name: str, folder_fd: int) -> bool:
    try:
        os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True

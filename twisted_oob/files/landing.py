"""Landing: one file on its way to the disk, whole or not at all.

A Landing writes to a private part file in the folder that the file will stay in. When the file is
whole and synced, one step gives it its final name, which never replaces another file. All of this
blocks, so it runs in threads, one call at a time for each file.

Leftovers, and the race for the lock
------------------------------------

A process that dies leaves its part files behind, and several processes may share a folder. So a
process holds flock(2) on each of its part files for as long as it lives. Whoever gets the lock of a
part file knows that its process is dead, and may remove it.

Between the creation of a file and its lock there is a moment in which another process can take the
file for a leftover. It then either holds the lock (and is about to unlink the file), or has
unlinked the file already. So the lock is taken without waiting, the number of the file's names is
read after that, and a file that was lost in either way is given up for a new one.

A file without a name (O_TMPFILE) would need no lock. But without a journal (ext2), a power cut
loses a file that was synced before it was linked, and an ext4 file system with fast_commit may not
mount after one.

The final name
--------------

rename(2) replaces an existing file. link(2) fails if the name is taken, and it is one step, so
nobody sees half a file under the name. Some file systems have no hard links (FAT, many network file
systems). There, creating an empty file exclusively reserves the name, and rename(2) replaces that
file, which is our own.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from twisted_oob._file_info import FileInfo
from twisted_oob.errors import NO_ROOM, NoRoom
from twisted_oob.files.expected import check_whole
from twisted_oob.files.fitting import easier_name, fitting_name
from twisted_oob.files.folders import FILE_MODE
from twisted_oob.files.names import numbered_names

# What link(2) says if the file system has no hard links, or no more for this file. Linux gives
# EPERM, FUSE ENOSYS, network file systems EOPNOTSUPP or ENOTSUP (which are the same on Linux).
_NO_HARD_LINKS: Final = frozenset(
    {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}
)
# What flock(2) says if the file system has no locks. ENOLCK comes from NFS without its lock daemon.
_NO_LOCKS: Final = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS})
_PART: Final = re.compile(r"\.oob-[0-9a-f]{32}\.part")


class Landing:
    """One file that is on its way: ``write()`` as often as needed, ``sync()``, then ``commit()``.

    ``commit_all()`` does the last steps for several files together.

    Every method raises NoRoom if the disk, the quota or the file descriptors are used up, and
    OSError for any other trouble. After an error, call ``discard()``.

    Args:
        directory: The folder in which the file lands. It must exist.
        info: What was offered. A file of another size or SHA-256 gets no name. None if nobody said
            anything.
        mode: The permission bits of the whole file, whatever the umask. Until then, it is private.

    Attributes:
        size: The number of bytes that were written.
    """

    def __init__(
        self, directory: Path, info: FileInfo | None = None, *, mode: int = FILE_MODE
    ) -> None:
        self.size = 0
        self._directory = directory
        self._info = info
        self._mode = mode
        self._hash = hashlib.sha256()
        # The next three are set while the part file is open; _fd is -1 before and after.
        self._fd = -1
        self._part: Path
        self._created: os.stat_result
        self._final: Path | None = None

    @property
    def sha256(self) -> str:
        """The SHA-256 of what was written, in hex."""
        return self._hash.hexdigest()

    def open(self) -> None:
        """Create the part file: exclusively, mode 0600, locked."""
        with _no_room_told():
            self._part, self._fd, self._created = _create(self._directory)

    def write(self, data: bytes | bytearray) -> None:
        """Append all of the data, and hash it. The first call opens the part file if needed."""
        if self._fd < 0:
            self.open()
        rest = memoryview(data)
        with _no_room_told():
            # A full disk or a signal makes a write short; the next one continues, or tells why not.
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        self._hash.update(data)
        self.size += len(data)

    def sync(self) -> None:
        """Check the whole file, and wait until everything is on the disk (fsync).

        Raises:
            FetchFailed: It is not the file that was offered.
        """
        # Here, as every file passes this on the way to its name, and a wrong one needs no disk.
        check_whole(self._info, self.size, self.sha256)
        with _no_room_told():
            if self._mode != FILE_MODE:
                os.fchmod(self._fd, self._mode)
            os.fsync(self._fd)

    def commit(self, name: str) -> Path:
        """Give a synced file its final name, or a numbered one if that name is taken.

        The name is on the disk for good only when its folder is synced, too.

        Args:
            name: One safe path segment. The file gets a similar name if the file system or the
                locale can't have this one.

        Returns:
            The final path.
        """
        with _no_room_told():
            self._final = self._link_or_rename(fitting_name(name, self._directory))
            # After a link the part name is a second name of the file; after a rename it is gone.
            self._part.unlink(missing_ok=True)
        self._close()
        return self._final

    def discard(self) -> None:
        """Remove the file under whatever name it has, and close it. May be called again."""
        try:
            if self._fd >= 0:
                self._part.unlink(missing_ok=True)
            if self._final is not None:
                # The name is public, so somebody may have put another file there. Leave that alone.
                with contextlib.suppress(FileNotFoundError):
                    if os.path.samestat(self._final.lstat(), self._created):
                        self._final.unlink()
        finally:
            self._close()

    def _close(self) -> None:
        # Forget the number first: if close() fails, it is closed all the same (Linux), and another
        # file may get the number.
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _link_or_rename(self, name: str) -> Path:
        try:
            return self._first_free(name)
        except OSError as error:
            easier = easier_name(name, error)
            if easier == name:
                raise
        return self._link_or_rename(easier)

    def _first_free(self, name: str) -> Path:
        names = numbered_names(name)
        while True:
            final = self._directory / next(names)
            try:
                os.link(self._part, final)
            except FileExistsError:
                continue
            except OSError as error:
                if error.errno not in _NO_HARD_LINKS:
                    raise
                if not _replace_own(self._part, final):
                    continue
            return final


def commit_all(
    directory: Path, files: Sequence[tuple[Landing, str, bytes | bytearray]]
) -> list[Path | Exception]:
    """Commit files that land in one folder, for good.

    All files go through each step together: synced right after one another, they share much of the
    file system's work, and the folder is synced once for all of them.

    Args:
        directory: The folder.
        files: Each file with its name (one safe path segment) and the bytes left to write.

    Returns:
        For each file its final path, or its error.
    """
    outcomes: list[Path | Exception | None] = [None] * len(files)

    def for_each(step: Callable[[Landing, str, bytes | bytearray], Path | None]) -> None:
        for number, each in enumerate(files):
            if outcomes[number] is None:
                try:
                    outcomes[number] = step(*each)
                except Exception as error:  # concerns this file alone
                    outcomes[number] = error

    for_each(lambda file, _, rest: file.write(rest))
    for_each(lambda file, *_: file.sync())
    for_each(lambda file, name, _: file.commit(name))
    try:
        with _no_room_told():
            _sync_directory(directory)
    except Exception as error:  # nobody can tell which of the names are on the disk
        return [each if isinstance(each, Exception) else error for each in outcomes]
    return [each for each in outcomes if each is not None]


def _replace_own(part: Path, final: Path) -> bool:
    """Rename without hard links: reserve the name with an empty file, and replace only that.

    Whoever looks into the folder in between sees the empty file.

    Returns:
        False if the name is taken.
    """
    try:
        os.close(os.open(final, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        return False
    try:
        part.replace(final)
    except OSError:
        final.unlink(missing_ok=True)
        raise
    return True


def remove_leftovers(directory: Path) -> int:
    """Remove the part files of processes that are dead.

    Part files of a living process, this one included, stay.

    Returns:
        The number of files that were removed.
    """
    return sum(
        _remove_abandoned(entry) for entry in directory.iterdir() if _PART.fullmatch(entry.name)
    )


def _remove_abandoned(path: Path) -> bool:
    # A stranger in a shared folder could plant a link or a FIFO under such a name. O_NOFOLLOW and
    # O_NONBLOCK keep open() from going elsewhere, or from waiting for a writer.
    try:
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:  # it is gone meanwhile, or another user's
        return False
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return False
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
    except OSError:  # a living process holds it, or it is gone meanwhile
        return False
    else:
        return True
    finally:
        os.close(fd)


def _create(directory: Path) -> tuple[Path, int, os.stat_result]:
    """Create and lock a part file; create another if one was lost before its lock."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    while True:
        path = directory / f".oob-{secrets.token_hex(16)}.part"
        fd = os.open(path, flags, 0o600)
        created = None
        try:
            created = _hold(fd)
        finally:
            if created is None:
                path.unlink(missing_ok=True)
                os.close(fd)
        if created is not None:
            return path, fd, created


def _hold(fd: int) -> os.stat_result | None:
    """Lock a new part file.

    Returns:
        What identifies the file, or None if another process took it for a leftover before.
    """
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return None
    except OSError as error:
        # If nobody can lock, nobody can take the file for a leftover either.
        if error.errno not in _NO_LOCKS:
            raise
    created = os.fstat(fd)
    return created if created.st_nlink > 0 else None


def _sync_directory(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError as error:
        # Some network file systems can't sync a folder, and say so with EINVAL.
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(fd)


@contextlib.contextmanager
def _no_room_told() -> Iterator[None]:
    """Raise NoRoom for the system errors that mean it."""
    try:
        yield
    except OSError as error:
        if error.errno in NO_ROOM:
            raise NoRoom("no room for the file now", detail=os.strerror(error.errno)) from error
        raise

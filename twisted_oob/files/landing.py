"""Landing: one file on its way to the disk, whole or not at all.

A Landing writes to a private temporary file in the folder it will stay in, and gives it its
final name in one step that never replaces another file. All of it blocks: it runs in threads,
one call at a time for each file.

A temporary file is held with flock(2) while its process lives, so whoever can lock one may
remove it. Between the creation of a file and its lock there is a moment in which another process
can do just that. So the lock is taken without waiting, and a file that was lost that way, locked
by someone else or unlinked, is given up for a new one.

A file without a name (O_TMPFILE) would need no lock. But without a journal (ext2) a power cut loses
one that was synced before it was linked, and one with ext4's fast_commit may not mount after it.
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

from twisted_oob.errors import NO_ROOM, NoRoom
from twisted_oob.files.names import numbered_names

_NO_HARD_LINKS: Final = frozenset(
    {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}
)
_NO_LOCKS: Final = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS})
_TEMPORARY: Final = re.compile(r"\.oob-[0-9a-f]{32}\.part")


class Landing:
    """One file that is to be: ``write()`` as often as it takes, ``sync()``, then ``publish()``.

    Or ``publish_all()``, which does the rest for several.

    ``directory``: the folder it lands in; it must exist.

    Every method raises NoRoom where the disk, the quota or the file descriptors are used up,
    and an OSError for any other trouble. After an error, ``discard()``.
    """

    def __init__(self, directory: Path) -> None:
        self.size = 0
        self._directory = directory
        self._hash = hashlib.sha256()
        self._fd = -1
        self._temporary: Path  # while it is open
        self._created: os.stat_result
        self._final: Path | None = None

    @property
    def sha256(self) -> str:
        """The SHA-256 of what was written, in hex."""
        return self._hash.hexdigest()

    def open(self) -> None:
        """Create the temporary file: exclusively, mode 0600, locked."""
        with _room():
            self._temporary, self._fd, self._created = _create(self._directory)

    def write(self, data: bytes | bytearray) -> None:
        """Append all of data, and hash it; open the file, where nobody has."""
        if self._fd < 0:
            self.open()
        rest = memoryview(data)
        with _room():
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        self._hash.update(data)
        self.size += len(data)

    def sync(self) -> None:
        """Wait until all that was written is on the disk (fsync)."""
        with _room():
            os.fsync(self._fd)

    def publish(self, name: str) -> Path:
        """Give a file that is synced its final name, or a numbered one where that is taken.

        ``name``: one safe path segment. The file keeps the mode 0600. Its name is there for good
        once its folder is synced, too.
        """
        with _room():
            self._final = self._named(name)
            self._temporary.unlink(missing_ok=True)
        self._close()
        return self._final

    def discard(self) -> None:
        """Remove whatever there is of the file, published or not."""
        try:
            if self._fd >= 0:
                self._temporary.unlink(missing_ok=True)
            if self._final is not None:
                with contextlib.suppress(FileNotFoundError):
                    if os.path.samestat(self._final.lstat(), self._created):
                        self._final.unlink()
        finally:
            self._close()

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _named(self, name: str) -> Path:
        names = numbered_names(name)
        while True:
            final = self._directory / next(names)
            try:
                os.link(self._temporary, final)
            except FileExistsError:
                continue
            except OSError as error:
                if error.errno not in _NO_HARD_LINKS:
                    raise
                if not _replace_own(self._temporary, final):
                    continue
            return final


def publish_all(
    directory: Path, files: Sequence[tuple[Landing, str, bytes | bytearray]]
) -> list[Path | Exception]:
    """Publish files that land in one folder, for good; gives the path or the error of each.

    ``files``: each with its name and what is left to write. They take each step together: synced
    one after the other they share much of the file system's work, and the folder is synced once.
    """
    outcomes: list[Path | Exception | None] = [None] * len(files)

    def take(step: Callable[[Landing, str, bytes | bytearray], Path | None]) -> None:
        for number, each in enumerate(files):
            if outcomes[number] is None:
                try:
                    outcomes[number] = step(*each)
                except Exception as error:  # it is for this file's owner alone
                    outcomes[number] = error

    take(lambda file, _, rest: file.write(rest))
    take(lambda file, *_: file.sync())
    take(lambda file, name, _: file.publish(name))
    try:
        with _room():
            _sync_directory(directory)
    except Exception as error:  # nobody's name is on the disk for sure
        return [each if isinstance(each, Exception) else error for each in outcomes]
    return [each for each in outcomes if each is not None]


def _replace_own(temporary: Path, final: Path) -> bool:
    """Do without hard links: reserve the name with an empty file, and replace only that.

    Whoever looks into the folder in between sees the empty file. False where the name is taken.
    """
    try:
        os.close(os.open(final, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        return False
    try:
        temporary.replace(final)
    except OSError:
        final.unlink(missing_ok=True)
        raise
    return True


def remove_leftovers(directory: Path) -> int:
    """Remove the temporary files of processes that are gone; give their number.

    Those of a living process, this one included, are left alone.
    """
    return sum(
        _remove_abandoned(entry)
        for entry in directory.iterdir()
        if _TEMPORARY.fullmatch(entry.name)
    )


def _remove_abandoned(path: Path) -> bool:
    try:
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:  # gone meanwhile, or not ours to open
        return False
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return False
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
    except OSError:  # a living process has it, or it is gone meanwhile
        return False
    else:
        return True
    finally:
        os.close(fd)


def _create(directory: Path) -> tuple[Path, int, os.stat_result]:
    """Create and lock a temporary file; again where another process took it for a leftover."""
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
    """Lock a new temporary file; None where it was lost to another process before."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return None
    except OSError as error:
        if error.errno not in _NO_LOCKS:  # where nobody can lock, nobody removes either
            raise
    created = os.fstat(fd)
    return created if created.st_nlink > 0 else None


def _sync_directory(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network file systems have no such thing
            raise
    finally:
        os.close(fd)


@contextlib.contextmanager
def _room() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in NO_ROOM:
            raise NoRoom("no room for the file now", detail=os.strerror(error.errno)) from error
        raise

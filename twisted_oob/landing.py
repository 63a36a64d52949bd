"""Landing: one file on its way to the disk, whole or not at all.

A Landing writes to a private temporary file in the folder it will stay in, and gives it its
final name in one step that never replaces another file. All of it blocks: it runs in threads,
one call at a time for each file.

What is whole before a byte of it was written goes to a file that has no name at all until its
final one, where the system has such (Linux's O_TMPFILE): it takes half the system calls, and
nothing is left of it however the process ends. All else gets a temporary name.

A temporary name is held with flock(2) while its process lives, so whoever can lock one may
remove it. Between the creation of a file and its lock there is a moment in which another process
can do just that. So the lock is taken without waiting, and a file that was lost that way, locked
by someone else or unlinked, is given up for a new one.
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
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from twisted_oob.errors import NoRoom
from twisted_oob.policy import numbered_names

NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.ENFILE})
_NO_HARD_LINKS: Final = frozenset(
    {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}
)
_NO_UNNAMED: Final = _NO_HARD_LINKS | {
    errno.EACCES,
    errno.EINVAL,
    errno.EISDIR,
    errno.ENOENT,
    errno.EXDEV,
}
_UNNAMED: Final = getattr(os, "O_TMPFILE", None)
_NO_LOCKS: Final = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS})
_TEMPORARY: Final = re.compile(r"\.oob-[0-9a-f]{32}\.part")


class Landing:
    """One file that is to be: ``write()`` as often as it takes, then ``publish_all()``.

    ``directory``: the folder it lands in; it must exist.

    Every method raises NoRoom where the disk, the quota or the file descriptors are used up,
    and an OSError for any other trouble. After an error, ``discard()``.
    """

    def __init__(self, directory: Path) -> None:
        self.size = 0
        self._directory = directory
        self._hash = hashlib.sha256()
        self._fd = -1
        self._temporary: Path | None = None
        self._created: os.stat_result
        self._final: Path | None = None

    @property
    def sha256(self) -> str:
        """The SHA-256 of what was written, in hex."""
        return self._hash.hexdigest()

    def open(self) -> None:
        """Create the temporary file: exclusively, mode 0600, locked."""
        with _room():
            created = None
            while created is None:
                self._temporary = _temporary_in(self._directory)
                created = _create(self._temporary)
            self._fd, self._created = created

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

    def publish(self, name: str, rest: bytes | bytearray = b"") -> Path:
        """Give the file its final name, or a numbered one where that is taken.

        ``name``: one safe path segment. ``rest``: what is left to write.
        The file is on the disk before it has its name, and keeps the mode 0600. The name itself is
        there for good when ``publish_all`` returns, which calls this.
        """
        if self._fd < 0 and self._open_unnamed():
            try:
                return self._finish(name, rest)
            except OSError as error:
                if error.errno not in _NO_UNNAMED:
                    raise
            self._start_again()
        return self._finish(name, rest)

    def _finish(self, name: str, rest: bytes | bytearray) -> Path:
        self.write(rest)
        self.sync()
        with _room():
            self._final = self._named(name)
            if self._temporary is not None:
                self._temporary.unlink(missing_ok=True)
        self._close()
        return self._final

    def _open_unnamed(self) -> bool:
        """Create a temporary file without a name; False where there is no such thing."""
        if _UNNAMED is None:
            return False
        with _room():
            try:
                self._fd = os.open(self._directory, os.O_RDWR | _UNNAMED | os.O_CLOEXEC, 0o600)
            except OSError as error:
                if error.errno not in _NO_UNNAMED:
                    raise
                return False
            self._created = os.fstat(self._fd)
        return True

    def _start_again(self) -> None:
        self._close()
        self._hash = hashlib.sha256()
        self.size = 0

    def discard(self) -> None:
        """Remove whatever there is of the file, published or not."""
        try:
            if self._temporary is not None:
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
                self._link(final)
            except FileExistsError:
                continue
            except OSError as error:
                if self._temporary is None or error.errno not in _NO_HARD_LINKS:
                    raise
                if not _replace_own(self._temporary, final):
                    continue
            return final

    def _link(self, final: Path) -> None:
        if self._temporary is not None:
            os.link(self._temporary, final)
        else:
            # Without a dir_fd, which has no other use here, Python would link the link in /proc.
            opened = f"/proc/self/fd/{self._fd}"
            os.link(opened, final, src_dir_fd=self._fd, follow_symlinks=True)


def publish_all(
    directory: Path, files: Iterable[tuple[Landing, str, bytes | bytearray]]
) -> list[Path | Exception]:
    """Publish files that land in one folder, for good; gives the path or the error of each.

    ``files``: for each one the arguments of its ``publish``. The folder is synced once for all.
    """
    outcomes: list[Path | Exception] = []
    for file, name, rest in files:
        try:
            outcomes.append(file.publish(name, rest))
        except Exception as error:  # noqa: PERF203  # it is for this file's owner alone
            outcomes.append(error)
    try:
        with _room():
            _sync_directory(directory)
    except Exception as error:  # nobody's name is on the disk for sure
        return [each if isinstance(each, Exception) else error for each in outcomes]
    return outcomes


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


def _temporary_in(directory: Path) -> Path:
    return directory / f".oob-{secrets.token_hex(16)}.part"


def _create(path: Path) -> tuple[int, os.stat_result] | None:
    """Create and lock a temporary file; None where another process took it for a leftover."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(path, flags, 0o600)
    created = None
    try:
        created = _hold(fd)
    finally:
        if created is None:
            path.unlink(missing_ok=True)
            os.close(fd)
    return None if created is None else (fd, created)


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

"""The folder in which files land, by descriptor, and the private folder for their parts in it.

What is in a folder
-------------------

::

    a.txt                      files with their final names
    .oob/                      mode 0700; there only while files are on their way
        owner-TOKEN.lock       one for each process; it holds flock(2) on it
        TOKEN-ID.part          a file on its way, of the process with that lock

Processes may share a folder. One that dies leaves its parts behind, and the lock of a dead process
can be had: see ``leftovers.py``, which removes them. The lock is for a process, and not for each
part, as a forked child shares its parent's locks: it would keep the parts of a dead parent. So a
lock is taken at the first use in a process, and a child closes what it was born with (see
``forks.py``).

Another process can take a new lock's file for a leftover, in the moment between its creation and
its lock. It then either holds the lock (and is about to unlink the file), or has unlinked the file
already. So the lock is taken without waiting, the number of the file's names is read after that,
and a lock that was lost in either way is given up for a new one.

Why parts have names
--------------------

A file without a name (O_TMPFILE) would leave nothing behind. But without a journal (ext2), a power
cut loses a file that was synced before it was linked, and an ext4 file system with fast_commit may
not mount after one.

Places
------

A folder may be renamed, removed or unmounted, and come back, while files are on their way. Then the
path means another folder, or nothing. So a ``Place`` is the folder as it was opened: all that its
files need goes by its descriptors, and nothing of them is left wherever it has been moved to. It is
closed, and ``.oob`` removed, when the last of its files ends: an idle process holds no folder
open, which could not be unmounted.

=======================  ===========================================================================
a file begins            in the present Place, if the path still leads there, else in a new one
a file gets its name     only if the path still leads to its Place; else NoRoom: it could not be
                         told where the file is
a file is given up       its part is removed by descriptor, wherever the folder is
=======================  ===========================================================================
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import os
import secrets
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from twisted_oob.errors import NO_ROOM, FolderUnusable, NoRoom
from twisted_oob.files.fitting import name_bytes
from twisted_oob.files.forks import tell_of_forks
from twisted_oob.files.space import Space, space_of

PARTS: Final = ".oob"
"""What the private folder is called."""

# What flock(2) says if the file system has no locks. ENOLCK comes from NFS without its lock daemon.
_NO_LOCKS: Final = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS})
# What is said of a folder that was removed, unmounted or made read-only, or whose server is gone.
_NO_FOLDER: Final = frozenset(
    {
        errno.ENOENT,
        errno.ENOTDIR,
        errno.ELOOP,
        errno.EROFS,
        errno.EACCES,
        errno.EPERM,
        errno.ESTALE,
        errno.ENODEV,
        errno.ENXIO,
        errno.ENOTCONN,
    }
)
# Another process may remove an empty ``.oob`` between any two steps of ours.
_ATTEMPTS: Final = 20


class Folder:
    """The folder in which files land. Every method may be called in any thread; all may block.

    Args:
        path: Its absolute path. It may come and go.

    Attributes:
        path: The same.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._closed = False
        self.forget_parent()
        tell_of_forks(self)

    def forget_parent(self) -> None:
        """Hold nothing open, in a child that was just forked."""
        self._lock = threading.Lock()
        self._place: Place | None = None
        self._name_bytes: dict[int, int] = {}

    def enter(self) -> Place:
        """Open the folder, unless it is open already. Each ``enter`` needs one ``leave``.

        Raises:
            NoRoom: There is no such folder now, it can't be written to, its ``.oob`` is not to be
                trusted, or the folder was closed.
            OSError: Any other trouble.
        """
        with self._lock, self.trouble():
            if self._closed:
                raise unusable(self.path, "nothing is stored any more")
            if self._place is None or not self._place.is_at(self.path):
                self._place = self._open()
            self._place.users += 1
            return self._place

    def leave(self, place: Place) -> None:
        """Close a Place if nobody uses it any more."""
        with self._lock:
            place.users -= 1
            if place.users == 0:
                if self._place is place:
                    self._place = None
                place.close()

    def close(self) -> None:
        """Let no further file begin. Each one on its way still ends as it would."""
        self._closed = True

    def name_bytes(self, place: Place) -> int:
        """Give the bytes that a name may have; asked once for each file system."""
        if place.device not in self._name_bytes:
            self._name_bytes[place.device] = name_bytes(place.fd)
        return self._name_bytes[place.device]

    @contextlib.contextmanager
    def trouble(self) -> Iterator[None]:
        """Raise NoRoom for the system errors which mean that nothing can be stored now."""
        try:
            yield
        except OSError as error:
            if error.errno in NO_ROOM or error.errno in _NO_FOLDER:
                raise unusable(self.path, os.strerror(error.errno)) from error
            raise

    def _open(self) -> Place:
        for attempt in itertools.count(1):
            place = None
            try:
                place = Place(self.path)
                if place.is_at(self.path):
                    return place
            except FileNotFoundError:
                if attempt == _ATTEMPTS:
                    raise
            if place is not None:
                if attempt == _ATTEMPTS:
                    # On some file systems in user space, no number stays the same.
                    place.comparable = False
                    return place
                place.close()
        raise AssertionError


class Place:
    """A folder as it was opened, with the parts of this process in it.

    Args:
        path: The folder.

    Attributes:
        path: The same.
        fd: The folder's descriptor.
        parts_fd: That of its ``.oob``.
        device: What identifies the file system (``st_dev``).
        space: The room on it.
        users: How many use it; the Folder counts.
        comparable: Whether the file system's numbers tell if two folders are the same.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.users = 0
        self.comparable = True
        self._closed = False
        self._trusted = True
        self._ids = itertools.count(1)
        with contextlib.ExitStack() as opened:
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
            self.fd = os.open(path, flags)
            opened.callback(os.close, self.fd)
            opened.callback(self._remove_parts)
            self.parts_fd = self._open_parts()
            opened.callback(os.close, self.parts_fd)
            self._token, self._lock_fd = _take_lock(self.parts_fd)
            opened.callback(os.close, self._lock_fd)
            opened.callback(self._remove_lock)
            self._opened = os.fstat(self.fd), os.fstat(self.parts_fd)
            self._check_owner()
            self.device = self._opened[0].st_dev
            self.space: Space = space_of(self.device)
            self._close = opened.pop_all()
        tell_of_forks(self)

    def forget_parent(self) -> None:
        """Close what a child that was just forked shares with its parent, and remove nothing."""
        if not self._closed:
            self._closed = True
            self._close.pop_all()
            for fd in (self._lock_fd, self.parts_fd, self.fd):
                with contextlib.suppress(OSError):
                    os.close(fd)

    def close(self) -> None:
        """Remove the lock, and ``.oob`` if nothing else is in it."""
        if not self._closed:
            # First, as a child may be forked meanwhile: it must not close numbers of others.
            self._closed = True
            self._close.close()

    def is_at(self, path: Path) -> bool:
        """Whether the path leads to this folder, and its ``.oob`` is still there."""
        if not self.comparable:
            return True
        try:
            there = path.stat(), os.stat(PARTS, dir_fd=self.fd, follow_symlinks=False)
        except OSError:
            return False
        return all(map(os.path.samestat, there, self._opened))

    def create(self) -> tuple[str, int]:
        """Create a part: exclusively, mode 0600.

        Returns:
            Its name and its descriptor.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        name = f"{self._token}-{next(self._ids):x}.part"
        return name, os.open(name, flags, 0o600, dir_fd=self.parts_fd)

    def remove(self, part: str) -> None:
        """Remove a part, if it is still there and this process is not a child of its owner."""
        if not self._closed:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(part, dir_fd=self.parts_fd)

    def sync(self) -> None:
        """Wait until the names in the folder are on the disk."""
        try:
            os.fsync(self.fd)
        except OSError as error:
            # Some network file systems can't sync a folder, and say so with EINVAL.
            if error.errno != errno.EINVAL:
                raise

    def _open_parts(self) -> int:
        with contextlib.suppress(FileExistsError):
            os.mkdir(PARTS, 0o700, dir_fd=self.fd)
            self._undo_umask()
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            return os.open(PARTS, flags, dir_fd=self.fd)
        except OSError:
            there = os.stat(PARTS, dir_fd=self.fd, follow_symlinks=False)
            if not stat.S_ISDIR(there.st_mode):
                raise self._refused("is no folder of ours, but a link or a file") from None
            if there.st_uid != os.geteuid():
                raise self._of_another(there.st_uid) from None
            raise

    def _undo_umask(self) -> None:
        # A umask can take from the owner, too. What cannot be opened is opened as a mere place, and
        # never by its name: in a shared folder, that may lead elsewhere by now.
        flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        with contextlib.suppress(OSError):  # who opens it next is told
            fd = os.open(PARTS, flags, dir_fd=self.fd)
            try:
                mode = stat.S_IMODE(os.fstat(fd).st_mode)
                if ~mode & 0o700:
                    Path(f"/proc/self/fd/{fd}").chmod(mode | 0o700)
            finally:
                os.close(fd)

    def _check_owner(self) -> None:
        # Compared with a file that we just made, as a network file system may know us by another
        # number than this machine does.
        owner = self._opened[1].st_uid
        if owner not in (os.geteuid(), os.fstat(self._lock_fd).st_uid):
            raise self._of_another(owner)
        if self._opened[1].st_mode & 0o077:
            # Not chmod 0700: the bit for the group of new files stays (setgid).
            with contextlib.suppress(OSError):
                os.fchmod(self.parts_fd, self._opened[1].st_mode & 0o7700)

    def _of_another(self, owner: int) -> NoRoom:
        return self._refused(f"belongs to another user (number {owner})")

    def _refused(self, why: str) -> NoRoom:
        self._trusted = False
        return unusable(self.path, f"{PARTS} in it {why}; remove it")

    def _remove_parts(self) -> None:
        if self._trusted:
            with contextlib.suppress(OSError):  # others are in it, or it is gone
                os.rmdir(PARTS, dir_fd=self.fd)

    def _remove_lock(self) -> None:
        with contextlib.suppress(OSError):
            os.unlink(lock_name(self._token), dir_fd=self.parts_fd)


def lock_name(token: str) -> str:
    """Give the name of the lock of a process."""
    return f"owner-{token}.lock"


def unusable(path: Path, why: str) -> FolderUnusable:
    """Give the error that names a folder."""
    return FolderUnusable(str(path), why)


def _take_lock(parts_fd: int) -> tuple[str, int]:
    """Create the lock of this process; create another if it was lost before it was locked.

    Returns:
        The token and the descriptor.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    while True:
        token = secrets.token_hex(16)
        fd = os.open(lock_name(token), flags, 0o600, dir_fd=parts_fd)
        held = False
        with contextlib.suppress(OSError):  # no modes
            # Whatever the umask: who removes what we leave behind has to open it.
            os.fchmod(fd, 0o600)
        try:
            held = hold(fd) and os.fstat(fd).st_nlink > 0
        finally:
            if not held:
                with contextlib.suppress(OSError):
                    os.unlink(lock_name(token), dir_fd=parts_fd)
                os.close(fd)
        if held:
            return token, fd


def hold(fd: int) -> bool:
    """Lock a file without waiting; False if another process has the lock."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        # If nobody can lock, nobody can take the file for a leftover either.
        if error.errno not in _NO_LOCKS:
            raise
    return True

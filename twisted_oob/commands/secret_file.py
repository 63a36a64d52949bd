"""Secrets in files: on a command line, every process of the machine could see them.

Who may read a file is judged by its mode and its owner, of what was opened and not of the name. The
owner is whoever could give us a secret that they know, too. Root takes only its own, and that
of the user that it will be (twistd's ``--uid``).

=========================  ========================================================================
group and others           taken
=========================  ========================================================================
no access                  yes
group may read (``0640``,  if the group is root's, or our user's own, or if the file is root's, and
``0440``)                  our user is in the group: so systemd, Docker and Kubernetes hand secrets
                           to a service
group may do more, others  no
may do anything
=========================  ========================================================================

A pipe (``/dev/fd/N``) has no name that others could open, and is read also if it is another user's:
whoever started us has opened it for us. What systemd puts into
``$CREDENTIALS_DIRECTORY`` is for this service alone, whatever its mode says.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

_LONGEST: Final = 65536  # bytes of a secret; a larger file is not one
_DESCRIPTORS: Final = Path("/dev/fd")
_FLAGS: Final = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
# What flock(2) says if the file system has no locks.
_NO_LOCKS: Final = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS})


class User(NamedTuple):
    """Who root will be once it has done what needs root, by the numbers of the system."""

    uid: int
    gid: int | None


def read_secret(path: Path, user: User | None = None) -> str:
    """Read a password or secret from the first line of a file.

    Args:
        path: The file, which nobody else may read; the module says who that is.
        user: Who we will be later, if that is another one than now.

    Raises:
        OSError: The file can't be read.
        ValueError: Other users have access to it, or its first line is no secret (``secret_in``).
    """
    with _opened(path) as file:
        _check_private(path, os.fstat(file.fileno()), user)
        line = file.readline(_LONGEST + 1)
    return secret_in(line)


def secret_in(line: bytes) -> str:
    """Read a password or secret from a line.

    Raises:
        ValueError: It is empty, over 64 KiB or not UTF-8, or has a NUL character.
    """
    if len(line) > _LONGEST:
        raise ValueError("its first line is over 64 KiB; the secret must be there alone")
    try:
        secret = line.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise ValueError("its first line is not UTF-8 text") from None
    if not secret.strip("\0").strip():
        raise ValueError("its first line is empty; the secret must be there")
    if "\0" in secret:
        # What a power cut leaves of a file, and no password (RFC 4616 2).
        raise ValueError("its first line has a NUL character; the secret must be there alone")
    return secret


def find_secret(path: Path, user: User | None = None) -> str | None:
    """Read a secret, unless ``read_or_create_secret`` would have to create it.

    Args:
        path: The file.
        user: As for ``read_secret``.

    Returns:
        The secret; None if there is no file, or an empty one of our own or of that user.

    Raises:
        OSError: The file can't be read or created.
        ValueError: As for ``read_secret``.
    """
    try:
        if not _is_unfinished(path, user):
            return read_secret(path, user)
    except FileNotFoundError:
        if path.is_symlink() or not path.parent.is_dir():
            raise
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES)) from None
    return None


def read_or_create_secret(path: Path) -> tuple[str, bool]:
    """Read a secret, or create the file with a random one, mode 0600, if it does not exist.

    An empty file of our own is filled: a power cut in an earlier start leaves one, or one of zeros.
    If others may have opened it, another file takes its place. Processes that do this at the same
    time all get the same secret. It is on the disk for good when this returns.

    Args:
        path: The file, in an existing directory.

    Returns:
        The secret, and whether it is a new one.

    Raises:
        OSError: The file can't be read or created.
        ValueError: As ``read_secret`` raises it.
    """
    opened = _open_empty(path)
    if opened is None:
        return read_secret(path), False
    fd, created = opened
    try:
        with os.fdopen(fd, "rb+") as file, _locked(fd):
            # Somebody else may have been faster, and filled it.
            if file.read().strip(b"\0"):
                return read_secret(path), False
            _check_private(path, os.fstat(fd))
            secret = secrets.token_urlsafe(32)
            file.seek(0)
            file.write(f"{secret}\n".encode())
            file.flush()
            os.fsync(fd)
        _sync_folder(path.parent)
    except OSError:
        if created:
            path.unlink(missing_ok=True)
        raise
    return secret, True


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except PermissionError:
        # It opens the file anew, which only its owner may: not who has it from root, as by setpriv.
        if path.parent != _DESCRIPTORS or not path.name.isdecimal():
            raise
        return os.fdopen(os.dup(int(path.name)), "rb")


def _check_private(path: Path, status: os.stat_result, user: User | None = None) -> None:
    """Check that nobody else can read the secret, or chose it.

    Raises:
        ValueError: Somebody else can.
    """
    if not stat.S_ISREG(status.st_mode) or _is_credential(path):
        return
    ours = os.geteuid()
    if ours == 0 and status.st_uid not in ({0} if user is None else {0, user.uid}):
        raise ValueError(
            f"it belongs to another user, and root takes only its own; run: chown root {path}"
        )
    if not _is_private(status, user):
        raise ValueError(f"other users have access to it; run: chmod 600 {path}")


def _is_private(status: os.stat_result, user: User | None = None) -> bool:
    """Whether the mode of a file keeps others out."""
    groups = {0, os.getegid(), None if user is None else user.gid}
    if status.st_uid == 0 and os.geteuid() != 0:
        # Root chose who is in that group, and gave it this file: such is Kubernetes' fsGroup.
        groups.update(os.getgroups())
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o040 and status.st_gid in groups:
        mode &= ~0o040
    return not mode & 0o077


def _is_credential(path: Path) -> bool:
    """Whether systemd gave the file to this service (``LoadCredential=``)."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    return bool(folder) and path.parent == Path(str(folder))


def _is_unfinished(path: Path, user: User | None = None) -> bool:
    """Whether it is a file of ours without a secret, as a power cut leaves it."""
    status = path.lstat()
    return (
        stat.S_ISREG(status.st_mode)
        and status.st_uid in {os.geteuid(), None if user is None else user.uid}
        and status.st_size <= _LONGEST
        and not path.read_bytes().strip(b"\0")
    )


def _open_empty(path: Path) -> tuple[int, bool] | None:
    """Open a private file of ours without a secret, and tell whether it is a new one.

    Returns:
        The descriptor and that; None if something else is there.
    """
    while True:
        with suppress(FileExistsError):
            # Exclusively: a symbolic link to nowhere is the operator's mistake, to be reported.
            fd = os.open(path, _FLAGS | os.O_CREAT | os.O_EXCL, 0o600)
            with suppress(OSError):  # a file system may have no modes
                os.fchmod(fd, 0o600)  # whatever the umask
            return fd, True
        with suppress(FileNotFoundError):  # somebody else has just removed it
            if not _is_unfinished(path):
                return None
            fd = os.open(path, _FLAGS)
            if _is_private(os.fstat(fd)):
                return fd, False
            _remove_empty(path, fd)


def _remove_empty(path: Path, fd: int) -> None:
    """Remove an empty file, of which this is a descriptor, unless somebody else has done that."""
    with os.fdopen(fd, "rb") as file, _locked(fd):
        if os.path.samestat(os.fstat(fd), path.lstat()) and not file.read().strip(b"\0"):
            path.unlink()


@contextmanager
def _locked(fd: int) -> Iterator[None]:
    """Hold the lock of a file, if its file system has locks; closing the file gives it back."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    yield


def _sync_folder(folder: Path) -> None:
    # Who may not list a folder can't open it, and some network file systems can't sync one.
    with suppress(PermissionError):
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
        finally:
            os.close(fd)

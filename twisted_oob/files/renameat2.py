"""renameat2(2) with RENAME_NOREPLACE: a rename that replaces nothing, in one step.

Python does not have it. The C library does (glibc since 2.28); without it, and on a file system or
in a sandbox that does not know it, the error is one of ``UNKNOWN``.
"""

from __future__ import annotations

import ctypes
import errno
import os
from typing import Any, Final

UNKNOWN: Final = frozenset(
    {errno.ENOSYS, errno.EINVAL, errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP}
)
"""What says that the call does not exist here: an old kernel, a file system without this flag
(EINVAL), a sandbox (EPERM)."""

_RENAME_NOREPLACE: Final = 1


def _library_call() -> Any:
    try:
        call = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return None
    call.argtypes = [
        ctypes.c_int,
        ctypes.c_char_p,
        ctypes.c_int,
        ctypes.c_char_p,
        ctypes.c_uint,
    ]
    call.restype = ctypes.c_int
    return call


_CALL: Final = _library_call()


def rename_without_replacing(source: str, source_fd: int, target: str, target_fd: int) -> None:
    """Rename a file.

    Args:
        source: Its name.
        source_fd: The descriptor of its folder.
        target: Its new name.
        target_fd: The descriptor of its new folder, on the same file system.

    Raises:
        FileExistsError: The new name is taken.
        OSError: As rename(2), or one of ``UNKNOWN``.
    """
    if _CALL is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    names = os.fsencode(source), os.fsencode(target)
    if any(b"\0" in name for name in names):
        # C would end the name there.
        raise ValueError("embedded null byte")
    if _CALL(source_fd, names[0], target_fd, names[1], _RENAME_NOREPLACE) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), source, None, target)

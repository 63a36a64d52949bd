"""The final name of a file, which is its commit point.

rename(2) replaces an existing file, so that is no way to a name that somebody may have. There are
three ways that replace nothing. The first one that the file system knows is taken:

1. renameat2(2) with RENAME_NOREPLACE. One step, and nobody sees half a file under the name.
2. link(2), which fails if the name is taken, then unlink(2) of the part's name. For old kernels,
   and for network file systems.
3. Creating an empty file exclusively reserves the name, and rename(2) replaces that file, which is
   our own. For what has neither, such as some file systems in user space. Whoever looks into the
   folder in between sees the empty file.

A network file system may do what we ask, lose the answer, and ask its server again. What it says
then is that the name is taken (NFS, link), or that the part is gone. So after an error the file
under the name is compared with ours.
"""

from __future__ import annotations

import contextlib
import errno
import os
from typing import Final

from twisted_oob.files.fitting import easier_name
from twisted_oob.files.names import numbered_names
from twisted_oob.files.renameat2 import UNKNOWN, rename_without_replacing

# What renameat2(2) says if another way may be open. A file system over several disks (mergerfs) can
# say EXDEV to one way and not to another.
_NOT_THIS_WAY: Final = UNKNOWN | {errno.EXDEV}
# What link(2) says if the file system has no hard links, or no more for this file. Linux gives
# EPERM, FUSE ENOSYS, network file systems EOPNOTSUPP or ENOTSUP (which are the same on Linux).
# EINVAL is not here: it may mean the name.
_NO_HARD_LINKS: Final = frozenset(
    {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EXDEV}
)


class Part:
    """A file that has everything but its final name.

    Args:
        fd: Its descriptor.
        name: The name that it has.
        parts_fd: The descriptor of the folder in which it has that name.
        folder_fd: The descriptor of the folder that it should be in, on the same file system.
    """

    def __init__(self, fd: int, name: str, parts_fd: int, folder_fd: int) -> None:
        self._fd = fd
        self._name = name
        self._parts = parts_fd
        self._folder = folder_fd

    def give_name(self, wanted: str) -> str:
        """Give the file its final name. Its part name is gone then.

        Args:
            wanted: One safe path segment.

        Returns:
            The name that it has: with a number if the wanted one is taken, and a similar one if the
            file system can't have it.

        Raises:
            OSError: It got none.
        """
        try:
            return self._first_free(wanted)
        except OSError as error:
            easier = easier_name(wanted, error)
            if easier == wanted:
                raise
        return self.give_name(easier)

    def _first_free(self, wanted: str) -> str:
        names = numbered_names(wanted)
        while True:
            name = next(names)
            try:
                self._move(name)
            except OSError as error:
                if self._has(name):
                    self._remove_part()
                elif isinstance(error, FileExistsError):
                    continue
                else:
                    raise
            return name

    def _move(self, name: str) -> None:
        """Give the file this name, in one of the three ways, or raise FileExistsError."""
        try:
            rename_without_replacing(self._name, self._parts, name, self._folder)
        except OSError as error:
            if error.errno not in _NOT_THIS_WAY:
                raise
        else:
            return
        try:
            os.link(
                self._name,
                name,
                src_dir_fd=self._parts,
                dst_dir_fd=self._folder,
                follow_symlinks=False,
            )
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
        else:
            self._remove_part()
            return
        self._replace_own(name)

    def _replace_own(self, name: str) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        os.close(os.open(name, flags, 0o600, dir_fd=self._folder))
        try:
            os.rename(self._name, name, src_dir_fd=self._parts, dst_dir_fd=self._folder)
        except OSError:
            if not self._has(name):
                with contextlib.suppress(OSError):
                    os.unlink(name, dir_fd=self._folder)
            raise

    def _has(self, name: str) -> bool:
        """Whether this is a name of the file."""
        try:
            there = os.stat(name, dir_fd=self._folder, follow_symlinks=False)
            return os.path.samestat(there, os.fstat(self._fd))
        except OSError:
            return False

    def _remove_part(self) -> None:
        # The file has its final name, so nothing can undo that. A part name that stays is a
        # leftover, which the next start removes.
        with contextlib.suppress(OSError):
            os.unlink(self._name, dir_fd=self._parts)

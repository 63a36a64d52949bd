"""Landing: one file on its way to the disk, whole or not at all.

A Landing writes to a private part in the folder that the file will stay in. When the file is whole
and synced, it gets its final name, which never replaces another file (``naming.py``). All of this
blocks, so it runs in threads, one call at a time for each file.

=======  ===================================  =====================================================
state    has                                  leads to
=======  ===================================  =====================================================
new      nothing                              open, by the first write; over, by ``discard()``
open     a descriptor, a part, a promise of   named, by ``commit()``; over, by ``discard()``, which
         room for the rest of its length      removes the part
named    its final name                       over, by ``close()`` or ``discard()``: the name stays
over     nothing
=======  ===================================  =====================================================

The name is the commit point. What fails before leaves nothing; a file that has its name stays, even
if its folder can't be synced then.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from twisted_oob._file_info import FileInfo
from twisted_oob.files.expected import check_whole
from twisted_oob.files.fitting import fitted
from twisted_oob.files.folder import Folder, Place, no_room
from twisted_oob.files.folders import FILE_MODE
from twisted_oob.files.naming import Part
from twisted_oob.files.workers import as_error

# What fchmod(2) says on a file system whose files have no modes of their own.
_NO_MODES: Final = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS})


class Landing:
    """One file that is on its way: ``write()`` as often as needed, ``sync()``, then ``commit()``.

    ``commit_all()`` does the last steps for several files together.

    Every method raises NoRoom if the disk, the quota or the file descriptors are used up, or the
    folder is gone or read-only, and OSError for any other trouble. After an error, call
    ``discard()``.

    Args:
        folder: The folder in which the file lands.
        info: What was offered. A file of another size or SHA-256 gets no name. None if nobody said
            anything.
        length: The length in bytes that was declared. There is room for it from the first byte on,
            or NoRoom. None if nobody said anything.
        mode: The final permissions, whatever the umask. A file system may have no such thing.

    Attributes:
        size: The number of bytes that were written.
    """

    def __init__(
        self,
        folder: Folder,
        info: FileInfo | None = None,
        *,
        length: int | None = None,
        mode: int = FILE_MODE,
    ) -> None:
        self.size = 0
        self._folder = folder
        self._info = info
        self._mode = mode
        self._hash = hashlib.sha256()
        self._promised = length or 0
        # Those that follow are set while the part is open.
        self._place: Place | None = None
        self._fd = -1
        self._part = ""
        self._named = False

    @property
    def sha256(self) -> str:
        """The SHA-256 of what was written, in hex."""
        return self._hash.hexdigest()

    @property
    def opened(self) -> bool:
        """Whether there is something to discard, for which it takes a thread."""
        return self._place is not None

    @property
    def place(self) -> Place:
        """The folder as it was when the part was opened."""
        if self._place is None:
            raise ValueError("the file is not open")
        return self._place

    def open(self) -> None:
        """Promise room to the declared length, and create the part."""
        place = self._folder.enter()
        try:
            if self._promised:
                place.space.promise(self._promised, place.fd)
            try:
                with self._folder.trouble():
                    self._part, self._fd = place.create()
            except BaseException:
                if self._promised:
                    place.space.end(self._promised)
                raise
        except BaseException:
            self._folder.leave(place)
            raise
        self._place = place

    def write(self, data: bytes | bytearray) -> None:
        """Append all of the data, and hash it. The first call opens the part if needed."""
        if self._place is None:
            self.open()
        rest = memoryview(data)
        with self._folder.trouble():
            # A full disk or a signal makes a write short; the next one continues, or tells why not.
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        self._hash.update(data)
        self.size += len(data)
        self._end_promise(len(data), self.place)

    def begin_sync(self) -> None:
        """Let the disk begin to take what was written, without waiting for it.

        A file gets its place on the disk only when it is written there, and that is a change which
        each fsync waits for. If several files do this before the first of them is synced, they
        share the wait.
        """
        with contextlib.suppress(OSError):
            # What this advice does on Linux, before it drops what is on the disk already.
            os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_DONTNEED)

    def sync(self) -> None:
        """Check the whole file, and wait until everything is on the disk (fsync).

        Raises:
            FetchFailed: It is not the file that was offered.
        """
        # Here, as every file passes this on the way to its name, and a wrong one needs no disk.
        check_whole(self._info, self.size, self.sha256)
        with self._folder.trouble():
            # Not sooner: while it is written, a part is its owner's alone.
            if stat.S_IMODE(os.fstat(self._fd).st_mode) != self._mode:
                self._set_mode()
            os.fsync(self._fd)

    def commit(self, name: str) -> Path:
        """Give a synced file its final name, or a numbered one if that name is taken.

        The name is on the disk for good only when its folder is synced, too. ``close()`` then.

        Args:
            name: One safe path segment. The file gets a similar name if the file system or the
                locale can't have this one.

        Returns:
            The final path.
        """
        place = self.place
        if not place.is_at(self._folder.path):
            raise no_room(self._folder.path, "it was moved or removed while a file came")
        part = Part(self._fd, self._part, place.parts_fd, place.fd)
        with self._folder.trouble():
            final = part.give_name(fitted(name, self._folder.name_bytes(place)))
        self._named = True
        return self._folder.path / final

    def close(self) -> None:
        """Give back everything but the file that has its final name."""
        place, self._place = self._place, None
        if place is None:
            return
        fd, self._fd = self._fd, -1
        try:
            self._end_promise(self._promised, place)
            os.close(fd)
        finally:
            self._folder.leave(place)

    def discard(self) -> None:
        """Remove the part, unless it has its final name by now, and close it. May be called again.

        What was never opened needs no thread for it.
        """
        try:
            if self._place is not None and not self._named:
                self._place.remove(self._part)
        finally:
            self.close()

    def _set_mode(self) -> None:
        try:
            os.fchmod(self._fd, self._mode)
        except OSError as error:
            if error.errno not in _NO_MODES:
                raise

    def _end_promise(self, size: int, place: Place) -> None:
        size = min(size, self._promised)
        if size:
            self._promised -= size
            place.space.end(size)


def commit_all(
    files: Sequence[tuple[Landing, str, bytes | bytearray]],
) -> list[Path | Exception]:
    """Commit files that land in the same folder, for good.

    All files go through each step together: synced right after one another, they share much of the
    file system's work, and the folder is synced once for all of them.

    Args:
        files: Each file with its name (one safe path segment) and the bytes left to write.

    Returns:
        For each file its final path, or its error. One with an error is to be discarded.
    """
    outcomes: list[Path | Exception | None] = [None] * len(files)

    def for_each(step: Callable[[Landing, str, bytes | bytearray], Path | None]) -> None:
        for number, each in enumerate(files):
            if outcomes[number] is None:
                try:
                    outcomes[number] = step(*each)
                except BaseException as error:  # concerns this file alone
                    outcomes[number] = as_error(error)

    for_each(lambda file, _, rest: file.write(rest))
    if len(files) > 1:
        for_each(lambda file, *_: file.begin_sync())
    for_each(lambda file, *_: file.sync())
    for_each(lambda file, name, _: file.commit(name))
    places = {
        file.place
        for (file, *_), outcome in zip(files, outcomes, strict=True)
        if isinstance(outcome, Path)
    }
    # Most often one Place; two, if the folder was replaced by another meanwhile.
    errors = {place: _sync_error(place) for place in places}
    ended: list[Path | Exception] = []
    for (file, *_), outcome in zip(files, outcomes, strict=True):
        if isinstance(outcome, Path):
            ended.append(errors[file.place] or outcome)
            with contextlib.suppress(OSError):
                file.close()
        elif outcome is not None:
            ended.append(outcome)
    return ended


def _sync_error(place: Place) -> Exception | None:
    """Sync a folder. If that fails, nobody can tell which of the new names are on the disk."""
    try:
        place.sync()
    except OSError as error:
        why = error.strerror or str(error)
        return no_room(place.path, f"a file has its name, but it could not be synced: {why}")
    except BaseException as error:
        return as_error(error)
    return None

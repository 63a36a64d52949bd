"""The real file system in tests: what lies in a folder, and trouble at will."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from twisted_oob.landing import publish_all

NO_ROOM = ["ENOSPC", "EDQUOT", "EFBIG", "EMFILE", "ENFILE"]


def names(directory):
    return sorted(path.name for path in directory.iterdir())


def descriptors_in(directory):
    """The file descriptors of this process that are open in a folder, or for it."""
    links = [fd for fd in list(Path("/proc/self/fd").iterdir()) if fd.is_symlink()]
    return [int(fd.name) for fd in links if str(directory) in str(fd.readlink())]


def fail(code):
    """A function that fails with this errno, as often as it is called."""

    def failing(*args, **kwargs):
        raise OSError(getattr(errno, code), os.strerror(getattr(errno, code)))

    return failing


def fail_at(number, code, real):
    """The real function, but its call of this number fails with this errno."""
    calls = iter(range(1, 1000))

    def failing(*args, **kwargs):
        if next(calls) == number:
            raise OSError(getattr(errno, code), os.strerror(getattr(errno, code)))
        return real(*args, **kwargs)

    return failing


def publish(file, directory, name="a.txt", data=b""):
    """Publish one file for good, or fail as it does."""
    [outcome] = publish_all(directory, [(file, name, data)])
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def spy_on_syncs(monkeypatch):
    """A list that gets each fsync and each link, in their order."""
    steps = []

    def spying(name):
        real = getattr(os, name)

        def spy(*args, **kwargs):
            if name == "fsync":
                steps.append("sync folder" if stat.S_ISDIR(os.fstat(args[0]).st_mode) else "sync")
            else:
                steps.append(name)
            return real(*args, **kwargs)

        monkeypatch.setattr(os, name, spy)

    for name in ("fsync", "link"):
        spying(name)
    return steps

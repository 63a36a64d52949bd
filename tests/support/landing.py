"""Files that land, and system calls that fail."""

from __future__ import annotations

import contextlib
import errno
import os

from twisted_oob.files import renameat2
from twisted_oob.files.folder import Folder
from twisted_oob.files.landing import Landing, commit_all


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


def new(directory, **options):
    return Landing(Folder(directory), **options)


def opened(directory, **options):
    file = new(directory, **options)
    file.open()
    return file


def commit(file, name="a.txt"):
    """Commit one file for good, or fail as it does."""
    [outcome] = commit_all([(file, name, b"")])
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def landed(directory, data=b"data", name="a.txt", **options):
    file = opened(directory, **options)
    file.write(data)
    return commit(file, name)


def parts(directory):
    """The names of the parts in a folder, also of those in the way of earlier versions."""
    return sorted(path.name for path in directory.rglob("*.part"))


@contextlib.contextmanager
def without(monkeypatch, *ways):
    """A file system, or a kernel, that does not know these calls: "renameat2", "link"."""
    with monkeypatch.context() as patched:
        if "renameat2" in ways:
            patched.setattr(renameat2, "_CALL", None)
        if "link" in ways:
            patched.setattr(os, "link", fail("EPERM"))
        yield patched


def leftover(directory, number=0):
    path = directory / f".oob-{number:032x}.part"
    path.write_bytes(b"left")
    return path

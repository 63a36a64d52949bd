"""Files that land, and system calls that fail."""

from __future__ import annotations

import errno
import os

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


def opened(directory):
    file = Landing(directory)
    file.open()
    return file


def commit(file, directory, name="a.txt"):
    """Commit one file for good, or fail as it does."""
    [outcome] = commit_all(directory, [(file, name, b"")])
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def landed(directory, data=b"data", name="a.txt"):
    file = opened(directory)
    file.write(data)
    return commit(file, directory, name)


def leftover(directory, number=0):
    path = directory / f".oob-{number:032x}.part"
    path.write_bytes(b"left")
    return path

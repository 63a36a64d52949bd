"""A disk of a test's own: an image in a file, mounted by root, which can be frozen (Linux)."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from contextlib import contextmanager, suppress

import pytest

from tests.support.processes import missing

_FREEZE, _THAW = 0xC0045877, 0xC0045878  # FIFREEZE and FITHAW of linux/fs.h
_SIZE = 64 * 2**20  # bytes; ext4 needs no more


class LoopDisk:
    """A mounted disk. ``folder``: its mount point."""

    def __init__(self, folder):
        self.folder = folder

    @contextmanager
    def frozen(self):
        """Let everything that writes to it wait in the kernel, where no signal ends it."""
        self._control(_FREEZE)
        try:
            yield
        finally:
            self.thaw()

    def thaw(self):
        """Let everything go on, if it is frozen."""
        # EINVAL: it is not, as a test that took too long has been ended from outside.
        with suppress(OSError):
            self._control(_THAW)

    def _control(self, request):
        fd = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.ioctl(fd, request, 0)
        finally:
            os.close(fd)


@contextmanager
def loop_disk(image, folder):
    """Mount a new ext4 disk, while this lasts.

    Skips the test of who is not root. Fails it if root can't do it and OOB_REQUIRE_SERVERS is 1.

    ``image``: the file that is made for it. ``folder``: an existing folder to mount it at.
    """
    if os.geteuid() != 0:
        pytest.skip("only root can mount a disk")
    for program, package in (("mkfs.ext4", "e2fsprogs"), ("mount", "mount")):
        if shutil.which(program) is None:
            missing(program, f"the Debian package {package}")
    with image.open("wb") as file:
        file.truncate(_SIZE)
    run("mkfs.ext4", "-q", image)
    try:
        run("mount", "-o", "loop", image, folder)
    except OSError as error:
        if os.environ.get("OOB_REQUIRE_SERVERS") == "1":
            pytest.fail(str(error))
        pytest.skip(str(error))
    disk = LoopDisk(folder)
    try:
        yield disk
    finally:
        disk.thaw()
        # Lazily: what a test that failed has left open must not keep the disk.
        run("umount", "--lazy", folder)


def run(*command):
    """Run a program of the system; raises OSError with what it said if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(map(str, command))}: {done.stderr.strip() or done.stdout}")

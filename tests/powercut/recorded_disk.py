"""A disk whose every write is recorded, so that a power cut can be made at any moment later.

A process of its own serves one file by the FUSE protocol (linux/fuse.h); a loop device on that file
is the disk. What the file system writes to the device comes here before the device says that it is
done, and so does each flush of the device's cache.

The recording is a file of records: when it came (``time.monotonic``), its kind, where and how long,
and for a WRITE the bytes. ``Recording`` reads it and gives the disk as a power cut leaves it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from subprocess import PIPE, Popen
from typing import NamedTuple

from tests.support.loop_disk import run
from tests.support.processes import ROOT

WRITE, ZERO, FLUSH = range(3)
BLOCK = 4096  # bytes that a disk writes whole
_RECORD = struct.Struct("<dBQQ")

# --- the protocol, as far as one file that exists needs it

_IN, _OUT = struct.Struct("<IIQQIIIHH"), struct.Struct("<IiQ")
_ATTRIBUTES = struct.Struct("<QII 6Q 10I")
_OPENED, _READ, _WRITTEN = struct.Struct("<QIi"), struct.Struct("<QQI"), struct.Struct("<II")
_WRITE_IN = struct.Struct("<QQIIQII")
_FALLOCATE = struct.Struct("<QQQII")
_INIT = struct.Struct("<IIII HHI I HH I I 24x")
_GETATTR, _SETATTR, _OPEN, _READS, _WRITES, _RELEASE, _FSYNC, _FLUSHES = (
    3,
    4,
    14,
    15,
    16,
    18,
    20,
    25,
)
_INITS, _FALLOCATES = 26, 43
_NO_ANSWER = {2, 36, 42}  # FORGET, INTERRUPT, BATCH_FORGET
_BIG_WRITES, _MAX_PAGES = 1 << 5, 1 << 22
_KEEP_CACHE = 2
_MOST = 2**20
_KEEP_SIZE, _PUNCH_HOLE, _ZERO_RANGE = 1, 2, 16


class _Server:
    """Serves the file until it is unmounted."""

    def __init__(self, fuse, content, recording):
        self._fuse = fuse
        self._content = content
        self._recording = recording
        self._answers = {
            _INITS: self._init,
            _GETATTR: self._attributes,
            _SETATTR: self._attributes,
            _OPEN: lambda _: _OPENED.pack(0, _KEEP_CACHE, 0),
            _READS: self._read,
            _WRITES: self._write,
            _FSYNC: self._flush,
            _FALLOCATES: self._fallocate,
            _RELEASE: lambda _: b"",
            _FLUSHES: lambda _: b"",
        }

    def serve(self):
        while True:
            try:
                request = os.read(self._fuse, _MOST + BLOCK)
            except InterruptedError:
                continue
            except OSError as error:
                if error.errno == errno.ENOENT:  # the request was taken back
                    continue
                if error.errno == errno.ENODEV:  # unmounted
                    return
                raise
            _, opcode, unique, *_ = _IN.unpack_from(request)
            if opcode in _NO_ANSWER:
                continue
            answer, failed = b"", 0
            if opcode in self._answers:
                try:
                    answer = self._answers[opcode](memoryview(request)[_IN.size :])
                except OSError as error:
                    failed = -error.errno
            else:
                failed = -errno.ENOSYS
            os.write(self._fuse, _OUT.pack(_OUT.size + len(answer), failed, unique) + answer)

    def _init(self, _):
        flags = _BIG_WRITES | _MAX_PAGES
        return _INIT.pack(7, 31, 2**17, flags, 16, 12, _MOST, 1, _MOST // BLOCK, 0, 0, 0)

    def _attributes(self, _):
        size = os.fstat(self._content).st_size
        times = (0,) * 6
        return _ATTRIBUTES.pack(
            *(1, 0, 0, 1, size, size // 512, *times, 0o100600, 1, 0, 0, 0, BLOCK, 0)
        )

    def _read(self, request):
        _, offset, size = _READ.unpack_from(request)
        return os.pread(self._content, size, offset)

    def _write(self, request):
        _, offset, size, *_ = _WRITE_IN.unpack_from(request)
        data = request[_WRITE_IN.size : _WRITE_IN.size + size]
        self._record(WRITE, offset, size, data)
        os.pwrite(self._content, data, offset)
        return _WRITTEN.pack(size, 0)

    def _flush(self, _):
        self._record(FLUSH, 0, 0)
        return b""

    def _fallocate(self, request):
        _, offset, size, mode, _ = _FALLOCATE.unpack_from(request)
        if not mode & (_PUNCH_HOLE | _ZERO_RANGE):
            raise OSError(errno.EOPNOTSUPP, "")
        self._record(ZERO, offset, size)
        os.pwrite(self._content, bytes(size), offset)
        return b""

    def _record(self, kind, offset, size, data=b""):
        self._recording.write(_RECORD.pack(time.monotonic(), kind, offset, size))
        self._recording.write(data)


def _mount(fuse, target):
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"fd={fuse},rootmode=100600,user_id=0,group_id=0,allow_other"
    if libc.mount(b"recorded", bytes(target), b"fuse", 0, options.encode()):
        raise OSError(ctypes.get_errno(), "mount")


def _main(target, content, recording):
    fuse = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    with Path(recording).open("wb") as records:
        _mount(fuse, Path(target))
        sys.stdout.write("mounted\n")
        sys.stdout.flush()
        _Server(fuse, os.open(content, os.O_RDWR), records).serve()


# --- for those who use it


@contextmanager
def recorded_disk(folder, image, mounted):
    """Mount an image while this lasts, and record what is written to it.

    ``folder``: where files for it can be made. ``image``: a file with a file system, which stays as
    it is. ``mounted``: an existing folder. Gives the file of the recording, which is whole
    afterwards.
    """
    content, target, recording = (folder / name for name in ("content", "disk", "recording"))
    target.touch()
    run("cp", "--sparse=always", image, content)
    with ExitStack() as stack:
        words = [sys.executable, "-m", __name__, target, content, recording]
        server = stack.enter_context(Popen(words, cwd=ROOT, stdout=PIPE, text=True))
        stack.callback(run, "umount", target)
        assert server.stdout.readline() == "mounted\n"
        run("mount", "-o", "loop", target, mounted)
        stack.callback(run, "umount", mounted)
        yield recording


class Record(NamedTuple):
    """One thing that came to the disk; ``data`` is where its bytes are in the recording."""

    when: float
    kind: int
    offset: int
    size: int
    data: int


class Recording:
    """What was written to a disk, and what a power cut leaves of it.

    ``records``: all of them, in order.

    Args:
        image: The disk as it was before.
        file: The recording.
        folder: Where images can be made.
    """

    def __init__(self, image, file, folder):
        self._durable = folder / "durable"
        self._cut = folder / "cut"
        self._file = file.open("rb")
        self.records = list(self._read_all(file.stat().st_size))
        run("cp", "--sparse=always", image, self._durable)
        self._done = 0  # how many of the records the durable image has

    def _read_all(self, size):
        at = 0
        while at < size:
            self._file.seek(at)
            when, kind, offset, length = _RECORD.unpack(self._file.read(_RECORD.size))
            at += _RECORD.size
            yield Record(when, kind, offset, length, at)
            at += length if kind == WRITE else 0

    def cut(self, position, survives):
        """Give the image of the disk after a power cut just before a record.

        Everything that came before the last flush is there. What came after it was in the cache of
        the disk: ``survives`` tells, for each block of it, whether it was written. Positions must
        not go back from call to call.
        """
        flushed = max(
            (n for n in range(position) if self.records[n].kind == FLUSH), default=self._done
        )
        with self._durable.open("r+b") as image:
            for record in self.records[self._done : flushed]:
                self._apply(image, record, lambda: True)
        self._done = max(self._done, flushed)
        run("cp", "--sparse=always", self._durable, self._cut)
        with self._cut.open("r+b") as image:
            for record in self.records[self._done : position]:
                self._apply(image, record, survives)
        return self._cut

    def _apply(self, image, record, survives):
        if record.kind == FLUSH:
            return
        for start in range(0, record.size, BLOCK):
            size = min(BLOCK, record.size - start)
            if survives():
                data = bytes(size)
                if record.kind == WRITE:
                    self._file.seek(record.data + start)
                    data = self._file.read(size)
                image.seek(record.offset + start)
                image.write(data)


if __name__ == "__main__":
    _main(*sys.argv[1:])

"""A program that is measured from outside, and killed by its process id (Linux)."""

from __future__ import annotations

import os
import resource
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LAST_WORDS = 4000  # characters of a program's stderr that an error quotes


class BenchmarkError(Exception):
    """A program did not do what it had to."""


@contextmanager
def one_processor() -> Iterator[None]:
    """Keep this process, and those it starts meanwhile, on the same processor."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def cpu_seconds(pid: int) -> float:
    """Return the CPU seconds, user and system, that all threads of a process have used."""
    # Linux has such a clock for each process, exact to the nanosecond: MAKE_PROCESS_CPUCLOCK.
    return time.clock_gettime((~pid << 3) | 2)


class Process:
    """A program in the background, for the time of a ``with`` block.

    Args:
        command: The program and its arguments. It can import this project.
    """

    def __init__(self, command: Sequence[object]) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  (__exit__ closes it)
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        self._process = subprocess.Popen(  # noqa: S603  (the command is our own)
            list(map(str, command)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, "PYTHONPATH": path},
        )
        self.pid = self._process.pid

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_error: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    @property
    def ended(self) -> bool:
        """Whether it has ended by itself."""
        return self._process.poll() is not None

    def resident(self) -> float:
        """Return the KiB of memory it has resident."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * resource.getpagesize() / 1024

    def last_words(self) -> str:
        """Return the end of what it wrote to stderr, in one line."""
        self._errors.seek(0)
        return " ".join(self._errors.read().decode(errors="replace").split())[-LAST_WORDS:]

    def line(self, patience: float) -> str:
        """Return the next line of its stdout.

        Raises:
            BenchmarkError: It ended without one, or was killed after ``patience`` seconds.
        """
        output = self._process.stdout
        timer = threading.Timer(patience, self._process.kill)
        timer.start()
        line = output.readline() if output else b""
        timer.cancel()
        if not line:
            raise BenchmarkError(f"it ended, or said nothing for {patience:g} s")
        return line.decode().rstrip("\n")

"""A contender's process: started, measured from outside, ended by its pid (Linux)."""

from __future__ import annotations

import os
import resource
import select
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).resolve().parent.parent
_LAST_WORDS = 600


class BenchmarkError(Exception):
    """A contender did not do what it had to."""


def shortened(output: str) -> str:
    """Give the end of what a program wrote, for an error's text."""
    return output.strip()[-_LAST_WORDS:]


@contextmanager
def one_processor() -> Iterator[None]:
    """Keep this process, and those it starts meanwhile, on one and the same processor.

    To wake a process on another, idle one takes as long as a third of a lone exchange, and where
    the system puts whom changes from run to run.
    """
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


class Process:
    """A program in the background, for the time of a ``with`` block.

    ``command``: its words. It can import this project, also where that is not installed.
    """

    def __init__(self, command: list[str]) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  (closed by close)
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        self._process = subprocess.Popen(  # noqa: S603  (the command is our own)
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, "PYTHONPATH": path},
        )
        self._output = b""

    def __enter__(self) -> Process:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._errors.close()

    @property
    def ended(self) -> bool:
        """Whether it has ended by itself."""
        return self._process.poll() is not None

    def cpu(self) -> float:
        """Give the CPU seconds it has used, of all its threads, user and system.

        The system reads the clock of another process where it is named so; resolution: 1 ns.
        """
        return time.clock_gettime((~self._process.pid << 3) | 2)

    def rss(self) -> int:
        """Give the KiB of memory it has resident."""
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * resource.getpagesize() // 1024

    def last_words(self) -> str:
        """Give the end of what it wrote to stderr, for an error's text."""
        self._errors.seek(0)
        return shortened(self._errors.read().decode(errors="replace"))

    def line(self, patience: float) -> str:
        """Give the next line of its stdout; fails after ``patience`` seconds without one."""
        stdout = self._process.stdout
        if stdout is None:
            raise BenchmarkError("it has no stdout")
        deadline = time.monotonic() + patience
        while b"\n" not in self._output:
            readable, _, _ = select.select([stdout], [], [], max(0, deadline - time.monotonic()))
            data = os.read(stdout.fileno(), 4096) if readable else b""
            if not data:
                raise BenchmarkError("it ended" if readable else "it did not say anything in time")
            self._output += data
        line, _, self._output = self._output.partition(b"\n")
        return line.decode()

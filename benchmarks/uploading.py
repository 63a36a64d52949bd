"""Uploading: a large file by HTTP PUT, and its memory.

Ours and curl take turns (see ``pairs``).
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.contenders import PEERS
from benchmarks.nginx import served
from benchmarks.pairs import CURL, compared, compared_peaks, report, timed, write_random
from benchmarks.process import BenchmarkError, Process

__all__ = ["report", "run"]

_PATIENCE = 120.0  # seconds for one slice

# MiB of the large file, and how many rounds.
FULL = (1024, 5)
QUICK = (192, 3)


@dataclass(frozen=True)
class Place:
    """The URL and the folder that nginx stores files in, where they come from, and how many MiB."""

    url: str
    root: Path
    files: Path
    large: int
    rounds: int

    @contextmanager
    def stored(self, name: str) -> Iterator[str]:
        """Give the URL for one slice, once the disk is quiet; what is stored there is removed.

        Raises:
            BenchmarkError: It is not the whole file.
        """
        os.sync()
        yield f"{self.url}/stored"
        stored = self.root / "stored"
        if stored.stat().st_size != (self.files / name).stat().st_size:
            raise BenchmarkError("the file was not stored whole")
        stored.unlink()


def run(*, quick: bool = False) -> dict[str, Any]:
    """Measure; returns by its name what was ``measured``, as text, and the ``ratio`` of each round.

    The ratio is that of the two figures in the text.
    """
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="uploading-")))
        for name in ("nginx", "root", "files"):
            (home / name).mkdir()
        url = stack.enter_context(served(home / "nginx", home / "root", uploads=True))
        place = Place(url, home / "root", home / "files", *(QUICK if quick else FULL))
        for name, size in (("large", place.large), ("one", 1)):
            write_random(place.files / name, size)
        return {
            "upload / curl -T": _large(place),
            "upload, peak memory, MB more": _memory(place),
        }


def _large(place: Place) -> dict[str, Any]:
    """Upload a large file, and compare the seconds."""
    pairs = [(_put(place, "large")[0], _curl(place)) for _ in range(1 + place.rounds)][1:]
    return compared(pairs, f"{{:.2f}} / {{:.2f}} s for {place.large} MiB")


def _memory(place: Place) -> dict[str, Any]:
    """Compare the peaks of two processes: one uploaded the large file, one a MiB."""
    large, one = (_put(place, name)[1] for name in ("large", "one"))
    return compared_peaks(large, one)


def _put(place: Place, name: str) -> tuple[float, float]:
    """Upload in a process of its own; returns the seconds, and the peak of memory in KiB."""
    with (
        place.stored(name) as url,
        Process([sys.executable, PEERS / "put.py", url, place.files / name]) as process,
    ):
        try:
            seconds, peak = process.line(_PATIENCE).split()
        except BenchmarkError as error:
            raise BenchmarkError(f"{error}: {process.last_words()}") from None
    return float(seconds), float(peak)


def _curl(place: Place) -> float:
    """Upload by curl; returns the seconds, with the start of the process."""
    with place.stored("large") as url:
        return timed([*CURL, "-T", place.files / "large", url])

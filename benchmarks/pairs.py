"""Pairs: ours and another program do the same in turns.

What counts is the ratio of neighbours: a machine that others use changes its speed meanwhile.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.process import LAST_WORDS, BenchmarkError
from benchmarks.table import table

_MIB = 1 << 20
CURL = ("/usr/bin/env", "curl", "-sSf", "-o", os.devnull)
"""What begins a command of curl that throws away what it gets."""


def compared(pairs: Sequence[tuple[float, float]], measured: str) -> dict[str, Any]:
    """Return the medians of both, in this format, and each round's ratio."""
    first, second = zip(*pairs, strict=True)
    return {
        "measured": measured.format(median(first), median(second)),
        "ratio": [one / other for one, other in pairs],
    }


def compared_peaks(large: float, one: float) -> dict[str, Any]:
    """Return how much more memory a large file takes than one of a MiB: both in KiB, and in MB."""
    return {"measured": f"{large:,.0f} - {one:,.0f} KiB", "ratio": [(large - one) * 1024 / 1e6]}


def write_random(path: Path, mib: int) -> None:
    """Make a file of random bytes."""
    with path.open("wb") as file:
        for _ in range(mib):
            file.write(os.urandom(_MIB))


def timed(words: Sequence[object], **options: Any) -> float:
    """Run a program to its end; returns the seconds, with the start of the process.

    Args:
        words: The program and its arguments.
        options: Further ones of ``subprocess.run``.

    Raises:
        BenchmarkError: It failed.
    """
    command = [str(word) for word in words]
    began = time.perf_counter()
    done = subprocess.run(  # noqa: S603  (the program is our own)
        command, capture_output=True, text=True, check=False, **options
    )
    seconds = time.perf_counter() - began
    if done.returncode != 0:
        raise BenchmarkError(
            f"{shlex.join(command)}: {(done.stdout + done.stderr).strip()[-LAST_WORDS:]}"
        )
    return seconds


def report(figures: dict[str, Any]) -> str:
    """Return the table."""
    lines = [
        [name, row["measured"], f"{median(it):.2f} ({min(it):.2f} to {max(it):.2f})"]
        for name, row in figures.items()
        for it in [row["ratio"]]
    ]
    return table(("", "measured", "ratio"), lines)

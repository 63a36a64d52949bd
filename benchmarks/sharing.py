"""Sharing: a large file goes to curl, from a share and from nginx, and the share's memory.

Both take turns, and what counts is the ratio of neighbours: a machine that others use changes its
speed meanwhile.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.contenders import PEERS
from benchmarks.fetching import report
from benchmarks.nginx import served
from benchmarks.process import LAST_WORDS, BenchmarkError, Process

__all__ = ["report", "run"]

_MIB = 1 << 20
_PATIENCE = 20.0  # seconds until a share has its URL

# MiB of the large file, and how many rounds.
FULL = (1024, 9)
QUICK = (192, 3)


def run(*, quick: bool = False) -> dict[str, Any]:
    """Measure; returns by its name what was ``measured``, as text, and the ``ratio`` of each round.

    The ratio is that of the two figures in the text.
    """
    size, rounds = QUICK if quick else FULL
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sharing-")))
        for name in ("nginx", "root"):
            (home / name).mkdir()
        _make_file(home / "root" / "large", size)
        _make_file(home / "root" / "one", 1)
        nginx = stack.enter_context(served(home / "nginx", home / "root"))
        large, url = stack.enter_context(_shared(home / "root" / "large"))
        one, one_url = stack.enter_context(_shared(home / "root" / "one"))
        _read(one_url)
        pairs = [(_read(url), _read(f"{nginx}/large")) for _ in range(1 + rounds)][1:]
        peaks = _peak(large), _peak(one)
    ours, theirs = (median(column) for column in zip(*pairs, strict=True))
    return {
        "share to curl / nginx to curl": {
            "measured": f"{ours:.2f} / {theirs:.2f} s for {size} MiB",
            "ratio": [one / other for one, other in pairs],
        },
        "share, peak memory, MB more": {
            "measured": f"{peaks[0]:,.0f} - {peaks[1]:,.0f} KiB",
            "ratio": [(peaks[0] - peaks[1]) * 1024 / 1e6],
        },
    }


def _make_file(path: Path, mib: int) -> None:
    with path.open("wb") as file:
        for _ in range(mib):
            file.write(os.urandom(_MIB))


@contextmanager
def _shared(path: Path) -> Iterator[tuple[Process, str]]:
    """Share a file in a process of its own; gives that and the URL."""
    with Process([sys.executable, PEERS / "share.py", path]) as process:
        try:
            url = process.line(_PATIENCE)
        except BenchmarkError as error:
            raise BenchmarkError(f"{error}: {process.last_words()}") from None
        yield process, url


def _read(url: str) -> float:
    """Read a file with curl, which throws it away; returns the seconds."""
    began = time.perf_counter()
    done = subprocess.run(  # noqa: S603  (the command is our own)
        ["/usr/bin/env", "curl", "-sSf", "-o", os.devnull, url],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise BenchmarkError(f"curl: {done.stderr.strip()[-LAST_WORDS:]}")
    return time.perf_counter() - began


def _peak(process: Process) -> float:
    """Return the KiB of memory that a process had resident at the most."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return float(status.partition("VmHWM:")[2].split()[0])

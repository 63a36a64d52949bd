"""Sharing: a large file goes to curl, from a share and from nginx, and the share's memory.

Both take turns (see ``pairs``).
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.contenders import PEERS
from benchmarks.nginx import served
from benchmarks.pairs import CURL, compared, compared_peaks, report, timed, write_random
from benchmarks.process import BenchmarkError, Process

__all__ = ["report", "run"]

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
        write_random(home / "root" / "large", size)
        write_random(home / "root" / "one", 1)
        nginx = stack.enter_context(served(home / "nginx", home / "root"))
        large, url = stack.enter_context(_shared(home / "root" / "large"))
        one, one_url = stack.enter_context(_shared(home / "root" / "one"))
        _read(one_url)
        pairs = [(_read(url), _read(f"{nginx}/large")) for _ in range(1 + rounds)][1:]
        peaks = _peak(large), _peak(one)
    return {
        "share to curl / nginx to curl": compared(pairs, f"{{:.2f}} / {{:.2f}} s for {size} MiB"),
        "share, peak memory, MB more": compared_peaks(*peaks),
    }


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
    return timed([*CURL, url])


def _peak(process: Process) -> float:
    """Return the KiB of memory that a process had resident at the most."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return float(status.partition("VmHWM:")[2].split()[0])

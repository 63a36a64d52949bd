"""The command: how long ``oob`` takes from start to exit, beside Python that imports Twisted.

Both take turns (see ``pairs``).
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.pairs import compared, report, timed
from benchmarks.process import ROOT, BenchmarkError, Process

TWISTD = "import sys; sys.argv[0] = 'twistd'; from twisted.scripts.twistd import run; run()"
OOB = "from twisted_oob.commands.oob import main; main()"
BASE = "import twisted.internet.reactor, twisted.web.client"
"""What every client of HTTP on Twisted imports."""

__all__ = ["report", "run"]

_SIZE = 1024  # bytes
_PATIENCE = 20.0  # seconds for one program
FULL, QUICK = 15, 3
"""Rounds."""


def run(*, quick: bool = False) -> dict[str, Any]:
    """Measure; returns by its name what was ``measured``, as text, and the ``ratio`` of each round.

    The ratio is that of the two figures in the text.
    """
    with _responder() as (folder, port):
        (folder / "small.bin").write_bytes(bytes(_SIZE))
        commands = {
            "oob send, 1 KiB / imports": ("send", "--port", port, "small.bin", "oob.localhost"),
            "oob --help / imports": ("--help",),
        }
        return {
            name: _compared(folder, words, QUICK if quick else FULL)
            for name, words in commands.items()
        }


@contextmanager
def _responder() -> Iterator[tuple[Path, str]]:
    """Run a responder on an embedded router; gives its folder and its port."""
    with tempfile.TemporaryDirectory(prefix="command-") as name:
        folder = Path(name)
        words = (
            *("--listen", "tcp:0:interface=127.0.0.1", "--allow-network", "127.0.0.0/8"),
            *(
                "--download-dir",
                folder / "landed",
                "--secret-file",
                folder / "oob-responder.secret",
            ),
        )
        command = [sys.executable, "-c", TWISTD, "-n", "--pidfile=", "oob-responder", *words]
        with Process(command) as process:
            try:
                found = None
                while found is None:
                    line = process.line(_PATIENCE)
                    found = re.search(r"components connect to \S+:(\d+)", line)
            except BenchmarkError as error:
                raise BenchmarkError(f"{error}: {process.last_words()}") from None
            yield folder, found[1]


def _compared(folder: Path, words: Sequence[str], rounds: int) -> dict[str, Any]:
    _seconds(folder, OOB, words)  # so that all is in the system's memory
    pairs = [(_seconds(folder, OOB, words), _seconds(folder, BASE)) for _ in range(rounds)]
    return compared(pairs, "{:.2f} / {:.2f} s")


def _seconds(folder: Path, code: str, words: Sequence[str] = ()) -> float:
    """Run a program to its end; returns the seconds."""
    return timed(
        [sys.executable, "-c", code, *words],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": "", "XDG_CONFIG_HOME": str(folder)},
        timeout=_PATIENCE,
    )

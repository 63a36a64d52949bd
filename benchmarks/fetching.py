"""Fetching: a large file, its memory, many small files, and offers that wait meanwhile.

The contenders take turns, and what counts is the ratio of neighbours: a machine that others use
changes its speed meanwhile. aiohttp takes part if it is installed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.contenders import PEERS
from benchmarks.nginx import served
from benchmarks.process import LAST_WORDS, BenchmarkError, Process
from benchmarks.stream import ComponentStream
from benchmarks.table import NOTHING, number, table

_MIB = 1 << 20
_SMALL = 10 * 1024  # bytes
_BLOCK = 4 * _MIB
_AT_ONCE = 32  # small files
_PATIENCE = 120.0  # seconds for one slice
_PAUSE = 0.003  # seconds between an answer and the next offer


@dataclass(frozen=True)
class Size:
    """Bytes of the large file and of the huge one, how many small files, and how many rounds."""

    large: int
    huge: int
    small: int
    rounds: int


FULL = Size(large=1024 * _MIB, huge=4096 * _MIB, small=1000, rounds=5)
QUICK = Size(large=192 * _MIB, huge=384 * _MIB, small=300, rounds=2)


@dataclass(frozen=True)
class Place:
    """The URL of the web server's folder, the folder where files land, and their size."""

    url: str
    folder: Path
    size: Size

    @contextmanager
    def landing(self) -> Iterator[Path]:
        """Make a folder for one slice, once the disk is quiet; what lands there is removed."""
        with tempfile.TemporaryDirectory(dir=self.folder) as name:
            os.sync()
            yield Path(name)


def run(*, quick: bool = False) -> dict[str, Any]:
    """Measure.

    Returns:
        ``rows``: by its name, what was ``measured``, as text, and the ``ratio``: the median, the
        least and the greatest, or None. ``size``: how much was measured.
    """
    size = QUICK if quick else FULL
    rows: dict[str, Any] = {}
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fetching-")))
        for name in ("nginx", "root", "landed"):
            (home / name).mkdir()
        _make_files(home / "root", size)
        url = stack.enter_context(served(home / "nginx", home / "root"))
        place = Place(url, home / "landed", size)
        # First, as a disk can be busy with large files for a while after they are removed.
        for part in (_small, _large, _memory, _waiting):
            rows |= part(place)
    return {"rows": rows, "size": vars(size)}


def _make_files(root: Path, size: Size) -> None:
    with (root / "large").open("wb") as file:
        for _ in range(size.large // _BLOCK):
            file.write(os.urandom(_BLOCK))
    with (root / "huge").open("wb") as file:
        file.truncate(size.huge)
    (root / "one").write_bytes(os.urandom(_MIB))
    for count in range(size.small):
        (root / f"small-{count}.bin").write_bytes(os.urandom(_SMALL))


def _small(place: Place) -> dict[str, Any]:
    """Fetch many small files: files per second, and ours by theirs."""
    count = place.size.small
    # A curl for each: as many at once, but without a hash and without a sync.
    curl = f"seq 0 {count - 1} | xargs -P {_AT_ONCE} -I% curl -sSf -o $1/% $2/small-%.bin"
    contenders = {
        "ours": lambda: _fetched(place, "small-{}.bin", count)[0],
        "curl": lambda: _shell(place, curl),
    }
    if find_spec("aiohttp"):
        contenders["aiohttp"] = lambda: _fetched(place, "small-{}.bin", count, "aiohttp")[0]
    return _compared("small", "10 KiB files/s", place, contenders, lambda seconds: count / seconds)


def _large(place: Place) -> dict[str, Any]:
    """Fetch a large file: seconds, and ours by theirs."""
    curl = "curl -sSf -o $1/file $2/large && sha256sum $1/file && sync $1/file"
    contenders = {
        "ours": lambda: _fetched(place, "large")[0],
        "curl, sha256sum, sync": lambda: _shell(place, curl),
    }
    return _compared("large", f"{place.size.large // _MIB} MiB, s", place, contenders, float)


def _memory(place: Place) -> dict[str, Any]:
    """Compare the peaks of two processes: one fetched a MiB, one the huge file."""
    one, huge = (_fetched(place, path)[1] for path in ("one", "huge"))
    more = (huge - one) * 1024 / 1e6
    measured = f"{one:,.0f} to {huge:,.0f} KiB"
    return {"peak memory, MB more": {"measured": measured, "ratio": [more] * 3}}


def _waiting(place: Place) -> dict[str, Any]:
    """Time offers that are answered at once: while nothing else happens, and during a fetch."""
    with place.landing() as folder, ComponentStream() as stream:
        command = [sys.executable, PEERS / "ours.py", "fetch", *stream.arguments, folder]
        with Process(command) as process:
            try:
                stream.accept(_PATIENCE, process)
                pairs = [_quiet_and_busy(stream, place) for _ in range(1 + place.size.rounds)]
            except BenchmarkError as error:
                raise BenchmarkError(f"{error}: {process.last_words()}") from None
    del pairs[0]  # it warmed up
    quiet, busy = (1000 * median(each) for each in zip(*pairs, strict=True))
    ratio = _spread([busy / quiet for quiet, busy in pairs])
    measured = f"{quiet:.2f} to {busy:.2f} ms"
    return {"99th percentile / without a fetch": {"measured": measured, "ratio": ratio}}


def _quiet_and_busy(stream: ComponentStream, place: Place) -> tuple[float, float]:
    """Return the 99th percentile of the seconds that offers wait, without and during a fetch."""
    began = time.monotonic()
    stream.send(_offer(stream, "large", f"{place.url}/large", "<desc>fetch it</desc>"))
    busy = _waits(stream, lambda came: b"'large'" in came)
    end = 2 * time.monotonic() - began  # as long again
    quiet = _waits(stream, lambda _: time.monotonic() > end)
    return _percentile(quiet), _percentile(busy)


def _percentile(seconds: Sequence[float]) -> float:
    return sorted(seconds)[int(len(seconds) * 0.99)]


def _waits(stream: ComponentStream, ended: Callable[[bytes], bool]) -> list[float]:
    """Make one small offer after the other, each a moment after the last one's answer.

    Args:
        stream: The stream of whom they are offered to.
        ended: Tells, by what came since the last offer, whether that was the last one.

    Returns:
        The seconds until each was answered.
    """
    waits: list[float] = []
    came = b""
    while not ended(came):
        time.sleep(_PAUSE)
        came = came.rpartition(b">")[2]  # the begin of a stanza
        began = time.perf_counter()
        stream.send(_offer(stream, f"small-{len(waits)}", "http://127.0.0.1/small"))
        while f"'small-{len(waits)}'".encode() not in came:
            came += stream.read(_PATIENCE)
        waits.append(time.perf_counter() - began)
        if b"'error'" in came:
            raise BenchmarkError(f"an offer failed: {came!r}")
    return waits


def _offer(stream: ComponentStream, id_: str, url: str, more: str = "") -> bytes:
    return (
        f"<iq type='set' id='{id_}' from='a@sender.example/b' to='{stream.domain}'>"
        f"<query xmlns='jabber:iq:oob'><url>{url}</url>{more}</query></iq>"
    ).encode()


def _compared(
    part: str,
    unit: str,
    place: Place,
    contenders: dict[str, Callable[[], float]],
    figure: Callable[[float], float],
) -> dict[str, Any]:
    """Let the contenders take turns, and compare the figures that their seconds are turned into."""
    figures: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(place.size.rounds):
        for name, contender in contenders.items():
            figures[name].append(figure(contender()))
    rows: dict[str, Any] = {}
    for name, theirs in figures.items():
        ratios = [a / b for a, b in zip(figures["ours"], theirs, strict=True)]
        ratio = None if name == "ours" else _spread(ratios)
        measured = f"{number(median(theirs))} ({unit})"
        rows[f"{part} / {name}"] = {"measured": measured, "ratio": ratio}
    return rows


def _spread(values: Sequence[float]) -> list[float]:
    return [median(values), min(values), max(values)]


def _fetched(place: Place, path: str, count: int = 1, library: str = "ours") -> tuple[float, float]:
    """Fetch files in a process of its own; returns the seconds, and the peak of memory in KiB."""
    with place.landing() as folder:
        words = [library, folder, f"{place.url}/{path}", count, min(count, _AT_ONCE)]
        with Process([sys.executable, PEERS / "fetch.py", *words]) as process:
            try:
                seconds, peak = process.line(_PATIENCE).split()
            except BenchmarkError as error:
                raise BenchmarkError(f"{library}: {error}: {process.last_words()}") from None
        landed = len(list(folder.iterdir()))
    if landed != count:
        raise BenchmarkError(f"{library} landed {landed} files instead of {count}")
    return float(seconds), float(peak)


def _shell(place: Place, script: str) -> float:
    """Run a script, which gets a folder and the web server's URL; returns the seconds."""
    with place.landing() as folder:
        began = time.perf_counter()
        done = subprocess.run(  # noqa: S603  (the script is our own)
            ["/bin/sh", "-c", script, "sh", folder, place.url],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise BenchmarkError(f"{script}: {done.stderr.strip()[-LAST_WORDS:]}")
        return time.perf_counter() - began


def report(figures: dict[str, Any]) -> str:
    """Return the table."""
    lines = []
    for name, row in figures["rows"].items():
        spread = NOTHING
        if row["ratio"] is not None:
            spread = "{:.2f} ({:.2f} to {:.2f})".format(*row["ratio"])
        lines.append([name, row["measured"], spread])
    return table(("", "measured", "ours / theirs"), lines)

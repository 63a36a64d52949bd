"""Fetching: a large file, its memory, many small files, and offers that wait meanwhile.

The contenders take turns, and what counts is the ratio of neighbours: a machine that others use
changes its speed meanwhile. aiohttp takes part where it is installed.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.nginx import find_nginx, served
from benchmarks.process import BenchmarkError, Process, shortened
from benchmarks.stream import ComponentStream
from benchmarks.table import NOTHING, number, table
from benchmarks.targets import verdict

_MIB = 1 << 20
_SMALL = 10 * 1024  # bytes
_BLOCK = 4 * _MIB
_PATIENCE = 120.0  # seconds for one slice
_PAUSE = 0.003  # seconds between an answer and the next offer
_DOMAIN = "oob.localhost"

_MOST, _LEAST = "at most", "at least"
# What the figures are held to: a ratio's median is at most, or at least, this.
TARGETS: dict[str, tuple[str, float]] = {
    "large / curl, sha256sum, sync": (_MOST, 1.2),
    "small / curl": (_LEAST, 3.0),
    "small / aiohttp, a connection each": (_LEAST, 0.8),
    "peak memory, MB more": (_MOST, 5.0),
    "99th percentile / without a fetch": (_MOST, 2.0),
}

_CURL_AND_SUM = 'curl -sS -o "$1" "$2" && sha256sum "$1" && sync "$1"'
_CURL_AND_OPENSSL = 'curl -sS -o "$1" "$2" && openssl dgst -sha256 "$1" && sync "$1"'


@dataclass(frozen=True)
class _Size:
    """How much is measured."""

    large: int  # bytes
    huge: int  # bytes, for the memory
    small: int  # files
    at_once: int
    rounds: int


_FULL = _Size(large=1024 * _MIB, huge=4096 * _MIB, small=1000, at_once=32, rounds=5)
_QUICK = _Size(large=192 * _MIB, huge=384 * _MIB, small=300, at_once=32, rounds=2)


@dataclass(frozen=True)
class _Place:
    """Where a slice runs: the URL of the web server's folder, and a folder for files."""

    url: str
    folder: Path

    @contextmanager
    def landing(self) -> Iterator[Path]:
        """Give a new folder for one slice; the disk is quiet, and what landed is removed after."""
        with tempfile.TemporaryDirectory(dir=self.folder) as name:
            os.sync()
            yield Path(name)


_Contender = Callable[[_Place], float]


def run(*, quick: bool = False) -> dict[str, Any]:
    """Measure; gives plain figures: seconds, ratios (median, min, max), and what is missing.

    Where nothing could be measured, ``error`` tells why.

    ``quick``: less of everything, in less than half a minute.
    """
    size = _QUICK if quick else _FULL
    figures: dict[str, Any] = {"versions": _versions(), "size": vars(size), "missing": _missing()}
    if find_nginx() is None:
        return figures | {"error": f"nginx is {figures['missing']['nginx']}"}
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fetching-")))
        for name in ("nginx", "root", "landed"):
            (home / name).mkdir()
        _make_files(home / "root", size)
        url = stack.enter_context(served(home / "nginx", home / "root"))
        place = _Place(url, home / "landed")
        missing = figures["missing"]
        # First, as a disk may still be busy with large files for a while after they are removed.
        figures["small"] = _compare(_many(size, missing), place, size.rounds, rates=True)
        figures["large"] = _compare(_large(missing), place, size.rounds)
        figures["memory"] = _memory(place)
        figures["offers"] = _offers(place, size.rounds)
    return figures


def _missing() -> dict[str, str]:
    reasons = {
        program: "not installed" for program in ("curl", "openssl") if shutil.which(program) is None
    }
    if find_nginx() is None:
        reasons["nginx"] = "not installed: nothing was measured"
    if "aiohttp" not in _versions():
        reasons["aiohttp"] = "not installed for this Python"
    return reasons


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "cpus": str(os.cpu_count())}
    for package in ("twisted", "aiohttp"):
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    for program, option in ((find_nginx(), "-v"), (shutil.which("curl"), "--version")):
        if program is not None:
            found[Path(program).name] = _run([program, option]).partition("\n")[0]
    return found


def _make_files(root: Path, size: _Size) -> None:
    with (root / "large").open("wb") as file:
        for _ in range(size.large // _BLOCK):
            file.write(os.urandom(_BLOCK))
    with (root / "huge").open("wb") as file:
        file.truncate(size.huge)
    (root / "one").write_bytes(os.urandom(_MIB))
    for count in range(size.small):
        (root / f"small-{count}.bin").write_bytes(os.urandom(_SMALL))


def _compare(
    contenders: dict[str, _Contender], place: _Place, rounds: int, *, rates: bool = False
) -> dict[str, Any]:
    """Let the contenders take turns; the ratios are ours by the other's, in seconds or in rates."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            seconds[name].append(contender(place))
    ours = next(iter(seconds.values()))
    ratios = {
        name: _spread([b / a if rates else a / b for a, b in zip(ours, theirs, strict=True)])
        for name, theirs in seconds.items()
    }
    return {"seconds": seconds, "ratios": ratios}


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {"median": median(values), "min": min(values), "max": max(values)}


def _large(missing: dict[str, str]) -> dict[str, _Contender]:
    contenders: dict[str, _Contender] = {"ours": lambda place: _ours(place, "large", 1, 1)}
    if "curl" not in missing:
        contenders["curl, sha256sum, sync"] = lambda place: _shell(place, _CURL_AND_SUM)
        if "openssl" not in missing:
            contenders["curl, openssl, sync"] = lambda place: _shell(place, _CURL_AND_OPENSSL)
    return contenders


def _many(size: _Size, missing: dict[str, str]) -> dict[str, _Contender]:
    def fetch(kind: str) -> _Contender:
        return lambda place: _ours(place, "small-{}.bin", size.small, size.at_once, kind)

    contenders = {"ours": fetch("ours")}
    if "curl" not in missing:
        contenders["curl"] = lambda place: _curls(place, size)
    if "aiohttp" not in missing:
        contenders["aiohttp, a connection each"] = fetch("aiohttp-fresh")
        contenders["aiohttp, connections kept"] = fetch("aiohttp-kept")
    return contenders


def _ours(place: _Place, path: str, count: int, at_once: int, kind: str = "ours") -> float:
    return float(_child(place, path, count, at_once, kind)["seconds"])


def _child(
    place: _Place, path: str, count: int = 1, at_once: int = 1, kind: str = "ours"
) -> dict[str, Any]:
    with place.landing() as folder:
        words = [kind, str(folder), f"{place.url}/{path}", str(count), str(at_once)]
        with Process([sys.executable, "-m", "benchmarks.fetch_process", *words]) as process:
            try:
                figures: dict[str, Any] = json.loads(process.line(_PATIENCE))
            except BenchmarkError as error:
                raise BenchmarkError(f"{kind}: {error}: {process.last_words()}") from None
        landed = len(list(folder.iterdir()))
    if landed != count:
        raise BenchmarkError(f"{kind} landed {landed} files instead of {count}")
    return figures


def _shell(place: _Place, script: str) -> float:
    with place.landing() as folder:
        return _timed(["sh", "-c", script, "sh", str(folder / "file"), f"{place.url}/large"])


def _curls(place: _Place, size: _Size) -> float:
    """Run one curl for each file: many at once, but without a hash and without a sync."""
    with place.landing() as folder:
        curl = ["curl", "-sS", "-o", f"{folder}/{{}}", f"{place.url}/small-{{}}.bin"]
        return _timed(
            ["xargs", "-P", str(size.at_once), "-I{}", *curl],
            "".join(f"{count}\n" for count in range(size.small)),
        )


def _timed(command: list[str], given: str = "") -> float:
    began = time.perf_counter()
    _run(command, given)
    return time.perf_counter() - began


def _run(command: list[str], given: str = "") -> str:
    """Run a program to its end; gives what it said."""
    try:
        done = subprocess.run(  # noqa: S603  (the command is our own)
            command, input=given, capture_output=True, text=True, timeout=_PATIENCE, check=True
        )
    except subprocess.CalledProcessError as error:
        said = shortened(error.stderr)
        raise BenchmarkError(f"{command[0]} ended with {error.returncode}: {said}") from None
    except subprocess.TimeoutExpired:
        raise BenchmarkError(f"{command[0]} took more than {_PATIENCE:.0f} s") from None
    return done.stdout or done.stderr


def _memory(place: _Place) -> dict[str, float]:
    """Compare the peaks of two processes: one fetched a MiB, one the huge file."""
    little, huge = (_child(place, path)["peak_kib"] for path in ("one", "huge"))
    return {"one_mib_kib": little, "huge_kib": huge, "growth_mb": (huge - little) * 1024 / 1e6}


def _offers(place: _Place, rounds: int) -> dict[str, Any]:
    """Time offers that are answered at once: while nothing else happens, and during a fetch."""
    with ExitStack() as stack:
        folder = stack.enter_context(place.landing())
        server = ComponentStream(_DOMAIN)
        stack.callback(server.close)
        words = [str(folder), *map(str, server.address), _DOMAIN, server.secret]
        command = [sys.executable, "-m", "benchmarks.fetch_process", "stream", *words]
        process = stack.enter_context(Process(command))
        try:
            server.accept(_PATIENCE, lambda: process.ended)
            sender = _Sender(server, f"{place.url}/large")
            sender.during_a_fetch()  # it warms up
            pairs = []
            for _ in range(rounds):
                seconds, busy = sender.during_a_fetch()
                pairs.append((sender.for_a_time(seconds), busy))
        except BenchmarkError as error:
            raise BenchmarkError(f"{error}: {process.last_words()}") from None
    quiet, busy = (
        [_percentile(slice_) for slice_ in slices] for slices in zip(*pairs, strict=True)
    )
    return {
        "quiet_p99": quiet,
        "busy_p99": busy,
        "samples": [[len(a), len(b)] for a, b in pairs],
        "ratio": _spread([b / a for a, b in zip(quiet, busy, strict=True)]),
    }


def _percentile(seconds: Sequence[float]) -> float:
    return sorted(seconds)[int(len(seconds) * 0.99)]


class _Sender:
    """Makes one small offer after the other, each a moment after the last one's answer."""

    def __init__(self, server: ComponentStream, large: str) -> None:
        self._server = server
        self._large = large
        self._count = 0
        self._came = b""

    def during_a_fetch(self) -> tuple[float, list[float]]:
        """Give how long a fetch took, in seconds, and how long each offer waited meanwhile."""
        began = time.monotonic()
        self._offer("large", self._large, "<desc>fetch it</desc>")
        waits: list[float] = []
        while b"'large'" not in self._came:
            waits.append(self._one())
        if b"'error'" in self._came:
            raise BenchmarkError(f"the file was not fetched: {self._came!r}")
        self._came = b""
        return time.monotonic() - began, waits

    def for_a_time(self, seconds: float) -> list[float]:
        """Give how long each offer waited, when nothing else happens."""
        deadline = time.monotonic() + seconds
        waits = []
        while time.monotonic() < deadline:
            waits.append(self._one())
        self._came = b""
        return waits

    def _offer(self, id_: str, url: str, more: str = "") -> None:
        self._server.send(
            f"<iq type='set' id='{id_}' from='a@sender.localhost/b' to='{_DOMAIN}'>"
            f"<query xmlns='jabber:iq:oob'><url>{url}</url>{more}</query></iq>".encode()
        )

    def _one(self) -> float:
        time.sleep(_PAUSE)
        self._count += 1
        id_ = f"small-{self._count}"
        began = time.perf_counter()
        self._offer(id_, "http://127.0.0.1/small")
        deadline = time.monotonic() + _PATIENCE
        came = b""
        while f"'{id_}'".encode() not in came:
            data = self._server.read(deadline)
            if not data:
                raise BenchmarkError("an offer was not answered")
            came += data
        waited = time.perf_counter() - began
        if b"'large'" in came or b"'error'" in came:
            self._came += came
        return waited


def report(figures: dict[str, Any]) -> str:
    """Give the figures as plain text."""
    lines = [f"{name} is missing: {why}" for name, why in figures["missing"].items()]
    if "large" not in figures:
        return "\n".join(lines) + "\n"
    size = figures["size"]
    rows = []
    for part, what in (("large", f"{size['large'] >> 20} MiB, s"), ("small", "10 KiB files/s")):
        for name, seconds in figures[part]["seconds"].items():
            typical = median(seconds)
            value = typical if part == "large" else size["small"] / typical
            ratio = None if name == "ours" else figures[part]["ratios"][name]
            rows.append(_row(f"{part} / {name}", f"{number(value)} ({what})", ratio))
    memory, offers = figures["memory"], figures["offers"]
    peaks = f"{memory['one_mib_kib']:,} to {memory['huge_kib']:,} KiB"
    growth = dict.fromkeys(("median", "min", "max"), memory["growth_mb"])
    rows.append(_row("peak memory, MB more", peaks, growth))
    waits = (1000 * median(offers[what]) for what in ("quiet_p99", "busy_p99"))
    typical_waits = "{:.2f} to {:.2f} ms".format(*waits)
    rows.append(_row("99th percentile / without a fetch", typical_waits, offers["ratio"]))
    head = ("", "measured", "ours / theirs", "target", NOTHING)
    return table(head, rows) + "".join(f"\n{line}" for line in lines)


def _row(name: str, measured: str, ratio: dict[str, float] | None) -> list[str]:
    if ratio is None:
        return [name, measured, NOTHING, NOTHING, NOTHING]
    spread = f"{ratio['median']:.2f} ({ratio['min']:.2f} to {ratio['max']:.2f})"
    if name not in TARGETS:
        return [name, measured, spread, NOTHING, NOTHING]
    bound, limit = TARGETS[name]
    judged = verdict(ratio["median"], limit, least=bound == _LEAST)
    return [name, measured, spread, f"{bound} {limit:g}", judged]

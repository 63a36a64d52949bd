"""Fetching: a large file, its memory, many small files, and offers that wait meanwhile.

Ours and curl take turns (see ``pairs``).
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.certificate import make_certificate
from benchmarks.contenders import PEERS
from benchmarks.nginx import served
from benchmarks.pairs import compared, compared_peaks, report, timed, write_random
from benchmarks.process import BenchmarkError, Process
from benchmarks.stream import ComponentStream

_SMALL = 10 * 1024  # bytes
_AT_ONCE = 32  # small files
_PATIENCE = 120.0  # seconds for one slice
_PAUSE = 0.003  # seconds between an answer and the next offer

__all__ = ["report", "run"]

# MiB of the large file, how many small files, and how many rounds.
FULL = (1024, 1000, 5)
QUICK = (192, 300, 2)


@dataclass(frozen=True)
class Place:
    """Where files are fetched from and land, and how much is fetched.

    Attributes:
        url: The URL of the web server's folder.
        ca_file: The certificate that an https server is verified with; None for http.
        folder: The folder where files land.
        large: The MiB of the large file.
        small: How many small files there are.
        rounds: How often the two sides take turns.
    """

    url: str
    ca_file: Path | None
    folder: Path
    large: int
    small: int
    rounds: int

    @contextmanager
    def landing(self) -> Iterator[Path]:
        """Make a folder for one slice, once the disk is quiet; what lands there is removed."""
        with tempfile.TemporaryDirectory(dir=self.folder) as name:
            os.sync()
            yield Path(name)


def run(*, quick: bool = False) -> dict[str, Any]:
    """Measure; returns by its name what was ``measured``, as text, and the ``ratio`` of each round.

    The ratio is that of the two figures in the text.
    """
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fetching-")))
        for name in ("nginx", "nginx-tls", "root", "landed"):
            (home / name).mkdir()
        certificate = home / "certificate"
        make_certificate(certificate)
        url = stack.enter_context(served(home / "nginx", home / "root"))
        place = Place(url, None, home / "landed", *(QUICK if quick else FULL))
        tls_url = stack.enter_context(
            served(home / "nginx-tls", home / "root", certificate=certificate)
        )
        tls = replace(place, url=tls_url, ca_file=certificate)
        _make_files(home / "root", place)
        # A disk can be busy with large files for a while after they are removed: small ones first.
        return {
            "small / curl": _small(place),
            "small / curl, https": _small(tls),
            "large / curl, sha256sum, sync": _large(place),
            "large / curl, sha256sum, sync, https": _large(tls),
            "peak memory, MB more": _memory(place),
            "99th percentile / without a fetch": _waiting(place),
        }


def _make_files(root: Path, place: Place) -> None:
    write_random(root / "large", place.large)
    write_random(root / "one", 1)
    for count in range(place.small):
        (root / f"small-{count}.bin").write_bytes(os.urandom(_SMALL))


def _small(place: Place) -> dict[str, Any]:
    """Fetch many small files, and compare the files per second."""
    count = place.small
    # A curl for each: as many at once, but without a hash and without a sync.
    each = f"{_curl(place)} -o $1/% $2/small-%.bin"
    curl = f"seq 0 {count - 1} | xargs -P {_AT_ONCE} -I% {each}"
    pairs = [
        (count / _fetched(place, "small-{}.bin", count)[0], count / _shell(place, curl))
        for _ in range(place.rounds)
    ]
    return compared(pairs, "{:,.0f} / {:,.0f} files/s")


def _large(place: Place) -> dict[str, Any]:
    """Fetch a large file, and compare the seconds."""
    curl = f"{_curl(place)} -o $1/file $2/large && sha256sum $1/file && sync $1/file"
    pairs = [(_fetched(place, "large")[0], _shell(place, curl)) for _ in range(place.rounds)]
    return compared(pairs, f"{{:.2f}} / {{:.2f}} s for {place.large} MiB")


def _memory(place: Place) -> dict[str, Any]:
    """Compare the peaks of two processes: one fetched the large file, one a MiB."""
    large, one = (_fetched(place, path)[1] for path in ("large", "one"))
    return compared_peaks(large, one)


def _waiting(place: Place) -> dict[str, Any]:
    """Time offers that are answered at once: during a fetch, and while nothing else happens."""
    with place.landing() as folder, ComponentStream() as stream:
        command = [sys.executable, PEERS / "ours.py", "fetch", *stream.arguments, folder]
        with Process(command) as process:
            try:
                stream.accept(_PATIENCE, process)
                pairs = [_busy_and_quiet(stream, place) for _ in range(1 + place.rounds)]
            except BenchmarkError as error:
                raise BenchmarkError(f"{error}: {process.last_words()}") from None
    return compared(pairs[1:], "{:.2f} / {:.2f} ms")  # the first warmed up


def _busy_and_quiet(stream: ComponentStream, place: Place) -> tuple[float, float]:
    """Return the 99th percentile of the ms that offers wait, during a fetch and without."""
    began = time.monotonic()
    stream.send(_offer(stream, "large", f"{place.url}/large", "<desc>fetch it</desc>"))
    busy = _waits(stream, lambda came: b"'large'" in came)
    end = 2 * time.monotonic() - began  # as long again
    quiet = _waits(stream, lambda _: time.monotonic() > end)
    return sorted(busy)[int(len(busy) * 0.99)], sorted(quiet)[int(len(quiet) * 0.99)]


def _waits(stream: ComponentStream, ended: Callable[[bytes], bool]) -> list[float]:
    """Make one offer after the other until it has ``ended``, by what came since the last one.

    Returns:
        The milliseconds until each was answered.
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
        waits.append(1000 * (time.perf_counter() - began))
        if b"'error'" in came:
            raise BenchmarkError(f"an offer failed: {came!r}")
    return waits


def _offer(stream: ComponentStream, id_: str, url: str, more: str = "") -> bytes:
    return (
        f"<iq type='set' id='{id_}' from='a@sender.example/b' to='{stream.domain}'>"
        f"<query xmlns='jabber:iq:oob'><url>{url}</url>{more}</query></iq>"
    ).encode()


def _fetched(place: Place, path: str, count: int = 1) -> tuple[float, float]:
    """Fetch files in a process of its own; returns the seconds, and the peak of memory in KiB."""
    with place.landing() as folder:
        words = [folder, f"{place.url}/{path}", count, min(count, _AT_ONCE)]
        words += [place.ca_file] if place.ca_file else []
        with Process([sys.executable, PEERS / "fetch.py", *words]) as process:
            try:
                seconds, peak = process.line(_PATIENCE).split()
            except BenchmarkError as error:
                raise BenchmarkError(f"{error}: {process.last_words()}") from None
        landed = len(list(folder.iterdir()))
    if landed != count:
        raise BenchmarkError(f"{landed} files landed instead of {count}")
    return float(seconds), float(peak)


def _curl(place: Place) -> str:
    """Return how a command of curl in a ``_shell`` begins."""
    return "curl -sSf --cacert $3" if place.ca_file else "curl -sSf"


def _shell(place: Place, script: str) -> float:
    """Run a script; returns the seconds.

    Its arguments are a folder, the web server's URL and its certificate.
    """
    with place.landing() as folder:
        return timed(["/bin/sh", "-c", script, "sh", folder, place.url, place.ca_file or ""])

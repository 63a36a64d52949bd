"""Offers per second that 1, 2 and 3 responder processes answer, on one ejabberd on loopback.

Run ``python -m benchmarks.scaling`` from the project's root. It starts the fleet of the
project's tests, so it needs the extra ``test`` and the Debian package ejabberd. Every offer is a
new small file, which is fetched over HTTP, synced to the disk and then answered; the sender and
the web server are this process. For each number of processes it prints the offers per second, and
the CPU time that each kind of process took for an offer.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from twisted.internet.task import react

from benchmarks.process import BenchmarkError, cpu_seconds
from tests.servers.fleet import DocumentedEjabberd, Fleet
from tests.servers.servers import DOMAIN
from tests.support.certificates import Authority

PROCESSES = (1, 2, 3)
RUNS = 3
OFFERS = 1500
AT_ONCE = 64


async def measure(fleet: Any, server: Any, count: int) -> str:
    """Measure with that many processes; returns a line."""
    rates = []
    try:
        # There is one sender, which has at most half of the places of each: eight run at once.
        await fleet.start(count, "--concurrency", "16")
        programs = [each.program for each in (*fleet.instances, server)]
        pids = [os.getpid(), *(program.transport.pid for program in programs)]
        for run in range(RUNS + 1):
            if run == 1:  # the first one warmed up
                before = [cpu_seconds(pid) for pid in pids]
            paths = [f"/{run}/name-{run}-{number}.txt" for number in range(OFFERS)]
            began = time.perf_counter()
            await fleet.answered(fleet.offer_all(paths, at_once=AT_ONCE))
            rates.append(OFFERS / (time.perf_counter() - began))
        after = [cpu_seconds(pid) for pid in pids]
    finally:
        await fleet.stop()
    if set(fleet.outcomes.values()) != {None}:
        raise BenchmarkError("an offer was not answered with success")
    own, *responders, ejabberd = (
        1000 * (end - begin) / (RUNS * OFFERS) for begin, end in zip(before, after, strict=True)
    )
    return (
        f"{count}: {median(rates[1:]):.0f} offers/s ({min(rates[1:]):.0f} to {max(rates[1:]):.0f})"
        f"; CPU ms/offer: responders {sum(responders):.2f}, sender and web {own:.2f}, "
        f"ejabberd {ejabberd:.2f}\n"
    )


async def main(reactor: Any) -> None:
    """Measure each number of processes, and print its line."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        authority = Authority(folder)
        server = DocumentedEjabberd(reactor, folder, authority.issue(DOMAIN), authority.file)
        await server.start()
        try:
            for count in PROCESSES:
                home = folder / f"with-{count}"
                home.mkdir()
                sys.stdout.write(await measure(Fleet(reactor, server, home), server, count))
        finally:
            await server.stop()


if __name__ == "__main__":
    react(main)

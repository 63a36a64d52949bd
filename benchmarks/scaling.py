"""Offers per second that 1, 2 and 3 responder processes answer, on one ejabberd on loopback.

Run it from the project's root. It needs the Debian package ejabberd, and the extra ``test``: it
starts the fleet of the project's tests::

    python -m benchmarks.scaling

For each number of processes it prints the offers per second of every run, and the CPU time that
each kind of process took for an offer. Every offer is a new small file, which is fetched over
HTTP, synced to the disk and then answered; the sender and the web server are this process.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

from twisted.internet.task import react

PROCESSES = (1, 2, 3)
RUNS = 3
OFFERS = 1500
AT_ONCE = 64


def cpu_seconds(process: Any) -> float:
    """Give the CPU time of a process that Twisted started (Linux)."""
    fields = Path(f"/proc/{process.transport.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measure(fleet: Any, server: Any, count: int) -> str:
    """Measure with that many processes; gives a line."""
    rates = []
    try:
        await fleet.start(count)
        programs = [instance.program for instance in fleet.instances]
        used = {}
        for run in range(RUNS + 1):
            paths = [f"/{run}/name-{run}-{number}.txt" for number in range(OFFERS)]
            if run == 1:  # the first one warms up
                used = {each: cpu_seconds(each) for each in (*programs, server.program)}
                own = time.process_time()
            began = time.perf_counter()
            await fleet.answered(fleet.offer_all(paths, at_once=AT_ONCE))
            rates.append(OFFERS / (time.perf_counter() - began))
        own = time.process_time() - own
        spent = {each: cpu_seconds(each) - before for each, before in used.items()}
    finally:
        await fleet.stop()
    if set(fleet.outcomes.values()) != {None}:
        raise RuntimeError("an offer was not answered with success")
    per_offer = 1000 / (RUNS * OFFERS)
    responders = sum(spent[each] for each in programs) * per_offer
    return (
        f"{count}: {median(rates[1:]):.0f} offers/s ({min(rates[1:]):.0f} to {max(rates[1:]):.0f})"
        f"; CPU ms/offer: responders {responders:.2f}, sender and web {own * per_offer:.2f}, "
        f"ejabberd {spent[server.program] * per_offer:.2f}"
    )


async def measure_all(reactor: Any) -> None:
    """Measure each number of processes, in a temporary folder."""
    # Not above: main tells where pytest, and with it the project's tests, can't be imported.
    import pytest  # noqa: PLC0415

    from tests.servers.fleet import DocumentedEjabberd, Fleet  # noqa: PLC0415
    from tests.servers.servers import DOMAIN  # noqa: PLC0415
    from tests.support.certificates import Authority  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        authority = Authority(folder)
        try:
            server = DocumentedEjabberd(reactor, folder, authority.issue(DOMAIN), authority.file)
        except pytest.skip.Exception as missing:
            sys.exit(str(missing))
        await server.start()
        try:
            for count in PROCESSES:
                home = folder / f"with-{count}"
                home.mkdir()
                line = await measure(Fleet(reactor, server, home), server, count)
                sys.stdout.write(f"{line}\n")
        finally:
            await server.stop()


def main() -> None:
    """Measure, where all that it needs is there."""
    argparse.ArgumentParser(
        prog="python -m benchmarks.scaling",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()
    try:
        import_module("tests.servers.fleet")
    except ModuleNotFoundError as error:
        sys.exit(f"{error.name} is missing. Install the project: pip install -e '.[test]'")
    react(measure_all)


if __name__ == "__main__":
    main()

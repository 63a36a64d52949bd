"""What fetches, in a process of its own: this project's Fetcher, and aiohttp with the same work.

``ours`` and ``aiohttp-...`` fetch files and print one line of JSON: the seconds that took, without
the start of the process, and the peak of its resident memory in KiB. ``stream`` is a component
that answers every offer at once, but fetches what is offered with a ``desc`` first.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import secrets
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_network
from pathlib import Path
from typing import Any

LOOPBACK = (ip_network("127.0.0.0/8"),)
NO_LIMIT = 1 << 50
HOUR = 3600.0


def _tell(seconds: float) -> None:
    status = Path("/proc/self/status").read_text().partition("VmHWM:")[2]
    figures = {"seconds": seconds, "peak_kib": int(status.split()[0])}
    sys.stdout.write(json.dumps(figures) + "\n")


def _fetcher(reactor: Any, folder: Path) -> Any:
    from twisted_oob.files.fetch import Fetcher  # noqa: PLC0415  (the contenders need nothing of ours)
    from twisted_oob.files.policy import FetchPolicy  # noqa: PLC0415

    policy = FetchPolicy(max_size=NO_LIMIT, allow_networks=LOOPBACK, timeout=HOUR)
    return Fetcher(reactor, policy, folder)


async def ours(reactor: Any, given: argparse.Namespace) -> None:
    """Fetch with this project's Fetcher."""
    from twisted.internet.defer import Deferred, gatherResults  # noqa: PLC0415

    fetcher = _fetcher(reactor, given.folder)
    numbers = iter(range(given.count))

    async def work() -> None:
        for number in numbers:
            await fetcher.fetch(given.url.format(number))

    began = time.perf_counter()
    await gatherResults([Deferred.fromCoroutine(work()) for _ in range(given.at_once)])
    _tell(time.perf_counter() - began)


async def with_aiohttp(given: argparse.Namespace, *, fresh: bool) -> None:
    """Fetch with aiohttp: every file is hashed, synced, named and its folder synced in a thread."""
    import aiohttp  # noqa: PLC0415

    loop = asyncio.get_running_loop()
    threads = ThreadPoolExecutor(given.at_once)
    connector = aiohttp.TCPConnector(limit=given.at_once, force_close=fresh)
    numbers = iter(range(given.count))
    async with aiohttp.ClientSession(connector=connector) as session:

        async def work() -> None:
            for number in numbers:
                url = given.url.format(number)
                async with session.get(url, headers={"Accept-Encoding": "identity"}) as response:
                    data = await response.read()
                name = url.rpartition("/")[2]
                await loop.run_in_executor(threads, _land, given.folder, name, data)

        began = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(given.at_once)))
        _tell(time.perf_counter() - began)


def _land(folder: Path, name: str, data: bytes) -> str:
    temporary = f"{folder}/.{secrets.token_hex(16)}.part"
    fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, data)
        digest = hashlib.sha256(data).hexdigest()
        os.fsync(fd)
        os.link(temporary, f"{folder}/{name}")
        os.unlink(temporary)  # noqa: PTH108  (the quicker one, in fairness)
    finally:
        os.close(fd)
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
    return digest


def stream(reactor: Any, given: argparse.Namespace) -> Any:
    """Answer offers, until it is killed."""
    from twisted.internet.defer import Deferred  # noqa: PLC0415
    from twisted.internet.threads import deferToThread  # noqa: PLC0415
    from wokkel.component import Component  # noqa: PLC0415

    from twisted_oob import OOBHandler  # noqa: PLC0415
    from twisted_oob.transfer.embedded import EmbeddedResponder  # noqa: F401, PLC0415  (mends Wokkel)

    fetcher = _fetcher(reactor, given.folder)

    async def on_offer(offer: Any) -> None:
        if offer.desc is not None:
            fetched = await fetcher.fetch(offer.url)
            await deferToThread(fetched.path.unlink)

    component = Component(given.host, given.port, given.domain, given.secret)
    OOBHandler(on_offer, direct=True, reactor=reactor).setHandlerParent(component)
    component.startService()
    return Deferred()


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    kinds = parser.add_subparsers(dest="kind", required=True)
    for name in ("ours", "aiohttp-fresh", "aiohttp-kept"):
        kind = kinds.add_parser(name)
        kind.add_argument("folder", type=Path)
        kind.add_argument("url", help="{} in it is replaced by the file's number")
        kind.add_argument("count", type=int)
        kind.add_argument("at_once", type=int)
    kind = kinds.add_parser("stream")
    for argument, type_ in (
        ("folder", Path),
        ("host", str),
        ("port", int),
        ("domain", str),
        ("secret", str),
    ):
        kind.add_argument(argument, type=type_)
    given = parser.parse_args()
    if given.kind.startswith("aiohttp"):
        asyncio.run(with_aiohttp(given, fresh=given.kind == "aiohttp-fresh"))
        return
    from twisted.internet.task import react  # noqa: PLC0415  (it installs a reactor)

    if given.kind == "stream":
        react(stream, [given])
    else:
        react(ours, [given])


if __name__ == "__main__":
    main()

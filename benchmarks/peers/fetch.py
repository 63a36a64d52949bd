"""Fetch files: ``fetch.py WITH FOLDER URL COUNT AT_ONCE``.

WITH is ``ours`` or ``aiohttp``. ``{}`` in URL stands for the number of the file, from 0 to COUNT
less one. It prints the seconds it took, without the start of the process, and the KiB of memory
that were resident at the most.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

IDENTITY = {"Accept-Encoding": "identity"}


def tell(began: float) -> None:
    """Print what it took."""
    seconds = time.perf_counter() - began
    peak = Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]
    sys.stdout.write(f"{seconds} {peak}\n")


async def with_ours(_reactor: Any, folder: str, url: str, count: int, at_once: int) -> None:
    """Fetch with this project's Fetcher."""
    from ours import fetcher  # noqa: PLC0415  (aiohttp's process needs nothing of ours)
    from twisted.internet.defer import Deferred, gatherResults  # noqa: PLC0415

    fetch = fetcher(folder).fetch
    numbers = iter(range(count))

    async def work() -> None:
        for number in numbers:
            await fetch(url.format(number))

    began = time.perf_counter()
    await gatherResults([Deferred.fromCoroutine(work()) for _ in range(at_once)])
    tell(began)


async def with_aiohttp(folder: str, url: str, count: int, at_once: int) -> None:
    """Fetch with aiohttp, a connection for each file; it lands in a thread."""
    import aiohttp  # noqa: PLC0415

    loop = asyncio.get_running_loop()
    threads = ThreadPoolExecutor(at_once)
    connector = aiohttp.TCPConnector(limit=at_once, force_close=True)
    numbers = iter(range(count))
    async with aiohttp.ClientSession(connector=connector) as session:

        async def work() -> None:
            for number in numbers:
                async with session.get(url.format(number), headers=IDENTITY) as response:
                    data = await response.read()
                await loop.run_in_executor(threads, land, folder, f"small-{number}.bin", data)

        began = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(at_once)))
        tell(began)


def land(folder: str, name: str, data: bytes) -> str:
    """Do what the Fetcher does: hash, sync, give the name, and sync the folder."""
    part = f"{folder}/.{secrets.token_hex(16)}.part"
    fd = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(fd, "wb", buffering=0) as file:  # noqa: PTH123  (it is a descriptor)
        file.write(data)
        digest = hashlib.sha256(data).hexdigest()
        os.fsync(fd)
    os.link(part, f"{folder}/{name}")
    os.unlink(part)  # noqa: PTH108  (the quicker one, in fairness)
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
    return digest


if __name__ == "__main__":
    library, folder, url, count, at_once = sys.argv[1:]
    if library == "aiohttp":
        asyncio.run(with_aiohttp(folder, url, int(count), int(at_once)))
    else:
        from twisted.internet.task import react  # it installs a reactor

        react(with_ours, (folder, url, int(count), int(at_once)))

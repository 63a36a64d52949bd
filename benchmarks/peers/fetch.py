"""Fetch files with this project's Fetcher: ``fetch.py FOLDER URL COUNT AT_ONCE [CA_FILE]``.

``{}`` in URL stands for the number of the file, from 0 to COUNT less one. It prints the seconds it
took, without the start of the process, and the KiB of memory that were resident at the most.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from ours import fetcher
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import react


async def main(
    _reactor: Any, folder: str, url: str, count: str, at_once: str, ca_file: str | None = None
) -> None:
    """Fetch all, and print what it took."""
    fetch = fetcher(folder, ca_file).fetch
    numbers = iter(range(int(count)))

    async def work() -> None:
        for number in numbers:
            await fetch(url.format(number))

    began = time.perf_counter()
    await gatherResults([Deferred.fromCoroutine(work()) for _ in range(int(at_once))])
    seconds = time.perf_counter() - began
    peak = Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]
    sys.stdout.write(f"{seconds} {peak}\n")


if __name__ == "__main__":
    react(main, sys.argv[1:])

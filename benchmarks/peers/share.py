"""Share a file with this project's FileShare: ``share.py FILE``.

It prints the URL. After each whole read it prints the KiB of memory that were resident at the most.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from twisted_oob import FileShare


def peak() -> str:
    """Return the KiB of memory that were resident at the most."""
    return Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]


async def main(_reactor: Any, path: str) -> None:
    """Share it until the process is killed."""
    share = FileShare("tcp:0:interface=127.0.0.1")
    share.startService()
    await share.ready
    told = 0

    def tell(_read: int, size: int) -> None:
        nonlocal told

    shared = share.add(path)
    sys.stdout.write(f"{shared.url}\n")
    sys.stdout.flush()
    await Deferred()


if __name__ == "__main__":
    react(main, sys.argv[1:])

"""Share a file with this project's FileShare: ``share.py FILE``. It prints the URL."""

from __future__ import annotations

import sys
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from twisted_oob import FileShare


async def main(_reactor: Any, path: str) -> None:
    """Share it until the process is killed."""
    share = FileShare("tcp:0:interface=127.0.0.1")
    share.startService()
    await share.ready
    sys.stdout.write(f"{share.add(path).url}\n")
    sys.stdout.flush()
    await Deferred()


if __name__ == "__main__":
    react(main, sys.argv[1:])

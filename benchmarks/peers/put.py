"""Upload a file as an UploadHandler does, once it has a slot: ``put.py URL FILE``.

It prints the seconds it took, without the start of the process, and the KiB of memory that were
resident at the most.
"""

from __future__ import annotations

import ipaddress
import sys
import time
from pathlib import Path
from typing import Any

from twisted.internet.task import react

from twisted_oob import FetchPolicy
from twisted_oob.files.put import put
from twisted_oob.files.source import SourceFile
from twisted_oob.files.trust import HttpsTrust


async def main(reactor: Any, url: str, path: str) -> None:
    """Upload it, and print what it took."""
    policy = FetchPolicy(allow_networks=(ipaddress.ip_network("127.0.0.0/8"),))
    source = SourceFile(path)
    began = time.perf_counter()
    await put(
        reactor,
        url,
        source,
        policy=policy,
        tls_policy=HttpsTrust(None),
        media_type=source.media_type,
    )
    seconds = time.perf_counter() - began
    peak = Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]
    sys.stdout.write(f"{seconds} {peak}\n")


if __name__ == "__main__":
    react(main, sys.argv[1:])

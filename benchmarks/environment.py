"""What figures are from: the machine, and the versions of what was measured."""

from __future__ import annotations

import os
import platform
import re
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("twisted", "wokkel", "slixmpp")


def describe(*, quick: bool) -> str:
    """Give a sentence."""
    packages = ", ".join(filter(None, map(_package, PACKAGES)))
    run = "A quick run" if quick else "A full run"
    today = datetime.now(timezone.utc).date()
    return (
        f"{run} of {today}: Python {platform.python_version()}, {packages}; {_cpus()}, "
        f"{platform.system()}."
    )


def _package(name: str) -> str | None:
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return None


def _cpus() -> str:
    found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return f"{os.cpu_count()} × {found[1] if found else platform.machine()}"  # noqa: RUF001

"""``python -m benchmarks``: measure, and print tables. See README.rst."""

from __future__ import annotations

import argparse
import os
import platform
import re
import signal
import sys
from datetime import datetime, timezone
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks import exchange, fetching, memory, sharing, uploading
from benchmarks.contenders import CONTENDERS
from benchmarks.process import BenchmarkError
from benchmarks.targets import judge

PARTS = {
    "exchange": ("CPU per exchange", exchange),
    "memory": ("Memory", memory),
    "fetching": ("Fetching", fetching),
    "sharing": ("Sharing", sharing),
    "uploading": ("Uploading", uploading),
}
DEFAULT = ("exchange", "memory")  # these are also what --only narrows
NAMES = [contender.name for contender in CONTENDERS]
PACKAGES = ("twisted", "wokkel", "slixmpp")
README = Path(__file__).with_name("README.rst")
BEGIN, END = ".. begin of figures\n", ".. end of figures\n"


def options(arguments: list[str]) -> argparse.Namespace:
    """Read the command line, or exit with the usage and status 2."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parts = f"{', '.join(PARTS)} or all; by default {' and '.join(DEFAULT)}"
    parser.add_argument("parts", nargs="*", metavar="PART", help=parts)
    parser.add_argument("--quick", action="store_true", help="less exact, in less than a minute")
    only = f"some of {','.join(NAMES)}; wokkel is always there, as it is the measure"
    parser.add_argument("--only", metavar="NAMES", type=lambda text: text.split(","), help=only)
    parser.add_argument("--readme", action="store_true", help="write benchmarks/README.rst, too")
    given = parser.parse_intermixed_args(arguments)
    for words, known in ((given.parts, [*PARTS, "all"]), (given.only or [], NAMES)):
        for word in words:
            if word not in known:
                parser.error(f"{word!r} is not one of {', '.join(known)}")
    chosen = PARTS if "all" in given.parts else given.parts or DEFAULT
    given.parts = [part for part in PARTS if part in chosen]
    return given


def environment(*, quick: bool) -> str:
    """Return a sentence on the machine, and on the versions of what is measured."""
    packages = [f"{name} {version(name)}" if find_spec(name) else f"no {name}" for name in PACKAGES]
    model = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return (
        f"A {'quick' if quick else 'full'} run of {datetime.now(timezone.utc).date()}: Python "
        f"{platform.python_version()}, {', '.join(packages)}; "
        f"{os.cpu_count()} x {model[1] if model else platform.machine()}, {platform.system()}."
    )


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Return the figures of every part; of one that failed only the ``error`` that tells why."""
    figures: dict[str, Any] = {}
    for part in given.parts:
        sys.stderr.write(f"measuring: {part}\n")
        narrowed = {"only": given.only} if part in DEFAULT else {}
        try:
            figures[part] = PARTS[part][1].run(quick=given.quick, **narrowed)
        except (BenchmarkError, OSError) as error:
            figures[part] = {"error": " ".join(str(error).split())}
    return figures


def report(figures: dict[str, Any]) -> str:
    """Return the tables of all parts, in reStructuredText."""
    sections = []
    for part, found in figures.items():
        title, module = PARTS[part]
        text = f"Failed: {found['error']}\n" if "error" in found else module.report(found)
        sections.append(f"{title}\n{'-' * len(title)}\n\n{text}")
    return "\n".join(filter(None, [*sections, judge(figures)]))


def failed(figures: Any) -> bool:
    """Tell whether there is an error anywhere in the figures."""
    return isinstance(figures, dict) and ("error" in figures or any(map(failed, figures.values())))


def main(arguments: list[str]) -> int:
    """Measure and print; returns the exit status: 1 if anything could not be measured."""
    given = options(arguments)
    # An exception ends what was started, too.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    figures = measure(given)
    text = f"{environment(quick=given.quick)}\n\n{report(figures)}"
    if given.readme:
        before, after = re.split(f"{BEGIN}.*{END}", README.read_text(), flags=re.DOTALL)
        README.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")
    sys.stdout.write(text)
    return int(failed(figures))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

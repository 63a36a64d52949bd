"""``python -m benchmarks``: measure, and print tables. See README.rst."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Any

from benchmarks.contenders import CONTENDERS, left_out
from benchmarks.environment import describe
from benchmarks.process import BenchmarkError
from benchmarks.targets import judge

PARTS = {
    "exchange": "CPU per exchange",
    "pending": "CPU per exchange over what is pending",
    "memory": "Memory",
    "imports": "Import time",
    "fetching": "Fetching",
}
DEFAULT = ("exchange", "memory")
CHOOSING = ("exchange", "pending", "memory")  # the parts that --only narrows
NEEDED = ("twisted_oob", "twisted_oob.files.fetch")  # between them they import all dependencies
INSTALL = "Install the project: pip install -e '.[benchmarks]'"
README = Path(__file__).with_name("README.rst")
BEGIN, END = ".. begin of figures\n", ".. end of figures\n"


def options(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "parts",
        nargs="*",
        type=_part,
        metavar="PART",
        help=f"{', '.join(PARTS)} or all; by default {' and '.join(DEFAULT)}",
    )
    parser.add_argument(
        "--quick", action="store_true", help="less exact, all in less than a minute"
    )
    parser.add_argument(
        "--only",
        metavar="NAMES",
        type=_names,
        help="contenders, by comma: Wokkel's figures are always there",
    )
    parser.add_argument("--plot", metavar="FILE", help="draw the part pending as a PNG")
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="print JSON instead of tables")
    output.add_argument(
        "--readme", action="store_true", help="put the tables into benchmarks/README.rst, too"
    )
    given = parser.parse_intermixed_args(arguments)
    if "all" in given.parts:
        given.parts = list(PARTS)
    given.parts = [part for part in PARTS if part in (given.parts or DEFAULT)]
    if given.plot is not None:
        if "pending" not in given.parts:
            parser.error("--plot draws the part pending: name that, too")
        try:
            _try_to_write(given.plot)
        except OSError as error:
            parser.error(f"--plot: {given.plot!r} can't be written: {error.strerror}")
        if find_spec("matplotlib") is None:
            parser.error("--plot needs matplotlib, which is not installed")
    return given


def _try_to_write(name: str) -> None:
    """Fail now, and not after minutes; leaves everything as it was."""
    path = Path(name)
    was_there = path.exists()
    path.open("ab").close()
    if not was_there:
        path.unlink()


def _part(name: str) -> str:
    if name not in (*PARTS, "all"):
        raise argparse.ArgumentTypeError(f"no {name!r} among {', '.join(PARTS)}, all")
    return name


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    known = {contender.name for contender in CONTENDERS}
    if unknown := [name for name in names if name not in known]:
        raise argparse.ArgumentTypeError(f"no {unknown[0]!r} among {', '.join(sorted(known))}")
    return names


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Give the figures of every part, and of the machine they are from.

    Of a part that could not be measured there is only ``error``: why.
    """
    figures: dict[str, Any] = {
        "environment": describe(quick=given.quick),
        "left_out": left_out(given.only),
    }
    for part in given.parts:
        sys.stderr.write(f"measuring: {part}\n")
        narrowed = {"only": given.only} if part in CHOOSING else {}
        module = import_module(f"benchmarks.{part}")
        try:
            figures[part] = module.run(quick=given.quick, **narrowed)
        except (BenchmarkError, OSError) as error:
            figures[part] = {"error": str(error)}
            sys.stderr.write(f"{part} failed: {error}\n")
    return figures


def report(figures: dict[str, Any]) -> str:
    """Give the tables of all parts, in reStructuredText."""
    sections = [f"{figures['environment']}\n"]
    if figures["left_out"]:
        sections.append(f"Not installed, so left out: {', '.join(figures['left_out'])}.\n")
    for part, title in PARTS.items():
        if part in figures:
            found = figures[part]
            if found.keys() == {"error"}:
                text = f"Failed: {' '.join(found['error'].split())}"
            else:
                text = import_module(f"benchmarks.{part}").report(found)
            sections.append(f"{title}\n{'-' * len(title)}\n\n{text.rstrip()}\n")
    sections.append(judge(figures))
    return "\n".join(filter(None, sections))


def failed(figures: Any) -> bool:
    """Tell whether anything in the figures is an error."""
    if isinstance(figures, dict):
        return figures.get("error") is not None or any(map(failed, figures.values()))
    return isinstance(figures, list) and any(map(failed, figures))


def write_readme(text: str) -> None:
    """Put the tables where README.rst has the last ones."""
    before, _, rest = README.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    README.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


def main(arguments: list[str]) -> int:
    """Measure and print; gives the exit status: 1 where anything could not be measured."""
    given = options(arguments)
    try:
        for name in NEEDED:
            import_module(name)
    except ModuleNotFoundError as error:
        sys.stderr.write(f"{str(error.name).partition('.')[0]} is missing. {INSTALL}\n")
        return 1
    # So that what was started is ended, too.
    signal.signal(signal.SIGTERM, _end)
    figures = measure(given)
    text = report(figures)
    if given.readme:
        write_readme(text)
    sys.stdout.write(json.dumps(figures, indent=2) + "\n" if given.json else text)
    if given.plot and "error" not in figures["pending"]:
        from benchmarks.plot import draw  # noqa: PLC0415  (where matplotlib is)

        draw(figures["pending"], given.plot)
    return int(failed(figures))


def _end(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(128 + signal.SIGINT)

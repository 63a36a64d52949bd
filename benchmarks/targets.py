"""What the figures of this project are held to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.contenders import AMONG_OTHERS, OURS
from benchmarks.table import NOTHING, table

TITLE = f"Targets of {OURS}"


@dataclass(frozen=True)
class Target:
    """``what`` is at most ``limit``; ``find`` takes it from the figures.

    Where it is not among them, ``find`` fails with a KeyError, or a TypeError where it is None.
    """

    what: str
    limit: float
    find: Callable[[dict[str, Any]], float]
    places: int = 2


def verdict(value: float, limit: float, places: int = 2, *, least: bool = False) -> str:
    """Judge a figure as it is printed; ``least``: it is to be no less than the limit, not more."""
    shown = round(value, places)
    return "met" if (shown >= limit if least else shown <= limit) else "missed"


def _row(rows: list[dict[str, Any]], name: str = OURS) -> dict[str, Any]:
    return {row["name"]: row for row in rows}[name]


def _exchange(role: str, window: int, name: str = OURS) -> Callable[[dict[str, Any]], float]:
    def find(figures: dict[str, Any]) -> float:
        rows = {
            (each["role"], each["window"]): each["rows"] for each in figures["exchange"]["columns"]
        }
        return float(_row(rows[role, window], name)["ratio"])

    return find


def _others(role: str) -> Callable[[dict[str, Any]], float]:
    """Find what ten other protocols' observers on the stream cost."""
    alone, among = _exchange(role, 64), _exchange(role, 64, AMONG_OTHERS)
    return lambda figures: among(figures) / alone(figures)


def _held(figures: dict[str, Any]) -> float:
    """Find what 10,000 pending requests add to what it costs by plain Wokkel."""
    pending = {each["count"]: each["rows"] for each in figures["pending"]["asking"]}
    return float(_row(pending[10_000])["ratio"]) / float(_row(pending[64])["ratio"])


TARGETS = (
    Target("answering, 64 in flight, by plain Wokkel", 0.37, _exchange("answer", 64)),
    Target("answering, one in flight, by plain Wokkel", 0.60, _exchange("answer", 1)),
    Target("asking, 64 in flight, by plain Wokkel", 0.28, _exchange("ask", 64)),
    Target("asking, one in flight, by plain Wokkel", 0.55, _exchange("ask", 1)),
    Target("asking with 10,000 pending, by asking with 64", 1.2, _held),
    Target("answering among ten other observers, by answering alone", 1.05, _others("answer")),
    Target("asking among ten other observers, by asking alone", 1.05, _others("ask")),
    Target(
        "KiB per 1,000 pending requests",
        1100,
        lambda figures: float(_row(figures["memory"]["pending"])["kib_per_1000"]),
        places=0,
    ),
    Target(
        "KiB per 1,000 open offers",
        2000,
        lambda figures: float(_row(figures["memory"]["open"])["kib_per_1000"]),
        places=0,
    ),
    Target("import time, by that of its parts", 1.1, lambda figures: figures["imports"]["ratio"]),
)


def judge(figures: dict[str, Any]) -> str:
    """Give a table of the targets whose figures are there; nothing where none is."""
    rows = []
    for target in TARGETS:
        try:
            value = target.find(figures)
        except (KeyError, TypeError):
            continue
        limit, shown = (f"{it:,.{target.places}f}" for it in (target.limit, value))
        rows.append([target.what, limit, shown, verdict(value, target.limit, target.places)])
    if not rows:
        return ""
    return f"{TITLE}\n{'-' * len(TITLE)}\n\n{table(['', 'at most', 'is', NOTHING], rows)}"

"""What the figures of this project are held to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.contenders import DEFAULT, OURS
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


def _held(figures: dict[str, Any]) -> float:
    """Find what 10,000 pending requests add to what it costs by plain Wokkel."""
    pending = {each["count"]: each["rows"] for each in figures["pending"]["asking"]}
    return float(_row(pending[10_000])["ratio"]) / float(_row(pending[64])["ratio"])


TARGETS = (
    Target("direct, answering, 64 in flight, by plain Wokkel", 0.33, _exchange("answer", 64)),
    Target("direct, asking, 64 in flight, by plain Wokkel", 0.30, _exchange("ask", 64)),
    Target("ours, answering, by plain Wokkel", 0.99, _exchange("answer", 64, DEFAULT)),
    Target("ours, asking, by plain Wokkel", 0.99, _exchange("ask", 64, DEFAULT)),
    Target("asking with 10,000 pending, by asking with 64", 1.2, _held),
    Target(
        "KiB per 1,000 pending requests",
        1250,
        lambda figures: float(_row(figures["memory"]["pending"])["kib_per_1000"]),
        places=0,
    ),
    Target(
        "KiB per 1,000 open offers",
        1500,
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

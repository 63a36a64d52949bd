"""What the figures of this project are held to."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any

from benchmarks.contenders import DIRECT, OURS, SLIXMPP
from benchmarks.table import NOTHING, table

MEETS = {"at most": operator.le, "below": operator.lt, "at least": operator.ge}
ANSWERING, ASKING, PENDING = "answering, W=64", "asking, W=64", "10,000 pending"
REQUESTS, OFFERS = "KiB per 1,000 pending requests", "KiB per 1,000 open offers"


@dataclass(frozen=True)
class Target:
    """What a figure is held to.

    Args:
        what: What the figure is.
        bound: One of MEETS.
        limit: The limit.
        path: The keys that lead to the figure, among all figures.
        by: Those of the figure to divide it by.
        places: The decimal places that are printed.
    """

    what: str
    bound: str
    limit: float
    path: tuple[object, ...]
    by: tuple[object, ...] = ()
    places: int = 2

    def row(self, figures: dict[str, Any]) -> list[str]:
        """Return the target's line of the table, which judges the figure as it is printed.

        Raises:
            LookupError: The figures don't have it.
            TypeError: It is None.
        """
        value = _find(figures, self.path)
        if self.by:
            value /= _find(figures, self.by)
        met = MEETS[self.bound](round(value, self.places), self.limit)
        limit, shown = (f"{it:,.{self.places}f}" for it in (self.limit, value))
        return [self.what, f"{self.bound} {limit}", shown, "met" if met else "missed"]


def _find(figures: Any, path: tuple[object, ...]) -> float:
    for key in path:
        figures = figures[key]
    return float(figures)


def _exchange(title: str, name: str) -> tuple[object, ...]:
    return "exchange", title, name, "ratio"


def _target_of_fetching(name: str, bound: str, limit: float) -> Target:
    return Target(name, bound, limit, ("fetching", "rows", name, "ratio", 0))


TARGETS = (
    Target(f"{DIRECT}, {ANSWERING}", "at most", 0.33, _exchange(ANSWERING, DIRECT)),
    Target(f"{DIRECT}, {ASKING}", "at most", 0.30, _exchange(ASKING, DIRECT)),
    Target(f"{OURS}, {ANSWERING}", "below", 1.0, _exchange(ANSWERING, OURS)),
    Target(f"{OURS}, {ASKING}", "below", 1.0, _exchange(ASKING, OURS)),
    *(
        Target(
            f"{OURS} / {SLIXMPP}, {it}", "below", 1.0, _exchange(it, OURS), _exchange(it, SLIXMPP)
        )
        for it in (ANSWERING, ASKING)
    ),
    # Of ratios to plain Wokkel: the machine's speed changes from column to column.
    Target(
        f"{DIRECT}, {PENDING} / {ASKING}",
        "at most",
        1.2,
        _exchange(PENDING, DIRECT),
        _exchange(ASKING, DIRECT),
    ),
    Target(f"{DIRECT}, {REQUESTS}", "at most", 1250, ("memory", REQUESTS, DIRECT, "kib"), places=0),
    Target(f"{DIRECT}, {OFFERS}", "at most", 1500, ("memory", OFFERS, DIRECT, "kib"), places=0),
    _target_of_fetching("large / curl, sha256sum, sync", "at most", 1.2),
    _target_of_fetching("small / curl", "at least", 3.0),
    _target_of_fetching("small / aiohttp", "at least", 0.8),
    _target_of_fetching("peak memory, MB more", "at most", 5.0),
    _target_of_fetching("99th percentile / without a fetch", "at most", 2.0),
)


def judge(figures: dict[str, Any]) -> str:
    """Return a table of the targets whose figures are there, or ``""`` if there are not any."""
    rows = []
    for target in TARGETS:
        try:
            rows.append(target.row(figures))
        except (LookupError, TypeError):  # noqa: PERF203
            continue
    if not rows:
        return ""
    return f"Targets\n-------\n\n{table(['', 'target', 'is', NOTHING], rows)}"

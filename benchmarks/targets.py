"""What the figures of this project are held to."""

from __future__ import annotations

import operator
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from benchmarks.contenders import BASE, DIRECT, OURS, SLIXMPP
from benchmarks.table import NOTHING, table

Figures = dict[str, Any]
_MEETS: dict[str, Callable[[float, float], bool]] = {
    "at most": operator.le,
    "below": operator.lt,
    "at least": operator.ge,
}


@dataclass(frozen=True)
class Target:
    """What a figure is held to.

    Args:
        what: What the figure is.
        bound: How it has to be to the limit: ``at most``, ``below`` or ``at least``.
        limit: The limit.
        find: Takes the figure from all figures, or raises KeyError.
        places: The decimal places that are printed.
    """

    what: str
    bound: str
    limit: float
    find: Callable[[Figures], float]
    places: int = 2

    def row(self, value: float) -> list[str]:
        """Return the target's line of the table, which judges the figure as it is printed."""
        met = _MEETS[self.bound](round(value, self.places), self.limit)
        limit, shown = (f"{it:,.{self.places}f}" for it in (self.limit, value))
        return [self.what, f"{self.bound} {limit}", shown, "met" if met else "missed"]


def _exchange(title: str, name: str, base: str = BASE) -> Callable[[Figures], float]:
    def find(figures: Figures) -> float:
        column = figures["exchange"][title]
        return float(column[name]["ratio"] / column[base]["ratio"])

    return find


def _many_by_few(figures: Figures) -> float:
    # Microseconds of two columns can't be compared: the machine's speed changes between them.
    many, few = (_exchange(title, DIRECT) for title in ("10,000 pending", ASKING))
    return many(figures) / few(figures)


def _memory(title: str) -> Callable[[Figures], float]:
    return lambda figures: float(figures["memory"][title][DIRECT]["kib"])


def _fetching(name: str) -> Callable[[Figures], float]:
    return lambda figures: float(figures["fetching"]["rows"][name]["ratio"][0])


ANSWERING, ASKING = "answering, W=64", "asking, W=64"
REQUESTS, OFFERS = "KiB per 1,000 pending requests", "KiB per 1,000 open offers"
_IMPORTS = "import time, by that of its parts"
_LARGE, _SMALL, _AIOHTTP = "large / curl, sha256sum, sync", "small / curl", "small / aiohttp"
_PEAK, _WAIT = "peak memory, MB more", "99th percentile / without a fetch"

TARGETS = (
    Target(f"{DIRECT}, {ANSWERING}", "at most", 0.33, _exchange(ANSWERING, DIRECT)),
    Target(f"{DIRECT}, {ASKING}", "at most", 0.30, _exchange(ASKING, DIRECT)),
    Target(f"{OURS}, {ANSWERING}", "below", 1.0, _exchange(ANSWERING, OURS)),
    Target(f"{OURS}, {ASKING}", "below", 1.0, _exchange(ASKING, OURS)),
    Target(f"{OURS} / slixmpp, {ANSWERING}", "below", 1.0, _exchange(ANSWERING, OURS, SLIXMPP)),
    Target(f"{OURS} / slixmpp, {ASKING}", "below", 1.0, _exchange(ASKING, OURS, SLIXMPP)),
    Target(f"{DIRECT}, 10,000 pending / {ASKING}", "at most", 1.2, _many_by_few),
    Target(f"{DIRECT}, {REQUESTS}", "at most", 1250, _memory(REQUESTS), places=0),
    Target(f"{DIRECT}, {OFFERS}", "at most", 1500, _memory(OFFERS), places=0),
    Target(_IMPORTS, "at most", 1.1, lambda figures: float(figures["imports"]["ratio"])),
    Target(_LARGE, "at most", 1.2, _fetching(_LARGE)),
    Target(_SMALL, "at least", 3.0, _fetching(_SMALL)),
    Target(_AIOHTTP, "at least", 0.8, _fetching(_AIOHTTP)),
    Target(_PEAK, "at most", 5.0, _fetching(_PEAK)),
    Target(_WAIT, "at most", 2.0, _fetching(_WAIT)),
)


def judge(figures: Figures) -> str:
    """Return a table of the targets whose figures are there, or ``""`` if there are not any."""
    rows = []
    for target in TARGETS:
        with suppress(KeyError):
            rows.append(target.row(target.find(figures)))
    if not rows:
        return ""
    return f"Targets\n-------\n\n{table(['', 'target', 'is', NOTHING], rows)}"

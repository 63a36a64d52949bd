"""What the figures of this project are held to."""

from __future__ import annotations

import operator
from statistics import median
from typing import Any

from benchmarks.table import NOTHING, table

MEETS = {"at most": operator.le, "below": operator.lt, "at least": operator.ge}
# Judged as it is printed: with two decimal places, or without any if the limit has none.
TARGETS: tuple[tuple[str, str, float], ...] = (
    ("ours-direct, answering, W=64", "at most", 0.33),
    ("ours-direct, asking, W=64", "at most", 0.30),
    ("ours, answering, W=64", "below", 1.0),
    ("ours, asking, W=64", "below", 1.0),
    ("ours / slixmpp, answering, W=64", "below", 1.0),
    ("ours / slixmpp, asking, W=64", "below", 1.0),
    ("ours-direct, 10,000 pending / asking, W=64", "at most", 1.2),
    ("ours-direct, KiB per 1,000 pending requests", "at most", 1250),
    ("ours-direct, KiB per 1,000 open offers", "at most", 1500),
    ("small / curl", "at least", 3.0),
    ("small / curl, https", "at least", 3.0),
    ("large / curl, sha256sum, sync", "at most", 0.8),
    ("large / curl, sha256sum, sync, https", "at most", 0.8),
    ("peak memory, MB more", "at most", 5.0),
    ("99th percentile / without a fetch", "at most", 2.0),
    ("share to curl / nginx to curl", "at most", 1.3),
    ("share, peak memory, MB more", "at most", 5.0),
    ("upload / curl -T", "at most", 1.2),
    ("upload, peak memory, MB more", "at most", 5.0),
    ("oob send, 1 KiB / imports", "at most", 2.5),
)
# Of ratios to plain Wokkel: the machine's speed changes from column to column.
QUOTIENTS = {
    "ours / slixmpp, answering, W=64": ("ours, answering, W=64", "slixmpp, answering, W=64"),
    "ours / slixmpp, asking, W=64": ("ours, asking, W=64", "slixmpp, asking, W=64"),
    "ours-direct, 10,000 pending / asking, W=64": (
        "ours-direct, 10,000 pending",
        "ours-direct, asking, W=64",
    ),
}


def judge(figures: dict[str, Any]) -> str:
    """Return a table of the targets whose figures are there, or ``""`` if there are not any."""
    values = _values(figures)
    lines = []
    for what, bound, limit in TARGETS:
        if what in values:
            places = 0 if isinstance(limit, int) else 2
            met = MEETS[bound](round(values[what], places), limit)
            shown = f"{values[what]:,.{places}f}"
            lines.append([what, f"{bound} {limit:,.{places}f}", shown, "met" if met else "missed"])
    if not lines:
        return ""
    return f"Targets\n-------\n\n{table(['', 'target', 'is', NOTHING], lines)}"


def _values(figures: dict[str, Any]) -> dict[str, float]:
    """Return the figures by their names, without those that failed."""
    found = {part: rows for part, rows in figures.items() if "error" not in rows}
    values = {
        name: median(row["ratio"])
        for part in ("fetching", "sharing", "uploading", "command")
        for name, row in found.get(part, {}).items()
    }
    for part, figure in (("exchange", "ratio"), ("memory", "kib")):
        for title, rows in found.get(part, {}).items():
            values |= {f"{who}, {title}": row[figure] for who, row in rows.items() if figure in row}
    for what, (one, other) in QUOTIENTS.items():
        if one in values and other in values:
            values[what] = values[one] / values[other]
    return values

"""CPU per exchange over the number of requests that are pending, and of offers that are open."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from benchmarks.column import Column, measure
from benchmarks.contenders import choose
from benchmarks.table import columns_table

COUNTS = (1, 64, 1000, 10000)


def run(
    *,
    quick: bool = False,
    only: Collection[str] | None = None,
    counts: Sequence[int] = COUNTS,
) -> dict[str, Any]:
    """Measure; gives ``asking`` and ``answering``, each a list of columns with count and rows.

    ``counts``: how many are pending or open in each column.
    """
    rounds, size, limit = (4, 320, 0.5) if quick else (10, 1000, 3.0)

    def asking(count: int) -> Column:
        return Column("ask", count, rounds, size, warm=size, full=True, limit=limit)

    def answering(count: int) -> Column:
        in_flight = max(1, min(64, count // 2))
        return Column("hold", in_flight, rounds, size, warm=size, held=count, limit=limit)

    return {
        name: [
            {"count": count, "rows": measure(column(count), choose(column(count).role, only))}
            for count in counts
        ]
        for name, column in (("asking", asking), ("answering", answering))
    }


def report(figures: dict[str, Any]) -> str:
    """Give a table for asking and one for answering."""
    return (
        "Asking, as a ratio to plain Wokkel, and in µs, with so many requests pending all the "
        f"time:\n\n{_table(figures['asking'], 'pending')}\n"
        "Answering the oldest of so many offers that are open all the time:\n\n"
        f"{_table(figures['answering'], 'open')}"
    )


def _table(columns: Sequence[dict[str, Any]], what: str) -> str:
    return columns_table([(f"{each['count']:,} {what}", each["rows"]) for each in columns])

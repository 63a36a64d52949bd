"""Tables that are plain text and reStructuredText alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.contenders import CONTENDERS

NOTHING = "–"  # noqa: RUF001  (an empty first cell would end the table's row)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Give a simple table of reStructuredText: the first column left, the others right."""
    widths = [max(map(len, cells)) for cells in zip(head, *rows, strict=True)]
    rule = "  ".join("=" * width for width in widths)

    def line(cells: Sequence[str]) -> str:
        first, *others = cells
        parts = [first.ljust(widths[0])]
        parts += [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        return "  ".join(parts)

    return "\n".join([rule, line(head), rule, *map(line, rows), rule, ""])


def number(value: float) -> str:
    """Give a figure with as many places as it deserves."""
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"  # noqa: PLR2004


def columns_table(columns: Sequence[tuple[str, Sequence[dict[str, Any]]]]) -> str:
    """Give a table of columns' rows (see column.py), one line for each contender.

    Under it, why figures are not there.
    """
    by_name = [{row["name"]: row for row in rows} for _, rows in columns]
    names = [each.name for each in CONTENDERS if any(each.name in rows for rows in by_name)]
    lines = [[name, *(_cell(rows.get(name)) for rows in by_name)] for name in names]
    return table(["", *(title for title, _ in columns)], lines) + failures(columns)


def failures(columns: Sequence[tuple[str, Sequence[dict[str, Any]]]]) -> str:
    """Give a list of why figures are not there; nothing where all are."""
    failed = [
        f"* {row['name']}, {title}: {' '.join(row['error'].split())}\n"
        for title, rows in columns
        for row in rows
        if row["error"] is not None
    ]
    return "".join(["\nFailed:\n\n", *failed]) if failed else ""


def _cell(row: dict[str, Any] | None) -> str:
    if row is None:
        return NOTHING
    if row["error"] is not None:
        return "failed"
    cut = ", cut" if row["cut"] else ""
    ratio = NOTHING if row["ratio"] is None else number(row["ratio"])
    return f"{ratio} ({number(row['microseconds'])} µs{cut})"

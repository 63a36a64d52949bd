"""Tables that are plain text and reStructuredText alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

NOTHING = "–"  # noqa: RUF001  (an empty first cell would end the table's row)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a simple table of reStructuredText: the first column left, the others right."""
    widths = [max(map(len, cells)) for cells in zip(head, *rows, strict=True)]
    rule = "  ".join("=" * width for width in widths)

    def line(cells: Sequence[str]) -> str:
        first, *others = cells
        parts = [first.ljust(widths[0])]
        parts += [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        return "  ".join(parts)

    return "\n".join([rule, line(head), rule, *map(line, rows), rule, ""])


def by_contender(columns: dict[str, dict[str, Any]], cell: str) -> str:
    """Return a table with a line for each contender, and under it what failed.

    Args:
        columns: By title and by contender, a row of figures, or only the ``error`` why it has none.
        cell: The format of a cell, with the names of a row's figures.
    """

    def cell_of(row: dict[str, Any] | None) -> str:
        return NOTHING if row is None else "failed" if "error" in row else cell.format(**row)

    names = dict.fromkeys(name for rows in columns.values() for name in rows)
    lines = [[name, *(cell_of(rows.get(name)) for rows in columns.values())] for name in names]
    failed = [
        f"* {name}, {title}: {row['error']}\n"
        for title, rows in columns.items()
        for name, row in rows.items()
        if "error" in row
    ]
    return table(["", *columns], lines) + "".join(["\nFailed:\n\n", *failed] if failed else [])

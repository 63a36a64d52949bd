"""CPU per exchange, answering and asking, of all contenders side by side."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from benchmarks.column import Column, measure
from benchmarks.contenders import choose
from benchmarks.table import columns_table

_WORK = {"answer": "answering", "ask": "asking"}
_COLUMNS = (("answer", 64), ("answer", 1), ("ask", 64), ("ask", 1))


def column(role: str, window: int, *, quick: bool) -> Column:
    """Give what is measured of a role with so many exchanges in flight."""
    size = 1000 if window > 1 else 500
    if quick:
        return Column(role, window, rounds=9, size=size // 2, warm=500)
    return Column(role, window, rounds=40, size=size, warm=2000)


def run(*, quick: bool = False, only: Collection[str] | None = None) -> dict[str, Any]:
    """Measure; gives ``columns``, each with role, window and rows as column.py makes them."""
    columns = []
    for role, window in _COLUMNS:
        rows = measure(column(role, window, quick=quick), choose(role, only))
        columns.append({"role": role, "window": window, "rows": rows})
    return {"columns": columns}


def report(figures: dict[str, Any]) -> str:
    """Give the table."""
    titled = [
        (f"{_WORK[each['role']]}, W={each['window']}", each["rows"]) for each in figures["columns"]
    ]
    return (
        "As a ratio to plain Wokkel, and in µs, with W exchanges in flight:\n\n"
        f"{columns_table(titled)}"
    )

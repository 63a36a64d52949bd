"""Resident memory per 1,000 requests that are pending, and per 1,000 offers that are open."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import ExitStack
from statistics import median
from typing import Any

from benchmarks.column import Column, Session
from benchmarks.contenders import choose
from benchmarks.table import NOTHING, failures, table

FEW = 1000
_COLUMNS = {"pending": "KiB per 1,000 pending requests", "open": "KiB per 1,000 open offers"}


def run(
    *,
    quick: bool = False,
    only: Collection[str] | None = None,
    many: int = 11000,
) -> dict[str, Any]:
    """Measure; gives ``pending`` and ``open``, each a list of rows with name and kib_per_1000.

    A process with FEW of them is compared with one with ``many``.
    """
    runs = 1 if quick else 3
    return {
        "pending": _rows("ask", many, runs, only),
        "open": _rows("hold", many, runs, only),
    }


def _rows(role: str, many: int, runs: int, only: Collection[str] | None) -> list[dict[str, Any]]:
    contenders = choose(role, only)
    found: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    errors: dict[str, str] = {}
    for _ in range(runs):
        with ExitStack() as stack:
            pairs = [
                [Session(contender, _column(role, count), stack) for count in (FEW, many)]
                for contender in contenders
            ]
            for contender, pair in zip(contenders, pairs, strict=True):
                for session in pair:
                    session.attempt(session.begin)
                    if session.error is not None:
                        errors[contender.name] = session.error
                if contender.name not in errors:
                    few, more = (session.process.rss() for session in pair)
                    found[contender.name].append((more - few) * 1000 / (many - FEW))
    return [
        {
            "name": name,
            "kib_per_1000": None if name in errors else median(figures),
            "error": errors.get(name),
        }
        for name, figures in found.items()
    ]


def _column(role: str, count: int) -> Column:
    window, held = (1, count) if role == "hold" else (count, 0)
    return Column(role, window, rounds=0, size=0, warm=0, held=held)


def report(figures: dict[str, Any]) -> str:
    """Give the table."""
    columns = [(title, figures[what]) for what, title in _COLUMNS.items()]
    by_name = [{row["name"]: row for row in rows} for _, rows in columns]
    lines = [[name, *(_cell(rows.get(name)) for rows in by_name)] for name in by_name[0]]
    return table(["", *_COLUMNS.values()], lines) + failures(columns)


def _cell(row: dict[str, Any] | None) -> str:
    if row is None:
        return NOTHING
    return "failed" if row["error"] is not None else f"{row['kib_per_1000']:,.0f}"

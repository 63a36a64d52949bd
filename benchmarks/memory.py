"""Resident memory of requests that are pending, and of offers that are open."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import ExitStack
from statistics import median
from typing import Any

from benchmarks.contenders import Contender, choose
from benchmarks.exchange import Column, Session
from benchmarks.table import by_contender

ROLES = {"KiB per 1,000 pending requests": "ask", "KiB per 1,000 open offers": "hold"}
FEW, MANY = 1_000, 11_000


def run(*, quick: bool = False, only: Collection[str] | None = None) -> dict[str, Any]:
    """Compare two fresh processes of each contender, one with few and one with many.

    Returns:
        By title and by contender, the ``kib``, or the ``error`` why there is no figure.
    """
    return {
        title: {each.name: _row(each, role, 1 if quick else 3) for each in choose(role, only)}
        for title, role in ROLES.items()
    }


def _row(contender: Contender, role: str, runs: int) -> dict[str, Any]:
    kib = []
    for _ in range(runs):
        with ExitStack() as stack:
            few, many = (
                Session(contender, Column(role, in_flight=1, held=held), stack)
                for held in (FEW, MANY)
            )
            for session in (few, many):
                session.attempt(session.begin)
                if session.error is not None:
                    return {"error": session.error}
            more = many.process.resident() - few.process.resident()
            kib.append(more * 1000 / (MANY - FEW))
    return {"kib": median(kib)}


def report(figures: dict[str, Any]) -> str:
    """Return the table."""
    return by_contender(figures, "{kib:,.0f}")

"""CPU time of an exchange, answering and asking, of all contenders side by side.

All contenders of a column are alive at once, share one processor with the driver, and are measured
slice by slice in turn. README.rst says why.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.contenders import BASE, PEERS, SLIXMPP, Contender, choose
from benchmarks.driver import ADDRESS, PATIENCE, URL, Answering, Offering
from benchmarks.process import BenchmarkError, Process, cpu_seconds, one_processor
from benchmarks.stream import ComponentStream
from benchmarks.table import by_contender

# By title: the role, how many exchanges are in flight, and how many stay open beside those.
COLUMNS = {
    "answering, W=64": ("answer", 64, 0),
    "answering, W=1": ("answer", 1, 0),
    "10,000 open": ("hold", 64, 10_000),
    "asking, W=64": ("ask", 64, 0),
    "asking, W=1": ("ask", 1, 0),
    "10,000 pending": ("ask", 64, 10_000),
}


@dataclass(frozen=True)
class Column:
    """What is measured.

    Args:
        role: What the contenders do: ``answer``, ``ask`` or ``hold``; see contenders.py.
        in_flight: Exchanges that are under way at a time.
        held: Exchanges that stay open beside those.
        rounds: Slices of each contender.
        size: Exchanges of a slice.
        warm: Exchanges before the first slice, which don't count.
    """

    role: str
    in_flight: int
    held: int = 0
    rounds: int = 0
    size: int = 0
    warm: int = 0

    @property
    def requests(self) -> int:
        """How many requests a contender that asks has to send."""
        return self.warm + self.rounds * self.size + self.in_flight + self.held


class Session:
    """A contender at work: its process, its stream and the driver, until the stack ends."""

    def __init__(self, contender: Contender, column: Column, stack: ExitStack) -> None:
        self._column = column
        self._stream = stack.enter_context(ComponentStream())
        self.driver: Offering | Answering
        more: tuple[object, ...] = ()
        if column.role == "ask":
            self.driver = Answering(self._stream, column.in_flight, column.held)
            more = (column.requests, column.in_flight + column.held, ADDRESS, URL)
        else:
            self.driver = Offering(self._stream, column.in_flight, column.held)
            more = (column.held,) if column.role == "hold" else ()
        program, *first = contender.roles[column.role]
        command = [sys.executable, PEERS / program, *first, *self._stream.arguments, *more]
        self.process = stack.enter_context(Process(command))
        self.spent: list[float] = []
        self.error: str | None = None

    def attempt(self, step: Callable[[], None]) -> None:
        """Do one of the steps below, unless one has failed; keep why it fails."""
        if self.error is None:
            try:
                step()
            except (BenchmarkError, OSError) as error:
                self.error = f"{error}; {self.process.last_words()}"

    def begin(self) -> None:
        """Let it connect, and warm up."""
        self._stream.accept(PATIENCE, self.process)
        self.driver.begin()
        self.driver.exchange(self._column.warm)

    def slice(self) -> None:
        """Measure one slice."""
        before = cpu_seconds(self.process.pid)
        self.driver.exchange(self._column.size)
        self.spent.append((cpu_seconds(self.process.pid) - before) / self._column.size)

    def end(self) -> None:
        """Hear from one that asks how many requests succeeded: it has to be all."""
        if isinstance(self.driver, Answering):
            self.driver.answer(len(self.driver.open))
            said = self.process.line(PATIENCE)
            if said != f"ok {self._column.requests}":
                raise BenchmarkError(f"it said {said!r} after {self._column.requests} requests")

    def row(self, base: Sequence[float]) -> dict[str, Any]:
        """Return the medians: ``ratio`` to the base's slices, ``microseconds``; or ``error``."""
        if self.error is not None:
            return {"error": self.error}
        ratio = median(own / its for own, its in zip(self.spent, base, strict=True))
        return {"ratio": ratio, "microseconds": median(self.spent) * 1e6}


def measure(column: Column, contenders: Sequence[Contender]) -> dict[str, dict[str, Any]]:
    """Measure a column; returns the row of each contender, by its name.

    Raises:
        BenchmarkError: The base failed, without which there are no ratios.
    """
    with one_processor(), ExitStack() as stack:
        # All start before the first is waited for: their start takes longer than their work.
        sessions = {each.name: Session(each, column, stack) for each in contenders}
        order = list(sessions.values())
        for session in order:
            session.attempt(session.begin)
        for _ in range(column.rounds):
            for session in order:
                session.attempt(session.slice)
            order.append(order.pop(0))  # nobody is always the first
        for session in order:
            session.attempt(session.end)
    base = sessions[BASE]
    if base.error is not None:
        raise BenchmarkError(f"{BASE}: {base.error}")
    return {name: session.row(base.spent) for name, session in sessions.items()}


def run(*, quick: bool = False, only: Collection[str] | None = None) -> dict[str, Any]:
    """Measure; returns each column's rows by its title."""
    rounds, size, warm = (9, 500, 500) if quick else (40, 1000, 2000)
    figures = {}
    for title, (role, in_flight, held) in COLUMNS.items():
        column = Column(role, in_flight, held, rounds, size, warm)
        who = choose(role, only)
        if role == "ask" and held:
            # It looks through all pending requests for each answer: that would take hours.
            who = [contender for contender in who if contender.name != SLIXMPP]
        figures[title] = measure(column, who)
    return figures


def report(figures: dict[str, Any]) -> str:
    """Return the table."""
    return (
        "As a ratio to plain Wokkel, and in µs, with W exchanges in flight, and with 10,000 more "
        "open or pending beside 64 in flight:\n\n"
        + by_contender(figures, "{ratio:.2f} ({microseconds:.1f} µs)")
    )

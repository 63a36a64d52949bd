"""One column of a table: contenders alive at once, measured slice by slice in turn.

A shared machine can change its speed by half from one second to the next. So a figure is a ratio:
the CPU time of a contender's slice by that of the base's slice of the same round, and of all
rounds the median. All share one processor with the driver.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Any

from benchmarks.contenders import BASE, Contender
from benchmarks.exchanges import DRIVER, PATIENCE, URL, Answering, Offering
from benchmarks.process import BenchmarkError, Process, one_processor
from benchmarks.stream import ComponentStream

_ENOUGH_FOR_QUARTILES = 4
_ENOUGH_WHEN_CUT = 2  # slices


@dataclass(frozen=True)
class Column:
    """What is measured.

    ``role``: of the contenders. ``window``: exchanges in flight; with ``full``, requests that
    are pending all the time. ``held``: offers that stay open. ``rounds`` slices of ``size``
    exchanges each, after ``warm`` that do not count. ``limit``: seconds for a slice, after which
    it is cut.
    """

    role: str
    window: int
    rounds: int
    size: int
    warm: int
    full: bool = False
    held: int = 0
    limit: float | None = None

    @property
    def total(self) -> int:
        """The requests that a contender that asks has to send."""
        return self.warm + self.rounds * self.size + self.window


class Session:
    """A contender at work: its process, its stream and what the driver does with it."""

    def __init__(self, contender: Contender, column: Column, stack: ExitStack) -> None:
        self._column = column
        stream = ComponentStream("peer.example")
        stack.callback(stream.close)
        self._stream = stream
        arguments: tuple[object, ...] = ()
        self.driver: Offering | Answering
        if column.role in {"answer", "hold"}:
            self.driver = Offering(stream, column.window, column.held)
            arguments = (column.held,) if column.role == "hold" else ()
        else:
            self.driver = Answering(stream, column.window, full=column.full)
            arguments = (column.total, column.window, DRIVER, URL)
        command = contender.command(
            column.role, *stream.address, stream.domain, stream.secret, *arguments
        )
        self.process = stack.enter_context(Process(command))
        self.spent: list[float] = []
        self.exchanged = 0
        self.cut = False
        self.error: str | None = None

    def attempt(self, step: Callable[[], None]) -> None:
        """Take a step, unless one has failed; a failure is kept."""
        if self.error is not None:
            return
        try:
            step()
        except (BenchmarkError, OSError) as error:
            self.error = f"{error}; {self.process.last_words()}".rstrip("; ")

    def begin(self) -> None:
        """Let it connect and get ready, and warm up."""
        self._stream.accept(PATIENCE, lambda: self.process.ended)
        self.driver.begin()
        self._exchange(self._column.warm)

    def slice(self) -> None:
        """Measure one slice."""
        before = self.process.cpu()
        done = self._exchange(self._column.size)
        spent = self.process.cpu() - before
        self.exchanged += done
        self.spent.append(spent / done)

    def _exchange(self, count: int) -> int:
        done = self.driver.exchange(count, self._column.limit)
        self.cut = self.cut or done < count
        return done

    def end(self) -> None:
        """Hold one that asks to its word."""
        if isinstance(self.driver, Answering) and not self.cut:
            self.driver.finish()
            said = self.process.line(PATIENCE)
            if said != f"ok {self._column.total}":
                raise BenchmarkError(f"it said {said!r} after {self._column.total} requests")


def measure(column: Column, contenders: Sequence[Contender]) -> list[dict[str, Any]]:
    """Measure a column; gives a row for each contender, as ``_row`` describes it."""
    with one_processor(), ExitStack() as stack:
        # All start before the first is waited for: that is most of the time it takes.
        sessions = [Session(contender, column, stack) for contender in contenders]
        for session in sessions:
            session.attempt(session.begin)
        for turn in range(column.rounds):
            first = turn % len(sessions)
            for session in sessions[first:] + sessions[:first]:
                if not (session.cut and len(session.spent) >= _ENOUGH_WHEN_CUT):
                    session.attempt(session.slice)
        for session in sessions:
            session.attempt(session.end)
    names = [contender.name for contender in contenders]
    base = sessions[names.index(BASE)]
    return [_row(name, session, base.spent) for name, session in zip(names, sessions, strict=True)]


def _row(name: str, session: Session, base: list[float]) -> dict[str, Any]:
    """Give the figures of a contender.

    ``ratio``: median of its slices by the base's, with ``quartiles``; ``microseconds``: CPU per
    exchange, median; ``exchanges``: how many were measured; ``cut``: not all in time; ``error``:
    why there are no figures. None where there is none.
    """
    row: dict[str, Any] = {
        "name": name,
        "ratio": None,
        "quartiles": None,
        "microseconds": None,
        "exchanges": session.exchanged,
        "cut": session.cut,
        "error": session.error,
    }
    if session.error is None and session.spent:
        row["microseconds"] = median(session.spent) * 1e6
        ratios = [own / other for own, other in zip(session.spent, base, strict=False)]
        if ratios:
            row["ratio"] = median(ratios)
        if len(ratios) >= _ENOUGH_FOR_QUARTILES:
            low, _, high = quantiles(ratios, n=4)
            row["quartiles"] = [low, high]
    return row

"""Progress: one bar for each file that is on its way, on a terminal only."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from twisted_oob._shown import shown_name

if TYPE_CHECKING:
    from twisted_oob.commands.output import Output

_PHASES: Final = {"hash": "hashing", "upload": "uploading", "read": "sending", "fetch": "receiving"}
_USUAL_SIZE: Final = os.terminal_size((79, 23))
_FORMAT: Final = (
    "{desc}: {percentage:3.0f}% |{bar}| {n_fmt}/{total_fmt} [{rate_fmt}, {remaining} left]"
)


class Progress:
    """Shows how far the files have come.

    Args:
        output: Where lines are written, which the bars make room for.
        recipient: Whom the files go to; None if they come to us.
    """

    def __init__(self, output: Output, recipient: str | None) -> None:
        self._recipient = recipient
        self._tqdm: Any = None
        self._bars: dict[int, Any] = {}
        # tqdm would find that out, too, with disable=None; but to import it takes its time.
        if output.quiet or not sys.stderr.isatty():
            return
        from tqdm import tqdm  # noqa: PLC0415

        # Neither a thread that watches us, nor a lock for other processes.
        tqdm.monitor_interval = 0
        tqdm.set_lock(threading.RLock())
        self._tqdm = tqdm
        output.aside = tqdm.external_write_mode

    def watch(self, key: int, path: str) -> Callable[[str, int, int | None], None] | None:
        """Return what a file's progress is told to: ``on_progress`` of ``FileSender.send``.

        Args:
            key: Which one it is.
            path: The path that was given.

        Returns:
            A callable, or None if nothing is shown.
        """
        if self._tqdm is None:
            return None
        shown = shown_name(path)
        phase_now = ""

        def on_progress(phase: str, done: int, total: int | None) -> None:
            nonlocal phase_now
            bar = self._bars.get(key)
            if bar is None:
                phase_now = ""
                bar = self._bars[key] = self._new_bar(shown, total)
            if phase != phase_now or done < bar.n:
                phase_now = phase
                bar.set_description_str(f"{shown}: {_PHASES[phase]}", refresh=False)
                bar.reset(total)
            bar.update(done - bar.n)
            if done == total and self._recipient is not None:
                bar.set_description_str(f"{shown}: waiting for {self._recipient}")

        return on_progress

    def _new_bar(self, name: str, total: int | None) -> Any:
        size = os.get_terminal_size(sys.stderr.fileno())
        # Some terminals don't tell their size, and tqdm shows nothing on one of no lines.
        known = size.lines > 0 and size.columns > 0
        return self._tqdm(
            total=total,
            desc=name,
            file=sys.stderr,
            disable=None,
            leave=False,
            unit="B",
            unit_scale=True,
            dynamic_ncols=known,
            ncols=None if known else _USUAL_SIZE.columns,
            nrows=None if known else _USUAL_SIZE.lines,
            bar_format=_FORMAT,
        )

    def done(self, key: int) -> None:
        """Remove a file's bar."""
        bar = self._bars.pop(key, None)
        if bar is not None:
            bar.close()

    def close(self) -> None:
        """Remove all bars."""
        for key in list(self._bars):
            self.done(key)

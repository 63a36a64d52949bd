"""Progress: tells an application how much of a transfer is done."""

from __future__ import annotations

from collections.abc import Callable

from twisted.logger import Logger

OnProgress = Callable[[int, int | None], object]
"""Called with how much is done and with how much there is in the end, or None if nobody knows."""


class Progress:
    """Calls ``on_progress(done, total)``. Its mistakes do no harm to the transfer.

    Args:
        on_progress: What the application gave. The first error that it raises is logged; then it
            is not called any more.
        total: The number of bytes in the end; None if nobody knows.
    """

    _log = Logger()

    def __init__(self, on_progress: OnProgress, total: int | None) -> None:
        self._on_progress = on_progress
        self._total = total
        self._failed = False

    def __call__(self, done: int) -> None:
        """Tell how many bytes are done."""
        if self._failed:
            return
        try:
            self._on_progress(done, self._total)
        except Exception:
            self._failed = True
            self._log.failure("on_progress failed; it is not called again for this transfer")

"""Progress: what an application is told of a transfer, whatever it does with the news."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from twisted.logger import Logger

OnProgress: TypeAlias = Callable[[int, int | None], object]
"""Called with how much is done and with how much there is in the end, or None if nobody knows."""


class ProgressObserver:
    """Calls an application's ``on_progress``. Its mistakes do no harm to the transfer.

    Args:
        on_progress: What the application gave; None if it gave nothing. The first error that it
            raises is logged; then it is not called any more.
    """

    _log = Logger()

    def __init__(self, on_progress: Callable[..., object] | None) -> None:
        self._on_progress = on_progress

    def __call__(self, *news: object) -> None:
        """Call it with the news."""
        if self._on_progress is None:
            return
        try:
            self._on_progress(*news)
        except BaseException:  # asyncio's CancelledError is no Exception
            self._on_progress = None
            self._log.failure("on_progress failed; it is not called again for this transfer")

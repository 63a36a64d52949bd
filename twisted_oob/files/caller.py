"""Caller: whoever waits for the end of a transfer, and is told of it once."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred

from twisted_oob.files.fetched import FetchedFile


class Caller:
    """Waits for what it is told, however often it is cancelled meanwhile.

    Args:
        on_cancel: Called each time that the caller cancels before it is told.

    Attributes:
        told: Whether it was told.
    """

    def __init__(self, on_cancel: Callable[[], object]) -> None:
        self.told = False
        self._on_cancel = on_cancel
        self._outcome: FetchedFile | Exception | None = None
        self._waiter: Deferred[None] | None = None

    async def wait(self) -> FetchedFile:
        """Wait for the end. Call this once.

        Returns:
            The file.

        Raises:
            Exception: What it is told instead of a file.
        """
        while not self.told:
            # Another one each time, as a cancellation ends it.
            self._waiter = Deferred()
            try:
                await self._waiter
            except CancelledError:
                self._on_cancel()
        outcome, self._outcome = self._outcome, None
        if not isinstance(outcome, FetchedFile):
            raise outcome or CancelledError()
        return outcome

    def tell(self, outcome: FetchedFile | Exception) -> None:
        """Tell it of the end, unless that has happened."""
        if self.told:
            return
        self.told = True
        self._outcome = outcome
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.callback(None)

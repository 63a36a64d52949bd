"""DiskWork: what threads do at the disk for one transfer, one call at a time, as it blocks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger

from twisted_oob.errors import NoRoom
from twisted_oob.files.landing import Landing
from twisted_oob.files.tools import Tools

# Seconds until another thread is asked for, to discard a file.
_AGAIN: Final = 1.0

_log: Final = Logger()

_P = ParamSpec("_P")
_T = TypeVar("_T")


class DiskWork:
    """Has a transfer's calls made, and knows which of them it waits for.

    Args:
        tools: The Fetcher's.
    """

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._take_back: Callable[[], object] | None = None
        self._since = 0.0

    @property
    def waits(self) -> bool:
        """Whether the transfer waits for a writer or the committing thread."""
        return self._take_back is not None

    @property
    def waited(self) -> float:
        """The seconds since it began to wait."""
        now: float = self._tools.clock.seconds()
        return now - self._since

    def take_back(self) -> None:
        """Take back the call that it waits for, unless a thread has begun with it."""
        if self._take_back is not None:
            self._take_back()

    async def call(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Call a function in a writer.

        Raises:
            CancelledError: It was taken back.
            Exception: As for ``Workers.run``.
        """
        writers = self._tools.writers
        job = writers.run(function, *args, **kwargs)
        return await self._wait_for(job, lambda: writers.take_back(job))

    async def commit(self, landing: Landing, name: str, rest: bytearray) -> Path:
        """Have the committing thread write the rest, and give the file its name.

        Raises:
            CancelledError: It was taken back.
            Exception: As for ``Commit.done``.
        """
        commit = self._tools.committer.commit(landing, name, rest)
        return await self._wait_for(commit.done, commit.take_back)

    async def discard(self, landing: Landing) -> None:
        """Remove a part and close it. What was never opened needs no thread."""
        try:
            while landing.opened and not await self._discarded(landing):
                # There is no thread for it now, and nobody else would ever close the file.
                await deferLater(self._tools.reactor, _AGAIN)
        except OSError:
            # What ended the transfer matters more to its caller than this.
            _log.failure("Could not remove the part of a file that was given up")

    async def _discarded(self, landing: Landing) -> bool:
        try:
            await self._tools.writers.run(landing.discard)
        except NoRoom:
            return False
        return True

    async def _wait_for(self, job: Deferred[_T], take_back: Callable[[], object]) -> _T:
        self._take_back = take_back
        self._since = self._tools.clock.seconds()
        try:
            return await job
        finally:
            self._take_back = None

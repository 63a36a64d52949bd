"""Discarding a file that was given up, in a thread, as that blocks."""

from __future__ import annotations

from typing import Final

from twisted.internet.task import deferLater

from twisted_oob.errors import NoRoom
from twisted_oob.files.landing import Landing
from twisted_oob.files.tools import Tools

# Seconds until another thread is asked for.
_AGAIN: Final = 1.0


async def discard(landing: Landing, tools: Tools) -> None:
    """Remove a part and close it. What was never opened needs no thread.

    Raises:
        OSError: It can't be removed.
    """
    while landing.opened and not await _discarded(landing, tools):
        # There is no thread for it now, and nobody else would ever close the file.
        await deferLater(tools.reactor, _AGAIN)


async def _discarded(landing: Landing, tools: Tools) -> bool:
    try:
        await tools.writers.run(landing.discard)
    except NoRoom:
        return False
    return True

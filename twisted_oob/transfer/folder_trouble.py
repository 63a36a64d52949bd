"""FolderTrouble: tells the operator of a folder that can't be used, once a minute.

A folder can be gone, or read-only, for hours: its disk was unmounted, or has failed. Then every
file fails. Whoever offered one is told to come back later, and the log has one line for each, as
for every other. What the operator must know is one thing: which folder, and why.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from twisted.logger import Logger

from twisted_oob._shown import counted
from twisted_oob.errors import NO_ROOM, FolderUnusable, NoRoom

if TYPE_CHECKING:
    from twisted_oob.xmpp.deadlines import Clock

INTERVAL: Final = 60.0
"""Seconds between two warnings of one folder."""

# The responder's, as all lines about what it was offered.
_log = Logger("twisted_oob.transfer.responder.OOBResponder")


class FolderTrouble:
    """Counts what failed because of its folder, and warns.

    Args:
        clock: Tells the time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # By the folder: when it was warned of, and how many files have failed since.
        self._warned: dict[str, tuple[float, int]] = {}

    def explained(self, error: Exception, fetcher: Any) -> Exception:
        """Say what somebody is told whose file failed, and warn if its folder is the cause.

        Args:
            error: What it failed with.
            fetcher: What has fetched it.

        Returns:
            NoRoom if the folder is the cause; otherwise the error itself.
        """
        if isinstance(error, NoRoom):
            if isinstance(error, FolderUnusable) and not _is_full(error):
                self._count(error.folder, error.why)
            return error
        # Without a number it does not come from the system.
        if not isinstance(error, OSError) or error.errno is None:
            return error
        if isinstance(error, ConnectionError | TimeoutError):
            return error
        told = FolderUnusable(
            str(getattr(fetcher, "directory", "of the files")), os.strerror(error.errno)
        )
        self._count(told.folder, told.why)
        return told

    def _count(self, folder: str, reason: str) -> None:
        now = self._clock.seconds()
        at, since = self._warned.get(folder, (None, 0))
        if at is not None and now - at < INTERVAL:
            self._warned[folder] = at, since + 1
            return
        self._warned[folder] = now, 0
        _log.warn(
            "The folder {folder} can't be used: {reason}{more}",
            folder=folder,
            reason=reason,
            more=f"; {_have(since)} failed since the last warning" if since else "",
        )


def _have(count: int) -> str:
    return f"{counted(count, 'more file')} {'has' if count == 1 else 'have'}"


def _is_full(error: FolderUnusable) -> bool:
    """Whether the disk is full, or descriptors ran out: the folder itself is good."""
    cause = error.__cause__
    return isinstance(cause, OSError) and cause.errno in NO_ROOM

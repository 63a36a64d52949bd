"""FolderTrouble: tells the operator of a folder that can't be used, once a minute.

A folder can be gone, or read-only, for hours: its disk was unmounted, or has failed. Then every
file fails. Whoever offered one is told to come back later, and the log has one line for each, as
for every other. What the operator must know is one thing: which folder, and why.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from twisted.logger import Logger

from twisted_oob.errors import NO_ROOM, CommitPending, NoRoom

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
        cause = _cause(error)
        if cause is None:
            return error
        folder = str(getattr(fetcher, "directory", None) or "of the files")
        reason = cause.strerror or type(cause).__name__
        self._count(folder, reason)
        if isinstance(error, NoRoom):
            return error
        return NoRoom("no room for the file now", detail=f"the folder can't be used: {reason}")

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
            more=f"; {since} more files have failed since the last warning" if since else "",
        )


def _cause(error: Exception) -> OSError | None:
    """Give the system's error if it means that the folder can't be used."""
    if isinstance(error, NoRoom) and not isinstance(error, CommitPending):
        cause = error.__cause__
        # The others say that it is full, or that descriptors ran out: the folder itself is good.
        return cause if isinstance(cause, OSError) and cause.errno not in NO_ROOM else None
    # Without a number it does not come from the system.
    if not isinstance(error, OSError) or error.errno is None:
        return None
    return None if isinstance(error, ConnectionError | TimeoutError) else error

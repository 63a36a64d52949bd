"""PresenceStatus: lets the presence tell how busy a responder is."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.logger import Logger

if TYPE_CHECKING:
    from twisted_oob.transfer.fair_fetcher import FairFetcher
    from twisted_oob.xmpp.presence import PresenceHandler


class PresenceStatus:
    """Keeps the status of a presence true to how many transfers run.

    Args:
        fetches: Whose transfers are counted.
        presence: Shows the status, at most one change a minute.
        text: Gives the status for a number of transfers, as ``ChatTexts.status`` does. If it
            fails, that is logged, and the status stays as it was.
    """

    _log = Logger()

    def __init__(
        self, fetches: FairFetcher, presence: PresenceHandler, text: Callable[[int], str]
    ) -> None:
        self._presence = presence
        self._text = text
        fetches.on_running.append(self._changed)
        self._changed(fetches.running)

    def _changed(self, running: int) -> None:
        try:
            self._presence.set_status(self._text(running))
        except Exception:
            self._log.failure("The status in the presence could not be set")

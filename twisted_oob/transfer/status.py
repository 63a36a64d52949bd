"""PresenceStatus: lets the presence tell how busy a responder is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted_oob.transfer.chat_texts import ChatTexts
from twisted_oob.transfer.checked_texts import CheckedTexts

if TYPE_CHECKING:
    from twisted_oob.transfer.fair_fetcher import FairFetcher
    from twisted_oob.xmpp.presence import PresenceHandler


class PresenceStatus:
    """Keeps the status of a presence true to how many transfers run.

    Args:
        fetches: Whose transfers are counted.
        presence: Shows the status, at most one change a minute.
        texts: What the status says; None for ChatTexts.
    """

    def __init__(
        self, fetches: FairFetcher, presence: PresenceHandler, texts: ChatTexts | None = None
    ) -> None:
        self._presence = presence
        self._texts = CheckedTexts(texts)
        fetches.on_running.append(self._changed)
        self._changed(fetches.running)

    def _changed(self, running: int) -> None:
        self._presence.set_status(self._texts.say(ChatTexts.status, running))

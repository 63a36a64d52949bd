"""Tally: counts what was refused, and tells the operator once a minute.

A line for each refusal would let a stranger fill the log.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from twisted.logger import Logger

from twisted_oob.xmpp.jid import shown

if TYPE_CHECKING:
    from twisted_oob.xmpp.deadlines import Clock, Timer

INTERVAL: Final = 60.0
"""Seconds from the first refusal to the line that counts it."""
MOST_SENDERS: Final = 1000
"""How many senders are told apart between two lines."""


class Tally:
    """Counts denied and dropped requests by their senders.

    It has a timer only until ``stop``, and only while there is something to tell.

    Args:
        clock: Runs the timer.
    """

    _log = Logger()

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._running = True
        self._timer: Timer | None = None
        self._denied = self._dropped = 0
        self._by_sender: dict[str, int] = {}

    def start(self) -> None:
        """Tell again after a ``stop``, also of what was counted meanwhile."""
        self._running = True
        self._arm()

    def stop(self) -> None:
        """Tell what has been counted, and then nothing more."""
        self._running = False
        if self._timer is not None:
            self._timer.cancel()
            self._tell()

    def denied(self, sender: str) -> None:
        """Count a request that was answered with an error, as its sender may not ask."""
        self._denied += 1
        self._count(sender)

    def dropped(self, sender: str) -> None:
        """Count a request that was not answered, as its sender asks too often."""
        self._dropped += 1
        self._count(sender)

    def _count(self, sender: str) -> None:
        by_sender = self._by_sender
        if sender in by_sender:
            by_sender[sender] += 1
        elif len(by_sender) < MOST_SENDERS:
            by_sender[sender] = 1
        if self._timer is None:
            self._arm()

    def _arm(self) -> None:
        if self._running and self._by_sender and self._timer is None:
            self._timer = self._clock.callLater(INTERVAL, self._tell)

    def _tell(self) -> None:
        self._timer = None
        by_sender, self._by_sender = self._by_sender, {}
        denied, self._denied = self._denied, 0
        dropped, self._dropped = self._dropped, 0
        busiest = max(by_sender, key=by_sender.__getitem__)
        senders = len(by_sender)
        self._log.info(
            "Denied {denied} and dropped {dropped} requests in the last minute; senders: "
            "{senders}, the busiest {sender} with {most}",
            denied=denied,
            dropped=dropped,
            senders=senders if senders < MOST_SENDERS else f"{senders} or more",
            most=by_sender[busiest],
            sender=shown(busiest),
        )

"""Keep offers open: ``hold.py HOST PORT DOMAIN SECRET OPEN``.

It connects to an XMPP server as the component DOMAIN (XEP-0114), keeps OPEN offers unanswered,
and for each one more answers the oldest with success. It ends by a signal.
"""

from __future__ import annotations

from collections import deque

from connecting import command_line, number, run

from twisted_oob import Offer, OOBHandler


class Shelf:
    """The open offers, the oldest first; ``room`` for so many."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.offers: deque[Offer] = deque()

    def put(self, offer: Offer) -> None:
        """Keep an offer; it is answered later, so that nothing is returned."""
        self.offers.append(offer)
        if len(self.offers) > self.room:
            oldest = self.offers.popleft()
            if oldest.url and oldest.desc:
                oldest.reply_success()


def main() -> None:
    """Hold offers until a signal ends it."""
    *where, room = command_line(__doc__, OPEN=number(0))
    run(OOBHandler(Shelf(room).put, direct=True), *where)


if __name__ == "__main__":
    main()

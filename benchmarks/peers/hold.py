"""Keep offers open: ``hold.py HOST PORT DOMAIN SECRET OPEN``.

It connects to an XMPP server as the component DOMAIN (XEP-0114), keeps OPEN offers unanswered,
and for each one more answers the oldest with success. It ends by a signal.
"""

from __future__ import annotations

import sys
from collections import deque

from twisted.internet import reactor
from wokkel.component import Component

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
    host, port, domain, secret, room = sys.argv[1:]
    component = Component(host, int(port), domain, secret)
    OOBHandler(Shelf(int(room)).put).setHandlerParent(component)
    component.startService()
    reactor.run()


if __name__ == "__main__":
    main()

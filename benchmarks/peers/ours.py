"""This project's handler, in the roles that respond.py and send.py do not have.

See contenders.py for the arguments. ``hold-direct`` is ``hold`` with ``direct=True``.
"""

from __future__ import annotations

import sys
from collections import deque

from connecting import run
from respond import on_offer
from send import Sender

from twisted_oob import Offer, OOBHandler


class Shelf:
    """The open offers, the oldest first; ``room`` for so many."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.offers: deque[Offer] = deque()

    def put(self, offer: Offer) -> None:
        """Keep an offer, and answer the oldest if there is no room for it."""
        self.offers.append(offer)
        if len(self.offers) > self.room:
            oldest = self.offers.popleft()
            if oldest.url and oldest.desc:
                oldest.reply_success()


def main() -> None:
    """Take a role until a signal ends it."""
    role, host, port, domain, secret, *rest = sys.argv[1:]
    if role == "answer":
        handler = OOBHandler(on_offer)
    elif role == "ask":
        count, window, to, url = rest
        handler = Sender(int(count), int(window), to, url, direct=False)
    else:
        handler = OOBHandler(Shelf(int(rest[0])).put, direct=role == "hold-direct")
    run(handler, host, int(port), domain, secret)


if __name__ == "__main__":
    main()

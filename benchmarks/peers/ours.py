"""This project's handler in the roles that respond.py and send.py do not have.

``answer``, ``ask`` and ``hold`` are without ``direct=True``; ``hold-direct`` is with it. See
contenders.py for their arguments. ``fetch FOLDER`` is ``answer`` with it, but first fetches into
FOLDER what has a desc.
"""

from __future__ import annotations

import sys
from collections import deque
from ipaddress import ip_network
from pathlib import Path

from connecting import run
from respond import on_offer
from send import Sender
from twisted.internet import reactor
from twisted.internet.threads import deferToThread

from twisted_oob import Fetcher, FetchPolicy, Offer, OOBHandler

NO_LIMIT = 1 << 50  # bytes
HOUR = 3600.0


def holding(room: int, *, direct: bool) -> OOBHandler:
    """Return a handler that keeps offers open, and answers the oldest if there are too many."""
    offers: deque[Offer] = deque()

    def keep(offer: Offer) -> None:
        offers.append(offer)
        if len(offers) > room:
            oldest = offers.popleft()
            if oldest.url and oldest.desc:
                oldest.reply_success()

    return OOBHandler(keep, direct=direct, max_open_offers=room + 1)


def fetcher(folder: str, ca_file: str | None = None) -> Fetcher:
    """Return a Fetcher that may fetch whatever the benchmarks' web server has."""
    loopback = (ip_network("127.0.0.0/8"),)
    policy = FetchPolicy(max_size=NO_LIMIT, allow_networks=loopback, timeout=HOUR, ca_file=ca_file)
    return Fetcher(reactor, policy, Path(folder))


def fetching(folder: str) -> OOBHandler:
    """Return a handler that fetches what has a desc, and answers the rest at once."""
    fetch = fetcher(folder).fetch

    async def fetch_if_described(offer: Offer) -> None:
        if offer.desc is not None:
            fetched = await fetch(offer.url)
            await deferToThread(fetched.path.unlink)

    return OOBHandler(fetch_if_described, direct=True)


if __name__ == "__main__":
    role, host, port, domain, secret, *more = sys.argv[1:]
    if role == "answer":
        handler = OOBHandler(on_offer)
    elif role == "ask":
        count, window, to, url = more
        handler = Sender(int(count), int(window), to, url, direct=False)
    elif role == "fetch":
        handler = fetching(more[0])
    else:
        handler = holding(int(more[0]), direct=role == "hold-direct")
    run(handler, host, int(port), domain, secret)

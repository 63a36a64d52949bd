"""Answer every offer at once with success: ``respond.py HOST PORT DOMAIN SECRET``.

It connects to an XMPP server as the component DOMAIN (XEP-0114), and ends by a signal.
"""

from __future__ import annotations

import sys

from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed
from wokkel.component import Component

from twisted_oob import Offer, OOBHandler


def on_offer(offer: Offer) -> Deferred[tuple[str, str | None]]:
    """Read what is offered. The end of the Deferred is the answer: here it has ended already."""
    return succeed((offer.url, offer.desc))


def main() -> None:
    """Answer until a signal ends it."""
    if len(sys.argv) != 5:  # noqa: PLR2004
        sys.exit(__doc__)
    host, port, domain, secret = sys.argv[1:]
    component = Component(host, int(port), domain, secret)
    OOBHandler(on_offer).setHandlerParent(component)
    component.startService()
    reactor.run()


if __name__ == "__main__":
    main()

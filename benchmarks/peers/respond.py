"""Answer every offer at once with success: ``respond.py HOST PORT DOMAIN SECRET``.

It connects to an XMPP server as the component DOMAIN (XEP-0114), and ends by a signal.
"""

from __future__ import annotations

from connecting import command_line, run
from twisted.internet.defer import Deferred, succeed

from twisted_oob import Offer, OOBHandler


def on_offer(offer: Offer) -> Deferred[tuple[str, str | None]]:
    """Read what is offered. The end of the Deferred is the answer: here it has ended already."""
    return succeed((offer.url, offer.desc))


def main() -> None:
    """Answer until a signal ends it."""
    run(OOBHandler(on_offer, direct=True), *command_line(__doc__))


if __name__ == "__main__":
    main()

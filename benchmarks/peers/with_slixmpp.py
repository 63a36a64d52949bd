"""slixmpp with its plugin xep_0066; see contenders.py for the arguments."""

from __future__ import annotations

import sys
from collections import deque

from asking import DESC, Window
from slixmpp import ComponentXMPP, Iq
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import StanzaPath

TIMEOUT = 900


def read(iq: Iq) -> None:
    """Read what is offered; the plugin answers once this returns."""
    if not (iq["oob_transfer"]["url"] and iq["oob_transfer"]["desc"]):
        raise ValueError(str(iq))


def hold(xmpp: ComponentXMPP, room: int) -> None:
    """Keep ``room`` offers open, and for each one more answer the oldest."""
    held: deque[Iq] = deque()

    def on_offer(iq: Iq) -> None:
        held.append(iq)
        if len(held) > room:
            oldest = held.popleft()
            read(oldest)
            oldest.reply().send()

    # The plugin's own handler can only answer at once.
    xmpp.remove_handler("OOB Transfer")
    offer = StanzaPath("iq@type=set/oob_transfer")
    xmpp.register_handler(Callback("offers to hold", offer, on_offer))


def ask(xmpp: ComponentXMPP, count: str, size: str, to: str, url: str) -> None:
    """Keep a window of requests unanswered."""

    def send() -> None:
        xmpp["xep_0066"].send_oob(
            to, url, DESC, ifrom=xmpp.boundjid, callback=answered, timeout=TIMEOUT
        )

    def answered(iq: Iq) -> None:
        window.end(iq, iq["type"] == "result")

    window = Window(int(count), int(size), send)
    xmpp.add_event_handler("session_start", window.begin)


if __name__ == "__main__":
    role, host, port, domain, secret, *more = sys.argv[1:]
    xmpp = ComponentXMPP(domain, secret, host, int(port))
    xmpp.register_plugin("xep_0030")
    xmpp.register_plugin("xep_0066")
    if role == "answer":
        xmpp["xep_0066"].register_url_handler(handler=read)
    elif role == "hold":
        hold(xmpp, int(more[0]))
    else:
        ask(xmpp, *more)
    xmpp.connect(host, int(port))
    xmpp.loop.run_forever()

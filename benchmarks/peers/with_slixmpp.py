"""slixmpp with its xep_0066 plugin; see contenders.py for the arguments."""

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


class Holder:
    """Keeps ``room`` offers open, and for each one more answers the oldest."""

    def __init__(self, xmpp: ComponentXMPP, room: int) -> None:
        self.room = room
        self.held: deque[Iq] = deque()
        # The plugin's own handler can only answer at once.
        xmpp.remove_handler("OOB Transfer")
        offer = StanzaPath("iq@type=set/oob_transfer")
        xmpp.register_handler(Callback("offers to hold", offer, self.on_offer))

    def on_offer(self, iq: Iq) -> None:
        """Keep one, and answer the oldest once there are too many."""
        self.held.append(iq)
        if len(self.held) > self.room:
            oldest = self.held.popleft()
            read(oldest)
            oldest.reply().send()


class Asker:
    """Keeps a window of requests unanswered."""

    def __init__(self, xmpp: ComponentXMPP, count: int, window: int, to: str, url: str) -> None:
        self.xmpp, self.to, self.url = xmpp, to, url
        self.asking = Window(count, window, self.ask)
        xmpp.add_event_handler("session_start", self.asking.begin)

    def ask(self) -> None:
        """Send one."""
        self.xmpp["xep_0066"].send_oob(
            self.to,
            self.url,
            DESC,
            ifrom=self.xmpp.boundjid,
            callback=self.answered,
            timeout=TIMEOUT,
        )

    def answered(self, iq: Iq) -> None:
        """Take an answer."""
        if iq["type"] == "result":
            self.asking.succeed()
        else:
            self.asking.fail(iq)


def main() -> None:
    """Take a role until it is ended from outside."""
    role, host, port, domain, secret, *rest = sys.argv[1:]
    xmpp = ComponentXMPP(domain, secret, host, int(port))
    xmpp.register_plugin("xep_0030")
    xmpp.register_plugin("xep_0066")
    if role == "answer":
        xmpp["xep_0066"].register_url_handler(handler=read)
    elif role == "hold":
        Holder(xmpp, int(rest[0]))
    else:
        count, window, to, url = rest
        Asker(xmpp, int(count), int(window), to, url)
    xmpp.connect(host, int(port))
    xmpp.loop.run_forever()


if __name__ == "__main__":
    main()

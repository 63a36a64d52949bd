"""Wokkel as its documentation shows it; see contenders.py for the arguments."""

from __future__ import annotations

import sys
from collections import deque

from asking import DESC, Window
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.words.protocols.jabber.jid import JID
from twisted.words.xish.domish import Element
from wokkel.component import Component
from wokkel.generic import Request
from wokkel.subprotocols import IQHandlerMixin, XMPPHandler

NS = "jabber:iq:oob"
OFFER = f"/iq[@type='set']/query[@xmlns='{NS}']"
TIMEOUT = 900.0


class Responder(XMPPHandler, IQHandlerMixin):
    """Answers every offer at once."""

    iqHandlers = {OFFER: "on_offer"}  # noqa: N815, RUF012  (Wokkel's way)

    def connectionInitialized(self) -> None:
        """Observe offers."""
        self.xmlstream.addObserver(OFFER, self.handleRequest)

    def on_offer(self, iq: Element) -> Deferred[None] | None:
        """Read what is offered; None is an empty result."""
        if not (str(iq.query.url) and str(iq.query.desc)):
            raise ValueError(iq.toXml())
        return None


class Holder(Responder):
    """Keeps ``room`` offers open, and for each one more answers the oldest."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room
        self.held: deque[Deferred[None]] = deque()

    def on_offer(self, iq: Element) -> Deferred[None]:
        """Keep one, and answer the oldest once there are too many."""
        super().on_offer(iq)
        held: Deferred[None] = Deferred()
        self.held.append(held)
        if len(self.held) > self.room:
            self.held.popleft().callback(None)
        return held


class OOBRequest(Request):
    """One request."""

    stanzaType = "set"  # noqa: N815  (Wokkel's name)

    def __init__(self, recipient: JID, url: str, desc: str) -> None:
        super().__init__(recipient=recipient)
        self.url, self.desc = url, desc

    def toElement(self) -> Element:  # noqa: N802  (Wokkel's name)
        """Build the stanza."""
        iq = super().toElement()
        query = iq.addElement((NS, "query"))
        query.addElement("url", content=self.url)
        query.addElement("desc", content=self.desc)
        return iq


class TimedRequest(OOBRequest):
    """One request with a timeout."""

    timeout = TIMEOUT


class Asker(XMPPHandler):
    """Keeps a window of requests unanswered."""

    def __init__(
        self, request: type[OOBRequest], count: int, window: int, recipient: JID, url: str
    ) -> None:
        super().__init__()
        self.make, self.recipient, self.url = request, recipient, url
        self.asking = Window(count, window, self.ask)

    def connectionInitialized(self) -> None:
        """Begin."""
        self.asking.begin()

    def ask(self) -> None:
        """Send one."""
        answer = self.request(self.make(self.recipient, self.url, DESC))
        answer.addCallbacks(self.asking.succeed, self.asking.fail)


def main() -> None:
    """Take a role until it is ended from outside."""
    role, host, port, domain, secret, *rest = sys.argv[1:]
    if role == "answer":
        handler: XMPPHandler = Responder()
    elif role == "hold":
        handler = Holder(int(rest[0]))
    else:
        count, window, to, url = rest
        request = TimedRequest if role == "ask-timed" else OOBRequest
        handler = Asker(request, int(count), int(window), JID(to), url)
    component = Component(host, int(port), domain, secret)
    handler.setHandlerParent(component)
    component.startService()
    reactor.run()


if __name__ == "__main__":
    main()

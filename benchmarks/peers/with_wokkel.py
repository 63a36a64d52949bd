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

    def __init__(self, room: str) -> None:
        super().__init__()
        self.room = int(room)
        self.held: deque[Deferred[None]] = deque()

    def on_offer(self, iq: Element) -> Deferred[None]:
        """Keep an offer, and answer the oldest if there are too many."""
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


class Asker(XMPPHandler):
    """Keeps a window of requests unanswered."""

    def __init__(self, count: str, window: str, to: str, url: str) -> None:
        super().__init__()
        self.recipient, self.url = JID(to), url
        self.window = Window(int(count), int(window), self.ask)

    def connectionInitialized(self) -> None:
        """Begin."""
        self.window.begin()

    def ask(self) -> None:
        """Send one."""
        answer = self.request(OOBRequest(self.recipient, self.url, DESC))
        answer.addCallbacks(self.window.end, self.window.end, (True,))


if __name__ == "__main__":
    role, host, port, domain, secret, *more = sys.argv[1:]
    handler = {"answer": Responder, "hold": Holder, "ask": Asker}[role](*more)
    component = Component(host, int(port), domain, secret)
    handler.setHandlerParent(component)
    component.startService()
    reactor.run()

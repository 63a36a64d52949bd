"""Twisted Words alone, without Wokkel; see contenders.py for the arguments."""

from __future__ import annotations

import sys
from collections import deque

from asking import DESC, Window
from twisted.internet import reactor
from twisted.words.protocols.jabber import component, xmlstream
from twisted.words.xish.domish import Element

NS = "jabber:iq:oob"
OFFER = f"/iq[@type='set']/query[@xmlns='{NS}']"


class Responder:
    """Answers each offer once ``room`` newer ones are there."""

    def __init__(self, room: int = 0) -> None:
        self.room = room
        self.held: deque[Element] = deque()

    def start(self, stream: xmlstream.XmlStream) -> None:
        """Observe offers."""
        self.stream = stream
        stream.addObserver(OFFER, self.on_offer if self.room == 0 else self.on_offer_held)

    def on_offer(self, iq: Element) -> None:
        """Answer one."""
        if not (str(iq.query.url) and str(iq.query.desc)):
            raise ValueError(iq.toXml())
        self.stream.send(xmlstream.toResponse(iq, "result"))

    def on_offer_held(self, iq: Element) -> None:
        """Keep one, and answer the oldest once there are too many."""
        self.held.append(iq)
        if len(self.held) > self.room:
            self.on_offer(self.held.popleft())


class Asker:
    """Keeps a window of requests unanswered."""

    def __init__(self, domain: str, count: int, window: int, to: str, url: str) -> None:
        self.domain, self.to, self.url = domain, to, url
        self.asking = Window(count, window, self.ask)

    def start(self, stream: xmlstream.XmlStream) -> None:
        """Begin."""
        self.stream = stream
        self.asking.begin()

    def ask(self) -> None:
        """Send one."""
        iq = xmlstream.IQ(self.stream, "set")
        iq["from"] = self.domain
        query = iq.addElement((NS, "query"))
        query.addElement("url", content=self.url)
        query.addElement("desc", content=DESC)
        iq.send(self.to).addCallbacks(self.asking.succeed, self.asking.fail)


def main() -> None:
    """Take a role until it is ended from outside."""
    role, host, port, domain, secret, *rest = sys.argv[1:]
    if role == "ask":
        count, window, to, url = rest
        start = Asker(domain, int(count), int(window), to, url).start
    else:
        start = Responder(*map(int, rest)).start
    factory = component.componentFactory(domain, secret)
    factory.addBootstrap(xmlstream.STREAM_AUTHD_EVENT, start)
    reactor.connectTCP(host, int(port), factory)
    reactor.run()


if __name__ == "__main__":
    main()

"""A whole network on loopback: router, responder, web server, and senders that connect over TCP."""

from __future__ import annotations

from ipaddress import ip_network

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.words.protocols.jabber.xmlstream import STREAM_AUTHD_EVENT, STREAM_END_EVENT

from tests.support.hostile_http import HostileServer
from twisted_oob import Fetcher, FetchPolicy, OOBHandler, OOBResponder
from twisted_oob.transfer.embedded import EmbeddedResponder

from wokkel.component import Component  # isort: skip
from wokkel.subprotocols import XMPPHandler  # isort: skip

DOMAIN = "oob.localhost"
SENDER = "sender.localhost"
SECRET = "a secret"
LOOPBACK = ip_network("127.0.0.0/8")


class Sender:
    """An external component with an OOBHandler, connected over TCP."""

    def __init__(self, port, domain=SENDER, secret=SECRET):
        self.oob = OOBHandler()
        self.lost = Deferred()
        self.component = Component("127.0.0.1", port, domain, secret)
        self.component.factory.addBootstrap(STREAM_END_EVENT, self._lost)
        self.ready = Deferred()
        self.component.factory.addBootstrap(STREAM_AUTHD_EVENT, self._ready)
        self.oob.setHandlerParent(self.component)

    def _ready(self, _):
        if not self.ready.called:
            self.ready.callback(None)

    def _lost(self, _):
        if not self.lost.called:
            self.lost.callback(None)

    def start(self):
        self.component.startService()
        return self.ready

    def request(self, xml_element):
        """Send an IQ as it is; gives its answer."""
        answer = Deferred()
        query = f"/iq[@id='{xml_element['id']}']"
        self.component.xmlstream.addOnetimeObserver(query, answer.callback)
        self.component.xmlstream.send(xml_element)
        return answer

    async def stop(self):
        """End it, also if its stream is lost: it would go on and try to get another."""
        self.component.stopService()
        await self.lost


class Network:
    """Starts all of it; ``folder`` is where files land.

    ``clock``: what the responder tells the time with, if not the reactor.
    """

    clock = None
    embedded = None

    def __init__(self, reactor, folder):
        self.reactor = reactor
        self.folder = folder
        self.web = HostileServer(reactor)
        self.senders = []

    async def start(self, *, allow_from=("*",), limits=None, **policy):
        """Start with these ``limits`` of the responder, and this policy; gives a sender."""
        policy = {"allow_networks": (LOOPBACK,)} | policy
        self.fetcher = Fetcher(self.reactor, FetchPolicy(**policy), self.folder)
        self.responder = OOBResponder(
            self.fetcher,
            allow_from=allow_from,
            reactor=self.clock or self.reactor,
            **(limits or {}),
        )
        return await self.listen()

    async def listen(self):
        """Let components connect to the responder; gives a sender."""
        self.embedded = EmbeddedResponder(
            self.responder,
            domain=DOMAIN,
            endpoint=TCP4ServerEndpoint(self.reactor, 0, interface="127.0.0.1"),
            secret=SECRET,
            reactor=self.reactor,
        )
        self.port = (await self.embedded.start()).getHost().port
        return await self.sender()

    async def sender(self, domain=SENDER):
        sender = Sender(self.port, domain)
        self.senders.append(sender)
        await sender.start()
        return sender

    def files(self):
        there = (path for path in self.folder.iterdir() if path.is_file())
        return {path.name: path.read_bytes() for path in there}

    async def stop(self):
        for sender in self.senders:
            await sender.stop()
        if self.embedded is not None:
            await self.embedded.stop()
        await self.web.stop()


class Watcher(XMPPHandler):
    """Calls ``seen`` with each stanza that a stream sends, just before it is sent."""

    def __init__(self, seen):
        super().__init__()
        self.seen = seen

    def connectionInitialized(self):
        send = self.xmlstream.send

        def watched(stanza):
            self.seen(stanza)
            send(stanza)

        self.xmlstream.send = watched

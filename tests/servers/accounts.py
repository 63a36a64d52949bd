"""Our library on streams to a real server, as a client or as a component."""

from __future__ import annotations

from ipaddress import ip_network

from twisted.internet.defer import Deferred
from twisted.words.protocols.jabber.component import componentFactory
from twisted.words.protocols.jabber.jid import JID

from tests.servers.servers import ACCOUNTS, COMPONENTS, DOMAIN, SECRET
from twisted_oob import (
    NS_IQ_OOB,
    Fetcher,
    FetchPolicy,
    OOBHandler,
    OOBResponder,
    url_from_element,
)
from twisted_oob.xmpp.account import client_endpoint, client_factory
from twisted_oob.xmpp.stream_service import StreamService

from wokkel.subprotocols import XMPPHandler  # isort: skip

USER = "ours"
RESOURCE = "desk"
LOOPBACK = ip_network("127.0.0.0/8")
MAX_SIZE = 1000
# A server that restarts on a busy machine is away so long that the next attempt may be 16 s later.
PATIENCE = 60


class RefusedError(Exception):
    """The service gave up; its argument is the Refusal."""


class Arrivals(XMPPHandler):
    """Knows when there is a stream, and what was offered on it."""

    def __init__(self, reactor):
        super().__init__()
        self.offered = []
        self._reactor = reactor
        self._is_up = False
        self._waiting = []

    def connectionInitialized(self):
        self.xmlstream.addObserver(
            f"/iq[@type='set']/query[@xmlns='{NS_IQ_OOB}']",
            lambda iq: self.offered.append(url_from_element(iq)),
        )
        self._is_up = True
        waiting, self._waiting = self._waiting, []
        for ready in waiting:
            ready.callback(None)

    def connectionLost(self, reason):
        super().connectionLost(reason)
        self._is_up = False

    def ready(self):
        """Wait until there is a stream."""
        ready = Deferred().addTimeout(PATIENCE, self._reactor)
        if self._is_up:
            ready.callback(None)
        else:
            self._waiting.append(ready)
        return ready

    def refused(self, refusal):
        """Fail those who wait for a stream."""
        waiting, self._waiting = self._waiting, []
        for ready in waiting:
            ready.errback(RefusedError(refusal))


class Ours:
    """A StreamService with an OOBHandler for offers of ours, or a responder for those of others.

    ``mode``: client or component. ``port``: where it connects, if not to the server itself.
    """

    def __init__(self, reactor, server, mode, *, port=None, password=None):
        self.arrivals = Arrivals(reactor)
        if mode == "client":
            account = JID(f"{USER}@{DOMAIN}/{RESOURCE}")
            password = password or ACCOUNTS[USER]
            self.factory = client_factory(account, password, ca_file=server.ca_file)
            port = port or server.client_port
        else:
            self.factory = componentFactory(server.component(), password or SECRET)
            port = port or server.component_port
        self._reactor = reactor
        self.service = StreamService(
            self.factory,
            client_endpoint(reactor, DOMAIN, host="127.0.0.1", port=port),
            name="the server",
            reactor=reactor,
            on_refused=self.arrivals.refused,
        )
        self.arrivals.setHandlerParent(self.service)
        self.responder = None

    @property
    def jid(self):
        """Who we are on the stream, in full."""
        stream = self.service.xmlstream
        return (getattr(stream.authenticator, "jid", None) or stream.thisEntity).full()

    def sends(self):
        """Add an OOBHandler; gives it."""
        handler = OOBHandler(reactor=self._reactor)
        handler.setHandlerParent(self.service)
        return handler

    def receives(self, folder):
        """Add a responder, which fetches from loopback into a folder."""
        policy = FetchPolicy(allow_networks=(LOOPBACK,), max_size=MAX_SIZE)
        self.responder = OOBResponder(
            Fetcher(self._reactor, policy, folder),
            allow_from=[DOMAIN, *COMPONENTS],
            reactor=self._reactor,
        )
        self.responder.attach(self.service)
        self.responder.startService()

    async def start(self):
        """Connect; fails with a RefusedError where the server does not let us in."""
        self.service.startService()
        await self.arrivals.ready()

    async def stop(self):
        if self.responder is not None:
            await self.responder.stopService()
        await self.service.stopService()


async def sender_on(reactor, server):
    """Give a component of ours that sends, on a stream that is up."""
    made = Ours(reactor, server, "component")
    made.handler = made.sends()
    await made.start()
    return made

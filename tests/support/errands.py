"""What ``oob send`` does in the reactor, on a Network; a pytest plugin."""

from __future__ import annotations

import json
from functools import partial

import pytest
from twisted.internet.defer import Deferred, ensureDeferred

from tests.support.network import SECRET, Sender
from tests.support.waiting import in_time
from twisted_oob import OOBHandler
from twisted_oob.commands.connection import Connection
from twisted_oob.commands.errand import Errand, send_all
from twisted_oob.commands.modes import EMBEDDED
from twisted_oob.commands.output import Output
from twisted_oob.commands.send import open_all
from twisted_oob.commands.start import guarded
from twisted_oob.xmpp.basics import attach_basics
from twisted_oob.xmpp.jid import parse_jid

USUAL = {
    "desc": None,
    "via": "auto",
    "as_": "auto",
    "listen": "tcp:0:interface=127.0.0.1",
    "public_url": None,
    "timeout": 20.0,
    "allow_networks": (),
}


class Errands:
    """Sends on a Network as the command does.

    ``offers``: what a peer was offered that never answers by itself.
    """

    peer_name = "peer.localhost"

    def __init__(self, network, capfd):
        self.network = network
        self.offers = []
        self._capfd = capfd
        self._waiting = []

    async def peer(self):
        """Connect a peer as ``peer_name``, who takes offers and leaves them without an answer."""
        peer = Sender(self.network.port, self.peer_name)
        OOBHandler(on_offer=self._on_offer).setHandlerParent(peer.component)
        attach_basics(peer.component, identity=("component", "generic"), name="peer")
        self.network.senders.append(peer)
        await peer.start()

    def offered(self, count):
        """Wait until the peer was offered so many."""
        waiting = Deferred()
        self._waiting.append((count, waiting))
        self._tell()
        return in_time(waiting)

    def _on_offer(self, offer):
        self.offers.append(offer)
        self._tell()

    def _tell(self):
        for count, waiting in self._waiting:
            if len(self.offers) >= count and not waiting.called:
                waiting.callback(None)

    def start(self, *sources, to, quiet=False, as_json=True, **options):
        """Begin to send; gives a Deferred with the exit status."""
        connection = Connection(
            EMBEDDED, domain="send-x.localhost", host="127.0.0.1", port=self.network.port
        )
        items = open_all(tuple(str(source) for source in sources))
        errand = Errand(recipient=parse_jid(to), items=items, **USUAL | options)
        output = Output("oob send", as_json=as_json, quiet=quiet)
        main = partial(send_all, errand, connection, SECRET, output)
        self.items = items
        return ensureDeferred(guarded(main, output, self.network.reactor))

    async def send(self, *sources, **options):
        """Send, and give the exit status."""
        return await in_time(self.start(*sources, **options))

    def written(self):
        """Give what was written on standard output and standard error until now."""
        return self._capfd.readouterr()

    def events(self):
        """Give the events until now."""
        return [json.loads(line) for line in self.written().out.splitlines()]


@pytest.fixture
def errands(network, capfd):
    return Errands(network, capfd)

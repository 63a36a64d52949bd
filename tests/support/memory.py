"""An application at one end of a stream in memory, and its peer at the other."""

from __future__ import annotations

from twisted.words.protocols.jabber import client, component, xmlstream
from twisted.words.protocols.jabber.jid import JID

from twisted_oob import OOBHandler
from twisted_oob.testing import MemoryServer, Peer

from wokkel.client import XMPPClient  # isort: skip
from wokkel.component import Component  # isort: skip

ME = "me@example.org/laptop"
BARE = "me@example.org"
FILES = "files.example.org"
PEER = "juliet@example.com/balcony"
URL = "https://files.example/a.png"

ENDS = {
    "client": lambda server: server.client(ME),
    "wokkel's client": lambda server: server.client(ME, manager=XMPPClient(JID(ME), "secret")),
    "words' client": lambda server: server.client(ME, manager=words_client()),
    "component": lambda server: server.component(FILES),
    "wokkel's component": lambda server: server.component(FILES, manager=wokkel_component()),
    "words' component": lambda server: server.component(FILES, manager=words_component()),
}


def words_client():
    return xmlstream.StreamManager(client.XMPPClientFactory(JID(ME), "secret"))


def words_component():
    return xmlstream.StreamManager(component.componentFactory(FILES, "secret"))


def wokkel_component():
    return Component("127.0.0.1", 0, FILES, "secret")


class Setting:
    """An application at an end, and a peer of it."""

    def __init__(self, on_offer=None, on_message=None, *, end="client", peer=PEER, **options):
        self.server = MemoryServer()
        self.end = ENDS[end](self.server)
        self.oob = OOBHandler(on_offer, on_message, reactor=self.server.clock, **options)
        self.oob.setHandlerParent(self.end)
        self.peer = Peer(self.end, peer)

"""What each handler that outlasts a stream does as streams come and go."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from wokkel.subprotocols import XMPPHandler

from tests.support.streams import WIRES, ClientWire, observers
from twisted_oob import OOBHandler, StreamRefused
from twisted_oob.xmpp.access import AllowList
from twisted_oob.xmpp.asking import AskingHandler
from twisted_oob.xmpp.contacts import Contacts
from twisted_oob.xmpp.disco import DiscoveryHandler, FallbackHandler, OneChildHandler
from twisted_oob.xmpp.own_address import OwnAddress
from twisted_oob.xmpp.presence import PresenceHandler
from twisted_oob.xmpp.request_guard import RequestGuard
from twisted_oob.xmpp.stream_handler import StreamHandler

HANDLERS = {
    "OOBHandler": lambda: OOBHandler(reactor=Clock()),
    "AskingHandler": lambda: AskingHandler(Clock()),
    "Contacts": lambda: Contacts(Clock()),
    "OwnAddress": OwnAddress,
    "PresenceHandler": lambda: PresenceHandler(AllowList(["bob@far.example"])),
    "DiscoveryHandler": lambda: DiscoveryHandler("client", "bot", "One"),
    "OneChildHandler": OneChildHandler,
    "FallbackHandler": FallbackHandler,
    "RequestGuard": lambda: RequestGuard(None, SimpleNamespace(), offer=("", "")),
}

every_handler = pytest.mark.parametrize("make", HANDLERS.values(), ids=HANDLERS)
every_stream = pytest.mark.parametrize("wire", WIRES.values(), ids=WIRES)


class Noting(StreamHandler):
    """Notes what it is told."""

    def __init__(self):
        super().__init__()
        self.told = []

    def _stream_opened(self, stream):
        self.told.append("opened")

    def _stream_lost(self, stream, reason):
        self.told.append(reason.type)

    def stream_refused(self, error):
        self.told.append(error)
        return True


@every_handler
@every_stream
def test_it_leaves_nothing_on_the_stream_that_it_is_taken_from(wire, make):
    made = wire()
    made.open()
    before = observers(made.xmlstream)
    handler = make()
    handler.setHandlerParent(made.manager)
    assert handler.bound_stream.xmlstream is made.xmlstream
    handler.disownHandlerParent(made.manager)
    assert handler.bound_stream is handler.xmlstream is None
    assert observers(made.xmlstream) == before


@every_handler
@every_stream
def test_it_may_join_while_a_stream_negotiates(wire, make):
    made = wire()
    if made.negotiates:
        made.connect()
    handler = make()
    handler.setHandlerParent(made.manager)
    (made.negotiate if made.negotiates else made.open)()
    assert handler.bound_stream.xmlstream is made.xmlstream


@every_stream
def test_it_is_told_once_although_its_manager_tells_twice(wire):
    made, handler = wire(), Noting()
    handler.setHandlerParent(made.manager)
    made.open()
    handler.connectionInitialized()
    assert handler.told == ["opened"]
    for _ in range(2):
        handler.connectionLost(Failure(ConnectionDone()))
    assert handler.told == ["opened", ConnectionDone]


def test_the_handler_after_one_that_leaves_is_told_all_the_same():
    class Leaving(XMPPHandler):
        def connectionInitialized(self):
            first.disownHandlerParent(made.manager)

    made, first, second = ClientWire(), Noting(), Noting()
    for handler in (Leaving(), first, second):
        handler.setHandlerParent(made.manager)
    made.open()
    assert (first.told, second.told) == ([], ["opened"])


def test_it_hears_as_it_joins_that_there_will_be_no_stream():
    made, handler = ClientWire(), Noting()
    made.manager.refused = refused = StreamRefused("no such account")
    handler.setHandlerParent(made.manager)
    assert handler.refusal() is refused
    assert handler.told == [refused]

"""Messages through real servers: what is known of a file gets there, and what bounces is told."""

from __future__ import annotations

from hashlib import sha256

import pytest_twisted
from twisted.internet.defer import Deferred

from tests.servers.accounts import Ours
from tests.servers.servers import DOMAIN
from tests.support.streams import URL
from twisted_oob import NS_X_OOB, FileInfo, OOBHandler
from twisted_oob.xmpp.disco import DiscoveryHandler

PICTURE = FileInfo("a cat & <dog>.png", 3, "image/png", sha256(b"foo").hexdigest())
SECONDS = 30.0


class Receiving(Ours):
    """Gives the first file that a message brings."""

    def __init__(self, reactor, server, mode):
        super().__init__(reactor, server, mode)
        self.first = Deferred().addTimeout(SECONDS, reactor)
        handler = OOBHandler(None, self._on_message, reactor=reactor)
        handler.setHandlerParent(self.service)
        DiscoveryHandler("client", "bot", "files").setHandlerParent(self.service)

    def _on_message(self, message):
        if not self.first.called:
            self.first.callback(message)


@pytest_twisted.async_yield_fixture(params=["client", "component"])
async def ends(request, server):
    """A sender on one kind of stream, and a receiver on the other."""
    from twisted.internet import reactor

    modes = ["client", "component"]
    modes.remove(request.param)
    sender, receiver = Ours(reactor, server, request.param), Receiving(reactor, server, *modes)
    sender.handler = sender.sends()
    await sender.start()
    await receiver.start()
    yield sender, receiver
    await receiver.stop()
    await sender.stop()


@pytest_twisted.ensureDeferred
async def test_a_file_arrives_once_with_what_is_known_of_it(ends):
    sender, receiver = ends
    assert await sender.handler.send_message(receiver.jid, URL, "A cat", info=PICTURE) is None
    message = await receiver.first
    assert (message.url, message.info, message.body) == (URL, PICTURE, URL)


@pytest_twisted.ensureDeferred
async def test_a_message_to_nobody_bounces(ends):
    sender, _receiver = ends
    told = sender.handler.send_message(f"nobody@{DOMAIN}", URL, bounce_timeout=SECONDS)
    assert await told == "unavailable"


@pytest_twisted.ensureDeferred
async def test_an_entity_tells_what_it_takes(ends):
    sender, receiver = ends
    assert await sender.handler.find_features(receiver.jid) == {NS_X_OOB}
    assert await sender.handler.find_features(f"nobody@{DOMAIN}/x") == frozenset()

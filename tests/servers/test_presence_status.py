"""A contact on a real server sees the status, whether an account or a component shows it."""

from __future__ import annotations

import pytest
import pytest_twisted
from twisted.internet.defer import DeferredQueue
from twisted.internet.task import Clock
from twisted.words.xish import domish

from tests.servers.accounts import Ours
from tests.servers.servers import ACCOUNTS, DOMAIN
from tests.support.processes import IN_CI
from tests.support.waiting import in_time
from twisted_oob import AccountStream, AllowList
from twisted_oob.xmpp.presence import PresenceHandler

pytestmark = IN_CI
ALICE = f"alice@{DOMAIN}"


class Watcher:
    """Alice, who is online, and what status each of her contacts has."""

    def __init__(self, server):
        self.stream = AccountStream(
            f"{ALICE}/watch",
            ACCOUNTS["alice"],
            host="127.0.0.1",
            port=server.client_port,
            ca_file=server.ca_file,
        )
        PresenceHandler(AllowList(["*"])).setHandlerParent(self.stream)
        self._seen = DeferredQueue()

    async def start(self):
        self.stream.startService()
        await in_time(self.stream.ready)
        self.stream.xmlstream.addObserver("/presence", self._note)

    def _note(self, presence):
        if presence.getAttribute("type") is None and presence.status is not None:
            self._seen.put((presence["from"], str(presence.status)))

    def ask(self, kind, contact):
        """Send a presence that asks a contact for something."""
        presence = domish.Element((None, "presence"))
        presence["to"], presence["type"] = contact, kind
        self.stream.xmlstream.send(presence)

    async def sees(self, contact, text):
        """Wait until she sees this status of a contact."""
        while await in_time(self._seen.get()) != (contact, text):
            pass


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("mode", ["client", "component"])
async def test_a_contact_sees_each_change(server, mode):
    from twisted.internet import reactor

    clock = Clock()
    presence = PresenceHandler(AllowList([DOMAIN]), reactor=clock)
    presence.set_status("ready")
    ours, alice = Ours(reactor, server, mode), Watcher(server)
    presence.setHandlerParent(ours.service)
    await ours.start()
    await alice.start()
    contact = ours.jid.partition("/")[0]
    try:
        alice.ask("subscribe", contact)
        await alice.sees(ours.jid, "ready")
        presence.set_status("busy: 3 transfers")
        clock.advance(60)
        await alice.sees(ours.jid, "busy: 3 transfers")
        presence.set_status("ready")
        clock.advance(60)
        await alice.sees(ours.jid, "ready")
    finally:
        # Nobody else has her as a contact afterwards.
        for kind in ("unsubscribe", "unsubscribed"):
            alice.ask(kind, contact)
        await alice.stream.stopService()
        await ours.stop()

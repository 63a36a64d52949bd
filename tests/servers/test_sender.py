"""FileSender between two accounts of a real server: where the IQ goes, and what comes back."""

from __future__ import annotations

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.words.protocols.jabber.jid import JID
from twisted.words.xish import domish

from tests.servers.servers import ACCOUNTS, DOMAIN
from tests.support.waiting import in_time
from twisted_oob import AccountStream, AllowList, FileSender, FileShare, OOBHandler
from twisted_oob.xmpp.basics import attach_basics
from twisted_oob.xmpp.contacts import Contacts
from twisted_oob.xmpp.presence import PresenceHandler

BOB = f"slixmpp@{DOMAIN}"
LISTEN = "tcp:0:interface=127.0.0.1"


class People:
    """Alice, who sends, and Bob, as whoever he has logged in."""

    def __init__(self, reactor, server, path):
        self.reactor = reactor
        self.path = path
        self._server = server
        self._streams = []
        self.share = FileShare(LISTEN, reactor=reactor)

    async def start(self):
        self.share.startService()
        await in_time(self.share.ready)
        self.alice = self._stream("ours", "sends")
        handler = OOBHandler(reactor=self.reactor)
        for one in (handler, PresenceHandler(None, priority=-1)):
            one.setHandlerParent(self.alice)
        self.sender = FileSender(handler, share=self.share)
        self.contacts = Contacts.of(self.alice, self.reactor)
        await self._up(self.alice)

    async def bob(self, resource, *, allows=()):
        """Log Bob in; gives a Deferred of the first offer that he gets, which he takes."""
        offered = Deferred()

        async def take(offer):
            offered.callback(offer)

        stream = self._stream("slixmpp", resource)
        attach_basics(stream, identity=("client", "bot"), name="Bob")
        for one in (OOBHandler(take, reactor=self.reactor), PresenceHandler(AllowList(allows))):
            one.setHandlerParent(stream)
        await self._up(stream)
        return in_time(offered)

    def tell_bob(self, kind):
        """Send a presence of Alice's to Bob."""
        presence = domish.Element((None, "presence"))
        presence["to"], presence["type"] = BOB, kind
        self.alice.send(presence)

    async def until(self, resource):
        """Wait until Alice knows that Bob is available there."""
        for _ in range(1000):
            if resource in [jid.resource for jid in self.contacts.resources(JID(BOB))]:
                return
            await deferLater(self.reactor, 0.01)
        raise AssertionError("the presence did not come")

    def _stream(self, user, resource):
        made = AccountStream(
            f"{user}@{DOMAIN}/{resource}",
            ACCOUNTS[user],
            host="127.0.0.1",
            port=self._server.client_port,
            ca_file=self._server.ca_file,
            reactor=self.reactor,
        )
        self._streams.append(made)
        return made

    async def _up(self, stream):
        stream.startService()
        await in_time(stream.ready)

    async def stop(self):
        for stream in self._streams:
            await in_time(stream.stopService())
        await in_time(self.share.stopService())


@pytest_twisted.async_yield_fixture
async def people(server, tmp_path):
    from twisted.internet import reactor

    path = tmp_path / "a file.txt"
    path.write_bytes(b"some bytes")
    made = People(reactor, server, path)
    await made.start()
    yield made
    await made.stop()


@pytest.mark.parametrize("to", [BOB, f"{BOB}/oob"])
@pytest_twisted.ensureDeferred
async def test_a_stranger_gets_the_iq_at_the_resource_that_ours_bind(people, to):
    offered = await people.bob("oob")
    delivery = await in_time(people.sender.send(to, people.path, "for Bob"))
    offer = await offered
    assert (delivery.outcome, delivery.how, delivery.via) == ("received", "iq", "share")
    assert (offer.url, offer.desc, offer.info.sha256) == (
        delivery.url,
        "for Bob",
        delivery.sha256,
    )


@pytest_twisted.ensureDeferred
async def test_a_contact_gets_the_iq_wherever_it_takes_it(people):
    offered = await people.bob("elsewhere", allows=[DOMAIN])
    people.tell_bob("subscribe")
    try:
        await people.until("elsewhere")
        delivery = await in_time(people.sender.send(BOB, people.path))
        assert (delivery.outcome, delivery.how) == ("received", "iq")
        assert (await offered).recipient.resource == "elsewhere"
    finally:
        people.tell_bob("unsubscribe")
        people.tell_bob("unsubscribed")


@pytest.mark.parametrize(
    ("to", "as_", "how"),
    [
        (f"nobody@{DOMAIN}", "auto", "message"),
        (f"nobody@{DOMAIN}/oob", "auto", "message"),
        (BOB, "iq", "iq"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_where_nobody_is_it_is_unavailable(people, to, as_, how):
    delivery = await in_time(people.sender.send(to, people.path, as_=as_))
    assert (delivery.outcome, delivery.how) == ("unavailable", how)
    assert delivery.condition

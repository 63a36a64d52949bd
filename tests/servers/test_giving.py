"""Files of a folder for somebody who asks, over real servers: by IQ, or uploaded or shared."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
import pytest_twisted
from twisted.internet.defer import DeferredQueue
from twisted.words.protocols.jabber.jid import JID

from tests.servers.servers import ACCOUNTS, DOMAIN, SECRET
from tests.support.processes import IN_CI
from tests.support.waiting import in_time
from twisted_oob import (
    AccountStream,
    ComponentStream,
    Fetcher,
    FetchPolicy,
    FileSender,
    FileShare,
    OOBHandler,
    UploadHandler,
)
from twisted_oob.files.served_folder import ServedFolder
from twisted_oob.transfer.giver import FileGiver
from twisted_oob.xmpp.basics import attach_basics

pytestmark = IN_CI
LOOPBACK = (ip_network("127.0.0.0/8"),)
DATA = b"a report"
ASKING = f"slixmpp@{DOMAIN}/asks"


class Bot:
    """A giver on an account or a component, and those who ask it."""

    def __init__(self, reactor, server, folder):
        self.reactor = reactor
        self.server = server
        self.folder = folder
        self.share = FileShare("tcp:0:interface=127.0.0.1", reactor=reactor)
        self.streams = []

    async def start(self, mode, via):
        if mode == "account":
            self.sender = None
            stream = self.account("ours", "bot")
        else:
            # The server gives another one each time.
            domain = self.server.component()
            self.sender = JID(f"files@{domain}/x")
            stream = self.up(
                ComponentStream(
                    domain,
                    SECRET,
                    port=self.server.component_port,
                    reactor=self.reactor,
                )
            )
        handler = OOBHandler(reactor=self.reactor)
        uploads = UploadHandler(self.reactor, allow_networks=LOOPBACK, ca_file=self.server.ca_file)
        for one in (handler, uploads):
            one.setHandlerParent(stream)
        self.share.startService()
        await in_time(self.share.ready)
        stream.startService()
        await in_time(stream.ready)
        sender = FileSender(handler, share=self.share, uploads=uploads, keep=60, bounce_timeout=0.2)
        self.giver = FileGiver(ServedFolder(self.folder), sender, via=via, reactor=self.reactor)

    async def somebody(self, *, takes_iq):
        """Log somebody in; gives what the first offers or messages come to."""
        came = DeferredQueue()
        stream = self.account("slixmpp", "asks")
        attach_basics(stream, identity=("client", "pc"), name="Somebody")

        async def take(offer):
            came.put(offer)

        taking = OOBHandler(take if takes_iq else None, came.put, reactor=self.reactor)
        taking.setHandlerParent(stream)
        stream.startService()
        await in_time(stream.ready)
        return came

    def account(self, user, resource):
        return self.up(
            AccountStream(
                f"{user}@{DOMAIN}/{resource}",
                ACCOUNTS[user],
                host="127.0.0.1",
                port=self.server.client_port,
                ca_file=self.server.ca_file,
                reactor=self.reactor,
            )
        )

    def up(self, stream):
        self.streams.append(stream)
        return stream

    async def stop(self):
        await in_time(self.giver.stop())
        for stream in self.streams:
            await in_time(stream.stopService())
        await in_time(self.share.stopService())


@pytest_twisted.async_yield_fixture
async def bot(server, tmp_path):
    from twisted.internet import reactor

    folder = tmp_path / "given"
    folder.mkdir()
    (folder / "report 1.pdf").write_bytes(DATA)
    made = Bot(reactor, server, folder)
    yield made
    await made.stop()


@pytest.mark.parametrize("takes_iq", [True, False])
@pytest.mark.parametrize("via", ["share", "upload"])
@pytest.mark.parametrize("mode", ["account", "component"])
@pytest_twisted.ensureDeferred
async def test_somebody_who_asks_gets_the_file(bot, tmp_path, mode, via, takes_iq):
    await bot.start(mode, via)
    came = await bot.somebody(takes_iq=takes_iq)
    delivery = await in_time(bot.giver.give(ASKING, '"Report 1.pdf"', sender=bot.sender))
    how = "iq" if takes_iq else "message"
    assert (delivery.outcome, delivery.how) == ("received" if takes_iq else "sent", how)
    got = await in_time(came.get())
    assert (got.url, got.info.name, got.info.sha256) == (
        delivery.url, "report 1.pdf", delivery.sha256
    )  # fmt: skip
    if takes_iq and via == "share":
        return
    policy = FetchPolicy(allow_networks=LOOPBACK, ca_file=bot.server.ca_file)
    landed = tmp_path / "landed"
    landed.mkdir()
    fetched = await in_time(Fetcher(bot.reactor, policy, landed).fetch(got.url))
    assert fetched.path.read_bytes() == DATA

"""A FileBot on an embedded router, which a web server, a component and a room are around."""

from __future__ import annotations

from twisted.internet.defer import ensureDeferred

from tests.support.network import LOOPBACK, Network
from tests.support.talks import Room, Talk
from twisted_oob import FetchPolicy
from twisted_oob.transfer.bot import FileBot, Serving
from twisted_oob.xmpp.jid import parse_jid

LISTEN = "tcp:0:interface=127.0.0.1"
ROOM = "plans@rooms.localhost"
NICK = "files"


class BotNetwork(Network):
    """Starts all of it. ``served``: the folder with the files to give. ``talk``: who writes."""

    def bot(self, **options):
        """Make a FileBot."""
        self.served = self.folder.parent / "served"
        self.served.mkdir(exist_ok=True)
        options = {"allow_from": ["*"], "on_server": False} | options
        policy = FetchPolicy(allow_networks=(LOOPBACK,))
        return FileBot(self.folder, policy, reactor=self.reactor, **options)

    def serving(self, **options):
        return Serving(self.folder.parent / "served", **{"endpoint": LISTEN} | options)

    async def start(self, *, serve=True, join=False, **options):
        """Start with these options of a FileBot; gives a sender."""
        self.responder = self.bot(
            serving=self.serving() if serve else None,
            rooms=[(parse_jid(ROOM), NICK)] if join else [],
            **options,
        )
        await self.responder.listen()
        sender = await self.listen()
        self.talk = Talk(sender)
        return sender

    async def room(self):
        return Room(await self.sender("rooms.localhost"))

    def stopping(self):
        """Begin to stop; gives what fires at the end."""
        return ensureDeferred(self.embedded.stop())

"""Other implementations of Out of Band Data, each a process that is told what to do."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

from twisted.internet import defer
from twisted.internet.defer import DeferredQueue

from tests.servers.servers import ACCOUNTS, DOMAIN, PEER_COMPONENT, SECRET
from tests.support.processes import Program, missing

_FOLDER = Path(__file__).parent


class Peer(Program):
    """A peer on a server, driven by lines of JSON (see slixmpp_peer.py).

    ``jid``: who it is, once it is ``ready``.
    """

    name: str
    account: str
    password: str
    reads = {"success": None, "not-found": "item-not-found", "reject": "not-acceptable"}
    """What it says of each answer that it gets."""
    means = {"success": None, "not-found": "not-found", "reject": "reject"}
    """What each of its answers is to the one who gets it."""

    def __init__(self, reactor, folder, server):
        self._events = defaultdict(DeferredQueue)
        self._unread = b""
        super().__init__(reactor, self.command(), folder)
        port = server.client_port if "@" in self.account else server.component_port
        self._write(
            jid=self.account,
            password=self.password,
            host="127.0.0.1",
            port=port,
            ca_file=str(server.ca_file),
        )

    @classmethod
    def command(cls):
        """Give the command that runs it, or skip the test if it is not installed."""
        raise NotImplementedError

    async def ready(self):
        self.jid = (await self.next("ready"))["jid"]

    async def ask(self, event, **command):
        """Tell it to do something; gives the event that this leads to."""
        self._write(**command)
        return await self.next(event)

    async def next(self, kind):
        """Wait for its next event of a kind."""
        try:
            return await self._events[kind].get().addTimeout(self.patience, self._reactor)
        except defer.TimeoutError:
            raise AssertionError(f"no {kind!r}; it said: {self.output}") from None

    def forget(self):
        """Drop what an earlier test has not taken."""
        for queue in self._events.values():
            queue.pending.clear()

    def _write(self, **words):
        self.transport.write(json.dumps(words).encode() + b"\n")

    def outReceived(self, data):
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            event = json.loads(line)
            self._events[event["event"]].put(event)

    def processEnded(self, reason):
        super().processEnded(reason)
        for queue in self._events.values():
            while queue.waiting:
                queue.waiting[0].errback(AssertionError(f"it ended; it said: {self.output}"))


class Slixmpp(Peer):
    name = "slixmpp"
    account = f"slixmpp@{DOMAIN}"
    password = ACCOUNTS["slixmpp"]
    script = "slixmpp_peer.py"

    @classmethod
    def command(cls):
        if importlib.util.find_spec("slixmpp") is None:
            missing("slixmpp", "the extra named test, on Python 3.11 and newer")
        return [sys.executable, str(_FOLDER / cls.script)]


class SlixmppComponent(Slixmpp):
    name = "slixmpp component"
    account = PEER_COMPONENT
    password = SECRET


class SlixmppReader(Slixmpp):
    """No peer of the matrix: it takes no offers (see slixmpp_reader.py)."""

    name = "slixmpp reader"
    account = f"bob@{DOMAIN}"
    password = ACCOUNTS["bob"]
    script = "slixmpp_reader.py"


class SlixmppChat(Slixmpp):
    """No peer of the matrix: a person's client, which writes messages (see slixmpp_chat.py)."""

    name = "slixmpp chat"
    script = "slixmpp_chat.py"

    def __init__(self, reactor, folder, server, user, resource):
        self.account = f"{user}@{DOMAIN}/{resource}"
        self.password = ACCOUNTS[user]
        super().__init__(reactor, folder, server)

    async def write(self, to, **words):
        """Send a message; gives its id."""
        return (await self.ask("written", do="write", to=to, **words))["id"]

    async def ping(self, to):
        """Wait until somebody has answered, and so has seen all that was sent before."""
        await self.ask("pong", do="ping", to=to)

    def messages(self):
        """Take what has come so far."""
        pending = self._events["message"].pending
        taken = list(pending)
        pending.clear()
        return taken


class AnyEvent(Peer):
    name = "AnyEvent::XMPP"
    account = f"anyevent@{DOMAIN}"
    password = ACCOUNTS["anyevent"]
    reads = {"success": None, "not-found": "not-found", "reject": "reject"}
    # Its reply_failure swaps the two conditions, so "reject" goes out as item-not-found.
    means = {"success": None, "not-found": "reject", "reject": "not-found"}

    @classmethod
    def command(cls):
        perl = shutil.which("perl") or "perl"
        modules = ["-MAnyEvent::XMPP::Ext::OOB", "-MNet::SSLeay", "-MJSON::PP"]
        try:
            subprocess.run([perl, *modules, "-e", "1"], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            missing("AnyEvent::XMPP", "the Debian package libanyevent-xmpp-perl")
        return [perl, str(_FOLDER / "anyevent_peer.pl")]


PEERS = {peer.name: peer for peer in (Slixmpp, SlixmppComponent, AnyEvent)}

"""The responder that people chat with: ``twistd oob-responder`` on a real server, as a process."""

from __future__ import annotations

import re
import signal
from contextlib import contextmanager

from tests.servers.servers import ACCOUNTS, COMPONENTS, DOMAIN, SECRET
from tests.support.responders import Responder

USER = "bot"
ACCOUNT = f"{USER}@{DOMAIN}"
ALLOWED = (DOMAIN, *COMPONENTS)
MODES = ("account", "component")


class Bot:
    """A file bot, which fetches from loopback and takes files from everybody on the server.

    ``jid``: the address that people write to. ``folder``: where it runs. ``landed``: its download
    folder. ``process``: the process, once it has started.

    Args:
        reactor: The reactor.
        server: A real server.
        folder: An existing folder, where it makes one of its own.
        mode: One of ``MODES``.
        words: More words of its command line.
        user: The account that it logs in to, in the mode ``account``.
        allowed: Who may make offers and write to it.
    """

    def __init__(self, reactor, server, folder, mode, *words, user=USER, allowed=ALLOWED):
        self.folder = folder / f"bot-{mode}-{user}"
        self.landed = self.folder / "landed"
        self._reactor = reactor
        self._words = words
        self.folder.mkdir()
        secret = SECRET
        if mode == "account":
            self.jid = f"{user}@{DOMAIN}"
            secret = ACCOUNTS[user]
            where = [*("--jid", self.jid, "--password-file", "secret")]
            where += [*("--host", "127.0.0.1", "--port", str(server.client_port))]
        else:
            self.jid = server.component()
            where = [*("--component", self.jid, "--secret-file", "secret")]
            where += [*("--host", "127.0.0.1", "--port", str(server.component_port))]
        file = self.folder / "secret"
        file.touch(mode=0o600)
        file.write_text(f"{secret}\n")
        self._where = [
            *where,
            *("--ca-file", str(server.ca_file), "--download-dir", "landed"),
            *(word for name in allowed for word in ("--allow-from", name)),
            *("--allow-network", "127.0.0.0/8"),
        ]
        self.process = None

    async def start(self):
        """Start it, and wait until its address is bound; gives this Bot."""
        self.process = Responder(self._reactor, self.folder, *self._where, *self._words)
        await self.process.printed(rf"Offers to {re.escape(self.jid)}(/oob)? land in")
        return self

    @contextmanager
    def held_up(self):
        """Let it do nothing for as long; what comes meanwhile waits in the system."""
        self.process.kill("STOP")
        try:
            yield
        finally:
            self.process.kill(signal.SIGCONT)

    @property
    def address(self):
        """The address that its stream has, which messages of every type get to."""
        return self.jid if "@" not in self.jid else f"{self.jid}/oob"

    @property
    def log(self):
        """What it has logged so far."""
        return self.process.output

    def files(self):
        """Give what has landed, by name."""
        return {path.name: path.read_bytes() for path in self.landed.iterdir() if path.is_file()}

    async def stop(self):
        """End it with TERM; what it has to say, it says before."""
        if self.process is not None and not self.process.ended.called:
            await self.process.stop()

"""``twistd oob-responder`` as an operator runs it: processes, and what they fetch and answer."""

from __future__ import annotations

import sys

import pytest_twisted
from twisted.internet.defer import Deferred

from tests.support.hostile_http import HostileServer
from tests.support.network import Sender
from tests.support.processes import ROOT, Program

TWISTD = "import sys; sys.argv[0] = 'twistd'; from twisted.scripts.twistd import run; run()"


class Responder(Program):
    """A ``twistd -n oob-responder`` process, as an operator runs it.

    ``before``: Python that it runs first, to make something go wrong. ``twistd``: its own options.
    """

    def __init__(self, reactor, folder, *words, before="", environment=None, twistd=("-n",)):
        command = [sys.executable, "-c", before + TWISTD, *twistd, "oob-responder", *words]
        environment = {"PYTHONPATH": str(ROOT), **(environment or {})}
        super().__init__(reactor, command, folder, environment=environment)

    def moment(self):
        """Let a moment pass, in which something outside can happen."""
        later = Deferred()
        self._reactor.callLater(0.01, later.callback, None)
        return later


class Operator:
    """Starts responders in a folder, and the programs around them; all end with the test.

    ``landed``: where files land. ``web``: a HostileServer to fetch from.
    """

    def __init__(self, reactor, folder):
        self.reactor = reactor
        self.folder = folder
        self.landed = folder / "landed"
        self.web = HostileServer(reactor)
        self._processes = []
        self._senders = []

    def run(self, *words, **options):
        """Start a responder with these words; gives its process."""
        process = Responder(self.reactor, self.folder, *words, **options)
        self._processes.append(process)
        return process

    def daemon(self, log, pid, *words):
        """Start a responder that leaves the terminal; gives the process that it begins as."""
        return self.run(*words, twistd=("--logfile", str(log), "--pidfile", str(pid)))

    async def start(self, *words, **options):
        """Start a responder on an embedded router; gives its process and a sender there."""
        process = self.run(
            *("--listen", "tcp:0:interface=127.0.0.1", "--download-dir", "landed"),
            *("--secret-file", "secret", "--allow-network", "127.0.0.0/8", *words),
            **options,
        )
        match = await process.printed(r"components connect to \S+:(\d+)")
        secret = (self.folder / "secret").read_text().strip()
        sender = Sender(int(match[1]), secret=secret)
        self._senders.append(sender)
        await sender.start()
        return process, sender

    async def stop(self):
        for sender in self._senders:
            sender.component.stopService()
            await sender.lost
        for process in self._processes:
            if not process.ended.called:
                process.kill("KILL")
                await process.ended
        await self.web.stop()


@pytest_twisted.async_yield_fixture
async def operator(tmp_path):
    """An Operator with a folder of its own."""
    from twisted.internet import reactor

    made = Operator(reactor, tmp_path)
    yield made
    await made.stop()

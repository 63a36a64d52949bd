"""The service that options make, in this process; a pytest plugin."""

from __future__ import annotations

import signal

import pytest_twisted
from twisted.internet.defer import ensureDeferred, maybeDeferred

from tests.support.hostile_http import HostileServer
from tests.support.logins import LoginServer
from tests.support.network import Sender
from tests.support.options import parsed
from twisted_oob.commands import tap

PATIENCE = 10
SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
EMBEDDED = {
    "listen": "tcp:0:interface=127.0.0.1",
    "secret-file": "secret",
    "download-dir": "landed",
    "allow-network": "127.0.0.0/8",
}


class Services:
    """Makes services as options tell, starts them, and stops them when the test ends.

    The current folder is ``folder``. ``web``: a HostileServer to fetch from.
    """

    def __init__(self, reactor, folder, certificate, ca_file):
        self.reactor = reactor
        self.folder = folder
        self.ca_file = ca_file
        self.web = HostileServer(reactor)
        self._certificate = certificate
        self._made = []
        self._senders = []
        self._servers = []

    def write(self, name, text):
        """Write a file that is private."""
        (self.folder / name).write_text(f"{text}\n")
        (self.folder / name).chmod(0o600)

    def make(self, *flags, **options):
        """Make a service, which is not started yet; ``_`` in a name stands for ``-``."""
        words = [
            word for name, text in options.items() for word in (f"--{name.replace('_', '-')}", text)
        ]
        service = tap.makeService(parsed(*flags, *words))
        self._made.append(service)
        return service

    async def start(self, *flags, **options):
        """Start a service on an embedded router; gives the service and a sender there."""
        options = {name.replace("_", "-"): text for name, text in options.items()}
        service = self.make(*flags, **EMBEDDED | options)
        service.startService()
        return service, await self.sender(service)

    async def sender(self, service, domain="sender.localhost"):
        """Connect a sender to the embedded router of a service."""
        secret = (self.folder / "secret").read_text().strip()
        sender = Sender(service._embedded._port.getHost().port, domain, secret=secret)
        self._senders.append(sender)
        await self.soon(sender.start())
        return sender

    def server(self, **options):
        """Start an XMPP server for logins."""
        server = LoginServer(self.reactor, self._certificate, **options)
        self._servers.append(server)
        return server

    def soon(self, deferred):
        """Fail rather than wait for ever."""
        return deferred.addTimeout(PATIENCE, self.reactor)

    def files(self):
        return {path.name: path.read_bytes() for path in (self.folder / "landed").iterdir()}

    async def stop(self):
        for sender in self._senders:
            await self.soon(ensureDeferred(sender.stop()))
        for service in self._made:
            if service.running:
                await self.soon(maybeDeferred(service.stopService))
        for server in self._servers:
            await server.stop()
        await self.web.stop()


@pytest_twisted.async_yield_fixture
async def services(tmp_path, monkeypatch, certificates):
    from twisted.internet import reactor

    monkeypatch.chdir(tmp_path)
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    made = Services(reactor, tmp_path, certificates.issue("home.example"), certificates.file)
    yield made
    await made.stop()
    # A service takes them over as it is made.
    for number, handler in handlers.items():
        signal.signal(number, handler)

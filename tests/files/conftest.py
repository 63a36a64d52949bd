"""A Fetcher on loopback, and a watchdog: what hangs, fails."""

from __future__ import annotations

import faulthandler
import ipaddress
import os

import pytest
import pytest_twisted
from twisted.internet import ssl
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater

from tests.support.certificates import Authority
from tests.support.fetching import Gate, Net, descriptors_in, end, names
from tests.support.hostile_http import HostileServer
from twisted_oob.files import transfer
from twisted_oob.files.fetch import Fetcher
from twisted_oob.files.policy import FetchPolicy

LOOPBACK = tuple(map(ipaddress.ip_network, ("127.0.0.0/8", "::1/128")))
LONG = 60  # seconds; every test fails by itself long before, unless a thread never ends


@pytest.fixture(scope="session")
def stderr(request):
    """Where this process writes its errors, and not where pytest keeps those of a test."""
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        file = os.fdopen(os.dup(2), "w")
    yield file
    file.close()


@pytest.fixture(autouse=True)
def _nothing_runs_for_ever(stderr):
    """End the run, and show where each thread is, if a test or a thread it began does not end.

    Nothing gentler helps: neither a loop in the main thread nor one in a thread of the reactor's
    pool can be stopped, and the reactor waits for its threads before it stops itself.
    """
    from twisted.internet import reactor

    faulthandler.dump_traceback_later(LONG, exit=True, file=stderr)
    yield
    while reactor.getThreadPool().working:
        pytest_twisted.blockon(deferLater(reactor, 0.001))
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture
def net():
    from twisted.internet import reactor  # no reactor before a test wants one

    return Net(reactor)


@pytest.fixture
def clock():
    """The clock of both limits; afterwards nothing may be left to be called."""
    clock = Clock()
    yield clock
    assert clock.getDelayedCalls() == []


@pytest.fixture
def folder(tmp_path):
    """Where files land. Afterwards none of them may be open, and no part of one be left."""
    folder = tmp_path / "downloads"
    folder.mkdir()
    yield folder
    assert descriptors_in(folder) == []
    assert [name for name in names(folder) if name.startswith(".")] == []


@pytest.fixture
def fetcher(net, clock, folder):
    """Makes a Fetcher whose policy allows loopback."""

    def make(*, tls_policy=None, options=None, **policy):
        policy.setdefault("allow_networks", LOOPBACK)
        options = {"tls_policy": tls_policy, "clock": clock, **(options or {})}
        return Fetcher(net, FetchPolicy(**policy), folder, **options)

    return make


@pytest_twisted.async_yield_fixture
async def web(net):
    web = HostileServer(net)
    yield web
    await end(web)


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    """A certificate authority that the platform does not know."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest_twisted.async_yield_fixture
async def serve(net, authority):
    """Begins a server with a certificate for the names, or with what else it is given."""
    servers = []

    def begin(*names, interface="127.0.0.1", issuer=authority, file=None, **options):
        file = str(file or issuer.issue("server", names=names, **options))
        tls = ssl.DefaultOpenSSLContextFactory(file, file)
        servers.append(HostileServer(net, tls=tls, interface=interface))
        return servers[-1]

    net.hosts.update({name: ["127.0.0.1"] for name in ("files.test", "wrong.test", "a.b.test")})
    yield begin
    for server in servers:
        await end(server)


@pytest.fixture
def gate(net, monkeypatch):
    """Puts a Gate in front of a function; open at the latest when the test ends."""
    gates = []

    def make(owner, name):
        gate = Gate(net, getattr(owner, name))
        gates.append(gate)
        replacement = gate
        if isinstance(owner, type):

            def replacement(self, *args, **kwargs):
                return gate(self, *args, **kwargs)

        monkeypatch.setattr(owner, name, replacement)
        return gate

    yield make
    for each in gates:
        each.open()


@pytest.fixture
def bodies(net, monkeypatch):
    """Tells when a response's body gets its next bytes, and when it first pauses the server."""

    class Spy:
        waiting = None
        pauses = 0
        resumes = 0

        def __init__(self):
            self.paused = Deferred()
            self.resumed = Deferred()

        def next(self):
            self.waiting = Deferred()
            return self.waiting

    spy = Spy()

    class Transport:
        def __init__(self, transport):
            self._transport = transport

        def pauseProducing(self):
            self._transport.pauseProducing()
            if not spy.pauses:
                net.callLater(0, spy.paused.callback, None)
            spy.pauses += 1

        def resumeProducing(self):
            self._transport.resumeProducing()
            if not spy.resumes:
                net.callLater(0, spy.resumed.callback, None)
            spy.resumes += 1

    class Body(transfer.Body):
        @property
        def transport(self):
            return self._spied

        @transport.setter
        def transport(self, transport):
            self._spied = Transport(transport)

        def received(self, data):
            super().received(data)
            if spy.waiting is not None:
                waiting, spy.waiting = spy.waiting, None
                net.callLater(0, waiting.callback, None)

    monkeypatch.setattr(transfer, "Body", Body)
    return spy

"""A Fetcher on loopback, and what its tests hold still or look into; a pytest plugin."""

from __future__ import annotations

import functools
import ipaddress
import threading

import pytest
import pytest_twisted
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.task import Clock

from tests.support.hostile_http import HostileServer
from twisted_oob.errors import FetchFailed, Forbidden, NoRoom, TooLarge
from twisted_oob.files import fetch
from twisted_oob.files.fetch import Fetcher
from twisted_oob.files.policy import FetchPolicy

LOOPBACK = tuple(map(ipaddress.ip_network, ("127.0.0.0/8", "::1/128")))
HTTP_ERRORS = (FetchFailed, Forbidden, NoRoom, TooLarge)
PATIENCE = 10  # real seconds, after which a test that waits for something fails


def step(test):
    """An asynchronous test that fails rather than wait for ever."""

    @functools.wraps(test)
    def run(**fixtures):
        from twisted.internet import reactor  # no reactor before a test wants one

        begin = Deferred()
        begin.addCallback(lambda _: Deferred.fromCoroutine(test(**fixtures)))
        begin.addTimeout(PATIENCE, reactor)
        begin.callback(None)
        return begin

    return run


class Net:
    """The real reactor, except that names resolve to what a test says; it notes connections."""

    def __init__(self, reactor):
        self._reactor = reactor
        self.hosts = {}
        self.resolved = []
        self.tried = []
        self.on_try = lambda: None

    def __getattr__(self, name):
        return getattr(self._reactor, name)

    @property
    def nameResolver(self):
        return self

    def resolveHostName(self, receiver, hostName, portNumber=0, *args, **kwargs):
        self.resolved.append(hostName)
        if hostName not in self.hosts:
            return self._reactor.nameResolver.resolveHostName(
                receiver, hostName, portNumber, *args, **kwargs
            )
        answers = self.hosts[hostName]
        if answers is None:  # never answers
            return None
        if answers and isinstance(answers[0], list):  # other answers each time
            answers = answers.pop(0)
        for address in answers:
            kind = IPv6Address if ":" in address else IPv4Address
            receiver.addressResolved(kind("TCP", address, portNumber))
        receiver.resolutionComplete()
        return None

    def connectTCP(self, host, port, *args, **kwargs):
        self.tried.append((host, port))
        connector = self._reactor.connectTCP(host, port, *args, **kwargs)
        self.on_try()
        return connector


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
    folder = tmp_path / "downloads"
    folder.mkdir()
    return folder


@pytest.fixture
def fetcher(net, clock, folder):
    """Makes a Fetcher whose policy allows loopback."""

    def make(*, tls_policy=None, **policy):
        policy.setdefault("allow_networks", LOOPBACK)
        return Fetcher(net, FetchPolicy(**policy), folder, tls_policy=tls_policy, clock=clock)

    return make


@pytest_twisted.async_yield_fixture
async def web(net):
    web = HostileServer(net)
    yield web
    await end(web)


async def end(web):
    """Stop the server. The client closed every connection by itself: nobody had to help it."""
    gone = DeferredList([connection.lost for connection in web.connections])
    try:
        await gone.addTimeout(PATIENCE, web.reactor)
    finally:
        await web.stop()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def ends_of(deferred):
    """A list that is empty until the Deferred has its result. (Its .called is true before.)"""
    ends = []

    def ended(result):
        ends.append(result)
        return result

    deferred.addBoth(ended)
    return ends


async def failure_of(deferred, *kinds):
    with pytest.raises(kinds or HTTP_ERRORS) as caught:
        await deferred
    return caught.value


class Gate:
    """Holds a function in its thread until the test opens it. Tells the reactor when it is in."""

    def __init__(self, reactor, function):
        self._reactor = reactor
        self._function = function
        self._open = threading.Event()
        self.entered = Deferred()
        self.calls = 0

    def __call__(self, *args, **kwargs):
        self.calls += 1
        if self.calls == 1:
            self._reactor.callFromThread(self.entered.callback, None)
        assert self._open.wait(10)
        return self._function(*args, **kwargs)

    def open(self):
        self._open.set()


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

        def next(self):
            self.waiting = Deferred()
            return self.waiting

    spy = Spy()

    class Body(fetch.Body):
        def connectionMade(self):
            transport = self.transport
            pause, resume = transport.pauseProducing, transport.resumeProducing

            def pausing():
                pause()
                if not spy.pauses:
                    net.callLater(0, spy.paused.callback, None)
                spy.pauses += 1

            def resuming():
                resume()
                spy.resumes += 1

            class Transport:
                pauseProducing = staticmethod(pausing)
                resumeProducing = staticmethod(resuming)

            self.transport = Transport

        def dataReceived(self, data):
            super().dataReceived(data)
            if spy.waiting is not None:
                waiting, spy.waiting = spy.waiting, None
                net.callLater(0, waiting.callback, None)

    monkeypatch.setattr(fetch, "Body", Body)
    return spy

"""What the tests of a Fetcher hold still or look into; their fixtures are in tests/files."""

from __future__ import annotations

import functools
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.error import UserError
from twisted.python.failure import Failure

from twisted_oob.errors import FetchFailed, Forbidden, NoRoom, TooLarge

HTTP_ERRORS = (FetchFailed, Forbidden, NoRoom, TooLarge)
PATIENCE = 10  # real seconds, after which a test that waits for something fails


def step(test):
    """An asynchronous test that fails rather than wait for ever.

    It does not wait for its own cancellation either: what is tested may put that off.
    """

    @functools.wraps(test)
    def run(**fixtures):
        from twisted.internet import reactor  # no reactor before a test wants one

        outcome = Deferred()
        outcome.addTimeout(PATIENCE, reactor)
        running = Deferred.fromCoroutine(test(**fixtures))
        running.addBoth(lambda result: None if outcome.called else outcome.callback(result))
        return outcome

    return run


class Net:
    """The real reactor, except that names resolve to what a test says; it notes connections.

    ``hosts``: addresses by name; None for a name that is never resolved, a list of lists for one
    that resolves anew. ``lost``: addresses whose packets get lost, as far as a test can have any.
    ``open_before``: for each connection that was tried, how many others still had a socket then.
    """

    def __init__(self, reactor):
        self._reactor = reactor
        self._connectors = []
        self.open_before = []
        self.hosts = {}
        self.lost = set()
        self.resolved = []
        self.receivers = []
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
        if answers is None:
            self.receivers.append(receiver)
            return None
        if answers and isinstance(answers[0], list):
            answers = answers.pop(0)
        for address in answers:
            kind = IPv6Address if ":" in address else IPv4Address
            receiver.addressResolved(kind("TCP", address, portNumber))
        receiver.resolutionComplete()
        return None

    def connectTCP(self, host, port, *args, **kwargs):
        self.tried.append((host, port))
        self.open_before.append(self.open_sockets())
        if host in self.lost:
            return _never_connects(host, port, *args)
        connector = self._reactor.connectTCP(host, port, *args, **kwargs)
        self._connectors.append(connector)
        self.on_try()
        return connector

    def open_sockets(self):
        # A connector that has failed or was stopped has no transport.
        transports = [getattr(connector, "transport", None) for connector in self._connectors]
        return sum(hasattr(transport, "socket") for transport in transports)


def _never_connects(host, port, factory):
    class Connector:
        def getDestination(self):
            return IPv4Address("TCP", host, port)

        def stopConnecting(self):
            factory.clientConnectionFailed(self, Failure(UserError()))

    factory.doStart()
    factory.startedConnecting(Connector())
    return Connector()


def descriptors_in(folder):
    """The file descriptors of this process that are open in a folder, or for it."""
    found = []
    for fd in list(Path("/proc/self/fd").iterdir()):
        # A thread may close one meanwhile.
        with suppress(FileNotFoundError):
            if str(folder) in str(fd.readlink()):
                found.append(int(fd.name))
    return found


def tls_url(web, host="files.test"):
    """Give an https URL at a server that ``serve`` began."""
    return f"https://{host}:{web.port}/file.bin"


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


def told_by(error):
    """Everything that a log could show of an error, and of the errors it came from."""
    told = []
    while error is not None:
        told += [str(error), repr(error), getattr(error, "text", ""), getattr(error, "detail", "")]
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\n".join(map(str, told))


async def failure_of(deferred, *kinds):
    with pytest.raises(kinds or HTTP_ERRORS) as caught:
        await deferred
    assert caught.value.__cause__ is not caught.value  # whoever shows the causes would not end
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

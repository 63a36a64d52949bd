"""What the system knows and does about a connection on which nothing is acknowledged."""

from __future__ import annotations

import contextlib
import socket
import sys
import time

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import UNIXClientEndpoint, UNIXServerEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import StringTransport

from tests.support.stream_services import Transport
from tests.support.waiting import in_time
from twisted_oob.xmpp.silence import bound_silence, queued_output


def options(transport):
    """Give TCP_USER_TIMEOUT in ms, and whether the system probes the peer."""
    handle = transport.getHandle()
    timeout = handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
    return timeout, bool(handle.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))


@pytest.mark.parametrize(("seconds", "timeout"), [(30, 30_000), (1.5, 1500), (0, 0)])
def test_the_system_gets_the_limit(seconds, timeout):
    transport = Transport()
    bound_silence(transport, seconds)
    assert options(transport) == (timeout, True)


def test_a_system_without_such_a_limit_probes_the_peer_all_the_same(monkeypatch):
    transport = Transport()
    with monkeypatch.context() as patch:
        patch.delattr(socket, "TCP_USER_TIMEOUT")
        bound_silence(transport, 30)
    assert options(transport) == (0, True)


def test_what_is_not_tcp_stays_as_it_is():
    bound_silence(StringTransport(), 30)


@pytest_twisted.ensureDeferred
async def test_a_local_socket_stays_as_it_is_and_nothing_is_known_of_it(tmp_path):
    from twisted.internet import reactor

    accepted = Deferred()
    factory = Factory.forProtocol(Protocol)
    factory.buildProtocol = lambda _: Accepting(accepted)
    path = str(tmp_path / "socket")
    port = await UNIXServerEndpoint(reactor, path).listen(factory)
    ours = await UNIXClientEndpoint(reactor, path).connect(Factory.forProtocol(Protocol))
    theirs = await in_time(accepted)
    for end in (ours, theirs):
        bound_silence(end.transport, 30)
        assert queued_output(end.transport) == (0, 0)
    ours.transport.abortConnection()
    await in_time(theirs.lost)
    await port.stopListening()


class Accepting(Protocol):
    """Fires ``accepted`` with itself, and ``lost`` at its end."""

    def __init__(self, accepted):
        self.accepted, self.lost = accepted, Deferred()

    def connectionMade(self):
        self.accepted.callback(self)

    def connectionLost(self, reason=None):
        self.lost.callback(None)


# --- what the system still holds


@pytest.fixture
def pair():
    """A transport in one, a connected socket in the other place of a pair."""
    transport = Transport()
    with socket.create_server(("127.0.0.1", 0)) as server, transport.socket as ours:
        ours.connect(server.getsockname())
        ours.setblocking(False)
        theirs, _ = server.accept()
        with theirs:
            yield transport, theirs


def fill(sock):
    """Write until the system takes no more; gives how many bytes that were."""
    count = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            count += sock.send(bytes(65536))
    return count


def until(condition):
    """Look until it is so, as the systems of both ends have their time."""
    for _ in range(10_000):
        if condition():
            return
        time.sleep(0.001)
    pytest.fail("it was never so")


def test_what_arrived_is_not_held_any_more(pair):
    transport, _theirs = pair
    assert queued_output(transport) == (0, 0)
    transport.socket.send(b"x" * 1000)
    until(lambda: queued_output(transport) == (0, 0))


def test_what_a_peer_has_no_room_for_is_unsent_and_not_on_its_way(pair):
    transport, theirs = pair
    left = fill(transport.socket)
    until(lambda: queued_output(transport)[0] == 0)
    unsent = queued_output(transport)[1]
    assert 0 < unsent < left
    theirs.settimeout(10)
    while left:
        left -= len(theirs.recv(1_000_000))
    until(lambda: queued_output(transport) == (0, 0))


def test_a_system_that_does_not_tell_holds_nothing(pair, monkeypatch):
    transport, _theirs = pair
    fill(transport.socket)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert queued_output(transport) == (0, 0)


def test_of_what_is_not_tcp_nothing_is_known():
    assert queued_output(StringTransport()) == (0, 0)

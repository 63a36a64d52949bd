"""What the system does about a connection on which nothing is acknowledged."""

from __future__ import annotations

import socket

import pytest
from twisted.internet.testing import StringTransport

from tests.support.stream_services import Transport
from twisted_oob.xmpp.silence import PATIENCE, bound_silence


def options(transport):
    """Give TCP_USER_TIMEOUT in ms, and whether the system probes the peer."""
    handle = transport.getHandle()
    timeout = handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
    return timeout, bool(handle.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))


@pytest.mark.parametrize(("seconds", "timeout"), [((), PATIENCE * 1000), ((1.5,), 1500), ((0,), 0)])
def test_the_system_gets_the_limit(seconds, timeout):
    transport = Transport()
    bound_silence(transport, *seconds)
    assert options(transport) == (timeout, True)


def test_a_system_without_such_a_limit_probes_the_peer_all_the_same(monkeypatch):
    transport = Transport()
    with monkeypatch.context() as patch:
        patch.delattr(socket, "TCP_USER_TIMEOUT")
        bound_silence(transport)
    assert options(transport) == (0, True)


def test_what_is_not_tcp_stays_as_it_is():
    bound_silence(StringTransport())

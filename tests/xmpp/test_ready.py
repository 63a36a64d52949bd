"""Waiting for a stream of any manager, and the address of our side of it."""

from __future__ import annotations

import pytest
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import CancelledError, Deferred

from tests.support.streams import WIRES, ClientWire, InternalWire, outcome
from twisted_oob import ComponentStream, StreamRefused
from twisted_oob.xmpp.ready import local_host, wait_for_stream

from wokkel.subprotocols import XMPPHandler  # isort: skip


def waiting(manager):
    return Deferred.fromCoroutine(wait_for_stream(manager))


@pytest.mark.parametrize("wire", WIRES.values(), ids=WIRES)
def test_it_ends_when_the_stream_is_up_and_leaves_nothing(wire):
    class Later(XMPPHandler):
        up = False

        def connectionInitialized(self):
            self.up = True

    end = wire()
    before = list(end.manager)
    wait = waiting(end.manager)
    # A handler after ours must hear of the stream all the same.
    later = Later()
    later.setHandlerParent(end.manager)
    assert not wait.called
    end.open()
    assert outcome(wait) is None
    assert later.up
    assert list(end.manager) == [*before, later]
    assert outcome(waiting(end.manager)) is None
    assert list(end.manager) == [*before, later]


def test_it_can_be_cancelled():
    end = ClientWire()
    before = list(end.manager)
    wait = waiting(end.manager)
    wait.cancel()
    assert isinstance(outcome(wait), CancelledError)
    assert list(end.manager) == before


def test_it_fails_if_there_will_be_no_stream():
    stream = ComponentStream("files.home.example", "secret")
    before = list(stream)
    refused = StreamRefused("no")
    wait = waiting(stream)
    stream._refuse(refused)
    assert outcome(wait) is refused
    assert list(stream) == before
    assert outcome(waiting(stream)) is refused


@pytest.mark.parametrize(
    ("address", "host"),
    [
        (IPv4Address("TCP", "192.0.2.7", 4711), "192.0.2.7"),
        (IPv6Address("TCP", "2001:db8::7", 4711), "2001:db8::7"),
        (IPv6Address("TCP", "fe80::7%eth0", 4711), "fe80::7"),
        (UNIXAddress("/run/xmpp"), None),
    ],
)
def test_our_side_of_a_stream_has_an_address(address, host):
    end = ClientWire()
    assert local_host(end.manager) is None
    end.open()
    end.transport.hostAddr = address
    assert local_host(end.manager) == host


def test_a_stream_inside_the_process_has_none():
    end = InternalWire()
    end.open()
    assert local_host(end.manager) is None

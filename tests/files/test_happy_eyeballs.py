"""Which addresses are tried, and when, by a clock of the test."""

from __future__ import annotations

import errno
import socket
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import error
from twisted.internet.defer import CancelledError
from twisted.internet.protocol import Protocol
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure

from tests.support.fetching import ends_of
from twisted_oob.files.happy_eyeballs import connect_to_one, order


def addresses(*texts):
    return list(map(ip_address, texts))


MANY = [f"192.0.2.{number}" for number in range(1, 101)]


class Tries:
    """Attempts of ``connect_to_one`` on a reactor in memory; ``ends`` has its result."""

    def __init__(self, texts, timeout=30.0):
        self.reactor = MemoryReactorClock()
        self.built = []
        self.connecting = connect_to_one(self.reactor, addresses(*texts), 80, self.build, timeout)
        self.ends = ends_of(self.connecting)

    def build(self, connected):
        self.built.append(protocol := Protocol())
        protocol.connectionMade = lambda: connected(protocol)
        return protocol

    @property
    def tried(self):
        return [host for host, *_ in self.reactor.tcpClients]

    @property
    def stopped(self):
        return [each.stoppedConnecting for each in self.reactor.connectors]

    def fail(self, index, reason=None):
        factory = self.reactor.tcpClients[index][2]
        failure = Failure(reason or error.ConnectionRefusedError())
        factory.clientConnectionFailed(self.reactor.connectors[index], failure)

    def succeed(self, index):
        protocol = self.reactor.tcpClients[index][2].buildProtocol(None)
        if protocol is not None:
            protocol.makeConnection(StringTransport())
        return protocol

    def nothing_is_left(self):
        return self.reactor.getDelayedCalls() == []


@pytest.mark.parametrize(
    ("given_order", "tried"),
    [
        (["192.0.2.1"], ["192.0.2.1"]),
        (["2001:db8::1", "192.0.2.1"], ["2001:db8::1", "192.0.2.1"]),
        (["192.0.2.1", "2001:db8::1"], ["192.0.2.1", "2001:db8::1"]),
        (
            ["2001:db8::1", "2001:db8::2", "2001:db8::3", "192.0.2.1", "192.0.2.2"],
            ["2001:db8::1", "192.0.2.1", "2001:db8::2", "192.0.2.2", "2001:db8::3"],
        ),
        (MANY, MANY[:8]),
        (
            [*MANY, "2001:db8::1"],
            ["192.0.2.1", "2001:db8::1", *MANY[1:7]],
        ),
    ],
)
def test_families_take_turns_and_eight_are_enough(given_order, tried):
    assert order(addresses(*given_order)) == addresses(*tried)


@given(st.lists(st.ip_addresses(), max_size=20))
def test_no_address_is_tried_that_was_not_given(found):
    tried = order(found)
    assert len(tried) == min(8, len(found))
    assert all(tried.count(one) <= found.count(one) for one in tried)
    assert tried[:1] == found[:1]


def test_the_next_attempt_begins_after_a_pause():
    tries = Tries(MANY)
    for count in range(1, 8):
        tries.reactor.advance(0.249)
        assert len(tries.tried) == count
        tries.reactor.advance(0.001)
        assert len(tries.tried) == count + 1
    tries.reactor.advance(100)
    assert tries.tried == MANY[:8]
    assert not tries.ends


def test_the_next_attempt_begins_at_once_when_one_has_failed():
    tries = Tries(MANY)
    tries.reactor.advance(0.1)
    tries.fail(0)
    assert tries.tried == MANY[:2]
    tries.reactor.advance(0.249)
    assert tries.tried == MANY[:2]
    tries.reactor.advance(0.001)
    assert tries.tried == MANY[:3]


@pytest.mark.parametrize(("given_timeout", "timeout"), [(30.0, 10.0), (3.0, 3.0)])
def test_no_attempt_takes_longer_than_ten_seconds(given_timeout, timeout):
    tries = Tries(MANY[:1], given_timeout)
    [(_host, port, _factory, seconds, _bind)] = tries.reactor.tcpClients
    assert (port, seconds) == (80, timeout)


def test_the_first_that_succeeds_ends_the_others():
    tries = Tries(MANY)
    tries.reactor.advance(0.25)
    tries.reactor.advance(0.25)
    protocol = tries.succeed(1)
    assert tries.ends == [protocol]
    assert tries.stopped == [True, False, True]
    assert tries.nothing_is_left()


def test_another_that_succeeds_in_the_same_turn_is_closed():
    tries = Tries(MANY)
    tries.reactor.advance(0.25)
    tries.succeed(0)
    assert tries.succeed(1) is None
    assert len(tries.built) == 1


def test_the_last_failure_ends_it():
    tries = Tries(MANY[:2])
    tries.fail(0)
    assert not tries.ends
    tries.fail(1, error.TimeoutError())
    [failure] = tries.ends
    assert failure.check(error.ConnectionRefusedError)
    assert tries.nothing_is_left()
    tries.connecting.addErrback(lambda _: None)


def test_an_attempt_that_still_runs_may_succeed_after_the_last_has_failed():
    tries = Tries(MANY[:2])
    tries.reactor.advance(0.25)
    tries.fail(1)
    assert not tries.ends
    protocol = tries.succeed(0)
    assert tries.ends == [protocol]


@pytest.mark.parametrize("failed", [0, 1])
def test_that_descriptors_are_used_up_ends_it_at_once(failed):
    tries = Tries(MANY)
    tries.reactor.advance(0.25)
    tries.fail(failed, error.ConnectBindError(errno.EMFILE, "too many"))
    [failure] = tries.ends
    assert failure.value.osError == errno.EMFILE
    assert tries.tried == MANY[:2]
    assert tries.stopped[1 - failed]
    assert tries.nothing_is_left()
    tries.connecting.addErrback(lambda _: None)


def test_a_reactor_that_can_not_begin_an_attempt_has_failed_it(monkeypatch):
    def connect(self, *args, **kwargs):
        raise OSError(errno.EMFILE, "too many")

    monkeypatch.setattr(MemoryReactorClock, "connectTCP", connect)
    tries = Tries(MANY)
    [failure] = tries.ends
    assert failure.value.osError == errno.EMFILE
    assert tries.nothing_is_left()
    tries.connecting.addErrback(lambda _: None)


def test_a_cancellation_stops_every_attempt():
    tries = Tries(MANY)
    tries.reactor.advance(0.25)
    tries.connecting.cancel()
    [failure] = tries.ends
    assert failure.check(CancelledError)
    assert tries.stopped == [True, True]
    assert tries.nothing_is_left()
    assert tries.succeed(0) is None
    tries.connecting.addErrback(lambda _: None)


def test_a_cancellation_from_the_protocol_that_is_just_connected():
    tries = Tries(MANY[:1])
    protocol = tries.reactor.tcpClients[0][2].buildProtocol(None)
    tries.connecting.cancel()
    protocol.makeConnection(StringTransport())
    [failure] = tries.ends
    assert failure.check(CancelledError)
    tries.connecting.addErrback(lambda _: None)


def test_failures_of_getaddrinfo_for_a_literal_address_are_network_errors(monkeypatch):
    def connect(self, *args, **kwargs):
        raise socket.gaierror(socket.EAI_FAMILY, "no IPv6")

    monkeypatch.setattr(MemoryReactorClock, "connectTCP", connect)
    tries = Tries(["2001:db8::1"])
    [failure] = tries.ends
    assert "no IPv6" in str(failure.value)
    tries.connecting.addErrback(lambda _: None)

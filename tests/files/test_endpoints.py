"""A connection under what speaks HTTP: when the server is paused, on an in-memory transport."""

from __future__ import annotations

import pytest
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import StringTransport

from twisted_oob.files.endpoints import ConnectionFactory, JudgedEndpoints
from twisted_oob.files.policy import FetchPolicy


class Transport(StringTransport):
    """Counts what reaches the socket."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def pauseProducing(self):
        self.calls.append("pause")
        super().pauseProducing()

    def resumeProducing(self):
        self.calls.append("resume")
        if self.producerState == "paused":
            super().resumeProducing()


class Reader(Protocol):
    """Pauses and resumes as it is told by the bytes that come."""

    def dataReceived(self, data):
        for word in data.decode().split():
            if word == "bug":
                raise ZeroDivisionError
            getattr(self.transport, f"{word}Producing")()


@pytest.fixture
def transport():
    return Transport()


@pytest.fixture
def connection(transport):
    endpoints = JudgedEndpoints(None, FetchPolicy(), None, lambda count: True)
    connection = ConnectionFactory(endpoints, Factory.forProtocol(Reader)).buildProtocol(None)
    connection.makeConnection(transport)
    return connection


@pytest.mark.parametrize(
    ("data", "pauses", "state"),
    [
        (b"", 0, "producing"),
        (b"pause", 1, "paused"),
        (b"pause resume", 0, "producing"),
        (b"pause resume pause", 1, "paused"),
        (b"pause pause", 1, "paused"),
        (b"resume pause", 1, "paused"),
    ],
)
def test_only_a_pause_that_outlasts_the_delivery_reaches_the_socket(
    *, connection, transport, data, pauses, state
):
    connection.dataReceived(data)
    assert transport.calls.count("pause") == pauses
    assert transport.producerState == state


def test_a_pause_after_the_delivery_is_one_at_once(connection, transport):
    connection.dataReceived(b"")
    connection.wrappedProtocol.transport.pauseProducing()
    assert transport.producerState == "paused"
    connection.wrappedProtocol.transport.resumeProducing()
    assert transport.producerState == "producing"


def test_bytes_that_come_in_spite_of_a_pause_may_end_it(connection, transport):
    connection.dataReceived(b"pause")
    connection.dataReceived(b"resume")
    assert transport.producerState == "producing"
    assert transport.calls == ["pause", "resume"]


def test_a_pause_before_a_bug_is_kept(connection, transport):
    with pytest.raises(ZeroDivisionError):
        connection.dataReceived(b"pause bug")
    assert transport.producerState == "paused"

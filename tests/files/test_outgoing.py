"""The bytes of a file on their way: pieces, pauses, and what ends them."""

from __future__ import annotations

import os
import threading

import pytest
from twisted.internet.task import deferLater
from twisted.internet.testing import StringTransport

from tests.support.fetching import step
from twisted_oob.files.outgoing import Outgoing
from twisted_oob.files.source import SourceFile


class Transport(StringTransport):
    """A transport that is full after each write, if ``pauses``."""

    pauses = True
    largest = 0

    def write(self, data):
        super().write(data)
        self.largest = max(self.largest, len(data))
        if self.pauses:
            self.producer.pauseProducing()


class Run:
    """One file, its transport, and what was told."""

    def __init__(self, reactor, path, *, pauses=True):
        self.reactor = reactor
        self.source = SourceFile(path)
        self.transport = Transport()
        self.transport.pauses = pauses
        self.sent, self.errors, self.stops = [], [], []
        self.outgoing = Outgoing(reactor, self.source, self.sent.append, self.errors.append)

    def begin(self):
        self.outgoing.begin(self.transport, lambda: self.stops.append(self.outgoing.written))

    async def written(self, count):
        while len(self.transport.value()) < count:
            await deferLater(self.reactor, 0.001)


@pytest.fixture
def run(net, tmp_path):
    runs = []

    def make(data, **options):
        path = tmp_path / "file"
        path.write_bytes(data)
        runs.append(Run(net, path, **options))
        return runs[-1]

    yield make
    for one in runs:
        one.source.close()


@pytest.mark.parametrize("pauses", [True, False])
@step
async def test_a_file_goes_out_in_pieces(run, pauses):
    data = os.urandom(1_300_000)
    one = run(data, pauses=pauses)
    one.begin()
    seen = 0
    while pauses and seen < len(data):
        await one.written(seen + 1)
        # Nothing more goes out until the transport is empty.
        await deferLater(one.reactor, 0.002)
        assert len(one.transport.value()) - seen <= 524_288
        seen = len(one.transport.value())
        one.outgoing.resumeProducing()
    await one.written(len(data))
    assert one.transport.value() == data
    assert one.transport.largest == 524_288
    assert one.outgoing.whole
    assert one.transport.producer is None
    assert one.sent[-1] == len(data)
    assert one.sent == sorted(set(one.sent))
    assert (one.errors, one.stops) == ([], [])


@step
async def test_an_empty_file_needs_no_producer(run):
    one = run(b"")
    one.begin()
    assert one.outgoing.whole
    assert one.sent == [0]
    assert one.transport.producer is None


@step
async def test_a_disk_that_hangs_does_not_hold_up_the_reactor(run, monkeypatch):
    one = run(b"data", pauses=False)
    hangs = threading.Event()
    read = one.source.read
    monkeypatch.setattr(one.source, "read", lambda *args: hangs.wait() and read(*args))
    one.begin()
    await deferLater(one.reactor, 0.01)
    assert one.transport.value() == b""
    hangs.set()
    await one.written(4)


@step
async def test_a_lost_transport_ends_it_once(run):
    one = run(bytes(1_000_000))
    one.begin()
    await one.written(1)
    told = one.sent.copy()
    one.outgoing.stopProducing()
    one.outgoing.stopProducing()
    one.outgoing.resumeProducing()
    assert one.sent == told
    await deferLater(one.reactor, 0.005)
    assert one.stops == [524_288]
    assert len(one.transport.value()) == 524_288
    assert one.errors == []


@step
async def test_a_file_that_got_shorter_has_no_error_to_tell(run):
    one = run(bytes(2_000_000), pauses=False)
    os.truncate(one.source.path, 600_000)
    one.begin()
    while not one.errors:
        await deferLater(one.reactor, 0.001)
    assert one.errors == [None]
    assert len(one.transport.value()) <= 600_000
    assert not one.outgoing.whole


@step
async def test_an_error_of_the_disk_is_told(run, monkeypatch):
    def broken(*_args):
        raise OSError(5, "the disk is broken")

    one = run(b"data")
    monkeypatch.setattr(one.source, "read", broken)
    one.begin()
    while not one.errors:
        await deferLater(one.reactor, 0.001)
    assert "the disk is broken" in str(one.errors[0].value)

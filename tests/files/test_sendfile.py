"""Sending: real sockets, readers that are slow, and disks and files that fail."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, ensureDeferred, gatherResults
from twisted.internet.endpoints import SSL4ServerEndpoint
from twisted.internet.ssl import DefaultOpenSSLContextFactory
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.internet.utils import getProcessOutputAndValue

from tests.support.sharing import Answer, MemoryShare, NetShare, get
from tests.support.waiting import in_time as fired_in_time
from twisted_oob import FileShare
from twisted_oob.files.sendfile import PIECE
from twisted_oob.files.source import SourceFile

LARGE = os.urandom(1 << 20) * 12


@pytest_twisted.async_yield_fixture
async def share():
    from twisted.internet import reactor

    share = NetShare(reactor)
    await share.start()
    yield share
    await in_time(share.stop())
    assert share.clock.getDelayedCalls() == []


@pytest.fixture
def large(tmp_path):
    path = tmp_path / "large.bin"
    path.write_bytes(LARGE)
    return path


def in_time(awaitable):
    """Let a Deferred or a coroutine fail if it takes too long."""
    return fired_in_time(ensureDeferred(awaitable))


def errors(log):
    """Give the errors that were logged, and take them."""
    found = [event for event in log if event["log_level"].name == "error"]
    log.clear()
    return found


async def later(condition):
    """Wait until it is so."""
    from twisted.internet import reactor

    for _ in range(5000):
        if condition():
            return
        await deferLater(reactor, 0.002)
    pytest.fail("it never is")


async def stuck(share, shared, connection):
    """Let a reader take nothing until the kernel takes no more for it."""
    connection.transport.write(get(shared.url))
    await connection.came(1)
    connection.transport.pauseProducing()
    handed = -1
    while handed != (now := sum(each.count for each in shared.readers._coverage.values())):
        handed = now
        await deferLater(share.reactor, 0.1)
    return handed


# --- whole files


@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 << 20, len(LARGE)])
@pytest_twisted.ensureDeferred
async def test_every_byte_arrives(share, tmp_path, size):
    (tmp_path / "file").write_bytes(LARGE[:size])
    shared = share.share.add(tmp_path / "file")
    answer = await in_time(share.ask(shared.url))
    assert answer.body == LARGE[:size]
    assert answer.whole
    assert shared.reads == 1
    if size:
        answer = await in_time(share.ask(shared.url, f"Range: bytes={size // 3}-"))
        assert answer.body == LARGE[size // 3 : size]


@pytest_twisted.ensureDeferred
async def test_curl_takes_it_and_resumes_it(share, large, tmp_path):
    shared = share.share.add(large, name='ödd "name" 😀.bin')
    (tmp_path / "part").write_bytes(LARGE[:5_000_000])
    url = shared.url
    for options in (["-o", "whole"], ["-C", "-", "-o", "part"], ["-OJ"], ["-I", "-o", "head"]):
        arguments = ["-sSf", *options, url]
        _, err, status = await getProcessOutputAndValue(
            "curl", arguments, env=dict(os.environ), path=str(tmp_path)
        )
        assert (err, status) == (b"", 0)
    for name in ("whole", "part", "_dd _name_ _.bin"):
        assert (tmp_path / name).read_bytes() == LARGE, name
    assert f"Content-Length: {len(LARGE)}" in (tmp_path / "head").read_text()


@pytest_twisted.ensureDeferred
async def test_where_the_kernel_cannot_hand_over_it_is_written(share, large, monkeypatch):
    def sendfile(*_arguments):
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(os, "sendfile", sendfile)
    shared = share.share.add(large)
    assert (await in_time(share.ask(shared.url))).body == LARGE
    assert shared.reads == 1


@pytest_twisted.ensureDeferred
async def test_what_is_not_in_memory_is_loaded_by_a_thread(share, large, monkeypatch):
    loaded = []
    load = SourceFile.load

    def loading(self, offset, count):
        loaded.append((threading.current_thread() is not threading.main_thread(), offset, count))
        load(self, offset, count)

    monkeypatch.setattr(SourceFile, "load", loading)
    monkeypatch.setattr(SourceFile, "in_memory", lambda *_: False)
    shared = share.share.add(large)
    assert (await in_time(share.ask(shared.url))).body == LARGE
    assert loaded == [(True, offset, 1 << 20) for offset in range(0, len(LARGE), 1 << 20)]


@pytest_twisted.ensureDeferred
async def test_over_tls(certificates, large, tmp_path):
    from twisted.internet import reactor

    certificate = str(certificates.issue("localhost"))
    context = DefaultOpenSSLContextFactory(certificate, certificate)
    share = FileShare(
        SSL4ServerEndpoint(reactor, 0, context, interface="127.0.0.1"),
        public_url="https://localhost",
    )
    share.startService()
    await share.ready
    shared, fired = share.add(large), []
    shared.when_read().addCallback(fired.append)
    port = share._port.getHost().port
    url = shared.url.replace("https://localhost", f"https://localhost:{port}")
    arguments = ["-sSf", "--cacert", str(certificates.file), "-o", "whole", url, "-o", "again", url]
    _, err, status = await getProcessOutputAndValue(
        "curl", arguments, env=dict(os.environ), path=str(tmp_path)
    )
    assert (err, status) == (b"", 0)
    assert (tmp_path / "whole").read_bytes() == (tmp_path / "again").read_bytes() == LARGE
    assert (shared.reads, fired) == (2, [None])
    await in_time(share.stopService())


# --- readers


@pytest_twisted.ensureDeferred
async def test_200_readers_at_once(share, tmp_path):
    (tmp_path / "file").write_bytes(LARGE[:300_000])
    shared = share.share.add(tmp_path / "file")
    connections = [await share.connect(shared.url) for _ in range(200)]
    for connection in connections:
        connection.transport.pauseProducing()
        connection.transport.write(get(shared.url, "Connection: close"))
    await later(lambda: len(shared.sendings) + shared.reads == 200)
    for connection in connections:
        connection.transport.resumeProducing()
    await in_time(gatherResults([connection.lost for connection in connections]))
    assert all(Answer(bytes(each.data)).body == LARGE[:300_000] for each in connections)
    assert shared.reads == 200


@pytest_twisted.ensureDeferred
async def test_a_reader_that_stops_is_cut_off_after_a_minute(share, large):
    shared = share.share.add(large)
    connection = await share.connect(shared.url)
    assert await stuck(share, shared, connection) < len(LARGE)
    share.clock.advance(59)
    assert shared.sendings
    share.clock.advance(1.1)
    await later(lambda: not shared.sendings)
    connection.transport.resumeProducing()
    await in_time(connection.lost)
    assert connection.aborted
    assert shared.reads == 0


@pytest_twisted.ensureDeferred
async def test_a_reader_may_be_so_slow_that_the_kernel_wants_no_more_for_minutes(
    share, large, monkeypatch
):
    shared = share.share.add(large)
    connection = await share.connect(shared.url)
    await stuck(share, shared, connection)
    [sending] = shared.sendings
    held = iter(range(1 << 20, 0, -1000))
    monkeypatch.setattr(sending._drain, "held", lambda: next(held))
    for _ in range(20):
        share.clock.advance(30)
    assert shared.sendings
    monkeypatch.setattr(sending._drain, "held", lambda: 5)
    for _ in range(3):
        share.clock.advance(30)
    assert not shared.sendings


@pytest_twisted.ensureDeferred
async def test_what_the_kernel_holds(share, large):
    shared = share.share.add(large)
    connection = await share.connect(shared.url)
    await stuck(share, shared, connection)
    [sending] = shared.sendings
    assert sending._drain.held() > 100_000


@pytest_twisted.ensureDeferred
async def test_a_reader_that_goes_away_ends_its_read(share, large):
    shared = share.share.add(large)
    connection = await share.connect(shared.url)
    await stuck(share, shared, connection)
    connection.transport.abortConnection()
    await later(lambda: not shared.sendings)
    assert shared.reads == 0
    assert (await in_time(share.ask(shared.url))).body == LARGE


@pytest_twisted.ensureDeferred
async def test_a_reader_that_was_cut_off_resumes(share, large):
    shared = share.share.add(large)
    connection = await share.connect(shared.url)
    await stuck(share, shared, connection)
    connection.transport.abortConnection()
    got = len(Answer(bytes(connection.data)).body)
    answer = await in_time(share.ask(shared.url, f"Range: bytes={got}-"))
    assert answer.body == LARGE[got:]
    assert shared.reads == 1


@pytest_twisted.ensureDeferred
async def test_a_slow_reader_keeps_nobody_waiting(share, large):
    shared = share.share.add(large)
    await stuck(share, shared, await share.connect(shared.url))
    assert (await in_time(share.ask(shared.url))).body == LARGE


# --- the tail

# A process that ends as soon as the file was read; its reader has said more than anybody asked for.
ENDS = """
import os, sys
from twisted.internet import reactor
from twisted.internet.task import react
from twisted_oob import FileShare
async def main(reactor):
    share = FileShare("tcp:0:interface=127.0.0.1")
    share.startService()
    await share.ready
    shared = share.add(sys.argv[1])
    print(shared.url, flush=True)
    await shared.when_read()
    if sys.argv[2] == "exit":
        os._exit(0)
    await share.stopService()
react(main)
"""


@pytest.mark.parametrize("how", ["exit", "stop"])
@pytest_twisted.ensureDeferred
async def test_nothing_is_lost_if_the_process_ends_after_a_read(large, how):
    def run():
        with subprocess.Popen(
            [sys.executable, "-c", ENDS, large, how], stdout=subprocess.PIPE
        ) as process:
            url = process.stdout.readline().decode().strip()
            port = int(url.split(":")[2].split("/")[0])
            with socket.create_connection(("127.0.0.1", port)) as reader:
                reader.settimeout(20)
                more = b"" if how == "exit" else b"GET /more HTTP/1.1\r\n\r\n" * 100
                reader.sendall(get(url) + more)
                data = bytearray(reader.recv(1))
                while how == "exit" and process.poll() is None:
                    # Slowly, so that much is in the kernel when the process ends.
                    data += reader.recv(10_000)
                while piece := reader.recv(1 << 20):
                    data += piece
                return bytes(data)

    body = (await in_time(deferToThread(run))).partition(b"\r\n\r\n")[2]
    assert body[: len(LARGE)] == LARGE


# --- files and disks


@pytest.mark.parametrize("left", [0, 1000, 5 << 20])
@pytest_twisted.ensureDeferred
async def test_a_file_that_got_shorter_aborts_the_connection(share, large, log, left):
    shared = share.share.add(large)
    os.truncate(large, left)
    connection = await share.connect(shared.url)
    connection.transport.write(get(shared.url))
    await in_time(connection.lost)
    assert connection.aborted
    assert len(Answer(bytes(connection.data)).body) <= left
    assert shared.reads == 0
    [event] = errors(log)
    assert "got shorter" in str(event["error"])


@pytest_twisted.ensureDeferred
async def test_a_small_file_that_got_shorter_aborts_the_connection(share, tmp_path, log):
    (tmp_path / "small").write_bytes(b"small")
    shared = share.share.add(tmp_path / "small")
    os.truncate(tmp_path / "small", 2)
    connection = await share.connect(shared.url)
    connection.transport.write(get(shared.url))
    await in_time(connection.lost)
    assert connection.aborted
    assert len(errors(log)) == 1


@pytest.mark.parametrize("name", ["in_memory", "send_to", "load"])
@pytest_twisted.ensureDeferred
async def test_a_disk_that_fails_aborts_the_connection(share, large, log, monkeypatch, name):
    def fails(*_arguments):
        raise OSError(5, "Input/output error")

    if name == "load":
        monkeypatch.setattr(SourceFile, "in_memory", lambda *_: False)
    monkeypatch.setattr(SourceFile, name, fails)
    shared = share.share.add(large)
    connection = await share.connect(shared.url)
    connection.transport.write(get(shared.url))
    await in_time(connection.lost)
    assert connection.aborted
    [event] = errors(log)
    assert "Input/output error" in str(event["error"])
    assert shared.url.split("/")[3] not in repr(event)


@pytest.mark.parametrize("end", ["closed", "reader gone", "stopped"])
@pytest_twisted.ensureDeferred
async def test_what_ends_while_a_thread_loads(share, large, monkeypatch, log, end):
    loading, go_on = Deferred(), threading.Event()

    def load(*_arguments):
        share.reactor.callFromThread(loading.callback, None)
        go_on.wait(10)

    monkeypatch.setattr(SourceFile, "in_memory", lambda *_: False)
    monkeypatch.setattr(SourceFile, "load", load)
    shared = share.share.add(large)
    connection = await share.connect(shared.url)
    connection.transport.write(get(shared.url))
    await in_time(loading)
    assert len(shared.sendings) == 1
    if end == "closed":
        shared.close()
    elif end == "reader gone":
        connection.transport.abortConnection()
    else:
        await in_time(share.share.stopService())
    await in_time(connection.lost)
    go_on.set()
    await later(lambda: not shared.sendings)
    assert shared.reads == 0
    assert errors(log) == []


def test_a_reader_in_memory_holds_one_piece(tmp_path):
    (tmp_path / "large").write_bytes(LARGE)
    memory = MemoryShare()
    shared = memory.share.add(tmp_path / "large")
    transport = memory.connect()
    transport.protocol.dataReceived(get(shared.url))
    for count in range(1, 5):
        assert len(Answer(transport.value()).body) == count * PIECE
        transport.producer.resumeProducing()
    memory.share.stopService()

"""HTTP on real connections: what comes after a request, and how a connection ends."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

import pytest
import pytest_twisted
from twisted.internet.task import deferLater

from tests.support.sharing import Answer, NetShare, get
from tests.support.waiting import in_time

CONTENT = bytes(range(256)) * 20_000


@pytest_twisted.async_yield_fixture
async def share(tmp_path):
    from twisted.internet import reactor

    (tmp_path / "file.bin").write_bytes(CONTENT)
    share = NetShare(reactor)
    await share.start()
    share.shared = share.share.add(tmp_path / "file.bin")
    yield share
    await share.stop()
    assert share.clock.getDelayedCalls() == []


async def all_closed(share):
    """Wait until the share has no connection, while its clock stands still."""
    for _ in range(2000):
        if not share.share._factory.channels:
            return
        await deferLater(share.reactor, 0.002)
    pytest.fail("a connection stays open")


@pytest_twisted.ensureDeferred
async def test_what_nobody_asked_for_costs_the_reader_nothing(share):
    connection = await share.connect(share.shared.url)
    connection.transport.write(get(share.shared.url, "Connection: close") + b"x" * 500_000)
    await in_time(connection.lost)
    assert Answer(bytes(connection.data)).body == CONTENT
    assert not connection.aborted
    await all_closed(share)


@pytest.mark.parametrize(
    "bad", [b"\r\n\r\n\r\n", b"GET\r\n\r\n", b"G T /\r\nA: b\r\n\r\n", b"x" * 20000]
)
@pytest_twisted.ensureDeferred
async def test_nothing_is_answered_after_what_is_malformed(share, log, bad):
    connection = await share.connect(share.shared.url)
    connection.transport.write(bad + get(share.shared.url) * 3)
    await in_time(connection.lost)
    assert bytes(connection.data) in {b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"}
    await all_closed(share)
    assert [event for event in log if event["log_level"].name == "critical"] == []


@pytest_twisted.ensureDeferred
async def test_nothing_is_answered_after_the_last_answer(share):
    connection = await share.connect(share.shared.url)
    connection.transport.write(get("http://a/b/c", "Connection: close"))
    await connection.came(1)
    connection.transport.write(get(share.shared.url) * 3)
    await in_time(connection.lost)
    assert Answer(bytes(connection.data)).body == b"Not found\n"
    assert share.shared.reads == 0


@pytest_twisted.ensureDeferred
async def test_a_reader_may_ask_for_much_before_it_reads(share):
    connection = await share.connect(share.shared.url)
    connection.transport.pauseProducing()
    last = get(share.shared.url, "Connection: close")
    connection.transport.write(get("http://a/b/c") * 5000 + get(share.shared.url) + last)
    await deferLater(share.reactor, 0.1)
    connection.transport.resumeProducing()
    await in_time(connection.lost)
    answers = bytes(connection.data).split(b"HTTP/1.1 ")[1:]
    assert [answer[:3] for answer in answers] == [b"404"] * 5000 + [b"200"] * 2
    assert share.shared.reads == 2


@pytest_twisted.ensureDeferred
async def test_whoever_closes_the_file_at_its_last_byte_has_no_whole_read(share, tmp_path):
    def close(read, size):
        if read == size:
            shared.close()

    shared = share.share.add(tmp_path / "file.bin", on_progress=close)
    connection = await share.connect(shared.url)
    connection.transport.write(get(shared.url))
    await in_time(connection.lost)
    assert shared.reads == 0


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest_twisted.ensureDeferred
async def test_who_has_closed_its_side_gets_the_file(share, version):
    connection = await share.connect(share.shared.url)
    connection.transport.write(get(share.shared.url, version=version) + b"GET /half-a-request")
    connection.transport.loseWriteConnection()
    await later(share, lambda: connection.lost.called)
    assert Answer(bytes(connection.data)).body == CONTENT
    assert not connection.aborted
    assert share.shared.reads == 1
    await all_closed(share)


@pytest_twisted.ensureDeferred
async def test_who_has_closed_its_side_gets_all_it_asked_for(share):
    connection = await share.connect(share.shared.url)
    head, post = (get(share.shared.url, method=method) for method in ("HEAD", "POST"))
    connection.transport.write(get(share.shared.url) + head + post + get(share.shared.url))
    connection.transport.loseWriteConnection()
    await later(share, lambda: connection.lost.called)
    answers = bytes(connection.data).split(b"HTTP/1.1 ")[1:]
    assert [answer[:3] for answer in answers] == [b"200", b"200", b"405", b"200"]
    assert share.shared.reads == 2


@pytest.mark.parametrize(
    "asked", [b"", b"GET / HT", b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n"]
)
@pytest_twisted.ensureDeferred
async def test_who_has_closed_its_side_and_asked_for_nothing_is_closed(share, asked):
    connection = await share.connect(share.shared.url)
    connection.transport.write(asked)
    connection.transport.loseWriteConnection()
    await in_time(connection.lost)
    await all_closed(share)
    assert bytes(connection.data) == b""


@pytest.mark.parametrize("size", [1, 1000, len(CONTENT)])
@pytest_twisted.ensureDeferred
async def test_who_asks_and_is_gone_has_no_whole_read(share, tmp_path, size):
    (tmp_path / "part.bin").write_bytes(CONTENT[:size])
    shared = share.share.add(tmp_path / "part.bin")
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", urlsplit(shared.url).port)) as gone:
            gone.sendall(get(shared.url))
    # By then all of them were accepted.
    await share.ask(share.shared.url, method="HEAD")
    await later(share, lambda: not share.share._factory.channels)
    assert shared.reads == 0
    assert shared.sendings == set()


async def later(share, condition):
    """Wait until it is so, while the share's clock goes."""
    for _ in range(2000):
        share.clock.advance(0.001)
        if condition():
            return
        await deferLater(share.reactor, 0.001)
    pytest.fail("it never is")

"""What puts the time limits of a transfer off, and what does not."""

from __future__ import annotations

import pytest
from twisted.internet.address import IPv4Address

from tests.support.fetching import ends_of, failure_of, names, step
from tests.support.hostile_http import answer, redirect
from twisted_oob.errors import FetchFailed
from twisted_oob.files.landing import Landing


async def wait_and_fail(fetching, clock, seconds, connection=None):
    ends = ends_of(fetching)
    clock.advance(seconds - 0.5)
    assert not ends
    clock.advance(0.5)
    error = await failure_of(fetching, FetchFailed)
    assert error.text == "timed out"
    if connection is not None:
        await connection.lost
        assert connection.aborted


@step
async def test_a_name_that_is_resolved_puts_the_stall_off(fetcher, net, clock):
    net.hosts["slow.test"] = None
    net.lost.add("127.0.0.1")
    fetching = fetcher(stall_timeout=7).fetch("http://slow.test/")
    clock.advance(6)
    [receiver] = net.receivers
    receiver.addressResolved(IPv4Address("TCP", "127.0.0.1", 80))
    receiver.resolutionComplete()
    assert net.tried == [("127.0.0.1", 80)]
    await wait_and_fail(fetching, clock, 7)


@step
async def test_a_connection_that_is_made_puts_the_stall_off(fetcher, web, clock):
    fetching = fetcher(stall_timeout=7).fetch(web.url())
    clock.advance(6)
    connection = await web.arrivals.get()
    await wait_and_fail(fetching, clock, 7, connection)


@step
async def test_every_byte_puts_the_stall_off(fetcher, web, clock, bodies, folder):
    fetching = fetcher(stall_timeout=7, min_rate=0).fetch(web.url())
    connection = await web.arrivals.get()
    received = bodies.next()
    connection.write(answer(b"0", length=9))
    await received
    for _ in range(5):
        clock.advance(6)
        received = bodies.next()
        connection.write(b"x")
        await received
    await wait_and_fail(fetching, clock, 7, connection)
    assert names(folder) == []


@step
async def test_a_trickle_ends_at_the_limit_for_the_whole(fetcher, web, clock, bodies, folder):
    fetching = fetcher(stall_timeout=7, timeout=20, min_rate=0).fetch(web.url())
    connection = await web.arrivals.get()
    received = bodies.next()
    connection.write(answer(b"0", length=9))
    await received
    for _ in range(3):
        clock.advance(6)
        received = bodies.next()
        connection.write(b"x")
        await received
    await wait_and_fail(fetching, clock, 2, connection)
    assert names(folder) == []


@pytest.mark.parametrize("length", [9, None])
@step
async def test_a_trickle_is_too_slow(*, fetcher, web, clock, bodies, folder, length):
    fetching = fetcher(stall_timeout=7, min_rate=1).fetch(web.url())
    ends = ends_of(fetching)
    connection = await web.arrivals.get()
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    connection.write(head if length is None else answer(length=length))
    for _ in range(3):
        received = bodies.next()
        connection.write(b"1\r\nx\r\n" if length is None else b"x")
        await received
        assert not ends
        clock.advance(3)
    error = await failure_of(fetching, FetchFailed)
    assert error.text == "too slow"
    assert error.detail == "3 bytes of the file in 7 s, but at least 1 a second are wanted"
    await connection.lost
    assert connection.aborted
    assert names(folder) == []


@step
async def test_redirects_do_not_put_the_limit_for_the_whole_off(fetcher, web, clock):
    fetching = fetcher(stall_timeout=7, timeout=10).fetch(web.url())
    connection = await web.arrivals.get()
    clock.advance(6)
    connection.write(redirect("/"))
    connection = await web.arrivals.get()
    await wait_and_fail(fetching, clock, 4, connection)


@step
async def test_a_slow_disk_pauses_the_server_and_is_no_stall(
    *, fetcher, web, clock, bodies, gate, monkeypatch
):
    size = 24 * 1024 * 1024
    pieces = []
    write = Landing.write

    def spying(self, data):
        pieces.append(len(data))
        write(self, data)

    monkeypatch.setattr(Landing, "write", spying)
    gated = gate(Landing, "write")
    web.answers = [answer(bytes(size))]
    fetching = fetcher(stall_timeout=7).fetch(web.url())
    ends = ends_of(fetching)
    await gated.entered
    await bodies.paused
    clock.advance(100)
    assert not ends
    gated.open()
    got = await fetching
    assert got.size == got.path.stat().st_size == size
    assert sum(pieces) == size
    *full, _rest = filter(None, pieces)
    assert min(full) >= 256 * 1024
    assert max(full) < 512 * 1024
    assert bodies.resumes


@pytest.mark.parametrize("size", [10, 300_000])
@step
async def test_a_slow_commit_is_no_stall(*, fetcher, web, clock, gate, size):
    gated = gate(Landing, "commit")
    web.answers = [answer(b"x" * size)]
    fetching = fetcher(stall_timeout=7).fetch(web.url())
    ends = ends_of(fetching)
    await gated.entered
    clock.advance(100)
    assert not ends
    gated.open()
    assert (await fetching).size == size


@step
async def test_after_a_pause_a_stall_counts_again(fetcher, web, clock, bodies, gate):
    gated = gate(Landing, "write")
    fetching = fetcher(stall_timeout=7).fetch(web.url())
    connection = await web.arrivals.get()
    connection.write(answer(bytes(300_000), length=300_002))
    await gated.entered
    await bodies.paused
    clock.advance(100)
    received = bodies.next()
    gated.open()
    connection.write(b"x")
    await received
    await wait_and_fail(fetching, clock, 7, connection)

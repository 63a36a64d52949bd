"""Time limits and cancellation of a transfer, at every step of it."""

from __future__ import annotations

import os

import pytest
from twisted.internet.defer import CancelledError, Deferred

from tests.support.fetching import ends_of, failure_of, names, step
from tests.support.hostile_http import answer, redirect
from twisted_oob.errors import FetchFailed
from twisted_oob.files import landing
from twisted_oob.files.landing import Landing

# --- time


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
async def test_a_server_that_never_answers_times_out(fetcher, web, clock):
    fetching = fetcher(stall_timeout=7).fetch(web.url())
    connection = await web.arrivals.get()
    await wait_and_fail(fetching, clock, 7, connection)


@step
async def test_a_name_that_is_never_resolved_times_out(fetcher, net, clock):
    net.hosts["slow.test"] = None
    fetching = fetcher(stall_timeout=7).fetch("http://slow.test/")
    await wait_and_fail(fetching, clock, 7)


@step
async def test_a_connection_that_is_never_made_times_out(fetcher, net, clock, monkeypatch):
    # An address whose packets get lost, as far as a test can have one.
    monkeypatch.setattr(net, "_reactor", Silent(net._reactor))
    net.hosts["lost.test"] = ["127.0.0.1"]
    fetching = fetcher(stall_timeout=7).fetch("http://lost.test/")
    await wait_and_fail(fetching, clock, 7)


class Silent:
    """A reactor whose connections are never made."""

    def __init__(self, reactor):
        self._reactor = reactor

    def __getattr__(self, name):
        return getattr(self._reactor, name)

    def connectTCP(self, host, port, factory, **kwargs):
        class Connector:
            def stopConnecting(self):
                pass

        factory.doStart()
        factory.startedConnecting(Connector())


@step
async def test_every_byte_puts_the_stall_off(fetcher, web, clock, bodies, folder):
    fetching = fetcher(stall_timeout=7).fetch(web.url())
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
    fetching = fetcher(stall_timeout=7, timeout=20).fetch(web.url())
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


@step
async def test_a_slow_disk_counts_for_the_limit_of_the_whole(fetcher, web, clock, gate, folder):
    gated = gate(Landing, "write")
    web.answers = [answer(b"x" * 300_000, length=300_001)]
    fetching = fetcher(timeout=20).fetch(web.url())
    ends = ends_of(fetching)
    await gated.entered
    clock.advance(20)
    await web.connections[0].lost
    assert not ends  # the thread still has the file
    gated.open()
    error = await failure_of(fetching, FetchFailed)
    assert error.text == "timed out"
    assert names(folder) == []


# --- cancellation


async def cancel(fetching, times=1):
    for _ in range(times):
        fetching.cancel()
    await failure_of(fetching, CancelledError)


@step
async def test_cancelled_while_resolving(fetcher, net):
    net.hosts["slow.test"] = None
    await cancel(fetcher().fetch("http://slow.test/"))


@step
async def test_cancelled_while_connecting(fetcher, net, web):
    connecting = Deferred()
    net.on_try = lambda: net.callLater(0, connecting.callback, None)
    fetching = fetcher().fetch(web.url())
    await connecting
    await cancel(fetching)


@step
async def test_cancelled_while_waiting_for_the_answer(fetcher, web):
    fetching = fetcher().fetch(web.url())
    connection = await web.arrivals.get()
    await cancel(fetching, 2)
    await connection.lost
    assert connection.aborted


@step
async def test_cancelled_within_the_file(fetcher, web, folder, bodies):
    fetching = fetcher().fetch(web.url())
    connection = await web.arrivals.get()
    received = bodies.next()
    connection.write(answer(b"x", length=2))
    await received
    await cancel(fetching)
    await connection.lost
    assert names(folder) == []


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize(
    ("owner", "size", "length"),
    [
        ("open", 300_000, 300_001),
        ("write", 300_000, 300_001),
        *(
            (owner, size, size)
            for owner in ("fsync", "link", "_sync_directory", "commit")
            for size in (10, 300_000)
        ),
        ("open", 10, 10),
        ("write", 10, 10),
    ],
)
@step
async def test_cancelled_while_a_thread_has_the_file(
    *, fetcher, web, folder, clock, gate, owner, size, length, times
):
    place = landing if hasattr(landing, owner) else Landing if hasattr(Landing, owner) else os
    gated = gate(place, owner)
    web.answers = [answer(b"x" * size, length=length)]
    fetching = fetcher().fetch(web.url())
    ends = ends_of(fetching)
    await gated.entered
    for _ in range(times):
        fetching.cancel()
    await web.connections[0].lost  # at once, not when the thread is done
    clock.advance(600)  # and no time limit makes anything else of it
    assert not ends
    gated.open()
    await failure_of(fetching, CancelledError)
    assert names(folder) == []


@step
async def test_cancelled_after_the_end_nothing_happens(fetcher, web, folder):
    web.answers = [answer(b"x")]
    fetching = fetcher().fetch(web.url())
    got = await fetching
    fetching.cancel()
    assert got.path.exists()

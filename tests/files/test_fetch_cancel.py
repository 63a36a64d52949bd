"""What ends a transfer early, at every step of it, and that nothing of it is left."""

from __future__ import annotations

import os

import pytest
from twisted.internet.defer import CancelledError, Deferred

from tests.support.fetching import ends_of, failure_of, names, step
from tests.support.hostile_http import answer, first_connection, redirect, then_close
from tests.support.waiting import until
from twisted_oob.errors import FetchFailed, NoRoom
from twisted_oob.files import naming
from twisted_oob.files.commit import Committer
from twisted_oob.files.connections import JudgedConnections
from twisted_oob.files.folder import Place
from twisted_oob.files.landing import Landing

STALL, WHOLE = 7, 20  # seconds


# --- the states in which it waits for others


async def resolving(fetcher, net, web, bodies):
    net.hosts["slow.test"] = None
    return fetcher.fetch("http://slow.test/")


async def connecting(fetcher, net, web, bodies):
    net.lost.add("127.0.0.1")
    return fetcher.fetch(web.url())


async def connecting_to_one_of_two(fetcher, net, web, bodies):
    net.lost |= {"127.0.0.1", "127.0.0.2"}
    net.hosts["two.test"] = ["127.0.0.1", "127.0.0.2"]
    return fetcher.fetch(web.url(host="two.test"))


async def shaking_hands(fetcher, net, web, bodies):
    arrived = first_connection(web)
    fetching = fetcher.fetch(web.url().replace("http:", "https:"))
    await arrived
    return fetching


async def asking(fetcher, net, web, bodies):
    fetching = fetcher.fetch(web.url())
    await web.arrivals.get()
    return fetching


async def asking_again(fetcher, net, web, bodies):
    fetching = fetcher.fetch(web.url())
    (await web.arrivals.get()).write(redirect("/"))
    await web.arrivals.get()
    return fetching


async def reading(fetcher, net, web, bodies):
    fetching = fetcher.fetch(web.url())
    connection = await web.arrivals.get()
    received = bodies.next()
    connection.write(answer(b"x", length=2))
    await received
    return fetching


async def reading_on(fetcher, net, web, bodies):
    fetching = fetcher.fetch(web.url())
    connection = await web.arrivals.get()
    connection.write(answer(bytes(300_000), length=300_002))
    await bodies.resumed
    return fetching


async def waiting(fetcher, net, web, bodies):
    web.answers = [answer(b"busy", "Retry-After: 6", status="503 Busy")]
    fetching = fetcher.fetch(web.url())
    await until(lambda: web.connections and not net.open_sockets())
    assert not web.answers
    return fetching


STATES = [
    resolving,
    connecting,
    connecting_to_one_of_two,
    shaking_hands,
    asking,
    asking_again,
    reading,
    reading_on,
]
NO_STALL = [waiting]


def by_the_caller(fetching, clock):
    fetching.cancel()


def by_the_caller_twice(fetching, clock):
    fetching.cancel()
    fetching.cancel()


def by_a_stall(fetching, clock):
    ends = ends_of(fetching)
    clock.advance(STALL - 0.5)
    assert not ends
    clock.advance(0.5)


def by_the_limit(fetching, clock):
    ends = ends_of(fetching)
    clock.advance(WHOLE - 0.5)
    assert not ends
    clock.advance(0.5)


ENDS = [
    (by_the_caller, {}, CancelledError, None),
    (by_the_caller_twice, {}, CancelledError, None),
    (by_a_stall, {"stall_timeout": STALL}, FetchFailed, "no byte from the server for 7 s"),
    (
        by_the_limit,
        {"timeout": WHOLE, "stall_timeout": 100},
        FetchFailed,
        "the file was not whole after 20 s",
    ),
]


@pytest.mark.parametrize(
    ("state", "end", "policy", "kind", "detail"),
    [
        (state, *end)
        for state in [*STATES, *NO_STALL]
        for end in ENDS
        if state not in NO_STALL or end[0] is not by_a_stall
    ],
)
@step
async def test_it_ends_in_any_state(
    *, fetcher, web, net, folder, clock, bodies, state, end, policy, kind, detail
):
    fetching = await state(fetcher(**policy), net, web, bodies)
    ends = ends_of(fetching)
    assert not ends
    end(fetching, clock)
    error = await failure_of(fetching, kind)
    if detail is not None:
        assert (error.text, error.detail) == ("timed out", detail)
    for connection in web.connections:
        await connection.lost
    assert names(folder) == []
    assert net.open_sockets() == 0
    assert clock.getDelayedCalls() == []


@step
async def test_a_name_that_is_resolved_after_a_cancellation_connects_to_nobody(fetcher, net):
    net.hosts["slow.test"] = None
    fetching = fetcher().fetch("http://slow.test/")
    fetching.cancel()
    await failure_of(fetching, CancelledError)
    [receiver] = net.receivers
    receiver.resolutionComplete()
    assert net.tried == []


# --- the states in which it waits for its own connection to be gone


@pytest.fixture
def held(net, monkeypatch):
    """Connections whose end is told only when the test opens ``held.open``."""

    class Held:
        calls = 0

        def __init__(self):
            self.entered = Deferred()
            self.open = Deferred()

    held = Held()
    hang_up = JudgedConnections.hang_up

    def holding(self):
        gone = hang_up(self)
        held.calls += 1
        if held.calls > 1:
            return gone
        net.callLater(0, held.entered.callback, None)
        return gone.addCallback(lambda _: held.open)

    monkeypatch.setattr(JudgedConnections, "hang_up", holding)
    return held


@pytest.mark.parametrize("times", [0, 1, 2])
@step
async def test_cancelled_while_a_redirects_connection_ends(*, fetcher, web, net, held, times):
    web.answers = [redirect("/new"), answer(b"x")]
    fetching = fetcher().fetch(web.url())
    ends = ends_of(fetching)
    await held.entered
    assert len(net.tried) == 1
    for _ in range(times):
        fetching.cancel()
    assert not ends
    held.open.callback(None)
    if times:
        await failure_of(fetching, CancelledError)
    else:
        assert (await fetching).path.name == "new"
    assert len(net.tried) == (1 if times else 2)


@pytest.mark.parametrize("times", [0, 1, 2])
@step
async def test_what_has_its_name_stays_though_it_is_cancelled_while_the_connection_ends(
    *, fetcher, web, net, folder, held, monkeypatch, times
):
    committed = Deferred()
    commit = Committer.commit

    def telling(*args):
        def told(path):
            net.callLater(0, committed.callback, None)
            return path

        committing = commit(*args)
        committing.done.addCallback(told)
        return committing

    monkeypatch.setattr(Committer, "commit", telling)
    web.answers = [answer(b"x")]
    fetching = fetcher().fetch(web.url())
    ends = ends_of(fetching)
    await committed
    assert names(folder) == ["file.bin"]
    for _ in range(times):
        fetching.cancel()
    assert not ends
    held.open.callback(None)
    await fetching
    assert names(folder) == ["file.bin"]


@step
async def test_an_error_is_told_when_the_connection_is_gone(
    *, fetcher, web, net, held, monkeypatch
):
    discarded = Deferred()
    discard = Landing.discard

    def telling(self):
        discard(self)
        net.callFromThread(net.callLater, 0, discarded.callback, None)

    monkeypatch.setattr(Landing, "discard", telling)
    web.answers = [then_close(answer(b"x" * 300_000, length=300_001))]
    fetching = fetcher().fetch(web.url())
    ends = ends_of(fetching)
    await discarded
    assert not ends
    held.open.callback(None)
    await failure_of(fetching, FetchFailed)


# --- the states in which a thread has the file


# A writer has it.
WRITING = [
    (Landing, "open", 300_000, 300_001),
    (Landing, "write", 300_000, 300_001),
]
# It has all of it.
SYNCING = (os, "fsync", 300_000, 300_000)
# The committing thread has it.
COMMITTING = [
    *(
        (place, owner, size)
        for place, owner in (
            (Landing, "commit"),
            (naming, "rename_without_replacing"),
            (Place, "sync"),
        )
        for size in (10, 300_000)
    ),
    (Landing, "open", 10),
    (Landing, "write", 10),
    (os, "fsync", 10),
]


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize(("place", "owner", "size", "length"), [*WRITING, SYNCING])
@step
async def test_cancelled_while_a_writer_has_the_file(
    *, fetcher, web, folder, clock, gate, place, owner, size, length, times
):
    gated = gate(place, owner)
    web.answers = [answer(b"x" * size, length=length)]
    fetching = fetcher().fetch(web.url())
    ends = ends_of(fetching)
    await gated.entered
    for _ in range(times):
        fetching.cancel()
    await web.connections[0].lost  # at once, not when the thread is done
    clock.advance(0.49)
    assert not ends
    gated.open()
    await failure_of(fetching, CancelledError)
    assert names(folder) == []


@pytest.mark.parametrize(("place", "owner", "size", "length"), WRITING)
@step
async def test_too_late_while_a_writer_has_the_file(
    *, fetcher, web, folder, clock, gate, place, owner, size, length
):
    gated = gate(place, owner)
    web.answers = [answer(b"x" * size, length=length)]
    fetching = fetcher(timeout=WHOLE).fetch(web.url())
    ends = ends_of(fetching)
    await gated.entered
    clock.advance(WHOLE)
    await web.connections[0].lost
    assert not ends  # the thread still has the file
    gated.open()
    error = await failure_of(fetching, NoRoom)
    assert error.detail.endswith("the transfer ended: the file was not whole after 20 s")
    assert names(folder) == []


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize(("place", "owner", "size"), COMMITTING)
@step
async def test_cancelled_while_the_committer_has_the_file_it_stays(
    *, fetcher, web, folder, gate, place, owner, size, times
):
    gated = gate(place, owner)
    web.answers = [answer(b"x" * size)]
    fetching = fetcher().fetch(web.url())
    ends = ends_of(fetching)
    await gated.entered
    for _ in range(times):
        fetching.cancel()
    await web.connections[0].lost
    assert not ends
    gated.open()
    assert (await fetching).size == size
    assert names(folder) == ["file.bin"]


@step
async def test_cancelled_before_the_committer_takes_the_file_nothing_is_left(
    fetcher, web, folder, gate
):
    gated = gate(Landing, "commit")
    web.answers = [answer(b"x"), answer(b"y"), answer(b"z" * 300_000)]
    ours = fetcher()
    first = ours.fetch(web.url())
    await gated.entered
    others = [ours.fetch(web.url("/small")), ours.fetch(web.url("/large"))]
    for connection in [await web.arrivals.get() for _ in range(3)]:
        await connection.lost
    await until(lambda: len(ours._tools.committer._waiting) == 2)
    for each in others:
        each.cancel()
        await failure_of(each, CancelledError)
    gated.open()
    await first
    assert names(folder) == ["file.bin"]


@step
async def test_cancelled_while_a_file_that_failed_is_discarded(fetcher, web, folder, clock, gate):
    gated = gate(Landing, "discard")
    web.answers = [then_close(answer(b"x" * 300_000, length=300_001))]
    fetching = fetcher().fetch(web.url())
    ends = ends_of(fetching)
    await gated.entered
    assert len(clock.getDelayedCalls()) == 1  # no limit can make anything else of it
    fetching.cancel()
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

"""Threads that hang, die or can't be had, under ``twistd oob-responder`` as a process."""

from __future__ import annotations

import signal
import time

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, gatherResults

from tests.support.fetching import names
from tests.support.hostile_http import answer
from tests.support.network import SENDER
from tests.support.processes import IN_CI
from tests.support.waiting import in_time, until

pytest_plugins = ["tests.support.responders"]
pytestmark = IN_CI  # each starts a process

BODY = b"what was offered\n"
LARGE = 600_000  # bytes; of so many, some are written before all have come
CONCURRENCY = 64
MANY = 30  # more than any pool of writers has threads
GRACE = 1  # seconds
BUSY = 1  # seconds that a busy machine may add

# What the process runs first. Each acts as long as there is a file of this name.
NAMES_HANG = """
import os, socket, time
real = socket.getaddrinfo
def hangs(host, *rest, **more):
    while os.path.exists({flag!r}) and not str(host)[0].isdigit():
        time.sleep(0.05)
    return real(host, *rest, **more)
socket.getaddrinfo = hangs
"""
THREADS_DIE = """
import os, stat
real = os.{call}
def dies(fd, *rest):
    if stat.S_ISREG(os.fstat(fd).st_mode) and os.path.exists({flag!r}):
        raise SystemExit("so dies a thread")
    return real(fd, *rest)
os.{call} = dies
"""
NO_THREADS = """
import os, threading
real = threading.Thread.start
def start(thread):
    if os.path.exists({flag!r}):
        raise RuntimeError("can't start new thread")
    real(thread)
threading.Thread.start = start
"""
CLOCK_STEPS = """
import os, time
real = time.time
time.time = lambda: real() + 3600 * os.path.exists({flag!r})
"""


class Run:
    """A responder in which something goes wrong while ``flag`` is there, and offers to it."""

    def __init__(self, operator):
        self.flag = operator.folder / "flag"
        self._operator = operator

    async def start(self, before, *words, **call):
        before = before.format(flag=str(self.flag), **call)
        words = ("--concurrency", str(CONCURRENCY), "--grace", str(GRACE), *words)
        self.process, self.sender = await self._operator.start(*words, before=before)

    def offer(self, url, user="user"):
        """Offer a URL; gives the condition of the answer."""
        return self.sender.oob.send_url(
            "oob.localhost", url, sender=f"{user}@{SENDER}/x", timeout=30
        )

    def offers(self, prefix="", count=MANY):
        web = self._operator.web
        return [self.offer(web.url(f"/{prefix}{n}"), f"user{n}") for n in range(count)]


@pytest.fixture
def run(operator):
    operator.web.requested = lambda connection: connection.write(answer(BODY))
    return Run(operator)


@pytest_twisted.ensureDeferred
async def test_names_that_hang_keep_neither_others_nor_the_process(run, operator):
    await run.start(NAMES_HANG)
    run.flag.touch()
    hanging = [run.offer(f"http://name{n}.test/", f"user{n}") for n in range(MANY)]
    for each in hanging:
        each.addErrback(lambda _: None)  # the stream may be gone first
    assert await run.offer(operator.web.url(), "friend") is None
    assert not any(each.called for each in hanging)
    began = time.monotonic()
    run.process.kill("TERM")
    await in_time(run.process.ended)
    assert time.monotonic() - began < GRACE + BUSY
    assert run.process.signal != signal.SIGKILL


@pytest.mark.parametrize("call", ["write", "fsync"])
@pytest_twisted.ensureDeferred
async def test_a_thread_that_dies_is_replaced(run, operator, call):
    await run.start(THREADS_DIE, call=call)
    assert await run.offer(operator.web.url("/before")) is None
    run.flag.touch()
    conditions = await in_time(gatherResults(run.offers("dies")))
    assert None not in conditions
    run.flag.unlink()
    assert await in_time(gatherResults(run.offers("lives"))) == [None] * MANY
    there = [name for name in names(operator.landed) if not name.startswith(".")]
    assert there == sorted(["before", *(f"lives{n}" for n in range(MANY))])
    assert list(operator.landed.rglob("*.part")) == []


@pytest_twisted.ensureDeferred
async def test_where_no_thread_can_be_started_the_sender_is_asked_to_wait(run, operator):
    await run.start(NO_THREADS)
    run.flag.touch()
    condition = await in_time(run.offer(operator.web.url(host="localhost")))
    assert condition == "wait"
    assert condition.error.condition == "resource-constraint"
    run.flag.unlink()
    assert await in_time(run.offer(operator.web.url(host="localhost"))) is None


@pytest_twisted.ensureDeferred
async def test_as_many_run_at_once_as_the_operator_allows(run, operator):
    waiting = []
    operator.web.requested = waiting.append
    await run.start("")
    offers = run.offers(count=CONCURRENCY + 10)
    await until(lambda: len(waiting) >= CONCURRENCY)
    whole = answer(bytes(LARGE))
    for connection in waiting:
        connection.write(whole[:-1])
    await until(lambda: len(list(operator.landed.rglob("*.part"))) >= CONCURRENCY)
    assert len(waiting) == CONCURRENCY
    assert not any(each.called for each in offers)
    operator.web.requested = lambda connection: connection.write(whole)
    for connection in waiting:
        connection.write(whole[-1:])
    assert await in_time(gatherResults(offers)) == [None] * len(offers)


@pytest_twisted.ensureDeferred
async def test_a_step_of_the_wall_clock_ends_nothing(run, operator):
    waiting = Deferred()
    operator.web.requested = waiting.callback
    await run.start(CLOCK_STEPS, "--timeout", "60", "--stall-timeout", "20")
    offering = run.offer(operator.web.url())
    connection = await in_time(waiting)
    whole = answer(bytes(LARGE))
    connection.write(whole[:-1])
    await until(lambda: list(operator.landed.rglob("*.part")))
    run.flag.touch()
    # Whatever a timer takes for due now, it is called as the reactor next turns.
    operator.web.requested = lambda connection: connection.write(answer(BODY))
    assert await in_time(run.offer(operator.web.url("/other"), "other")) is None
    assert not offering.called
    run.flag.unlink()
    connection.write(whole[-1:])
    assert await in_time(offering) is None

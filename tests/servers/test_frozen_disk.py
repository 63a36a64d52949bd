"""A disk that hangs, under ``twistd oob-responder`` as a process: answers come, and it ends."""

from __future__ import annotations

import ipaddress
import signal
import time

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from tests.support.fetching import names
from tests.support.hostile_http import HostileServer, answer
from tests.support.loop_disk import loop_disk
from tests.support.network import SENDER
from tests.support.processes import IN_CI
from tests.support.waiting import in_time, until
from twisted_oob import Fetcher, FetchPolicy

pytest_plugins = ["tests.support.responders"]
pytestmark = IN_CI  # each takes seconds

TIMEOUT = 2  # seconds, the responder's --timeout
GRACE = 1  # seconds, its --grace
LATE = 0.5  # seconds after its limit within which each offer must be answered
BUSY = 0.5  # seconds that a busy machine may add to that
AFTER_GRACE = 5  # seconds after which a stop has ended whatever hangs
SMALL, LARGE = b"what was offered\n", 300_000
# What a process runs first, so that a call for a file waits as long as another file is there.
STUCK = """
import os, stat, time
call = os.{call}
def waits(fd, *rest):
    while stat.S_ISREG(os.fstat(fd).st_mode) and os.path.exists({flag!r}):
        time.sleep(0.01)
    return call(fd, *rest)
os.{call} = waits
"""


@pytest.fixture
def disk(tmp_path):
    """A disk where files land. It is mounted before, and until after, all that use it."""
    landed = tmp_path / "landed"
    landed.mkdir()
    with loop_disk(tmp_path / "disk", landed) as made:
        yield made


class Offers:
    """Offers of one sender each, and when they were answered."""

    def __init__(self, sender):
        self._sender = sender

    async def make(self, url, user="user"):
        """Offer a URL; gives the answer's condition, None for success, and how long it took."""
        began = time.monotonic()
        condition = await self._sender.oob.send_url(
            "oob.localhost", url, sender=f"{user}@{SENDER}/x", timeout=30
        )
        return condition, time.monotonic() - began


def answers_at_once(web):
    web.requested = lambda connection: connection.write(answer(SMALL))


async def start(operator, **options):
    process, sender = await operator.start(
        *("--timeout", str(TIMEOUT), "--grace", str(GRACE), "--concurrency", "64"), **options
    )
    return process, sender, Offers(sender)


def ended_well(process):
    return process.status == 0 or process.signal == signal.SIGTERM


def assert_in_time(seconds):
    assert seconds < TIMEOUT + LATE + BUSY


@pytest_twisted.ensureDeferred
async def test_every_offer_is_answered_at_its_limit_however_many_there_are(disk, operator):
    answers_at_once(operator.web)
    _, _, offers = await start(operator)
    assert (await offers.make(operator.web.url("/before")))[0] is None
    many = range(30)  # more than any pool has threads
    with disk.frozen():
        answers = await gatherResults(
            [
                Deferred.fromCoroutine(offers.make(operator.web.url(f"/{each}"), f"user{each}"))
                for each in many
            ]
        )
        hanging = [
            Deferred.fromCoroutine(offers.make(operator.web.url(f"/late{each}"), f"late{each}"))
            for each in range(15)
        ]
        condition, seconds = await offers.make("ftp://files.test/x", "other")
        assert (condition, seconds < 1) == ("reject", True)  # which needs no disk
        answers += await gatherResults(hanging)
    for condition, seconds in answers:
        assert_in_time(seconds)
        assert condition == "wait"
    # All goes on as before, and what was told as failed leaves nothing.
    condition, _ = await offers.make(operator.web.url("/after"))
    assert condition is None
    hidden = [name for name in names(operator.landed) if name.startswith(".")]
    assert [name for name in hidden if list((operator.landed / name).glob("*.part"))] == []


@pytest_twisted.ensureDeferred
async def test_what_ended_well_after_its_limit_is_answered_at_once_when_offered_again(
    disk, operator
):
    answers_at_once(operator.web)
    process, _, offers = await start(operator)
    assert (await offers.make(operator.web.url("/before")))[0] is None
    url = operator.web.url("/file.bin")
    with disk.frozen():
        condition, seconds = await offers.make(url)
    assert_in_time(seconds)
    assert condition == "wait"
    assert condition.error.condition == "resource-constraint"
    await process.printed("is there after all")
    asked = len(operator.web.connections)
    condition, _ = await offers.make(url)
    assert condition is None
    assert len(operator.web.connections) == asked
    assert (operator.landed / "file.bin").read_bytes() == SMALL
    assert [name for name in names(operator.landed) if name.startswith("file")] == ["file.bin"]


@pytest_twisted.ensureDeferred
async def test_a_transfer_whose_disk_hangs_in_its_middle_ends_at_its_limit(disk, operator):
    _, _, offers = await start(operator)
    offering = Deferred.fromCoroutine(offers.make(operator.web.url("/large.bin")))
    connection = await in_time(operator.web.arrivals.get())
    connection.write(answer(bytes(LARGE), length=2 * LARGE))
    await until(lambda: any(part.stat().st_size for part in operator.landed.rglob("*.part")))
    with disk.frozen():
        connection.write(bytes(LARGE))
        condition, seconds = await offering
    assert_in_time(seconds)
    assert condition == "wait"
    # The removal waited for the disk, too; or the name, if the file was whole by then.
    await until(lambda: not list(operator.landed.rglob("*.part")))


@pytest.mark.parametrize("when", ["before the stop", "in the grace"])
@pytest_twisted.ensureDeferred
async def test_a_stop_closes_the_streams_in_time_and_ends_as_the_disk_lets_go(
    *, disk, operator, when
):
    process, sender, offers = await start(operator)
    offering = [
        Deferred.fromCoroutine(offers.make(operator.web.url(f"/{each}"), f"user{each}"))
        for each in range(15)
    ]
    for each in offering:
        each.addErrback(lambda _: None)  # the stream may be gone first
    connections = [await in_time(operator.web.arrivals.get()) for _ in offering]
    with disk.frozen():
        if when == "in the grace":
            process.kill("TERM")
        for connection in connections:
            connection.write(answer(SMALL))
        await deferLater(operator.reactor, 0.2)
        if when == "before the stop":
            process.kill("TERM")
        began = time.monotonic()
        await in_time(sender.lost)
        assert time.monotonic() - began < GRACE + AFTER_GRACE + BUSY
        assert all(each.called for each in offering)
    await in_time(process.ended, 5)
    assert ended_well(process)
    assert "Traceback" not in process.output


@pytest_twisted.ensureDeferred
async def test_other_folders_go_on(disk, tmp_path):
    from twisted.internet import reactor

    other = tmp_path / "other"
    other.mkdir()
    web = HostileServer(reactor)
    answers_at_once(web)
    policy = FetchPolicy(allow_networks=(ipaddress.ip_network("127.0.0.0/8"),), timeout=TIMEOUT)
    stuck, free = (Fetcher(reactor, policy, folder) for folder in (disk.folder, other))
    await stuck.fetch(web.url("/before"))
    with disk.frozen():
        hanging = [stuck.fetch(web.url(f"/{each}")) for each in range(30)]
        for each in hanging:
            each.addErrback(lambda _: None)
        await deferLater(reactor, 0.2)
        began = time.monotonic()
        for number in range(5):
            assert (await in_time(free.fetch(web.url(f"/{number}")))).size == len(SMALL)
        assert time.monotonic() - began < 1
        assert not any(each.called for each in hanging)
        await in_time(gatherResults(hanging))
    for fetcher in (stuck, free):
        await in_time(fetcher.stop())
    await web.stop()


@pytest.mark.parametrize("call", ["write", "fsync"])
@pytest_twisted.ensureDeferred
async def test_a_disk_that_never_lets_go_keeps_neither_answers_nor_the_process(operator, call):
    """Needs no root: the call waits outside the kernel, as long as there is a file."""
    answers_at_once(operator.web)
    flag = operator.folder / "stuck"
    process, _, offers = await start(operator, before=STUCK.format(call=call, flag=str(flag)))
    assert (await offers.make(operator.web.url("/before")))[0] is None
    flag.touch()
    answers = await gatherResults(
        [
            Deferred.fromCoroutine(offers.make(operator.web.url(f"/{each}"), f"user{each}"))
            for each in range(30)
        ]
    )
    for condition, seconds in answers:
        assert_in_time(seconds)
        assert condition in {"wait", "not-found"}
    began = time.monotonic()
    process.kill("TERM")
    await in_time(process.ended)
    assert time.monotonic() - began < GRACE + AFTER_GRACE + BUSY
    assert ended_well(process)
    assert [name for name in names(operator.landed) if not name.startswith(".")] == ["before"]

"""A disk that hangs: each transfer ends all the same, and nothing of it stays when it goes on."""

from __future__ import annotations

import os
import threading

import pytest
from twisted.internet.defer import CancelledError

from tests.support.fetching import descriptors_in, ends_of, failure_of, names, step
from tests.support.hostile_http import answer, then_close
from tests.support.landing import fail
from tests.support.waiting import until
from twisted_oob.errors import CommitPending, FetchFailed, Forbidden, NoRoom
from twisted_oob.files import naming, workers
from twisted_oob.files.folder import Place
from twisted_oob.files.landing import Landing
from twisted_oob.files.transfer import GRACE

WHOLE = 20  # seconds

SMALL, LARGE = answer(b"x" * 10), answer(b"x" * 300_000)
UNFINISHED = answer(b"x" * 300_000, length=300_001)

# Where a thread hangs: before the commit, and in it.
BEFORE = [
    (Landing, "open", UNFINISHED),
    (os, "mkdir", UNFINISHED),
    (Place, "create", UNFINISHED),
    (Landing, "write", UNFINISHED),
]
AT_THE_END = [(Landing, "sync", LARGE), (os, "fsync", LARGE)]
IN_COMMIT = [
    (Landing, "open", SMALL),
    (Landing, "write", SMALL),
    (os, "fsync", SMALL),
    (naming, "rename_without_replacing", SMALL),
    (naming, "rename_without_replacing", LARGE),
    (Place, "sync", SMALL),
]


def by_the_caller(fetching, clock):
    fetching.cancel()
    return CancelledError


def by_the_limit(fetching, clock):
    clock.advance(WHOLE)
    return NoRoom


ENDS = [by_the_caller, by_the_limit]


@pytest.fixture
def hang(fetcher, web, gate):
    """Begins a fetch of a Fetcher of its own, whose thread hangs in a function when this returns.

    ``instead``: what the function does when it goes on.
    """

    async def begin(owner, name, reply, instead=None):
        gated = gate(owner, name)
        if instead is not None:
            gated._function = instead
        web.answers = [reply]
        ours = fetcher(timeout=WHOLE)
        fetching = ours.fetch(web.url())
        await gated.entered
        return ours, fetching, gated

    return begin


async def nothing_is_left(ours, folder, *files):
    await until(lambda: not ours._transfers)
    assert names(folder) == sorted(files)
    assert descriptors_in(folder) == []


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize(("owner", "name", "reply"), BEFORE)
@step
async def test_a_thread_hangs_before_the_commit(*, hang, folder, clock, owner, name, reply, end):
    ours, fetching, gated = await hang(owner, name, reply)
    ends = ends_of(fetching)
    kind = end(fetching, clock)
    clock.advance(GRACE - 0.01)
    assert not ends
    clock.advance(0.01)
    assert ends
    error = await failure_of(fetching, kind)
    if kind is NoRoom:
        assert error.text == "the disk is slow; offer it again later"
        assert error.detail.count("the disk did not answer") == 1
    assert clock.getDelayedCalls() == []
    gated.open()
    await nothing_is_left(ours, folder)


@step
async def test_a_disk_that_opens_a_file_slowly_is_no_stall_of_the_server(
    fetcher, web, folder, clock, gate
):
    gated = gate(Place, "create")
    web.answers = [LARGE]
    ours = fetcher(timeout=WHOLE, stall_timeout=2, min_rate=100_000)
    fetching = ours.fetch(web.url())
    ends = ends_of(fetching)
    await gated.entered
    clock.advance(WHOLE - 1)
    assert not ends
    gated.open()
    assert (await fetching).size == 300_000
    await nothing_is_left(ours, folder, "file.bin")


@pytest.mark.parametrize(("owner", "name", "reply"), AT_THE_END)
@step
async def test_a_large_file_is_cancelled_until_the_committer_has_it(
    *, hang, folder, clock, owner, name, reply
):
    ours, fetching, gated = await hang(owner, name, reply)
    fetching.cancel()
    clock.advance(GRACE)
    await failure_of(fetching, CancelledError)
    gated.open()
    await nothing_is_left(ours, folder)


@pytest.mark.parametrize("also_cancelled", [False, True])
@step
async def test_a_large_file_is_there_if_its_sync_ends_soon_after_the_limit(
    *, hang, folder, clock, also_cancelled
):
    ours, fetching, gated = await hang(Landing, "sync", LARGE)
    clock.advance(WHOLE)
    if also_cancelled:
        fetching.cancel()
    gated.open()
    if also_cancelled:
        await failure_of(fetching, NoRoom)
        await nothing_is_left(ours, folder)
    else:
        assert (await fetching).size == 300_000
        await nothing_is_left(ours, folder, "file.bin")


@step
async def test_a_limit_that_the_server_has_met_is_its_fault(
    *, fetcher, web, folder, clock, gate, bodies
):
    gated = gate(Place, "remove")
    web.answers = [UNFINISHED]
    ours = fetcher(timeout=WHOLE)
    fetching = ours.fetch(web.url())
    await bodies.resumed
    clock.advance(WHOLE)
    await gated.entered
    clock.advance(GRACE)
    assert (await failure_of(fetching, FetchFailed)).text == "timed out"
    gated.open()
    await nothing_is_left(ours, folder)


@pytest.mark.parametrize(
    ("end", "owner", "name", "reply"),
    [
        *((end, *hangs) for end in ENDS for hangs in IN_COMMIT),
        *((by_the_limit, *hangs) for hangs in AT_THE_END),
    ],
)
@step
async def test_a_thread_hangs_in_the_commit(*, hang, folder, clock, owner, name, reply, end):
    ours, fetching, gated = await hang(owner, name, reply)
    ends = ends_of(fetching)
    end(fetching, clock)
    clock.advance(GRACE - 0.01)
    assert not ends
    clock.advance(0.01)
    error = await failure_of(fetching, CommitPending)
    assert (error.condition, error.type) == ("resource-constraint", "wait")
    assert clock.getDelayedCalls() == []
    fetching.cancel()
    later = ends_of(error.later)
    assert not later
    gated.open()
    got = await error.later
    assert got.path.read_bytes() == reply.partition(b"\r\n\r\n")[2]
    await nothing_is_left(ours, folder, "file.bin")


@pytest.mark.parametrize("end", ENDS)
@step
async def test_a_commit_that_hangs_and_fails(*, hang, folder, clock, end):
    ours, fetching, gated = await hang(naming, "rename_without_replacing", LARGE, fail("EIO"))
    end(fetching, clock)
    clock.advance(GRACE)
    error = await failure_of(fetching, CommitPending)
    gated.open()
    await failure_of(error.later, OSError)
    await nothing_is_left(ours, folder)


@pytest.mark.parametrize("end", ENDS)
@step
async def test_a_commit_that_fails_in_time(*, hang, folder, clock, end):
    ours, fetching, gated = await hang(naming, "rename_without_replacing", SMALL, fail("EIO"))
    kind = end(fetching, clock)
    gated.open()
    await failure_of(fetching, kind)
    await nothing_is_left(ours, folder)


@step
async def test_a_file_that_gets_its_name_in_time_is_there_though_it_was_too_late(
    fetcher, web, folder, clock, gate
):
    gated = gate(Place, "sync")
    web.answers = [SMALL]
    fetching = fetcher(timeout=WHOLE).fetch(web.url())
    await gated.entered
    clock.advance(WHOLE + GRACE - 0.01)
    gated.open()
    assert (await fetching).path.exists()
    assert names(folder) == ["file.bin"]


@step
async def test_what_failed_is_told_though_its_part_cannot_be_removed_now(
    fetcher, web, folder, clock, gate
):
    gated = gate(Place, "remove")
    web.answers = [then_close(UNFINISHED)]
    ours = fetcher()
    fetching = ours.fetch(web.url())
    ends = ends_of(fetching)
    await gated.entered
    clock.advance(GRACE - 0.01)
    assert not ends
    clock.advance(0.01)
    error = await failure_of(fetching, FetchFailed)
    assert error.text == "the file ended early"
    gated.open()
    await nothing_is_left(ours, folder)


@pytest.mark.parametrize("end", ENDS)
@step
async def test_what_no_thread_has_begun_with_ends_at_once(
    *, fetcher, web, folder, clock, gate, end
):
    gated = gate(Landing, "open")
    web.answers = [UNFINISHED] * 6
    ours = fetcher(timeout=WHOLE)
    stuck = [ours.fetch(web.url()) for _ in range(4)]
    for each in stuck:
        each.addErrback(lambda failure: failure.trap(CancelledError, NoRoom))
    await until(lambda: gated.calls == 4)
    waits = ours.fetch(web.url())
    await until(lambda: len(ours._tools.writers._calls) == 5)
    # It has its half second, too, and doesn't need it.
    await failure_of(waits, end(waits, clock))
    for each in stuck:
        each.cancel()
    clock.advance(GRACE)
    gated.open()
    await nothing_is_left(ours, folder)


@step
async def test_what_hangs_keeps_no_turn(fetcher, web, folder, clock, gate):
    gated = gate(Landing, "write")
    web.answers = [UNFINISHED, answer(b"", status="404 Not Found")]
    ours = fetcher(options={"concurrency": 1})
    fetching, waits = ours.fetch(web.url()), ours.fetch(web.url())
    await gated.entered
    fetching.cancel()
    clock.advance(GRACE)
    await failure_of(fetching, CancelledError)
    assert (await failure_of(waits, FetchFailed)).text == "HTTP status 404"
    gated.open()
    await nothing_is_left(ours, folder)


@pytest.mark.parametrize("url", ["ftp://x/", "http://127.0.0.1:1/", "http://10.0.0.1/", "nonsense"])
@step
async def test_where_nothing_was_opened_no_thread_is_needed(*, fetcher, monkeypatch, url):
    monkeypatch.setattr(threading.Thread, "start", lambda self: pytest.fail("a thread begins"))
    await failure_of(fetcher().fetch(url), FetchFailed, Forbidden)


@step
async def test_a_part_is_removed_as_soon_as_there_is_a_thread(
    fetcher, web, folder, net, monkeypatch
):
    refused = []

    def run(self, function, *args):
        if function.__name__ == "discard" and not refused:
            refused.append(function)
            raise NoRoom("no thread")
        return real(self, function, *args)

    real = workers.Workers.run
    monkeypatch.setattr(workers.Workers, "run", run)
    monkeypatch.setattr("twisted_oob.files.disk_work._AGAIN", 0.01)
    web.answers = [then_close(UNFINISHED)]
    ours = fetcher()
    await failure_of(ours.fetch(web.url()), FetchFailed)
    assert refused
    await nothing_is_left(ours, folder)


@pytest.mark.parametrize("size", [10, 300_000])
@step
async def test_progress_may_cancel(*, fetcher, web, folder, size):
    def cancel(*_):
        fetching.cancel()

    web.answers = [answer(b"x" * size)]
    ours = fetcher()
    fetching = ours.fetch(web.url(), on_progress=cancel)
    await failure_of(fetching, CancelledError)
    await nothing_is_left(ours, folder)


@step
async def test_files_have_the_mode_that_was_asked_for(fetcher, web):
    web.answers = [SMALL, LARGE, SMALL]
    ours = fetcher(options={"file_mode": 0o640})
    got = [await ours.fetch(web.url()) for _ in range(2)]
    got.append(await fetcher().fetch(web.url()))
    assert [each.path.stat().st_mode & 0o7777 for each in got] == [0o640, 0o640, 0o600]

"""How many a Fetcher fetches at once, how many wait, and how it stops."""

from __future__ import annotations

import gc
import weakref

import pytest
from twisted.internet.defer import CancelledError, gatherResults

from tests.support.fetching import descriptors_in, ends_of, failure_of, names, step
from tests.support.hostile_http import answer
from tests.support.waiting import until
from twisted_oob.errors import CommitPending, FetchFailed, NoRoom, ResourceConstraint
from twisted_oob.files.addresses import LOOPBACK
from twisted_oob.files.fetch import LAST, Fetcher
from twisted_oob.files.landing import Landing
from twisted_oob.files.policy import FetchPolicy
from twisted_oob.files.transfer import GRACE

STALL = 7  # seconds


def paths(web):
    return [connection.line.split()[1] for connection in web.connections if connection.request]


@step
async def test_others_wait_in_the_order_in_which_they_came(fetcher, web):
    ours = fetcher(options={"concurrency": 2})
    fetching = [ours.fetch(web.url(f"/{number}")) for number in range(5)]
    running = [await web.arrivals.get() for _ in range(2)]
    assert paths(web) == ["/0", "/1"]
    for number in range(2, 5):
        running.pop(0).write(answer(b"x"))
        running.append(await web.arrivals.get())
        assert paths(web)[-1] == f"/{number}"
    for connection in running:
        connection.write(answer(b"x"))
    got = await gatherResults(fetching)
    assert [file.path.name for file in got] == [str(number) for number in range(5)]


@step
async def test_too_many_fail_at_once(fetcher, web):
    ours = fetcher(options={"concurrency": 1, "waiting": 2})
    fetching = [ours.fetch(web.url()) for _ in range(3)]
    for _ in range(2):
        error = await failure_of(ours.fetch(web.url()), NoRoom)
        assert error.detail == "1 transfers run, and 2 wait"
    cancelled = fetching.pop(1)
    cancelled.cancel()
    fetching.append(ours.fetch(web.url()))
    await failure_of(ours.fetch(web.url()), NoRoom)
    await failure_of(cancelled, CancelledError)
    for _ in range(3):
        (await web.arrivals.get()).write(answer(b"x"))
    await gatherResults(fetching)


@step
async def test_nobody_need_wait(fetcher, web):
    ours = fetcher(options={"concurrency": 1, "waiting": 0})
    fetching = ours.fetch(web.url())
    await failure_of(ours.fetch(web.url()), NoRoom)
    await web.arrivals.get()
    fetching.cancel()
    await failure_of(fetching, CancelledError)
    web.answers = [answer(b"x")]
    await ours.fetch(web.url())


@step
async def test_one_that_waits_can_be_cancelled(fetcher, web):
    ours = fetcher(options={"concurrency": 1})
    first, second, third = (ours.fetch(web.url(f"/{number}")) for number in range(3))
    second.cancel()
    await failure_of(second, CancelledError)
    for _ in range(2):
        (await web.arrivals.get()).write(answer(b"x"))
    await gatherResults([first, third])
    assert paths(web) == ["/0", "/2"]


@step
async def test_the_limit_counts_from_the_beginning(fetcher, web, clock):
    ours = fetcher(options={"concurrency": 1}, timeout=20, stall_timeout=100)
    first, second = ours.fetch(web.url()), ours.fetch(web.url())
    await web.arrivals.get()
    clock.advance(20)
    await failure_of(first, FetchFailed)
    await web.arrivals.get()
    ends = ends_of(second)
    clock.advance(19.5)
    assert not ends
    clock.advance(0.5)
    await failure_of(second, FetchFailed)


@step
async def test_a_thousand_that_fail_at_once(fetcher, web):
    ours = fetcher(options={"concurrency": 1})
    first = ours.fetch(web.url())
    bad = [ours.fetch("ftp://x/") for _ in range(1000)]
    await web.arrivals.get()
    first.cancel()
    await failure_of(first, CancelledError)
    for each in bad:
        await failure_of(each)
    web.answers = [answer(b"x")]
    await ours.fetch(web.url())


@step
async def test_many_slow_servers_take_few_descriptors(fetcher, web, net):
    ours = fetcher(options={"concurrency": 16})
    before = len(descriptors_in(""))
    fetching = [ours.fetch(web.url()) for _ in range(300)]
    for _ in range(16):
        (await web.arrivals.get()).write(answer(b"x", length=300_000))
    await until(lambda: len(list(ours.directory.rglob("*.part"))) == 16)
    # Each a socket on both sides, and its part.
    assert len(descriptors_in("")) - before <= 3 * 16 + 8
    stopped = ours.stop()
    for each in fetching:
        await failure_of(each, CancelledError)
    await stopped


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"concurrency": 0}, "concurrency must be at least 1, not 0"),
        ({"concurrency": "8"}, "concurrency must be an int, not str"),
        ({"concurrency": True}, "concurrency must be an int, not bool"),
        ({"concurrency": None}, "concurrency must be an int, not NoneType"),
        ({"waiting": -1}, "waiting must be at least 0, not -1"),
        ({"waiting": 1.5}, "waiting must be an int, not float"),
        ({"file_mode": "0640"}, "file_mode must be an int, not str"),
        ({"file_mode": 0o4755}, "file_mode must be 0 to 0o777, not 0o4755"),
        ({"file_mode": -1}, "file_mode must be 0 to 0o777, not -0o1"),
    ],
)
def test_numbers_are_checked(net, folder, given, named):
    kind = TypeError if "an int" in named else ValueError
    with pytest.raises(kind, match=f"^{named}$"):
        Fetcher(net, FetchPolicy(), folder, **given)


# --- stop


@step
async def test_a_stop_cancels_what_runs_and_what_waits(fetcher, web, folder, clock):
    ours = fetcher(options={"concurrency": 1})
    fetching = [ours.fetch(web.url()) for _ in range(3)]
    (await web.arrivals.get()).write(answer(b"x" * 300_000, length=300_001))
    await until(lambda: list(folder.rglob("*.part")))
    ends = [ends_of(each) for each in fetching]
    stopped = ours.stop()
    stopped.addCallback(lambda _: [len(each) for each in ends])
    assert await stopped == [1, 1, 1]
    for each in fetching:
        await failure_of(each, CancelledError)
    assert names(folder) == []
    assert descriptors_in(folder) == []
    assert clock.getDelayedCalls() == []


@step
async def test_nothing_is_fetched_after_a_stop(fetcher, web):
    ours = fetcher()
    await ours.stop()
    await ours.stop()
    error = await failure_of(ours.fetch(web.url()), ResourceConstraint)
    assert (error.condition, error.type) == ("resource-constraint", "wait")
    assert error.detail == "the Fetcher was stopped"
    assert web.connections == []


@step
async def test_it_can_be_started_again(fetcher, web):
    ours = fetcher()
    ours.start()
    await ours.stop()
    ours.start()
    web.answers = [answer(b"x")]
    await ours.fetch(web.url())


@pytest.mark.parametrize(
    ("name", "size", "kind"), [("write", 300_000, CancelledError), ("commit", 10, CommitPending)]
)
@step
async def test_a_stop_ends_whatever_hangs(*, fetcher, web, folder, clock, gate, name, size, kind):
    gated = gate(Landing, name)
    web.answers = [answer(b"x" * size)]
    ours = fetcher()
    fetching = ours.fetch(web.url())
    await gated.entered
    stopped, again = ours.stop(), ours.stop()
    ends = ends_of(again)
    clock.advance(GRACE)
    error = await failure_of(fetching, kind)
    clock.advance(LAST - GRACE - 0.01)
    assert not ends
    clock.advance(0.01)
    await stopped
    await again
    gated.open()
    if kind is CommitPending:
        await error.later
    await until(lambda: not ours._transfers)
    assert names(folder) == (["file.bin"] if kind is CommitPending else [])


@step
async def test_a_stop_waits_for_what_was_left_over(fetcher, web, folder, clock, gate):
    gated = gate(Landing, "write")
    web.answers = [answer(b"x" * 300_000)]
    ours = fetcher()
    fetching = ours.fetch(web.url())
    await gated.entered
    fetching.cancel()
    clock.advance(GRACE)
    await failure_of(fetching, CancelledError)
    stopped = ours.stop()
    assert not ends_of(stopped)
    gated.open()
    await stopped
    assert names(folder) == []


@step
async def test_a_fetcher_that_was_stopped_can_be_collected(web, folder):
    from twisted.internet import reactor  # the fixture's keeps its connections

    web.answers = [answer(b"x"), answer(b"x" * 300_000)]
    ours = Fetcher(reactor, FetchPolicy(allow_networks=LOOPBACK), folder)
    for _ in range(2):
        await ours.fetch(web.url())
    fetching = ours.fetch(web.url())
    for _ in range(3):
        await web.arrivals.get()
    stopped = ours.stop()
    await failure_of(fetching, CancelledError)
    await stopped
    gone = weakref.ref(ours)
    del ours, fetching, stopped
    gc.collect()
    assert gone() is None


@step
async def test_what_a_late_file_failed_with_is_told_in_words(fetcher, web, clock, gate):
    gated = gate(Landing, "commit")
    web.answers = [answer(b"x")]
    ours = fetcher()
    fetching = ours.fetch(web.url())
    await gated.entered
    clock.advance(ours.policy.timeout)
    clock.advance(GRACE)
    error = await failure_of(fetching, CommitPending)
    assert str(error).endswith("the file was not whole after 600.0 s")
    gated.open()
    await error.later

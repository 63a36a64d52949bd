"""The requests of one transfer: what leads to the next one, and when."""

from __future__ import annotations

import time
from email.utils import formatdate

import pytest
import pytest_twisted
from twisted.internet.defer import CancelledError

from tests.support.fetching import end, ends_of, failure_of, names, step
from tests.support.hostile_http import HostileServer, answer, redirect
from tests.support.waiting import until
from twisted_oob.errors import FetchFailed, TryLater

LATER = "the server asks to try again later"
STATUSES = ["503 Service Unavailable", "429 Too Many Requests"]
DEADLINE, STALL = 100, 7  # seconds


@pytest_twisted.async_yield_fixture
async def other(net):
    """A server of another origin."""
    other = HostileServer(net)
    yield other
    await end(other)


@pytest.fixture
def fetch(fetcher, web):
    """Begins to fetch a file."""

    def begin(path="/file.bin", **policy):
        policy = {"timeout": DEADLINE, "stall_timeout": STALL, **policy}
        return fetcher(**policy).fetch(web.url(path))

    return begin


def not_now(seconds, *fields, status=STATUSES[0]):
    return answer(b"busy", f"Retry-After: {seconds}", *fields, status=status)


def paths(web):
    return [connection.line.split()[1] for connection in web.connections]


async def waiting(clock, net):
    """Return when nothing but the deadline and the wait is left, without a connection."""
    await until(lambda: not net.open_sockets() and len(clock.getDelayedCalls()) == 2)


# --- "not now"


@pytest.mark.parametrize("status", STATUSES)
@step
async def test_a_server_that_is_busy_is_asked_again_when_it_says(
    *, fetch, web, net, clock, folder, status
):
    web.answers = [not_now(30, status=status), answer(b"at last")]
    fetching = fetch()
    await waiting(clock, net)
    # Far longer than a stall may be.
    clock.advance(29.5)
    assert len(net.tried) == 1
    clock.advance(0.5)
    assert len(net.tried) == 2
    got = await fetching
    assert got.path.read_bytes() == b"at last"
    assert paths(web) == ["/file.bin"] * 2
    assert net.open_before == [0, 0]


@pytest.mark.parametrize("own_time", [None, 86_400, -86_400])
@step
async def test_the_time_may_be_a_date(*, fetch, web, net, clock, own_time):
    now = time.time() + (own_time or 0)
    date = [] if own_time is None else [f"Date: {formatdate(now, usegmt=True)}"]
    web.answers = [not_now(formatdate(now + 30, usegmt=True), *date), answer(b"x")]
    fetching = fetch()
    await waiting(clock, net)
    clock.advance(25)
    assert len(net.tried) == 1
    clock.advance(6)
    await fetching


@step
async def test_a_date_that_is_over_means_now(fetch, web):
    web.answers = [not_now("Sun, 06 Nov 1994 08:49:37 GMT"), answer(b"x")]
    await fetch()


@pytest.mark.parametrize("status", STATUSES)
@step
async def test_after_three_retries_the_offer_may_come_again(*, fetch, web, folder, status):
    web.answers = [not_now(0, status=status) for _ in range(4)] + [answer(b"x")]
    error = await failure_of(fetch(), TryLater)
    assert (error.condition, error.type, error.text) == ("resource-constraint", "wait", LATER)
    assert error.detail == f"HTTP status {status[:3]}, Retry-After 0 s, after 3 retries"
    assert len(web.connections) == 4
    assert names(folder) == []


@pytest.mark.parametrize("seconds", [DEADLINE, DEADLINE + 1, 10**9, "9" * 12])
@step
async def test_nobody_waits_for_what_comes_too_late(*, fetch, web, seconds):
    web.answers = [not_now(seconds)]
    error = await failure_of(fetch(), TryLater)
    assert error.text == LATER
    assert len(web.connections) == 1


@step
async def test_the_time_that_is_left_counts(fetch, web, net, clock):
    web.answers = [not_now(60), not_now(60)]
    fetching = fetch()
    await waiting(clock, net)
    clock.advance(60)
    await failure_of(fetching, TryLater)
    assert len(web.connections) == 2


@pytest.mark.parametrize(
    "value", [None, "", "soon", "-1", "1.5", "1, 2", "Sun, 32 Nov 1994 08:49:37 GMT"]
)
@pytest.mark.parametrize("status", STATUSES)
@step
async def test_a_server_that_does_not_say_when_is_not_asked_again(*, fetch, web, status, value):
    fields = [] if value is None else [f"Retry-After: {value}"]
    web.answers = [answer(b"busy", *fields, status=status)]
    error = await failure_of(fetch(), FetchFailed)
    assert error.text == f"HTTP status {status[:3]}"
    assert len(web.connections) == 1


@pytest.mark.parametrize("status", ["500 Oops", "404 Not Found", "408 Late", "200 OK"])
@step
async def test_only_two_statuses_mean_later(*, fetch, web, status):
    web.answers = [not_now(0, status=status)]
    fetching = fetch()
    if status == "200 OK":
        await fetching
    else:
        assert (await failure_of(fetching, FetchFailed)).text == f"HTTP status {status[:3]}"
    assert len(web.connections) == 1


@step
async def test_the_same_hop_is_asked_again(fetch, web):
    web.answers = [redirect("/second"), not_now(0), redirect("/third"), not_now(0), answer(b"x")]
    got = await fetch("/first")
    assert got.url == web.url("/third")
    assert paths(web) == ["/first", "/second", "/second", "/third", "/third"]


@step
async def test_redirects_buy_no_more_retries(fetch, web):
    web.answers = [not_now(0), redirect("/2"), not_now(0), not_now(0), redirect("/3"), not_now(0)]
    await failure_of(fetch("/1"), TryLater)
    assert paths(web) == ["/1", "/1", "/2", "/2", "/2", "/3"]


@step
async def test_retries_are_no_redirects(fetch, web):
    web.answers = [not_now(0), redirect("/2"), not_now(0), not_now(0), answer(b"x")]
    await fetch("/1", max_redirects=1)


@pytest.mark.parametrize("times", [1, 2])
@step
async def test_a_wait_can_be_cancelled(*, fetch, web, net, clock, folder, times):
    web.answers = [not_now(30)]
    fetching = fetch()
    await waiting(clock, net)
    for _ in range(times):
        fetching.cancel()
    assert clock.getDelayedCalls() == []
    await failure_of(fetching, CancelledError)
    assert len(net.tried) == 1
    assert names(folder) == []


# --- redirects


@step
async def test_a_redirect_that_never_ends_its_head_is_a_stall(fetch, web, clock):
    fetching = fetch()
    connection = await web.arrivals.get()
    connection.write(redirect("/next"))
    connection = await web.arrivals.get()
    connection.write(b"HTTP/1.1 200 OK\r\n")
    ends = ends_of(fetching)
    clock.advance(STALL - 1)
    assert not ends
    clock.advance(1)
    assert (await failure_of(fetching, FetchFailed)).text == "timed out"


# --- cookies


def cookies(web):
    return [connection.headers.get("cookie") for connection in web.connections]


@step
async def test_a_cookie_goes_back_within_the_chain_and_is_forgotten_with_it(fetch, web):
    def gate(connection):
        known = "seen=1" in connection.headers.get("cookie", "")
        found = answer(b"x") if known else redirect("/file.bin\r\nSet-Cookie: seen=1; Path=/")
        connection.write(found)

    web.answers = [gate] * 4
    for _ in range(2):
        await fetch()
    assert cookies(web) == [None, "seen=1"] * 2


@step
async def test_a_cookie_goes_to_its_own_origin_only(fetch, web, other):
    web.answers = [redirect(f"{other.url()}\r\nSet-Cookie: secret=1; Path=/"), answer(b"x")]
    other.answers = [redirect(web.url("/back"))]
    await fetch()
    assert cookies(other) == [None]
    assert cookies(web) == [None, "secret=1"]


@step
async def test_a_busy_server_gets_its_cookie_back(fetch, web):
    web.answers = [not_now(0, "Set-Cookie: turn=7; Path=/"), answer(b"x")]
    await fetch()
    assert cookies(web) == [None, "turn=7"]

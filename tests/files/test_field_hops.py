"""What is asked of servers, over real sockets: targets, redirects, secrets, cookies, retries."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
import pytest_twisted
from twisted.internet.task import deferLater

from tests.support.fetching import end, failure_of, names, step
from tests.support.hostile_http import HostileServer, answer, redirect
from twisted_oob.errors import FetchFailed, Forbidden, ResourceConstraint

BODY = b"what was offered\n"


@pytest_twisted.async_yield_fixture
async def other(net):
    """Another server on the same host."""
    other = HostileServer(net)
    yield other
    await end(other)


def asked(web, name):
    """Give the value of a field in each request; None for a request without it."""
    return [connection.headers.get(name) for connection in web.connections]


def targets(web):
    """Give what each request asked for."""
    return [connection.line.split(" ")[1] for connection in web.connections]


# --- the request target

TARGETS = {
    "": "/",
    "/": "/",
    "//a/b": "//a/b",
    "//evil.test/a": "//evil.test/a",
    "///": "///",
    "/a//b//": "/a//b//",
    "/a;": "/a;",
    "/a;b=c;d": "/a;b=c;d",
    "/a;?b;": "/a;?b;",
    "/a?": "/a?",
    "/?": "/?",
    "?": "/?",
    "?b=c": "/?b=c",
    "/a??": "/a??",
    "/a?b?c/d//e": "/a?b?c/d//e",
    "/a#b": "/a",
    "/a?#b": "/a?",
    "#b": "/",
    "/a/./b/../c": "/a/./b/../c",
    "/..": "/..",
    "/%2E%2e/%7euser%2F": "/%2E%2e/%7euser%2F",
    "/100%": "/100%",
    "/a:b@c!$&'()*+,=": "/a:b@c!$&'()*+,=",
    "/a[1]{2}|^`": "/a[1]{2}|^`",
    "/http://h.test/": "/http://h.test/",
    "/@h.test:1/": "/@h.test:1/",
    "/größe?ü=ö": "/gr%C3%B6%C3%9Fe?%C3%BC=%C3%B6",
    "/\N{SNOWMAN}\N{COMBINING ACUTE ACCENT}": "/%E2%98%83%CC%81",
}


@step
async def test_a_url_is_asked_for_as_it_is_written(fetcher, web):
    ours = fetcher()
    web.answers = [answer(BODY)] * len(TARGETS)
    got = {written: (await ours.fetch(web.url(written))).url for written in TARGETS}
    assert dict(zip(TARGETS, targets(web), strict=True)) == TARGETS
    assert got == {written: web.url(target) for written, target in TARGETS.items()}
    assert set(asked(web, "host")) == {f"127.0.0.1:{web.port}"}


# What a Location leads to from /a/b;c?d, by RFC 3986 section 5.4 and with its own spelling kept.
LOCATIONS = {
    "": "/a/b;c?d",
    " \t": "/a/b;c?d",
    "/x": "/x",
    "x": "/a/x",
    "./x": "/a/x",
    "x/": "/a/x/",
    "/x;": "/x;",
    ";x": "/a/;x",
    "x;y": "/a/x;y",
    "/x?": "/x?",
    "?": "/a/b;c?",
    "?y": "/a/b;c?y",
    "?y#z": "/a/b;c?y",
    "#z": "/a/b;c?d",
    "../x": "/x",
    "../../x": "/x",
    "..": "/",
    ".": "/a/",
    "/x/../y/./z": "/y/z",
    "/x//y": "/x//y",
    "g..": "/a/g..",
    "..g": "/a/..g",
    "x?y=p/../q": "/a/x?y=p/../q",
    "x y": "/a/x%20y",
    "größe": "/a/gr%C3%B6%C3%9Fe",
    "  /x\t ": "/x",
    "//{host}//x": "//x",
    "//{host}": "/",
    "http://{host}": "/",
    "HTTP://{host}/X": "/X",
    "http://{host}//a/b": "//a/b",
    "http://{host}/a;": "/a;",
    "http://{host}?y": "/?y",
}


@step
async def test_a_redirect_is_followed_as_it_is_written(fetcher, web):
    ours = fetcher()
    got = {}
    for location in LOCATIONS:
        written = location.format(host=f"127.0.0.1:{web.port}")
        web.answers = [redirect(written), answer(BODY)]
        got[location] = (await ours.fetch(web.url("/a/b;c?d#e"))).url
    assert dict(zip(LOCATIONS, targets(web)[1::2], strict=True)) == LOCATIONS
    assert got == {location: web.url(target) for location, target in LOCATIONS.items()}
    assert set(targets(web)[::2]) == {"/a/b;c?d"}


@pytest.mark.parametrize(
    "location",
    [
        *("ftp://127.0.0.1/", "file:///etc/passwd", "javascript:x", "mailto:a@b.test"),
        *("http://", "http:///x", "http://[::1", "http://127.0.0.1:99999/", "http://127.0.0.1:0/"),
        *("http://a b/", "http://10.0.0.1/", "//10.0.0.1/", "http://[::ffff:10.0.0.1]/"),
        *("http://127.0.0.1:25/", "//127.0.0.1:6667", "http:\\\\127.0.0.1\\"),
    ],
)
@step
async def test_a_redirect_that_leads_nowhere_good(fetcher, web, net, folder, location):
    web.answers = [redirect(location)]
    await failure_of(fetcher().fetch(web.url()), Forbidden)
    assert len(net.tried) == 1
    assert names(folder) == []


@step
async def test_a_long_location(fetcher, web, log):
    path = "/" + "x" * 6000
    web.answers = [redirect(path), answer(BODY), redirect("/" + "y" * 60_000), answer(BODY)]
    assert (await fetcher().fetch(web.url())).url == web.url(path)
    await (
        fetcher().fetch(web.url()).addErrback(lambda failure: failure.trap(FetchFailed, Forbidden))
    )
    assert log == []


# --- credentials

BASIC = "Basic anVsaWV0OmNhcHVsZXQ="  # juliet:capulet
ROMEO = "Basic cm9tZW86bW9udGFndWU="


@step
async def test_credentials_stay_with_their_origin(fetcher, web, other, net):
    net.hosts["third.test"] = ["127.0.0.1"]
    web.answers = [redirect("/again"), redirect(other.url())]
    other.answers = [redirect(other.url(host="third.test")), answer(BODY)]
    got = await fetcher().fetch(web.url().replace("//", "//juliet:capulet@"))
    assert asked(web, "authorization") == [BASIC, BASIC]
    assert asked(other, "authorization") == [None, None]
    assert "capulet" not in repr(got)


@pytest.mark.parametrize("host", ["127.0.0.1", "third.test", "127.0.0.1."])
@step
async def test_credentials_in_a_redirect_go_to_no_other_origin(fetcher, web, other, net, host):
    net.hosts["third.test"] = net.hosts["127.0.0.1."] = ["127.0.0.1"]
    web.answers = [redirect(other.url(host=host).replace("//", "//romeo:montague@"))]
    other.answers = [answer(BODY)]
    got = await fetcher().fetch(web.url().replace("//", "//juliet:capulet@"))
    assert asked(other, "authorization") == [None]
    assert "montague" not in repr(got) + got.url


@step
async def test_no_request_repeats_credentials_in_its_target_or_host(fetcher, web):
    web.answers = [redirect("//romeo:montague@" + web.url().partition("//")[2]), answer(BODY)]
    await fetcher().fetch(web.url().replace("//", "//juliet:capulet@"))
    assert asked(web, "authorization") in ([BASIC, BASIC], [BASIC, ROMEO])
    assert asked(web, "host") == [f"127.0.0.1:{web.port}"] * 2
    assert asked(web, "referer") == [None, None]
    for connection in web.connections:
        assert b"montague" not in connection.request
        assert b"@" not in connection.request


# --- cookies


def sets(location, *cookies):
    return redirect("\r\nSet-Cookie: ".join([location, *cookies]))


def cookies_of(web):
    """Give the cookies of each request, in any order."""
    return [set() if c is None else set(c.split("; ")) for c in asked(web, "cookie")]


CHAINS = {
    "one that is set": (["a=1"], [], {"a=1"}),
    "several": (["a=1", "b=2; HttpOnly", "c=3; SameSite=Lax"], [], {"a=1", "b=2", "c=3"}),
    "one for https": (["a=1; Secure", "b=2"], [], {"b=2"}),
    "one that is replaced": (["a=1"], ["a=2"], {"a=2"}),
    "one that is set later": (["a=1"], ["b=2"], {"a=1", "b=2"}),
    "one that is deleted by its age": (["a=1", "b=2"], ["a=; Max-Age=0"], {"b=2"}),
    "one that is deleted by a negative age": (["a=1", "b=2"], ["a=x; max-age=-5"], {"b=2"}),
    "one that is deleted by its end": (
        ["a=1", "b=2"],
        ["a=; Expires=Thu, 01 Jan 1970 00:00:00 GMT"],
        {"b=2"},
    ),
    "an end of long ago, in an old spelling": (
        ["a=1", "b=2"],
        ["a=; expires=Thu, 01-Jan-1970 00:00:01 GMT"],
        {"b=2"},
    ),
    "an age counts more than an end": (
        ["a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=60"],
        [],
        {"a=1"},
    ),
    "one for a path": (["a=1; Path=/", "b=2; Path=/no", "c=3; Path=/y"], [], {"a=1", "c=3"}),
    "an empty value": (["a=", "b=2"], [], {"a=", "b=2"}),
    "a value with an equals sign": (["a=b=c=="], [], {"a=b=c=="}),
    "white space": (["  a \t=  1 2  ; Path=/"], [], {"a=1 2"}),
    "no name": (["=1", "nonsense", "b=2"], [], {"b=2"}),
    "for another domain": (["a=1; Domain=other.test", "b=2"], [], {"b=2"}),
}


@pytest.mark.parametrize(("first", "second", "sent"), CHAINS.values(), ids=list(CHAINS))
@step
async def test_cookies_go_back_along_a_chain(*, fetcher, web, log, first, second, sent):
    web.answers = [sets("/x", *first), sets("/y/z", *second), answer(BODY)]
    await fetcher().fetch(web.url("/"))
    assert cookies_of(web)[0] == set()
    assert cookies_of(web)[2] == sent
    assert log == []


@step
async def test_cookies_stay_with_their_origin_and_their_transfer(fetcher, web, other, net):
    net.hosts["third.test"] = ["127.0.0.1"]
    ours = fetcher()
    web.answers = [sets(other.url(), "a=1", "d=1; Domain=127.0.0.1"), answer(BODY), answer(BODY)]
    other.answers = [
        sets(other.url(host="third.test"), "b=2"),
        sets(web.url("/back"), "c=3"),
    ]
    await ours.fetch(web.url())
    await ours.fetch(web.url())
    assert cookies_of(other) == [set(), set()]
    first, back, anew = cookies_of(web)
    assert (first, anew) == (set(), set())
    assert "a=1" in back
    assert back <= {"a=1", "d=1"}


@pytest.mark.parametrize("location", ["/file.bin", "file.bin", "?", "#", ""])
@step
async def test_a_host_that_wants_its_cookie_gives_the_file(fetcher, web, location):
    def until_it_comes_back(connection):
        known = connection.headers.get("cookie") == "session=x"
        connection.write(answer(BODY) if known else sets(location, "session=x; path=/"))

    web.answers = [until_it_comes_back] * 6
    assert (await fetcher().fetch(web.url())).size == len(BODY)
    assert len(web.connections) == 2


@step
async def test_cookies_are_bounded(fetcher, web, log):
    web.answers = [
        sets("/x", *(f"c{at}={'v' * 1000}" for at in range(200))),
        sets("/y", "long=" + "v" * 60_000, "d=1"),
        answer(BODY),
    ]
    await fetcher().fetch(web.url())
    assert max(len(connection.request) for connection in web.connections) < 10_000
    assert log == []


@pytest.mark.parametrize("cookie", ["a=1\x00X: y", "a=1\rX: y", "a=\x7f1", "a=\xff1", "a\tb=1"])
@step
async def test_no_cookie_adds_a_field_to_a_request(fetcher, web, cookie):
    web.answers = [sets("/x", cookie), answer(BODY)]
    await fetcher().fetch(web.url()).addErrback(lambda failure: failure.trap(FetchFailed))
    for connection in web.connections:
        assert b"X: y" not in connection.request.split(b"\r\n")
        assert b"\r" not in connection.request.replace(b"\r\n", b"")
        assert b"\0" not in connection.request


# --- a server that asks to come back later


def busy(after=None, status="503 Service Unavailable"):
    fields = [] if after is None else [f"Retry-After: {after}"]
    return answer(b"busy", *fields, status=status)


async def asked_again(web, clock):
    """Let time pass until the server is asked again; gives the seconds that it took."""
    began = clock.seconds()
    arrival = web.arrivals.get()
    for _ in range(400):
        await deferLater(web.reactor, 0.001)
        if arrival.called:
            return clock.seconds() - began
        clock.advance(0.5)
    raise AssertionError("it is not asked again")


@pytest.mark.parametrize(
    ("status", "seconds"),
    [("503 Service Unavailable", 0), ("429 Too Many Requests", 7), ("503", 1), ("429 ", 45)],
)
@step
async def test_a_server_is_asked_again_when_it_wants(*, fetcher, web, clock, status, seconds):
    fetching = fetcher(stall_timeout=10).fetch(web.url())
    connection = await web.arrivals.get()
    connection.write(busy(seconds, status))
    waited = await asked_again(web, clock)
    assert seconds <= waited <= seconds + 6
    web.connections[-1].write(answer(BODY))
    assert (await fetching).size == len(BODY)
    assert len(web.connections) == 2


@step
async def test_a_server_is_asked_again_at_a_time(fetcher, web, clock):
    fetching = fetcher().fetch(web.url())
    connection = await web.arrivals.get()
    later = datetime.now(timezone.utc) + timedelta(seconds=20)
    connection.write(busy(format_datetime(later, usegmt=True)))
    assert 17 <= await asked_again(web, clock) <= 25
    past = datetime.now(timezone.utc) - timedelta(days=9)
    web.connections[-1].write(busy(format_datetime(past, usegmt=True)))
    assert await asked_again(web, clock) <= 5
    web.connections[-1].write(answer(BODY))
    assert (await fetching).size == len(BODY)


@step
async def test_a_server_is_asked_again_three_times_and_no_more(fetcher, web, clock, folder):
    fetching = fetcher().fetch(web.url())
    (await web.arrivals.get()).write(busy(2))
    for _ in range(3):
        await asked_again(web, clock)
        web.connections[-1].write(busy(2))
    error = await failure_of(fetching, ResourceConstraint)
    assert (error.condition, error.type) == ("resource-constraint", "wait")
    assert len(web.connections) == 4
    assert names(folder) == []


@pytest.mark.parametrize("after", [600, 3601, 10**9, "9" * 400, "Fri, 31 Dec 2199 23:59:59 GMT"])
@pytest.mark.parametrize("status", ["503 Busy", "429 Slow down"])
@step
async def test_a_time_beyond_the_transfers_own_is_told_at_once(
    *, fetcher, web, clock, after, status
):
    web.answers = [busy(after, status)]
    error = await failure_of(fetcher(timeout=600).fetch(web.url()), ResourceConstraint)
    assert (error.condition, error.type) == ("resource-constraint", "wait")
    assert clock.seconds() == 0
    assert len(web.connections) == 1


@pytest.mark.parametrize("after", [None, "", "soon", "-1", "1e3", "0x1", "Fri, 99 Foo 2020", "1 2"])
@step
async def test_without_a_time_a_busy_server_is_a_failure(fetcher, web, after):
    web.answers = [busy(after)]
    error = await failure_of(fetcher().fetch(web.url()), FetchFailed, ResourceConstraint)
    assert len(web.connections) == 1
    assert error.text


@pytest.mark.parametrize("status", ["404 Not Found", "500 Oops", "403 Forbidden", "204 None"])
@step
async def test_no_other_status_is_asked_again(fetcher, web, status):
    web.answers = [busy(0, status), answer(BODY)]
    error = await failure_of(fetcher().fetch(web.url()), FetchFailed)
    assert error.text == f"HTTP status {status[:3]}"
    assert len(web.connections) == 1


@step
async def test_a_retry_within_a_chain_keeps_its_cookies_and_counts_no_hop(fetcher, web, clock):
    fetching = fetcher(max_redirects=1).fetch(web.url())
    (await web.arrivals.get()).write(sets("/there", "a=1"))
    (await web.arrivals.get()).write(busy(3))
    assert await asked_again(web, clock) >= 3
    web.connections[-1].write(answer(BODY))
    await fetching
    assert targets(web) == ["/file.bin", "/there", "/there"]
    assert cookies_of(web) == [set(), {"a=1"}, {"a=1"}]


@step
async def test_a_wait_ends_at_a_cancellation_and_leaves_nothing(fetcher, web, clock):
    fetching = fetcher().fetch(web.url())
    (await web.arrivals.get()).write(busy(30))
    await web.connections[0].lost
    fetching.addErrback(lambda failure: failure.type.__name__)
    fetching.cancel()
    assert await fetching == "CancelledError"

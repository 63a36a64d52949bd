"""A Fetcher asks for what a URL says, over real sockets; after redirects, too."""

from __future__ import annotations

import pytest

from tests.support.fetching import failure_of, step
from tests.support.hostile_http import answer, redirect
from twisted_oob.errors import FetchFailed, Forbidden

ASKED = [
    ("//a/b", "//a/b"),
    ("/a;", "/a;"),
    ("/a?", "/a?"),
    ("/a;x?y", "/a;x?y"),
    ("?q", "/?q"),
    ("/%7e", "/%7e"),
    ("/./a/../b/..", "/./a/../b/.."),
    ("/a#f", "/a"),
    ("/a?b?c", "/a?b?c"),
    ("/a//", "/a//"),
]


@pytest.mark.parametrize(("path", "target"), ASKED)
@step
async def test_what_is_asked_is_the_urls_own_request_target(fetcher, web, path, target):
    web.answers = [answer(b"x")]
    got = await fetcher().fetch(web.url(path))
    [connection] = web.connections
    assert connection.line == f"GET {target} HTTP/1.1"
    assert connection.headers["host"] == f"127.0.0.1:{web.port}"
    assert got.url == web.url(target)


@step
async def test_it_is_after_redirects_too(fetcher, web):
    locations = ["//{}//a/./b", "c;?", "?x", "#", "/..//d?e?f#g"]
    web.answers = [
        *(redirect(location.format(f"127.0.0.1:{web.port}")) for location in locations),
        answer(b"x"),
    ]
    got = await fetcher().fetch(web.url("/./first;"))
    assert [connection.line.split()[1] for connection in web.connections] == [
        "/./first;",
        "//a/b",
        "//a/c;?",
        "//a/c;?x",
        "//a/c;?x",
        "//d?e?f",
    ]
    assert got.url == web.url("//d?e?f")


@step
async def test_international_hosts_are_resolved_as_a_labels(fetcher, web, net):
    net.hosts["xn--bcher-kva.example"] = ["127.0.0.1"]
    web.answers = [redirect(f"http://BÜCHER\u3002example:{web.port}/ü"), answer(b"x")]
    await fetcher().fetch(web.url(host="bücher.example"))
    assert [connection.line for connection in web.connections] == [
        "GET /file.bin HTTP/1.1",
        "GET /%C3%BC HTTP/1.1",
    ]
    for connection in web.connections:
        assert connection.headers["host"] == f"xn--bcher-kva.example:{web.port}"


@pytest.mark.parametrize("host", ["\uff11\uff12\uff17.0.0.1", "127\u30020\u30020\u30021"])
@step
async def test_a_host_that_maps_to_an_address_is_judged_like_it(fetcher, web, host):
    error = await failure_of(fetcher(allow_networks=()).fetch(web.url(host=host)), Forbidden)
    assert error.text == "this address is not allowed"
    web.answers = [answer(b"x")]
    assert (await fetcher().fetch(web.url(host=host))).url == web.url()


@pytest.mark.parametrize("port", [25, 6667])
@step
async def test_a_port_that_browsers_block_is_not_connected_to(fetcher, web, net, port):
    web.answers = [redirect(f"http://127.0.0.1:{port}/")]
    for url in (f"http://127.0.0.1:{port}/", web.url()):
        error = await failure_of(fetcher().fetch(url), Forbidden)
        assert error.text == "this port is not allowed"
    assert [tried[1] for tried in net.tried] == [web.port]


@step
async def test_userinfo_goes_to_its_own_origin_only(fetcher, web, net):
    net.hosts["other.test"] = ["127.0.0.1"]
    web.answers = [
        redirect(web.url(host="romeo:montague@other.test")),
        redirect(web.url("/back")),
        answer(b"x"),
    ]
    await fetcher().fetch(web.url(host="juliet:capulet@127.0.0.1"))
    sent = [connection.headers.get("authorization") for connection in web.connections]
    assert sent == ["Basic anVsaWV0OmNhcHVsZXQ=", None, "Basic anVsaWV0OmNhcHVsZXQ="]


@step
async def test_a_cookie_goes_back_to_its_own_origin_within_one_chain(fetcher, web, net):
    net.hosts["other.test"] = ["127.0.0.1"]

    def door(connection):
        """Redirects to itself whoever brings no cookie, as many file hosts do."""
        if "cookie" in connection.headers:
            connection.write(redirect(web.url(host="other.test")))
        else:
            web.answers.insert(0, door)
            connection.write(answer(b"", "Location: /", "Set-Cookie: a=1; Path=/", status="302 -"))

    for _ in range(2):
        web.answers = [door, answer(b"x")]
        await fetcher().fetch(web.url())
    sent = [connection.headers.get("cookie") for connection in web.connections]
    assert sent == [None, "a=1", None] * 2


@step
async def test_who_sets_cookies_without_end_is_left(fetcher, web):
    def again(connection):
        web.answers = [again]
        connection.write(answer(b"", "Location: /", "Set-Cookie: a=", status="302 Found"))

    web.answers = [again]
    await failure_of(fetcher().fetch(web.url()), FetchFailed)
    assert len(web.connections) == 6

"""Fetching over real sockets, from a server that misbehaves, to the real file system."""

from __future__ import annotations

import hashlib

import pytest
from twisted.logger import globalLogPublisher

from tests.support.fetching import failure_of, names, step
from tests.support.hostile_http import answer, chunked, redirect, then_close
from twisted_oob._version import PROJECT_URL, __version__
from twisted_oob.errors import FetchFailed, TooLarge

# --- whole files


@step
async def test_a_file_is_fetched(fetcher, web, folder):
    web.answers = [answer(b"the file", "Content-Disposition: attachment; filename=a.txt")]
    got = await fetcher().fetch(web.url("/x?y#z"))
    assert got.path == folder / "a.txt"
    assert got.path.read_bytes() == b"the file"
    assert got.size == 8
    assert got.sha256 == hashlib.sha256(b"the file").hexdigest()
    assert got.url == web.url("/x?y")
    assert names(folder) == ["a.txt"]


@step
async def test_of_headers_that_come_twice_the_first_one_counts(fetcher, web):
    web.answers = [
        redirect("/first\r\nLocation: /second"),
        answer(b"x", "Content-Disposition: x; filename=a", "Content-Disposition: x; filename=b"),
    ]
    got = await fetcher().fetch(web.url())
    assert got.url == web.url("/first")
    assert got.path.name == "a"


@step
async def test_the_request(fetcher, web):
    web.answers = [answer()]
    await fetcher().fetch(web.url("/x?y#z"))
    [connection] = web.connections
    assert connection.line == "GET /x?y HTTP/1.1"
    assert connection.headers == {
        "host": f"127.0.0.1:{web.port}",
        "connection": "close",
        "accept": "*/*",
        "accept-encoding": "identity",
        "user-agent": f"twisted_oob/{__version__} (+{PROJECT_URL})",
    }


@pytest.mark.parametrize(
    ("reply", "content"),
    [
        (answer(b""), b""),
        (answer(b"x" * 300_000), b"x" * 300_000),
        (chunked(b"one ", b"two"), b"one two"),
        (chunked(), b""),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + answer(b"x"), b"x"),
        (answer(b"x", "Content-Encoding: identity"), b"x"),
        (answer(b"x") + b"and more that nobody asked for", b"x"),
    ],
    ids=["empty", "long", "chunked", "no chunk", "after 100", "identity", "more"],
)
@step
async def test_whole_files(fetcher, web, folder, reply, content):
    web.answers = [reply]
    got = await fetcher().fetch(web.url())
    assert got.path.read_bytes() == content
    assert got.size == len(content)
    assert got.sha256 == hashlib.sha256(content).hexdigest()
    assert names(folder) == ["file.bin"]


@step
async def test_a_second_file_of_the_same_name_gets_a_number(fetcher, web, folder):
    web.answers = [answer(b"1"), answer(b"2")]
    for _ in range(2):
        await fetcher().fetch(web.url())
    assert names(folder) == ["file (2).bin", "file.bin"]
    assert (folder / "file.bin").read_bytes() == b"1"


@pytest.mark.parametrize("disposition", ["../../evil", "/etc/passwd", "..%2fevil", ".."])
@step
async def test_no_name_leaves_the_folder(fetcher, web, folder, disposition):
    web.answers = [answer(b"1", f'Content-Disposition: x; filename="{disposition}"')]
    got = await fetcher().fetch(web.url())
    assert got.path.resolve().parent == folder.resolve()


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (then_close(answer(b"short", length=6)), "the file ended early"),
        (then_close(chunked(b"one", end=b"")), "the file ended early"),
        (then_close(chunked(b"one", end=b"0\r\n")), "the file ended early"),
        (chunked(b"one", end=b"nonsense\r\n"), "no proper answer from the server"),
        (chunked(b"one", end=b"3\r\nfour\r\n"), "no proper answer from the server"),
        (
            then_close(b"HTTP/1.1 200 OK\r\n\r\nall of it"),
            "the server does not say where the file ends",
        ),
        (
            then_close(b"HTTP/1.0 200 OK\r\n\r\nall of it"),
            "the server does not say where the file ends",
        ),
        (then_close(b"HTTP/1.1 200 OK\r\nConte"), "no proper answer from the server"),
        (then_close(b""), "no proper answer from the server"),
        (b"nonsense\r\n\r\n", "no proper answer from the server"),
        (answer(length="6\r\nContent-Length: 7"), "no proper answer from the server"),
        (answer(length=-1), "no proper answer from the server"),
        (answer(b"x", "Transfer-Encoding: gzip"), "no proper answer from the server"),
        (answer(b"x", "Content-Encoding: gzip"), "the file has a Content-Encoding"),
        (answer(b"x", status="404 Not Found"), "HTTP status 404"),
        (answer(b"x", "Content-Range: bytes 0-0/2", status="206 Partial"), "HTTP status 206"),
        (answer(status="204 No Content"), "HTTP status 204"),
        (answer(status="304 Not Modified"), "HTTP status 304"),
        (redirect(None), "a redirect without a Location"),
    ],
)
@step
async def test_what_is_not_a_whole_file_is_a_failure(fetcher, web, folder, reply, text):
    web.answers = [reply]
    error = await failure_of(fetcher().fetch(web.url()), FetchFailed)
    assert error.text == text
    assert names(folder) == []


@step
async def test_nobody_listens(fetcher, web, net):
    await web.stop()
    error = await failure_of(fetcher().fetch(web.url()), FetchFailed)
    assert error.text == "the server could not be reached"


@step
async def test_the_name_of_no_host(fetcher, net):
    net.hosts["nowhere.test"] = []
    error = await failure_of(fetcher().fetch("http://nowhere.test/"), FetchFailed)
    assert error.text == "the host was not found"
    assert net.tried == []


# --- size


@step
async def test_a_file_of_exactly_the_limit_is_accepted(fetcher, web):
    web.answers = [answer(b"x" * 10), chunked(b"x" * 4, b"x" * 6)]
    for _ in range(2):
        assert (await fetcher(max_size=10).fetch(web.url())).size == 10


@step
async def test_a_declared_size_over_the_limit_is_refused_before_the_body(fetcher, web, folder):
    web.answers = [answer(b"", length=11)]
    await failure_of(fetcher(max_size=10).fetch(web.url()), TooLarge)
    assert names(folder) == []


@step
async def test_an_undeclared_size_is_cut_off_at_the_limit(fetcher, web, folder):
    # The chunk never ends: only cutting it off ends this.
    web.answers = [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFF\r\n" + b"x" * 11]
    await failure_of(fetcher(max_size=10).fetch(web.url()), TooLarge)
    assert names(folder) == []


@pytest.mark.parametrize(("size", "enough"), [(256 * 1024, True), (256 * 1024 + 1, False)])
@step
async def test_headers_are_bounded(*, fetcher, web, size, enough):
    start = answer()[:-2]
    padding = [f"X: {'y' * 995}\r\n".encode()] * ((size - len(start) - 2) // 1000)
    rest = size - len(start) - 2 - 1000 * len(padding)
    headers = start + b"".join(padding) + b"X: ".ljust(rest - 2, b"y") + b"\r\n" + b"\r\n"
    assert len(headers) == size
    web.answers = [headers]
    fetching = fetcher().fetch(web.url())
    if enough:
        await fetching
    else:
        assert (await failure_of(fetching, FetchFailed)).detail == (
            "more than 262144 bytes before the body"
        )


@step
async def test_endless_headers_are_cut_off(fetcher, web):
    headers = b"".join(b"X-%d: y\r\n" % number for number in range(50_000))
    web.answers = [b"HTTP/1.1 200 OK\r\n" + headers]
    error = await failure_of(fetcher().fetch(web.url()), FetchFailed)
    assert error.text == "the server's headers are too long"


# --- redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@step
async def test_redirects_are_followed(*, fetcher, web, net, folder, status):
    web.answers = [redirect("../new/name?x#y", f"{status} Moved"), answer(b"x")]
    got = await fetcher().fetch(web.url("/old/file.bin"))
    assert got.path.name == "name"
    assert got.url == web.url("/new/name?x")
    assert net.open_before == [0, 0]
    assert [connection.line for connection in web.connections] == [
        "GET /old/file.bin HTTP/1.1",
        "GET /new/name?x HTTP/1.1",
    ]


@step
async def test_only_so_many_redirects(fetcher, web, net, folder):
    web.answers = [redirect("/") for _ in range(3)] + [answer(b"x")]
    error = await failure_of(fetcher(max_redirects=2).fetch(web.url()), FetchFailed)
    assert error.text == "too many redirects"
    assert len(web.connections) == 3
    assert net.open_before == [0, 0, 0]
    assert names(folder) == []


@step
async def test_userinfo_goes_to_its_own_origin_only_and_is_told_nobody(fetcher, web, net):
    events = []
    globalLogPublisher.addObserver(events.append)
    net.hosts["other.test"] = ["127.0.0.1"]
    web.answers = [
        redirect("/same"),
        redirect(web.url(host="other.test")),
        answer(b"x", status="404 Not Found"),
        answer(b"x"),
    ]
    url = web.url().replace("//", "//juliet:c%61pulet@")
    try:
        error = await failure_of(fetcher().fetch(url), FetchFailed)
        got = await fetcher().fetch(url)
    finally:
        globalLogPublisher.removeObserver(events.append)
    sent = [connection.headers.get("authorization") for connection in web.connections]
    basic = "Basic anVsaWV0OmNhcHVsZXQ="
    assert sent == [basic, basic, None, basic]
    told = f"{got!r} {error!r} {error} {error.detail} {error.text} {events!r}"
    assert not {word for word in ("juliet", "apulet", "anVsaWV0") if word in told}


# --- nothing is left


@step
async def test_a_fetch_logs_nothing_by_itself(fetcher, web):
    events = []
    globalLogPublisher.addObserver(events.append)
    web.answers = [redirect("/x"), answer(b"x")]
    try:
        await fetcher().fetch(web.url())
    finally:
        globalLogPublisher.removeObserver(events.append)
    assert events == []


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 103 Hints\r\nLink: </x>\r\n\r\n" * 5_000,
        b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"no colon\r\n" * 1_000 + b"\r\n",
        b"\0" * 100_000,
        chunked(*[b"x"] * 5_000, end=b"nonsense\r\n"),
        then_close(answer(b"short", length=6)),
    ],
    ids=["interim", "long line", "no header", "no HTTP", "no chunk", "short"],
)
@step
async def test_a_fetch_that_fails_logs_nothing_by_itself(fetcher, web, reply):
    events = []
    globalLogPublisher.addObserver(events.append)
    web.answers = [redirect("/x"), reply]
    try:
        error = await failure_of(fetcher().fetch(web.url()), FetchFailed)
    finally:
        globalLogPublisher.removeObserver(events.append)
    assert events == []
    # What an application would log of it.
    assert len(error.text) + len(error.detail) < 500


@step
async def test_no_connection_and_no_call_is_left(fetcher, web, net):
    before = set(net.getDelayedCalls())
    web.answers = [
        redirect("/x"),
        answer(b"x"),
        answer(status="404 No"),
        answer(length=10**12),
        then_close(answer(b"short", length=6)),
    ]
    await fetcher().fetch(web.url())
    for _ in range(3):
        await failure_of(fetcher().fetch(web.url()))
    for connection in web.connections:
        await connection.lost
    assert set(net.getDelayedCalls()) <= before


@step
async def test_many_at_once_keep_apart(fetcher, web, folder):
    ours = fetcher()
    contents = [bytes([number]) * (100_000 + number) for number in range(20)]
    web.answers = [answer(content) for content in contents]
    waiting = [ours.fetch(web.url()) for _ in contents]
    got = [await fetching for fetching in waiting]
    assert sorted(file.path.read_bytes() for file in got) == sorted(contents)
    assert len(names(folder)) == len(contents)

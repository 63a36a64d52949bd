"""Upload services that misbehave, as a table: what they do, and what the upload makes of it."""

from __future__ import annotations

import os

import pytest

from tests.support.certificates import Authority, server_options
from tests.support.fetching import end, failure_of, step, told_by
from tests.support.hostile_http import answer, redirect, then_close
from tests.support.put_server import CREATED, PutServer, hangs_up
from tests.support.slot_service import NS, refusal, slot
from twisted_oob import FileTooLarge, SlotRefused, UploadFailed

SECRET = "secret-of-the-slot"
EVIL = [
    ("Host", "evil.example"),
    ("Content-Length", "1"),
    ("content-type", "text/html"),
    ("Transfer-Encoding", "chunked"),
    ("Set-Cookie", "no"),
    ("X-Authorization", "no"),
    ("Cookie2", "no"),
    ("", "no"),
    ("Authorization: x\r\nHost", "evil.example"),
    ("Authorization:", "no"),
]


def headers_of(connection):
    return [field for field in connection.fields if field[0] != "User-Agent"]


def own_headers(web, size=200_000):
    return [
        ("Host", f"127.0.0.1:{web.port}"),
        ("Connection", "close"),
        ("Content-Type", "image/jpeg"),
        ("Content-Length", str(size)),
    ]


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(os.urandom(200_000))
    return path


# What is given with a slot, and which headers of it are copied.
HEADERS = {
    "none of the three": (EVIL, []),
    "in any case": (
        [("AUTHORIZATION", "a"), ("cookie", "b"), ("eXpires", "c")],
        [("Authorization", "a"), ("Cookie", "b"), ("Expires", "c")],
    ),
    "twice, in order": (
        [("Cookie", "2"), ("Authorization", "a"), ("Cookie", "1")],
        [("Cookie", "2"), ("Authorization", "a"), ("Cookie", "1")],
    ),
    "with line breaks": (
        [("Auth\norization\r", "Bearer\r\n x\nHost: evil.example"), ("\nCookie", "\r\n")],
        [("Authorization", "Bearer xHost: evil.example")],
    ),
    "with what ends a line for some": (
        [("Cookie\x85", "a\x85b\u2028c\u2029d\x7fe\x9f"), ("E\u2028xpires", "\t1\t2\t")],
        [("Cookie", "abcde"), ("Expires", "1\t2")],
    ),
    "beyond ASCII": ([("Cookie", "n=\u00fc\N{CAT}")], [("Cookie", "n=\u00fc\N{CAT}")]),
    "among evil ones": ([*EVIL, ("Expires", "1"), *EVIL], [("Expires", "1")]),
}


@pytest.mark.parametrize("what", HEADERS)
@step
async def test_only_three_headers_are_copied(uploads, path, what):
    given, copied = HEADERS[what]
    one = uploads()
    one.slots.script["request"] = one.slot(None, *given)
    one.web.answers = [CREATED]
    assert await one.handler.upload(path) == one.url
    [connection] = one.web.connections
    sent = [(name, value) for name, value in headers_of(connection) if value]
    assert sent == own_headers(one.web) + copied
    assert connection.body == path.read_bytes()


GOOD = "https://upload.example/slot/a.bin"

# Answers to the request for a slot: which are no slot to put anything to.
SLOTS = {
    "a PUT URL that is http": (slot(GOOD.replace("https", "http"), GOOD), "PUT URL is http"),
    "a GET URL that is http": (slot(GOOD, GOOD.replace("https", "HTTP")), "GET URL is http"),
    "another scheme": (slot("ftp://upload.example/", GOOD), "PUT URL can't be used"),
    "a file": (slot(GOOD, "file:///etc/passwd"), "GET URL can't be used"),
    "a script": (slot(GOOD, "javascript:alert(1)"), "GET URL can't be used"),
    "a GET URL without a host": (slot(GOOD, "https:///a"), "the upload service's get url"),
    "a PUT URL with a line break": (
        slot("https://upload.example/a\nHost: evil.example", GOOD),
        "the upload service's put url",
    ),
    "a port that is not one": (slot("https://upload.example:0/a", GOOD), "PUT URL can't be used"),
    "a blocked port": (slot("https://upload.example:25/a", GOOD), "PUT URL can't be used"),
    "a URL that is too long": (slot(GOOD + "a" * 9000, GOOD), "the upload service's put url"),
    "no PUT": (f"<slot xmlns='{NS}'><get url='{GOOD}'/></slot>", "without both its URLs"),
    "no GET": (f"<slot xmlns='{NS}'><put url='{GOOD}'/></slot>", "without both its URLs"),
    "no url": (f"<slot xmlns='{NS}'><put/><get url='{GOOD}'/></slot>", "url is blank"),
    "an old slot": (
        f"<slot xmlns='urn:xmpp:http:upload'><put>{GOOD}</put><get>{GOOD}</get></slot>",
        "without a slot",
    ),
    "nonsense": ("<other xmlns='urn:other'>text</other>", "without a slot"),
}


@pytest.mark.parametrize("what", SLOTS)
@step
async def test_a_slot_that_cant_be_used(uploads, path, what):
    said, text = SLOTS[what]
    one = uploads(allow_http=False)
    one.slots.script["request"] = said.replace("/slot/", f"/{SECRET}/").replace("a.bin", "a?x=1")
    error = await failure_of(one.handler.upload(path), UploadFailed)
    assert error.status is None
    assert text in error.text
    assert SECRET not in told_by(error)
    assert len(one.slots.requests()) == 1
    assert one.net.resolved == one.net.tried == []


@step
async def test_an_empty_answer_is_no_slot(uploads, path):
    one = uploads()
    one.slots.script["request"] = " "
    error = await failure_of(one.handler.upload(path), UploadFailed)
    assert error.text == "the upload service answered without a slot"


# What the HTTP server does at the end of the request: how often it is asked, and the outcome.
SERVERS = {
    "500": (answer(b"", status="500 Oops"), 1, 500),
    "a page beside a 500": (answer(b"<html>" + b"a" * 10**6, status="500 Oops"), 1, 500),
    "a second 409": (answer(b"", status="409 Conflict"), 2, 409),
    "a second 403": (answer(b"", status="403 Forbidden"), 2, 403),
    "a redirect": (redirect("/other"), 1, 302),
    "a redirect that keeps the method": (redirect("/other", "308 Permanent Redirect"), 1, 308),
    "a redirect to elsewhere": (redirect("http://127.0.0.1:1/?Authorization"), 1, 302),
    "nothing, and hangs up": (then_close(b""), 1, None),
    "half an answer": (then_close(b"HTTP/1.1 201 Cre"), 1, None),
    "another protocol": (b"220 mail.example ESMTP\r\n", 1, None),
    "headers without end": (b"HTTP/1.1 201 Created\r\n" + b"A: b\r\n" * 100_000, 1, None),
}


@pytest.mark.parametrize("what", SERVERS)
@step
async def test_a_server_that_does_not_store_it(uploads, path, what):
    said, times, status = SERVERS[what]
    one = uploads()
    one.web.answers = [said] * 3
    error = await failure_of(one.handler.upload(path), UploadFailed)
    assert error.status == status
    assert len(one.web.connections) == len(one.slots.requests()) == times
    assert len(str(error)) < 300


# Answers at once, while the file is still on its way.
EARLY = {
    "413": (answer(b"", status="413 Too Large"), 2, 413),
    "413 with a page": (answer(b"<html/>", status="413 Too Large"), 2, 413),
    "413, and resets": (hangs_up(answer(b"<html/>", status="413 Too Large")), 2, 413),
    "500, and resets": (hangs_up(answer(b"<html/>", status="500 Oops")), 1, 500),
    "201": (CREATED, 1, 201),
}


@pytest.mark.parametrize("what", EARLY)
@step
async def test_a_server_that_answers_early(uploads, tmp_path, what):
    said, times, status = EARLY[what]
    one = uploads()
    large = tmp_path / "large"
    large.touch()
    os.truncate(large, 1 << 30)
    one.web.early = [said] * times
    error = await failure_of(one.handler.upload(large), UploadFailed)
    assert error.status == status
    assert len(one.slots.requests()) == times


@step
async def test_a_slot_elsewhere_gets_none_of_the_first_ones_headers(uploads, net_server, path):
    one, other = uploads(), net_server
    first = one.slot(None, ("Authorization", SECRET))
    second = slot(other.url("/b"), other.url("/b"), ("Cookie", "its own"))
    one.slots.script["request"] = [first, second]
    one.web.answers = [answer(b"", status="401 Unauthorized")]
    other.answers = [CREATED]
    assert await one.handler.upload(path) == other.url("/b")
    assert headers_of(other.connections[0])[4:] == [("Cookie", "its own")]


@pytest.fixture
def net_server(uploads):
    """The HTTP server of another service."""
    return uploads().web


# What else a service can answer to the request for a slot.
REFUSALS = {
    "an error without a condition": ("<error type='cancel'/>", "undefined-condition", None),
    "a text with a terminal's commands": (
        refusal("not-allowed", text="\x85no\u202e\n"),
        "not-allowed",
        "\ufffdno\ufffd\ufffd",
    ),
    "a text without end": (refusal("forbidden", text="a" * 10_000), "forbidden", "a" * 200),
    "a condition of its own": (refusal("x" * 5000), "x" * 100, None),
    "a stamp that is no time": (
        refusal("forbidden", more=f"<retry xmlns='{NS}' stamp='tomorrow'/>"),
        "forbidden",
        None,
    ),
}


@pytest.mark.parametrize("what", REFUSALS)
@step
async def test_a_strange_refusal(uploads, path, what):
    said, condition, text = REFUSALS[what]
    one = uploads()
    one.slots.script["request"] = said
    error = await failure_of(one.handler.upload(path), SlotRefused)
    assert (error.condition, error.text) == (condition, text)
    assert len(one.slots.requests()) == 1


@pytest.mark.parametrize("size", ["", "-5", "lots", "0", "1e3", "9" * 5000])
@step
async def test_a_limit_that_is_none_is_not_told(uploads, path, size):
    one = uploads()
    more = f"<file-too-large xmlns='{NS}'><max-file-size>{size}</max-file-size></file-too-large>"
    one.slots.script["request"] = refusal("not-acceptable", "modify", more)
    error = await failure_of(one.handler.upload(path), FileTooLarge)
    assert error.max_size is None


@step
async def test_no_secret_reaches_a_log_or_an_error(uploads, path, log):
    one = uploads()
    sent = ("Authorization", f"Bearer {SECRET}")
    one.slots.script["request"] = lambda request: one.slot(request, sent, path=f"/a?sig={SECRET}")
    replies = [
        answer(b"", status=f"403 {SECRET}"),
        answer(b"", status=f"500 no {SECRET} here"),
        lambda connection: connection.write(connection.request[:100] + b"\r\n\r\n"),
        then_close(b""),
    ]
    one.web.answers = [*replies[:1] * 2, *replies[1:]]
    for _ in range(4):
        error = await failure_of(one.handler.upload(path), UploadFailed)
        assert SECRET not in told_by(error)
    assert SECRET not in "\n".join(map(repr, log))


@step
async def test_a_server_that_speaks_another_certificate(uploads, authority_file, path):
    one = uploads(ca_file=authority_file.file)
    for names, works in (["127.0.0.1"], True), (["other.example"], False):
        web = PutServer(one.net, tls=authority_file.options(names))
        web.answers = [CREATED]
        url = web.url("/a").replace("http:", "https:")
        one.slots.script["request"] = slot(url, url)
        if works:
            assert await one.handler.upload(path) == url
        else:
            error = await failure_of(one.handler.upload(path), UploadFailed)
            assert error.text.startswith("no secure connection to the server (127.0.0.1, port ")
            assert web.connections[0].request == b""
        await end(web)


@pytest.fixture
def authority_file(tmp_path):
    """A certificate authority, and servers' options for names."""
    authority = Authority(tmp_path)
    authority.options = lambda names: server_options(authority.issue("server", names=names))
    return authority

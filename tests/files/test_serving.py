"""HTTP: what each request is answered with, in memory."""

from __future__ import annotations

import os
import time

import pytest
from twisted.internet.address import IPv4Address
from twisted.web.http import datetimeToString

from tests.support.sharing import Answer, MemoryShare, drain, get, path_of
from twisted_oob.files import serving

CONTENT = bytes(range(256)) * 1000
SIZE = len(CONTENT)


@pytest.fixture
def memory(tmp_path):
    (tmp_path / "a file.bin").write_bytes(CONTENT)
    os.utime(tmp_path / "a file.bin", (5, 784111777))
    memory = MemoryShare()
    memory.shared = memory.share.add(tmp_path / "a file.bin")
    yield memory
    memory.share.stopService()


@pytest.fixture
def ask(memory):
    def ask(*headers, **options):
        return Answer(memory.ask(get(memory.shared.url, *headers, **options)))

    return ask


# --- the file


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_whole_file(ask, memory, version):
    answer = ask(version=version)
    assert (answer.status, answer.body) == (200, CONTENT)
    assert answer.headers["content-length"] == str(SIZE)
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["last-modified"] == "Sun, 06 Nov 1994 08:49:37 GMT"
    assert "a%20file.bin" in answer.headers["content-disposition"]
    assert "transfer-encoding" not in answer.headers
    assert memory.shared.reads == 1


def test_head_is_get_without_the_body(ask, memory):
    head, whole = ask("Range: bytes=0-5", method="HEAD"), ask()
    assert (head.status, head.body) == (200, b"")
    head.headers["date"] = whole.headers["date"]
    assert head.headers == whole.headers
    assert memory.shared.reads == 1


@pytest.mark.parametrize(
    ("asked", "status", "said", "body"),
    [
        ("bytes=0-9", 206, f"bytes 0-9/{SIZE}", CONTENT[:10]),
        ("bytes=100-", 206, f"bytes 100-{SIZE - 1}/{SIZE}", CONTENT[100:]),
        ("bytes=-7", 206, f"bytes {SIZE - 7}-{SIZE - 1}/{SIZE}", CONTENT[-7:]),
        ("bytes=0-", 206, f"bytes 0-{SIZE - 1}/{SIZE}", CONTENT),
        (f"bytes={SIZE}-", 416, f"bytes */{SIZE}", b"No such range\n"),
        ("bytes=0-1,4-5", 200, None, CONTENT),
        ("lines=1-2", 200, None, CONTENT),
    ],
)
def test_ranges(ask, asked, status, said, body):
    answer = ask(f"Range: {asked}")
    assert (answer.status, answer.headers.get("content-range")) == (status, said)
    assert answer.body == body
    assert answer.whole


def test_a_range_goes_on_if_the_file_is_still_the_same(ask, memory):
    etag = ask(method="HEAD").headers["etag"]
    assert etag.startswith('"')
    modified = "Sun, 06 Nov 1994 08:49:37 GMT"
    for validator, status in [
        (etag, 206),
        (modified, 206),
        (f"W/{etag}", 200),
        ('"another"', 200),
        (etag.strip('"'), 200),
        ("Sun, 06 Nov 1994 08:49:38 GMT", 200),
        ("Mon, 06 Nov 2034 08:49:37 GMT", 200),
        ("*", 200),
        ("", 200),
    ]:
        answer = ask("Range: bytes=5-", f"If-Range: {validator}")
        assert answer.status == status, validator
        assert answer.whole
    assert ask("Range: bytes=5-", f"If-Range: {etag}", 'If-Range: "x"').status == 200
    assert ask("Range: bytes=999999-", 'If-Range: "x"').status == 200
    assert ask(f"If-Range: {etag}").status == 200


def test_an_empty_file(tmp_path, memory):
    (tmp_path / "empty").touch()
    shared = memory.share.add(tmp_path / "empty")
    answer = Answer(memory.ask(get(shared.url)))
    assert (answer.status, answer.headers["content-length"], answer.body) == (200, "0", b"")
    assert shared.reads == 1
    assert Answer(memory.ask(get(shared.url, "Range: bytes=0-"))).status == 416


def test_the_time_of_a_file_is_never_in_the_future(tmp_path, memory):
    (tmp_path / "future").write_bytes(b"x")
    os.utime(tmp_path / "future", (5, 1e11))
    shared = memory.share.add(tmp_path / "future")
    answer = Answer(memory.ask(get(shared.url)))
    now = time.time()
    assert answer.headers["last-modified"].encode() in {
        datetimeToString(now - back) for back in range(10)
    }
    os.utime(tmp_path / "future", (5, -1e10))
    shared = memory.share.add(tmp_path / "future")
    answer = Answer(memory.ask(get(shared.url)))
    assert answer.headers["last-modified"] == "Thu, 01 Jan 1970 00:00:00 GMT"


# --- other requests


@pytest.mark.parametrize(
    "method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "CONNECT", "get", "PROPFIND"]
)
def test_no_other_method_tells_whether_a_file_is_there(memory, method):
    url = memory.shared.url
    known, unknown = (Answer(memory.ask(get(url, method=method))) for url in (url, "http://a/b/c"))
    for answer in (known, unknown):
        assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
        assert answer.body == b"Only GET and HEAD\n"
        assert answer.headers.keys() == known.headers.keys()
    assert memory.shared.reads == 0


@pytest.mark.parametrize(
    "change",
    [
        lambda path: "/",
        lambda path: "*",
        lambda path: path.rpartition("/")[0],
        lambda path: path.rpartition("/")[0] + "/",
        lambda path: path + "/",
        lambda path: path + "x",
        lambda path: path[:-1],
        lambda path: "/" + path,
        lambda path: path[1:],
        lambda path: "/x" + path,
        lambda path: path.swapcase(),
        lambda path: path + "#x",
        lambda path: "/%2e" + path,
        lambda path: path.rpartition("/")[0] + "/../../etc/passwd",
        lambda path: "//" + path[1:],
        lambda path: "ftp://files.example" + path,
        lambda path: "?" + path,
    ],
)
def test_everything_else_is_the_same_404(memory, change):
    path = path_of(memory.shared.url)
    answers = []
    for target in (change(path), "/unknown/file"):
        data = memory.ask(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        answers.append(Answer(data))
    assert [answer.status for answer in answers] == [404, 404]
    assert answers[0].body == answers[1].body == b"Not found\n"
    assert answers[0].headers.keys() == {"date", "content-type", "content-length"}


@pytest.mark.parametrize(
    "target",
    [
        "{path}",
        "{path}?",
        "{path}?download=1&x=/../",
        "http://files.example{path}",
        "HTTPS://user@[::1]:99{path}?x",
    ],
)
def test_what_else_means_the_file(memory, target):
    target = target.format(path=path_of(memory.shared.url))
    answer = Answer(memory.ask(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode()))
    assert (answer.status, answer.body) == (200, CONTENT)


def test_an_unescaped_name_is_the_same_name(tmp_path, memory):
    (tmp_path / "a~b!.png").write_bytes(b"x")
    path = path_of(memory.share.add(tmp_path / "a~b!.png").url)
    for name in ("a~b!.png", "a%7Eb%21.png", "%61%7eb!.png"):
        target = f"{path.rpartition('/')[0]}/{name}"
        assert memory.ask(f"GET {target} HTTP/1.0\r\n\r\n".encode()).startswith(b"HTTP/1.0 200")


@pytest.mark.parametrize(
    "data",
    [
        b"GET\r\n\r\n",
        b"GET / HTTP/2.0\r\n\r\n",
        b"GET /a b HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n",
        b"GET / HTTP/1.1\r\nNo colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"GET / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X-Many: x\r\n" * 1000 + b"\r\n",
        b"GET / HTTP/1.1\r\n" + b"X-Long: " + b"x" * 20000 + b"\r\n\r\n",
        b"GET /" + b"x" * 20000 + b" HTTP/1.1\r\n\r\n",
        b"x" * 100_000,
    ],
)
def test_what_is_malformed_ends_the_connection(memory, data):
    transport = memory.connect()
    memory.send(transport, data)
    assert transport.disconnecting
    assert transport.value() in {b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"}


@pytest.mark.parametrize(
    "body",
    [
        (b"Content-Length: 100000", b"x" * 100_000),
        (b"Transfer-Encoding: chunked", b"5\r\nhello\r\n" * 5000 + b"0\r\n\r\n"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_body_is_thrown_away(memory, body, method):
    header, content = body
    kind = b"Content-Type: multipart/form-data; boundary=x"
    asked = get(memory.shared.url, method=method)[:-2] + header + b"\r\n" + kind + b"\r\n\r\n"
    answer = Answer(memory.ask(asked + content))
    assert answer.status == (200 if method == "GET" else 405)
    assert answer.whole


def test_who_expects_to_go_on_may(memory):
    transport = memory.connect()
    memory.send(transport, get(memory.shared.url, "Expect: 100-continue", "Content-Length: 3"))
    assert transport.value() == b"HTTP/1.1 100 Continue\r\n\r\n"
    transport.clear()
    memory.send(transport, b"abc")
    assert Answer(transport.value()).body == CONTENT


@pytest.mark.parametrize("together", [True, False])
def test_several_requests_on_a_connection(memory, together):
    asked = [
        get(memory.shared.url),
        get("http://a/b/c"),
        get(memory.shared.url, "Range: bytes=0-4"),
        get(memory.shared.url, method="HEAD"),
        get(memory.shared.url, "Connection: close"),
        get(memory.shared.url),
    ]
    transport = memory.connect()
    for data in [b"".join(asked)] if together else asked:
        memory.send(transport, data)
    answers = transport.value().split(b"HTTP/1.1 ")[1:]
    assert [answer[:3] for answer in answers] == [b"200", b"404", b"206", b"200", b"200"]
    assert transport.disconnecting
    assert memory.shared.reads == 2


def test_a_connection_of_http_1_0_is_closed(memory):
    transport = memory.connect()
    memory.send(transport, get(memory.shared.url, version="1.0"))
    assert transport.disconnecting
    assert not transport.aborted


def test_a_reader_that_was_slow_with_earlier_answers_may_ask_again(memory):
    transport = memory.connect()
    # As a transport does whose buffer is full.
    transport.producer.pauseProducing()
    assert transport.producerState == "paused"
    memory.send(transport, get(memory.shared.url))
    assert transport.producerState == "producing"


# --- time, and how many


def test_who_asks_for_nothing_is_closed_after_a_minute(memory):
    transport = memory.connect()
    memory.clock.advance(59.9)
    assert not transport.disconnecting
    memory.clock.advance(0.2)
    assert transport.disconnecting
    assert memory.clock.getDelayedCalls() == []


def test_a_request_that_drips_is_closed_after_a_minute(memory):
    transport = memory.connect()
    for byte in get(memory.shared.url)[:30]:
        memory.send(transport, bytes([byte]))
        memory.clock.advance(2.1)
    assert transport.disconnecting


def test_each_request_has_a_minute_of_its_own(memory):
    transport = memory.connect()
    for _ in range(5):
        memory.clock.advance(50)
        memory.send(transport, get(memory.shared.url))
        assert not transport.disconnecting
    memory.clock.advance(61)
    assert transport.disconnecting
    assert memory.shared.reads == 5


def test_a_reader_that_stops_is_cut_off_after_a_minute(memory):
    transport = memory.connect()
    transport.protocol.dataReceived(get(memory.shared.url))
    transport.producer.resumeProducing()
    memory.clock.advance(59)
    transport.producer.resumeProducing()
    memory.clock.advance(59)
    assert not transport.aborted
    memory.clock.advance(1.1)
    assert transport.aborted
    assert memory.shared.reads == 0
    assert memory.clock.getDelayedCalls() == []


def test_who_does_not_even_close_is_cut_off_in_the_end(memory, monkeypatch):
    transport = memory.connect()
    monkeypatch.setattr(transport, "lost", lambda: None)
    for seconds in (60, 2, 2):
        assert not transport.aborted
        memory.clock.advance(seconds)
    assert transport.aborted


def test_a_mistake_of_ours_cuts_the_reader_off_and_is_logged(memory, monkeypatch, log):
    def mistake(*_arguments):
        raise RuntimeError("a mistake")

    monkeypatch.setattr(memory.shared.readers, "got", mistake)
    transport = memory.connect()
    memory.send(transport, get(memory.shared.url))
    assert transport.aborted
    [event] = log
    assert event["log_failure"].check(RuntimeError)
    assert path_of(memory.shared.url).split("/")[1] not in repr(event)
    log.clear()


def test_only_so_many_connections(memory, monkeypatch):
    monkeypatch.setattr(serving, "MOST_CONNECTIONS", 3)
    transports = [memory.connect() for _ in range(3)]
    build = memory.endpoint.factory.buildProtocol
    assert build(None) is None
    transports[0].loseConnection()
    assert build(None) is not None


# --- what is told


def test_nothing_of_a_url_is_logged(memory, log):
    secret = path_of(memory.shared.url).split("/")[1]
    for method in ("GET", "POST"):
        memory.ask(get(memory.shared.url, method=method))
    memory.ask(get(memory.shared.url + "x"))
    memory.ask(get(memory.shared.url)[:-5] + b"\r\nbad\r\n\r\n")
    transport = memory.connect()
    transport.protocol.dataReceived(get(memory.shared.url))
    memory.clock.advance(61)
    memory.connect()
    memory.clock.advance(61)
    assert secret not in repr(log)
    assert log == []


def test_no_repr_has_the_secret(memory):
    secret = path_of(memory.shared.url).split("/")[1]
    transport = memory.connect()
    transport.protocol.dataReceived(get(memory.shared.url))
    [request] = transport.protocol.requests
    assert secret not in repr([request, memory.shared, memory.share])
    drain(transport)


def test_readers_are_told_apart_by_their_addresses(memory):
    half = SIZE // 2
    one, other = (IPv4Address("TCP", f"192.0.2.{last}", 50000) for last in (1, 2))
    url = memory.shared.url
    memory.ask(get(url, f"Range: bytes=0-{half - 1}"), one)
    memory.ask(get(url, f"Range: bytes={half}-"), other)
    assert memory.shared.reads == 0
    memory.ask(get(url, f"Range: bytes={half}-"), one)
    assert memory.shared.reads == 1

"""Heads as real servers send them, and what is no head, in pieces of any size."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.pieces import CUTS, SIZES, cut, pieces
from twisted_oob.errors import FetchFailed
from twisted_oob.files.response_head import HeadReader, ResponseHead

NO_ANSWER = "no proper answer from the server"
TOO_LONG = "the server's headers are too long"
OK = b"HTTP/1.1 200 OK\r\n"
KIB = 1024


def read(parts):
    """Gives the head, and what came after it; a head of None is not whole yet."""
    reader = HeadReader()
    parts = iter(parts)
    for part in parts:
        head = reader.feed(part)
        if head is not None:
            return head, reader.rest + b"".join(parts)
    return None, b""


def outcome(parts):
    """Gives what can be compared: the head's values, or the error's."""
    try:
        head, rest = read(parts)
    except FetchFailed as error:
        return error.text, error.detail
    return head, rest


def head_of(data):
    head, _ = read([data])
    return head


def error_of(data, size=10_000_000):
    with pytest.raises(FetchFailed) as caught:
        read(pieces(data, size))
    return caught.value


@pytest.mark.parametrize("size", SIZES)
def test_a_head_in_pieces(size):
    data = OK + b"Server: nginx\r\nX-A: 1\r\nContent-Length: 5\r\nx-a:\t2 \r\nX-B:\r\n\r\nhello"
    head, rest = read(pieces(data, size))
    assert head.status == 200
    assert head.fields == {
        b"server": (b"nginx",),
        b"x-a": (b"1", b"2"),
        b"content-length": (b"5",),
        b"x-b": (b"",),
    }
    assert (head.length, head.chunked) == (5, False)
    assert head.values(b"x-a") == (b"1", b"2")
    assert head.values(b"x-c") == ()
    assert (head.first(b"x-a"), head.first(b"x-b"), head.first(b"x-c")) == (b"1", b"", None)
    assert rest == b"hello"


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"HTTP/1.1 200", 200),
        (b"HTTP/1.1 200 ", 200),
        (b"HTTP/1.0 200 OK", 200),
        (b"HTTP/1.9 404 Not  Found", 404),
        (b"HTTP/1.1 999 \xff\xfe", 999),
        (b"HTTP/1.1 101 Switching Protocols", 101),
    ],
)
def test_status_lines_of_real_servers(line, status):
    for end in (b"\n", b"\r\n"):
        assert head_of(line + end + b"A: b" + end + end).status == status


@pytest.mark.parametrize(
    "line",
    [
        *(b"", b"nonsense", b"200 OK", b"HTTP/1.1", b"HTTP/1.1 ", b"HTTP/1.1  200 OK"),
        *(b"HTTP/1.1 20 OK", b"HTTP/1.1 2000 OK", b"HTTP/1.1 099 No", b"HTTP/1.1 +20 OK"),
        *(b"HTTP/1.1 200OK", b"HTTP/1.1 2 00", b"HTTP/1.1\t200 OK", b"HTTP/1.1 abc"),
        *(b"HTTP/2.0 200 OK", b"HTTP/2 200", b"HTTP/0.9 200 OK", b"HTTP/11.1 200 OK"),
        *(b"HTTP/1. 200 OK", b"HTTP/-1.1 200 OK", b"http/1.1 200 OK", b" HTTP/1.1 200 OK"),
        *(b"ICY 200 OK", b"RTSP/1.0 200 OK", b"SSH-2.0-OpenSSH_9.2", b"220 mail ESMTP"),
        *(b"+OK ready", b"* OK IMAP4rev1", b"<html><body>", b"HTTP/1.1 \xb2\xb2\xb2 OK"),
        b"GET /file?password=secret HTTP/1.1",
    ],
)
def test_what_is_no_status_line_of_http_1_is_no_answer(line):
    error = error_of(line + b"\r\nA: b\r\n\r\n")
    assert error.text == NO_ANSWER
    # It may be our own request, which a server of another protocol sent back.
    assert "secret" not in error.detail


@pytest.mark.parametrize(
    ("lines", "value"),
    [
        (b"A : b", b"b"),
        (b"A\t :b", b"b"),
        (b"A:b:c", b"b:c"),
        (b"A: b\r\n c", b"b c"),
        (b"A: b\r\n\t  c \r\n d", b"b c d"),
        (b"A:\r\n b", b"b"),
        (b"A: b\r\n \r\n c", b"b c"),
        (b"A: \xe4\xf6 \x01 ~", b"\xe4\xf6 \x01 ~"),
    ],
)
def test_field_lines_of_real_servers(lines, value):
    for size in SIZES:
        head, _ = read(pieces(OK + lines + b"\r\nZ: z\r\n\r\n", size))
        assert head.fields == {b"a": (value,), b"z": (b"z",)}


def test_names_that_are_no_tokens_are_taken_as_they_are():
    assert head_of(OK + b"X Y(z): 1\r\n\r\n").fields == {b"x y(z)": (b"1",)}


@pytest.mark.parametrize("lines", [b" A: b", b"\tA: b", b"no colon", b": value", b" : value"])
def test_what_is_no_field_line_is_no_answer_at_once(lines):
    assert error_of(OK + lines + b"\r\n").text == NO_ANSWER


@pytest.mark.parametrize("size", [1, 1000, 10_000_000])
def test_a_long_line_is_taken(size):
    policy = b"default-src " + b"https://cdn.example.com " * 700
    head, _ = read(pieces(OK + b"Content-Security-Policy: " + policy + b"\r\n\r\n", size))
    assert head.first(b"content-security-policy") == policy.strip()


@pytest.mark.parametrize(
    ("data", "text", "detail"),
    [
        (OK + b"A: " + b"a" * 70_000, TOO_LONG, "more than 65536 bytes in a line before the body"),
        (
            OK + (b"A: " + b"a" * 600 + b"\r\n") * 500,
            TOO_LONG,
            "more than 262144 bytes before the body",
        ),
        (OK + b"a:\n" * 5_000, TOO_LONG, "more than 5000 lines before the body"),
        (
            b"HTTP/1.1 103 Hints\r\nLink: l\r\n\r\n" * 101,
            NO_ANSWER,
            "more than 100 interim responses",
        ),
        (
            (b"HTTP/1.1 100 C\r\nA: " + b"a" * 60_000 + b"\r\n\r\n") * 5,
            TOO_LONG,
            "more than 262144 bytes before the body",
        ),
    ],
)
@pytest.mark.parametrize("size", [1000, 10_000_000])
def test_what_comes_before_the_body_is_bounded(data, text, detail, size):
    error = error_of(data, size)
    assert (error.text, error.detail) == (text, detail)


@pytest.mark.parametrize("size", [1, 10_000_000])
def test_interim_responses_are_skipped(size):
    interim = b"HTTP/1.1 100 Continue\r\n\r\n" + b"HTTP/1.1 103 Early Hints\r\nLink: l\r\n\r\n" * 99
    head, rest = read(pieces(interim + OK + b"A: b\r\n\r\nbody", size))
    assert (head.status, head.fields, rest) == (200, {b"a": (b"b",)}, b"body")


def test_no_repr_shows_a_field():
    assert "secret" not in repr(head_of(OK + b"Set-Cookie: id=secret\r\n\r\n"))


@pytest.mark.parametrize(
    ("lines", "length"),
    [
        (b"", None),
        (b"Content-Length: 0\r\n", 0),
        (b"Content-Length: \t5 \r\n", 5),
        (b"Content-Length: 5, 5\r\n", 5),
        (b"Content-Length: 5\r\nContent-Length: 5\r\n", 5),
        (b"Content-Length: 7,007 ,  7\r\ncontent-length: 7\r\n", 7),
        (b"Content-Length: 123456789012345678901234567890\r\n", 123456789012345678901234567890),
    ],
)
def test_a_content_length(lines, length):
    head = head_of(OK + lines + b"\r\n")
    assert (head.length, head.chunked) == (length, False)


@pytest.mark.parametrize(
    "value",
    [
        *(
            b"",
            b"-1",
            b"+5",
            b"0x5",
            b"5.0",
            b"5 5",
            b"5;",
            b"five",
            b"1_000",
            b"\xb2",
            b"0" * 5000,
        ),
        *(b"5,", b",5", b"5,,5", b"5, 6", b"5\r\nContent-Length: 6", b"5, -5", b"9" * 5000),
        *(b"5\r\nContent-Length:", b"1e3", b"5\x0b", b"'5'"),
    ],
)
def test_a_content_length_that_is_no_length_is_no_answer(value):
    error = error_of(OK + b"Content-Length: " + value + b"\r\n\r\n")
    assert error.text == NO_ANSWER
    assert len(error.detail) < 200


@pytest.mark.parametrize(
    "lines",
    [
        b"Transfer-Encoding: chunked\r\n",
        b"transfer-encoding:\tChunked \r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked, chunked\r\n",
        b"Transfer-Encoding: identity, Chunked\r\n",
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: nonsense\r\n",
        b"Content-Length: 5\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n",
    ],
)
def test_chunks_win_over_a_length(lines):
    head = head_of(OK + lines + b"\r\n")
    assert (head.length, head.chunked) == (None, True)


@pytest.mark.parametrize(
    "value",
    [
        *(b"gzip", b"gzip, chunked", b"chunked, gzip", b"identity, gzip", b"identity;q=1"),
        *(b"chunked;q=1", b"xchunked", b"chunked\r\nTransfer-Encoding: gzip"),
    ],
)
def test_another_transfer_coding_is_no_answer(value):
    error = error_of(OK + b"Transfer-Encoding: " + value + b"\r\nContent-Length: 5\r\n\r\n")
    assert error.text == NO_ANSWER


@pytest.mark.parametrize("value", [b"identity", b" Identity\t", b"", b"identity, ,identity"])
def test_an_identity_in_transfer_encoding_is_no_coding(value):
    head = head_of(OK + b"Transfer-Encoding: " + value + b"\r\nContent-Length: 5\r\n\r\n")
    assert (head.length, head.chunked) == (5, False)


HEADS = st.builds(
    lambda *parts: b"".join(parts),
    st.sampled_from([b"", b"HTTP/1.1 100 C\r\n\r\n", b"HTTP/1.1 103 E\r\nA: b\r\n\r\n", b"\r\n"]),
    st.sampled_from([OK, b"HTTP/1.0 404\n", b"HTTP/1.1 302 F\r\n", b"SSH-2.0-x\r\n"]),
    st.lists(
        st.one_of(
            st.sampled_from([b"A: b\r\n", b"A : b\n", b" fold\r\n", b"bad\r\n", b"B: \r\n"]),
            st.sampled_from([b"Content-Length: 5\r\n", b"Content-Length: x\r\n", b"C: d\re\r\n"]),
            st.sampled_from([b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: x\r\n"]),
            st.binary(max_size=8),
        ),
        max_size=5,
    ).map(b"".join),
    st.sampled_from([b"\r\n", b"\n", b""]),
    st.binary(max_size=20),
)


@given(HEADS, CUTS)
def test_the_pieces_make_no_difference(data, cuts):
    assert outcome(cut(data, cuts)) == outcome([data])


@given(st.binary(max_size=200) | st.binary(max_size=200).map(lambda data: OK + data), CUTS)
def test_nothing_raises_anything_but_fetch_failed(data, cuts):
    outcome(cut(data, cuts))


def test_heads_are_values():
    fields = {b"a": (b"b",)}
    assert ResponseHead(200, fields) == ResponseHead(200, fields)
    with pytest.raises(AttributeError):
        ResponseHead(200, fields).status = 404

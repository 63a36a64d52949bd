"""Where bodies end, and what is no end, in pieces of any size."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.pieces import CUTS, SIZES, cut, pieces
from twisted_oob.errors import FetchFailed
from twisted_oob.files.framing import framing
from twisted_oob.files.response_head import ResponseHead

NO_ANSWER = "no proper answer from the server"
EARLY = "the file ended early"
UNKNOWN = "the server does not say where the file ends"

CHUNKS = ResponseHead(200, {b"transfer-encoding": (b"chunked",)})
TO_THE_CLOSE = ResponseHead(200, {})
END = b"0\r\n\r\n"


def sized(length):
    return ResponseHead(200, {b"content-length": (b"%d" % length,)})


def payload(head, parts):
    """Gives the framing after these parts, and the payload in them."""
    frames = framing(head)
    return frames, b"".join([bytes(frames.feed(part)) for part in parts])


def outcome(head, parts):
    """Gives what can be compared: payload, end and small pieces, or what is wrong."""
    try:
        frames, got = payload(head, parts)
    except FetchFailed as error:
        return error.text
    return got, frames.ended, frames.pieces


def error_at_close(head, data, *, properly):
    frames, _ = payload(head, [data])
    with pytest.raises(FetchFailed) as caught:
        frames.closed(properly=properly)
    assert not frames.ended
    return caught.value


def test_a_declared_length_is_where_the_body_ends():
    for size in SIZES:
        frames, got = payload(sized(5), pieces(b"hello, and what nobody asked for", size))
        assert got == b"hello"
        assert frames.ended
        frames.closed(properly=False)


def test_a_length_of_0_has_ended_before_it_begins():
    frames, _ = payload(sized(0), [])
    assert frames.ended
    assert bytes(frames.feed(b"more")) == b""


@pytest.mark.parametrize("properly", [True, False])
def test_a_body_shorter_than_declared_ended_early(properly):
    error = error_at_close(sized(10), b"hell", properly=properly)
    assert (error.text, error.detail) == (EARLY, "4 of 10 bytes came")
    assert error_at_close(sized(1), b"", properly=properly).detail == "0 of 1 byte came"


def test_a_large_piece_is_not_copied():
    data = b"x" * 65_536
    assert framing(sized(100_000)).feed(data) is data


def test_without_a_length_the_body_ends_with_close_notify():
    frames, got = payload(TO_THE_CLOSE, [b"hel", b"lo"])
    assert got == b"hello"
    assert not frames.ended
    frames.closed(properly=True)
    assert frames.ended


def test_without_a_length_and_close_notify_nobody_knows_the_end():
    assert error_at_close(TO_THE_CLOSE, b"hello", properly=False).text == UNKNOWN


@pytest.mark.parametrize(
    "data",
    [
        b"5\r\nhello\r\n6\r\n world\r\n" + END,
        b"0005\r\nhello\r\n00000000000000000000006\r\n world\r\n000\r\n\r\n",
        b"B\r\nhello world\r\n" + END,
        b"b\r\nhello world\r\n" + END,
        # White space that must be taken: RFC 9112 section 7.1.1, RFC 9110 section 5.6.3.
        b"5 \r\nhello\r\n6\t \t\r\n world\r\n0 \r\n\r\n",
        b"5 ;a=b\r\nhello\r\n6\t; c\r\n world\r\n0 ;x\r\n\r\n",
        b'5;a=b ; c = "d;e\xff\\""\r\nhello\r\n6;\r\n world\r\n' + END,
        b"5;" + b"x" * 1000 + b"\r\nhello\r\n6\r\n world\r\n" + END,
        b"b\r\nhello world\r\n0\r\nA: b\r\nC:\r\n d\r\n\r\n",
        b"b\r\nhello world\r\n0\r\nA: " + b"b" * 60_000 + b"\r\n\n",
        b"b\r\nhello world\r\n" + END + b"what nobody asked for",
    ],
)
def test_chunks(data):
    for size in SIZES:
        frames, got = payload(CHUNKS, pieces(data, max(size, len(data) // 500)))
        assert got == b"hello world"
        assert frames.ended
        frames.closed(properly=False)


@pytest.mark.parametrize("size", [0, 1, 511, 512, 65_536, 300_000])
@pytest.mark.parametrize("read", [100, 65_536])
def test_chunks_of_any_size(size, read):
    content = bytes(range(256)) * (size // 256 + 1)
    chunk = b"%x\r\n%b\r\n" % (size, content[:size])
    data = chunk * 3 + END if size else END
    frames, got = payload(CHUNKS, pieces(data, read))
    assert got == content[:size] * 3
    assert frames.ended
    assert frames.pieces == (3 if 0 < size < 512 else 0)


@pytest.mark.parametrize(
    "data",
    [
        *(b"nonsense", b"x\r\n", b"-5\r\n", b"+5\r\n", b"0x5\r\n", b" 5\r\n", b"\r\n5\r\n", b"\n"),
        *(b"5 x\r\n", b"5 5\r\n", b"5,\r\n", b"5.0\r\n", b"5_0\r\n", b";a\r\n", b"\xb2\r\n"),
        # A line ends with CRLF, and nothing but its content may hold what looks like an end.
        *(b"5\nhello", b"5\r5", b"5;a\nhello", b"5;a\rb\r\n", b"5;\0\r\n", b"5\x0b\r\n"),
        *(b"3\r\nfour", b"3\r\nabc\n3", b"3\r\nabc\rx", b"3\r\nabc3\r\n", b"3\r\nabc\r\n\r\n"),
        *(b"1" * 101 + b"\r\n", b"5;" + b"x" * 1100, b"5" + b" " * 1100 + b"\r\n"),
        *(b"0\r\nnonsense\r\n", b"0\r\nA: b\r\nnonsense\r\n", b"0\r\nA: b\rc\r\n", b"0\r\n\0\r\n"),
        b"HTTP/1.1 200 OK\r\n",
    ],
)
def test_malformed_chunks_are_no_answer_as_soon_as_they_can_be_seen(data):
    for size in SIZES:
        with pytest.raises(FetchFailed) as caught:
            payload(CHUNKS, pieces(b"2\r\nok\r\n" + data, size))
        assert caught.value.text == NO_ANSWER


@pytest.mark.parametrize("data", [b"0\r\nA: " + b"b" * 70_000, b"0\r\n" + b"A: b\r\n" * 20_000])
def test_trailers_are_bounded(data):
    with pytest.raises(FetchFailed) as caught:
        payload(CHUNKS, pieces(data, 1000))
    assert caught.value.text == "the server's headers are too long"
    assert caught.value.detail.endswith("after the body")


WHOLE = b"5 ;x=y\r\nhello\r\n1\r\n!\r\n0\r\nA: b\r\n\r\n"


@pytest.mark.parametrize("properly", [True, False])
def test_chunks_without_their_end_ended_early_wherever_they_did(properly):
    for size in range(len(WHOLE)):
        assert error_at_close(CHUNKS, WHOLE[:size], properly=properly).text == EARLY


BODIES = st.lists(
    st.one_of(
        st.binary(min_size=1, max_size=20).map(lambda data: b"%x\r\n%b\r\n" % (len(data), data)),
        st.sampled_from([b"3 ;a\r\nabc\r\n", b"2;\r\nab\r\n", b"1\na\r\n", b"2\r\nabc", b"0\r\n"]),
        st.sampled_from([END, b"A: b\r\n", b"\r\n", b"\n", b"nonsense", b"5;" + b"e" * 1100]),
        st.binary(max_size=6),
    ),
    max_size=8,
).map(b"".join)


@given(st.sampled_from([CHUNKS, TO_THE_CLOSE, sized(0), sized(20)]), BODIES, CUTS)
def test_the_pieces_make_no_difference(head, data, cuts):
    assert outcome(head, cut(data, cuts)) == outcome(head, [data])


@given(st.lists(st.binary(min_size=1, max_size=600), max_size=5), CUTS)
def test_what_was_put_into_chunks_comes_out(contents, cuts):
    data = b"".join([b"%X;x\r\n%b\r\n" % (len(content), content) for content in contents])
    small = sum(len(content) < 512 for content in contents)
    assert outcome(CHUNKS, cut(data + END, cuts)) == (b"".join(contents), True, small)


def test_long_extensions_are_paid_for():
    frames = framing(CHUNKS)
    frames.feed(b"1;a=b\r\nx")
    assert frames.pieces == 1
    frames.feed(b"\r\n1;%b\r\nx" % (b"a" * 1000))
    assert frames.pieces > 5

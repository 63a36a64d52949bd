"""Lines before and behind a body: their ends, and how long they may be."""

from __future__ import annotations

import pytest

from tests.support.pieces import SIZES, pieces
from twisted_oob.errors import FetchFailed
from twisted_oob.files.header_lines import HeaderLines

KIB = 1024
LINE = b"x" * 64 * KIB


def lines_of(data, size=10_000_000, limit=256 * KIB):
    lines, taken = HeaderLines(limit, "here"), []
    for piece in pieces(data, size):
        lines.feed(piece)
        while (line := lines.next()) is not None:
            taken.append(line)
    return taken, lines.rest


@pytest.mark.parametrize("size", SIZES)
def test_lines_end_with_lf_and_a_cr_before_it_is_no_content(size):
    data = b"a b\r\nc\n\r\n\n  d: e\xff\t\r\nrest\r"
    assert lines_of(data, size) == ([b"a b", b"c", b"", b"", b"  d: e\xff\t"], b"rest\r")


@pytest.mark.parametrize("line", [b"a\rb\r\n", b"a\r\r\n", b"\0\n", b"a\0b\n"])
def test_no_line_has_a_cr_or_nul_within(line):
    for size in SIZES:
        with pytest.raises(FetchFailed) as caught:
            lines_of(b"good\r\n" + line, size)
        assert caught.value.text == "no proper answer from the server"
        assert caught.value.detail == "a CR or NUL in a line here"


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("size", [255, 65_537, 1_000_000])
def test_a_line_of_64_kib_is_taken_and_a_longer_one_is_not(end, size):
    assert lines_of(LINE + end, size) == ([LINE], b"")
    for longer in (LINE + b"x" + end, LINE + b"xx", LINE * 5):
        with pytest.raises(FetchFailed) as caught:
            lines_of(longer, size)
        assert caught.value.text == "the server's headers are too long"
        assert caught.value.detail == "more than 65536 bytes in a line here"


@pytest.mark.parametrize("size", [7, 1_000_000])
def test_all_lines_together_are_bounded(size):
    data = b"x" * 60 + b"\r\n"
    taken, _ = lines_of(data * 16, size, limit=1000)
    assert len(taken) == 16
    for more in (data, b"x" * 20, b"\n" * 20):
        with pytest.raises(FetchFailed) as caught:
            lines_of(data * 16 + more, size, limit=1000)
        assert caught.value.text == "the server's headers are too long"
        assert caught.value.detail == "more than 1000 bytes here"


def test_lines_are_counted():
    taken, _ = lines_of(b"\n" * 5000)
    assert len(taken) == 5000
    for size in (1, 100_000):
        with pytest.raises(FetchFailed) as caught:
            lines_of(b"\n" * 5001, size)
        assert caught.value.text == "the server's headers are too long"
        assert caught.value.detail == "more than 5000 lines here"

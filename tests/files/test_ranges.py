"""Ranges that are asked for, and what several of them have covered."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_oob.files import ranges
from twisted_oob.files.ranges import Coverage, RangeNotSatisfiable, asked_range

WHOLE = None
NOTHING = "416"


def asked(text, size):
    try:
        return asked_range([text], size)
    except RangeNotSatisfiable:
        return NOTHING


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"bytes=0-", range(100)),
        (b"bytes=0-0", range(1)),
        (b"bytes=0-99", range(100)),
        (b"bytes=0-100", range(100)),
        (b"bytes=0-99999999999999999999999999", range(100)),
        (b"bytes=10-19", range(10, 20)),
        (b"bytes=99-", range(99, 100)),
        (b"bytes=99-99", range(99, 100)),
        (b"bytes=00000000000000000000000000005-06", range(5, 7)),
        (b"bytes=-1", range(99, 100)),
        (b"bytes=-100", range(100)),
        (b"bytes=-101", range(100)),
        (b"BYTES=1-2", range(1, 3)),
        (b"bytes = 1-2", range(1, 3)),
        (b"bytes=,1-2 ,", range(1, 3)),
        # Nothing of it exists.
        (b"bytes=100-", NOTHING),
        (b"bytes=100-200", NOTHING),
        (b"bytes=-0", NOTHING),
        (b"bytes=" + b"9" * 5000 + b"-", NOTHING),
        # Several, another unit, or no range at all.
        (b"bytes=0-1,5-6", WHOLE),
        (b"bytes=0-1,200-", WHOLE),
        (b"items=0-1", WHOLE),
        (b"bytes", WHOLE),
        (b"bytes=", WHOLE),
        (b"bytes=-", WHOLE),
        (b"bytes=5-4", WHOLE),
        (b"bytes=--5", WHOLE),
        (b"bytes=5--", WHOLE),
        (b"bytes=+5-6", WHOLE),
        (b"bytes=0x5-6", WHOLE),
        (b"bytes=5-6x", WHOLE),
        (b"bytes=5 -6", WHOLE),
        ("bytes=٣-٤".encode(), WHOLE),
        (b"", WHOLE),
    ],
)
def test_a_range_of_100_bytes(text, expected):
    assert asked(text, 100) == expected


def test_several_lines_are_several_ranges():
    assert asked_range([b"bytes=0-1", b"bytes=5-6"], 100) is WHOLE


@pytest.mark.parametrize(
    ("text", "expected"),
    [(b"bytes=0-", NOTHING), (b"bytes=0-0", NOTHING), (b"bytes=-0", NOTHING), (b"bytes=-5", WHOLE)],
)
def test_a_range_of_an_empty_file(text, expected):
    assert asked(text, 0) == expected


@given(st.binary(max_size=30) | st.from_regex(rb"bytes=[0-9,-]*", fullmatch=True), st.integers(0))
def test_whatever_is_asked_what_is_sent_exists(text, size):
    part = asked(text, size)
    if part not in (WHOLE, NOTHING):
        assert 0 <= part.start < part.stop <= size


parts = st.tuples(st.integers(0, 50), st.integers(0, 50)).map(lambda pair: range(*sorted(pair)))


@given(st.lists(parts))
def test_coverage_is_a_set_of_positions(added):
    coverage, positions = Coverage(50), set()
    for part in added:
        coverage.add(part)
        positions.update(part)
        assert coverage.count == len(positions)
        assert coverage.whole is (len(positions) == 50)


def test_what_is_cleared_is_forgotten():
    coverage = Coverage(10)
    coverage.add(range(10))
    coverage.clear()
    assert not coverage.whole
    coverage.add(range(9))
    assert coverage.count == 9


def test_nothing_is_all_of_an_empty_file():
    assert Coverage(0).whole


def test_crumbs_do_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr(ranges, "_MOST_SPANS", 10)
    coverage = Coverage(1000)
    for position in range(0, 22, 2):
        coverage.add(range(position, position + 1))
    assert coverage.count == 0
    coverage.add(range(1000))
    assert coverage.whole

"""Sizes, times and names as people read them."""

from __future__ import annotations

import pytest

from twisted_oob._shown import human_rate, human_size, human_time, shown_name


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (1234, "1.2 kB"),
        (99_949, "99.9 kB"),
        (99_950, "100 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (500_000_000, "500 MB"),
        (1 << 30, "1.1 GB"),
        (10**18, "1.0 EB"),
        (10**22, "10000 EB"),
    ],
)
def test_a_size_for_people(size, text):
    assert human_size(size) == text
    assert human_rate(size) == f"{text}/s"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (0.44, "0.4 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (185, "3 min 5 s"),
        (3599.7, "1 h 0 min"),
        (7440, "2 h 4 min"),
    ],
)
def test_a_time_for_people(seconds, text):
    assert human_time(seconds) == text


def test_a_long_name_is_cut_at_its_beginning():
    assert shown_name("a" * 100 + ".pdf") == "…" + "a" * 75 + ".pdf"
    assert shown_name("a" * 76 + ".pdf") == "a" * 76 + ".pdf"

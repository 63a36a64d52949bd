"""When a server wants to be asked again."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twisted_oob.files.retry_after import retry_after

NOW = 784_111_777.0  # Sun, 06 Nov 1994 08:49:37 GMT, as in RFC 9110 section 5.6.7
LATER = b"Sun, 06 Nov 1994 08:50:07 GMT"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"0", 0),
        (b"30", 30),
        (b"007", 7),
        (b"999999999999", 999_999_999_999),
        (b"9" * 10_000, math.inf),
        (LATER, 30),
        (b"Sunday, 06-Nov-94 08:50:07 GMT", 30),
        (b"Sun Nov  6 08:50:07 1994", 30),
        (b"Sun, 06 Nov 1994 08:49:07 GMT", 0),
        (b"Thu, 01 Jan 1970 00:00:00 GMT", 0),
        (b"Fri, 31 Dec 9999 23:59:59 GMT", 253_402_300_799 - NOW),
        (b"Sun, 06 Nov 1994 09:50:07 +0100", 30),
        (b"Sun, 06 Nov 1994 08:49:60 GMT", 23),
    ],
)
def test_what_is_valid(value, seconds):
    assert retry_after(value, date=None, now=NOW) == seconds


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"-1",
        b"+1",
        b"1.5",
        b"1e3",
        b"0x10",
        b"1, 2",
        "\u0663".encode(),
        b"soon",
        b"06 Nov 1994",
        b"Sun, 32 Nov 1994 08:50:07 GMT",
        b"Sun, 06 Nov 1994 25:50:07 GMT",
        b"Sun, 06 Nov 1994 08:50:61 GMT",
        b"Sun, 06 Nov 99999 08:50:07 GMT",
        LATER + b" " * 100,
        b"\xff" + LATER,
    ],
)
def test_what_is_not_valid_is_no_wish(value):
    assert retry_after(value, date=None, now=NOW) is None


@pytest.mark.parametrize("now", [0.0, NOW, NOW + 10**6])
def test_a_server_whose_clock_is_wrong_is_understood_by_its_own_time(now):
    assert retry_after(LATER, date=b"Sun, 06 Nov 1994 08:49:47 GMT", now=now) == 20
    assert retry_after(b"5", date=LATER, now=now) == 5


def test_a_time_that_is_not_valid_is_ours():
    assert retry_after(LATER, date=b"noon", now=NOW) == 30


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=45) | st.text("0123456789 :,-+GMTNovSun", max_size=45).map(str.encode))
def test_anything_is_read(value):
    wait = retry_after(value, date=value, now=NOW)
    assert wait is None or wait >= 0

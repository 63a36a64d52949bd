"""SASLprep of query strings (RFC 4013)."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_oob.xmpp.saslprep import saslprep


@pytest.mark.parametrize(
    ("text", "prepared"),
    [
        # RFC 4013 section 3.
        ("I\u00adX", "IX"),
        ("user", "user"),
        ("USER", "USER"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        # Spaces, and what is mapped to nothing.
        ("a\u00a0b\u3000c\u2003d", "a b c d"),
        ("a\u200d\ufe0fb", "ab"),
        ("\u00ad", ""),
        ("", ""),
        # What Unicode 3.2 does not know.
        ("😀", "😀"),
        ("ẞ", "ẞ"),
        ("\u0221", "\u0221"),
        ("\U0001f9d1\u200d\U0001f680", "\U0001f9d1\U0001f680"),
        # One direction of writing, and digits.
        ("\u0627\u0628\u0629", "\u0627\u0628\u0629"),
        ("\u06271\u0628", "\u06271\u0628"),
        ("\u0627😀\u0628", "\u0627😀\u0628"),
    ],
)
def test_what_looks_the_same_becomes_the_same(text, prepared):
    assert saslprep(text) == prepared


@pytest.mark.parametrize(
    "text",
    [
        "\u0007",  # RFC 4013 section 3
        "\u06271",  # the same
        "a\0b",
        "\x7f",
        "\x85",
        "\ue000",
        "\U0010fffd",
        "\ufffe",
        "\ud800",
        "\ufff9",
        "\u2ff0",
        "\u202e",
        "\U000e0001",
        "1\u0627",
        "\u0627a\u0627",
        "a\u0627",
    ],
    ids=ascii,
)
@pytest.mark.parametrize("around", ["{}", "😀{}😀"])
def test_what_is_prohibited_is_an_error_that_does_not_show_it(text, around):
    with pytest.raises(ValueError, match=r"^it (has a character|mixes directions)") as caught:
        saslprep(around.format(text))
    assert text not in str(caught.value)


@given(st.text())
def test_what_is_prepared_stays_as_it_is(text):
    try:
        prepared = saslprep(text)
    except ValueError:
        return
    assert saslprep(prepared) == prepared
    assert unicodedata.ucd_3_2_0.normalize("NFKC", prepared) == prepared

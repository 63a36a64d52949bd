"""Which URLs name the same file."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_oob.protocol.same_file import file_key

SAME = [
    "https://h.example/a%C3%BC(b).pdf?c=d",
    "HTTPS://H.EXAMPLE/a%c3%bc(b).pdf?c=d",
    "https://h.example:443/%61%C3%BC%28b%29.pdf?c=d",
    "https://h.example:/a%C3%BC(b)%2Epdf?c=d#page=2",
]
OTHERS = [
    "http://h.example/a%C3%BC(b).pdf?c=d",
    "https://h.example:8443/a%C3%BC(b).pdf?c=d",
    "https://u@h.example/a%C3%BC(b).pdf?c=d",
    "https://U@h.example/a%C3%BC(b).pdf?c=d",
    "https://h.example/A%C3%BC(b).pdf?c=d",
    "https://h.example/a%C3%BC(b).pdf?c=D",
    "https://h.example/a%C3%BC(b).pdf%3Fc=d",
    "https://h.example/a%C3%BC(b).pdf",
    "ftp://h.example/a%C3%BC(b).pdf?c=d",
    "ftp://H.example/a%C3%BC(b).pdf?c=d",
]


def test_the_same_file_in_other_words():
    assert len({file_key(url) for url in SAME}) == 1


def test_other_files():
    keys = [file_key(url) for url in (SAME[0], *OTHERS)]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://h.example", "https://h.example/"),
        ("https://h.example?a", "https://h.example/?a"),
        ("http://h.example:80", "http://h.example"),
        ("https://[2001:DB8::1]:443/", "https://[2001:db8::1]/"),
    ],
)
def test_what_a_url_may_leave_out(one, other):
    assert file_key(one) == file_key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://h.example/a;v=1", "https://h.example/a%3Bv=1"),
        ("https://h.example/?a=1;b=2", "https://h.example/?a=1%3bb=2"),
    ],
)
def test_a_semicolon_separates_unless_it_is_encoded(one, other):
    assert file_key(one) != file_key(other)


def test_all_but_http_is_the_same_only_if_it_is_equal():
    assert file_key("aesgcm://h.example/a#1") != file_key("aesgcm://h.example/a#2")


@given(st.text())
def test_no_text_makes_it_fail(text):
    file_key(text)
    assert file_key(file_key(f"https://h.example/{text}")) == file_key(f"https://h.example/{text}")

"""Requests, byte for byte."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twisted_oob.files.policy import FetchPolicy
from twisted_oob.files.redirects import next_hop
from twisted_oob.files.request import ended, first_lines, get_head
from twisted_oob.files.urls import read_url


def test_a_get():
    target = read_url("https://juliet:capulet@files.example:8443//a/b;c?d#e")
    assert get_head(target, user_agent="x/1 (+https://x.example)", cookie=b"a=\xfc; b=c") == (
        b"GET //a/b;c?d HTTP/1.1\r\n"
        b"Host: files.example:8443\r\n"
        b"User-Agent: x/1 (+https://x.example)\r\n"
        b"Connection: close\r\n"
        b"Accept: */*\r\n"
        b"Accept-Encoding: identity\r\n"
        b"Authorization: Basic anVsaWV0OmNhcHVsZXQ=\r\n"
        b"Cookie: a=\xfc; b=c\r\n"
        b"\r\n"
    )


def test_neither_credentials_nor_cookies_are_sent_without_any():
    sent = get_head(read_url("http://files.example"), user_agent="x")
    assert sent.startswith(b"GET / HTTP/1.1\r\nHost: files.example\r\n")
    assert b"Authorization" not in sent
    assert b"Cookie" not in sent


def test_other_methods_begin_alike():
    target = read_url("https://files.example/a?")
    assert ended([*first_lines(b"PUT", target, "x/1"), b"Content-Length: 0"]) == (
        b"PUT /a? HTTP/1.1\r\n"
        b"Host: files.example\r\n"
        b"User-Agent: x/1\r\n"
        b"Connection: close\r\n"
        b"Content-Length: 0\r\n"
        b"\r\n"
    )


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://files.example/", "files.example"),
        ("http://files.example:80/", "files.example"),
        ("https://files.example:443/", "files.example"),
        ("http://files.example:443/", "files.example:443"),
        ("https://files.example:80/", "files.example:80"),
        ("http://u:p@FILES.example.:81/", "files.example.:81"),
        ("http://[2001:DB8::1]/", "[2001:db8::1]"),
        ("https://[2001:db8::1]:8443/", "[2001:db8::1]:8443"),
        ("https://bücher.example/", "xn--bcher-kva.example"),
        ("https://192.0.2.1:444/", "192.0.2.1:444"),
    ],
)
def test_the_host_is_that_of_the_url(url, host):
    for target in (read_url(url), read_url(read_url(url).url)):
        lines = get_head(target, user_agent="x").split(b"\r\n")
        assert [line for line in lines if line.startswith(b"Host:")] == [b"Host: " + host.encode()]


# What a URL's path and query may hold (RFC 3986 section 3.3 and 3.4), with what some readers tidy.
_PIECES = st.sampled_from(
    [*"aZ09-._~!$&'()*+,;=:@/", "//", "/./", "/../", ";", "%7e", "%2F", "%2e", "http://h/", "[|]{}"]
)
_PATHS = st.lists(_PIECES).map("".join)
_QUERIES = st.none() | st.lists(_PIECES | st.just("?")).map("".join)
_FRAGMENTS = st.none() | st.lists(_PIECES | st.sampled_from("?#")).map("".join)


def asked(target):
    """Give the request target in the bytes that go over the wire (RFC 9112 section 3)."""
    line = get_head(target, user_agent="x").partition(b"\r\n")[0].decode("ascii")
    method, request_target, version = line.split(" ")
    assert (method, version) == ("GET", "HTTP/1.1")
    return request_target


@settings(deadline=None, max_examples=300)
@given(
    st.sampled_from(["http://h", "https://u:p@h:8443", "HTTP://[::1]", "http://bücher.example"]),
    _PATHS,
    _QUERIES,
    _FRAGMENTS,
)
def test_what_is_asked_is_the_urls_own_request_target(before, path, query, fragment):
    rooted = f"/{path}" if path else ""
    own = (rooted or "/") + ("" if query is None else f"?{query}")
    after = "" if fragment is None else f"#{fragment}"
    url = before + rooted + ("" if query is None else f"?{query}") + after
    target = read_url(url)
    assert asked(target) == own
    assert target.url.endswith(own)
    assert read_url(target.url).path == own
    # A redirect may only resolve dot segments.
    if "/." not in rooted:
        following = next_hop(FetchPolicy(), read_url("http://other/x"), url.encode(), 1)
        assert asked(following) == own

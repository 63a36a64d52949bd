"""Cookies: what goes back to the server that set them, and what does not."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twisted_oob.files.cookies import Cookies
from twisted_oob.files.response_head import ResponseHead
from twisted_oob.files.urls import read_url

NOW = 1_700_000_000  # 14 November 2023, 22:13:20
HERE = read_url("https://a.example/dir/file?x=/y/z")


def head(*fields):
    return ResponseHead(302, {b"set-cookie": fields})


def taken(*fields, target=HERE):
    cookies = Cookies(lambda: NOW)
    cookies.take(target, head(*fields))
    return cookies


@pytest.mark.parametrize(
    ("field", "sent"),
    [
        (b"a=b", b"a=b"),
        (b" a = b ; Secure; HttpOnly; SameSite=Lax", b"a=b"),
        (b"a=", b"a="),
        (b'a="b c"', b'a="b c"'),
        (b"a=b=c", b"a=b=c"),
        (b"a=b,c=d", b"a=b,c=d"),
        (b"a=\xc3\xbc\xfc", b"a=\xc3\xbc\xfc"),
        (b"a=b\tc", b"a=b\tc"),
        (b"a=b;;=;Nothing;Version=1", b"a=b"),
        (b"a", None),
        (b"=b", None),
        (b"", None),
        (b";a=b", None),
        (b"a=b\0c", None),
        (b"a=b\x7fc", None),
        (b"a=" + b"b" * 4095, b"a=" + b"b" * 4095),
        (b"a=" + b"b" * 4096, None),
    ],
)
def test_a_pair_goes_back_as_it_came(field, sent):
    assert taken(field).header(HERE) == sent


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("https://a.example/dir/other", True),
        ("https://A.example:443/dir/", True),
        ("https://u:p@a.example/dir/x", True),
        ("http://a.example/dir/x", False),
        ("https://a.example:8443/dir/x", False),
        ("https://b.example/dir/x", False),
        ("https://sub.a.example/dir/x", False),
        ("https://example/dir/x", False),
    ],
)
@pytest.mark.parametrize("more", [b"", b"; Domain=a.example", b"; domain=.A.Example"])
def test_a_cookie_goes_to_its_own_origin_only(more, url, sent):
    assert taken(b"a=b" + more).header(read_url(url)) == (b"a=b" if sent else None)


@pytest.mark.parametrize(
    ("domain", "kept"),
    [
        (b"a.example", True),
        (b"example", True),
        (b"", True),
        (b"b.example", False),
        (b"sub.a.example", False),
        (b"xample", False),
    ],
)
def test_a_cookie_for_others_is_ignored(domain, kept):
    assert taken(b"a=b; Domain=" + domain).header(HERE) == (b"a=b" if kept else None)


def test_an_international_host_sets_cookies():
    there = read_url("https://bücher.example./")
    cookies = taken(b"a=b; Domain=xn--bcher-kva.example", target=there)
    assert cookies.header(there) == b"a=b"


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_secure_cookie_is_only_taken_over_https(scheme):
    there = read_url(f"{scheme}://a.example/")
    assert taken(b"a=b; SECURE", target=there).header(there) == (
        b"a=b" if scheme == "https" else None
    )


@pytest.mark.parametrize(
    ("asked", "path", "later", "sent"),
    [
        # Section 5.1.4: the default is the folder of what was asked for.
        ("/dir/file", None, "/dir/x", True),
        ("/dir/file", None, "/dir", True),
        ("/dir/file", None, "/dirt", False),
        ("/dir/file", None, "/", False),
        ("/dir/", None, "/dir/sub/x", True),
        ("/file", None, "/x/y", True),
        ("/file?a=/b/c", None, "/x", True),
        ("?a=/b/c", None, "/x", True),
        ("//a", None, "//b", True),
        ("//a", None, "/b", True),
        ("/dir//a", None, "/dir//b", True),
        ("/dir//a", None, "/dir/b", True),
        # One that the server tells.
        ("/file", b"/other", "/other/x", True),
        ("/file", b"/other", "/other?x", True),
        ("/file", b"/other", "/others", False),
        ("/file", b"/other/", "/other", False),
        ("/file", b"/other/", "/other/x", True),
        ("/file", b"/", "/x", True),
        ("/dir/file", b"", "/x", False),
        ("/dir/file", b"other", "/dir/x", True),
        ("/dir/file", b"/a; Path=/b", "/b", True),
        ("/dir/file", b"/a; Path=/b", "/a", False),
    ],
)
def test_the_path_says_what_a_cookie_is_for(asked, path, later, sent):
    more = b"" if path is None else b"; Path=" + path
    cookies = taken(b"a=b" + more, target=read_url(f"http://a.example{asked}"))
    assert cookies.header(read_url(f"http://a.example{later}")) == (b"a=b" if sent else None)


@pytest.mark.parametrize(
    ("more", "kept"),
    [
        (b"Max-Age=1", True),
        (b"max-age=" + b"9" * 10_000, True),
        (b"Max-Age=0", False),
        (b"Max-Age=00", False),
        (b"Max-Age=-1", False),
        (b"Max-Age=-" + b"9" * 10_000, False),
        (b"Max-Age=", True),
        (b"Max-Age=soon", True),
        (b"Max-Age=+0", True),
        (b"Max-Age=5; Expires=Thu, 01 Jan 1970 00:00:00 GMT", True),
        (b"Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0", False),
        (b"Max-Age=0; Max-Age=5", True),
        # Section 5.1.1.
        (b"Expires=Thu, 01 Jan 1970 00:00:00 GMT", False),
        (b"expires=Thu, 01-Jan-70 00:00:01 GMT", False),
        (b"Expires=Thu Jan  1 00:00:00 1970", False),
        (b"Expires=00:00:00 1970 january 1st", False),
        (b"Expires=Tue, 14 Nov 2023 22:13:20 GMT", False),
        (b"Expires=Tue, 14 Nov 2023 22:13:21 GMT", True),
        (b"Expires=Tue, 14-Nov-23 22:13:19 GMT", False),
        (b"Expires=Fri, 31 Dec 9999 23:59:59 GMT", True),
        (b"Expires=Sat, 01 Jan 2069 00:00:00 GMT", True),
        (b"Expires=Thu, 01-Jan-69 00:00:00 GMT", True),
        (b"Expires=Fri, 01 Jan 1600 00:00:00 GMT", True),
        (b"Expires=Mon, 30 Feb 1970 00:00:00 GMT", True),
        (b"Expires=Thu, 01 Jan 1970 24:00:00 GMT", True),
        (b"Expires=Thu, 01 Jan 1970", True),
        (b"Expires=0", True),
        (b"Expires=-1", True),
        (b"Expires=", True),
    ],
    ids=lambda value: ascii(value)[:50],
)
def test_a_cookie_that_is_over_is_removed(more, kept):
    cookies = taken(b"a=old")
    cookies.take(HERE, head(b"a=new; " + more))
    assert cookies.header(HERE) == (b"a=new" if kept else None)


def test_only_the_same_cookie_is_removed():
    cookies = taken(b"a=1", b"a=2; Path=/", b"b=3", b"A=4")
    cookies.take(read_url("http://a.example/dir/file"), head(b"a=; Max-Age=0"))
    cookies.take(HERE, head(b"a=; Max-Age=0", b"c=; Max-Age=0"))
    assert cookies.header(HERE) == b"b=3; A=4; a=2"


def test_longer_paths_come_first_then_older_cookies():
    cookies = taken(b"a=1; Path=/", b"b=2; Path=/dir/file", b"c=3", b"d=4; Path=/", b"e=5")
    cookies.take(HERE, head(b"a=6; Path=/", b"c=7"))
    assert cookies.header(HERE) == b"b=2; c=7; e=5; a=6; d=4"


def test_a_head_without_cookies_changes_nothing():
    cookies = taken(b"a=1")
    cookies.take(HERE, ResponseHead(200, {}))
    assert cookies.header(HERE) == b"a=1"


def test_the_newest_fifty_are_kept():
    cookies = taken(*(b"n%d=" % number for number in range(60)))
    assert cookies.header(HERE) == b"; ".join(b"n%d=" % number for number in range(10, 60))


@pytest.mark.parametrize(("size", "sent"), [(4092, 8192), (4093, 4095)])
def test_at_most_eight_kibibytes_are_sent(size, sent):
    cookies = taken(b"a1=" + b"x" * 4092, b"a2=" + b"x" * size, b"a3=" + b"x" * 4000)
    assert cookies.header(HERE).startswith(b"a1=x")
    assert len(cookies.header(HERE)) == sent


def test_many_cookies_take_no_time():
    began = time.process_time()
    cookies = taken(
        *(b"n%d=" % number for number in range(20_000)),
        b"a=b" + b";" * 60_000,
        b"a=b; expires=" + b"1 " * 30_000,
        b"a=b; expires=" + b"1" * 60_000,
        b"a=b; domain=" + b"." * 60_000,
        b"a=b; path=" + b"/" * 60_000,
        b"a" * 60_000,
    )
    cookies.header(HERE)
    assert time.process_time() - began < 1


@settings(deadline=None)
@given(st.lists(st.binary(), max_size=5), st.binary())
def test_nothing_that_comes_can_break_out_of_the_header(fields, more):
    cookies = taken(*fields, b"a=b;" + more, b"expires=" + more, b"a=b; expires=" + more)
    sent = cookies.header(HERE)
    assert sent is None or not set(sent) & {*range(9), *range(10, 32), 127}

"""Which URLs, redirects and answers a policy accepts."""

from __future__ import annotations

import base64
import ipaddress
from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_oob.errors import FetchFailed, Forbidden, TooLarge
from twisted_oob.files.policy import REDIRECTS, FetchPolicy
from twisted_oob.files.urls import read_url

POLICY = FetchPolicy()


# --- the policy itself


def test_defaults():
    policy = FetchPolicy()
    assert policy.max_size == 100_000_000
    assert policy.allow_networks == ()
    assert policy.max_redirects == 5
    assert policy.timeout == 600.0
    assert policy.stall_timeout == 30.0


MAPPED = str(IPv6Address("::ffff:1.2.3.4"))  # Pythons differ in how they write it


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_size", 0),
        ("max_size", -1),
        ("max_size", 1.5),
        ("max_size", True),
        ("max_size", None),
        ("max_redirects", -1),
        ("max_redirects", 2.0),
        ("timeout", 0),
        ("timeout", -1.0),
        ("timeout", float("inf")),
        ("timeout", float("nan")),
        ("timeout", "5"),
        ("stall_timeout", 0),
        ("stall_timeout", None),
        ("allow_networks", "127.0.0.0/8"),
        ("allow_networks", ("127.0.0.0/8",)),
        ("allow_networks", [ipaddress.ip_network("127.0.0.0/8")]),
        ("allow_networks", ipaddress.ip_network("127.0.0.0/8")),
    ],
)
def test_a_policy_that_cannot_be_meant_is_refused(name, value):
    with pytest.raises(ValueError, match=rf"{name} must be .* not "):
        FetchPolicy(**{name: value})


# --- URLs


@pytest.mark.parametrize(
    ("url", "host", "port", "path", "again"),
    [
        ("http://a.example", "a.example", 80, "/", "http://a.example/"),
        ("HTTP://A.Example:80/x#part", "a.example", 80, "/x", "http://a.example/x"),
        ("https://a.example/x?y=1#z", "a.example", 443, "/x?y=1", "https://a.example/x?y=1"),
        ("http://a.example?y", "a.example", 80, "/?y", "http://a.example/?y"),
        ("http://a.example:/", "a.example", 80, "/", "http://a.example/"),
        ("https://a.example:80/", "a.example", 80, "/", "https://a.example:80/"),
        ("http://a.example:8080//x", "a.example", 8080, "//x", "http://a.example:8080//x"),
        ("http://a_b.example./", "a_b.example.", 80, "/", "http://a_b.example./"),
        ("http://[::FFFF:1.2.3.4]/", MAPPED, 80, "/", f"http://[{MAPPED}]/"),
        ("http://2130706433/", "2130706433", 80, "/", "http://2130706433/"),
        ("http://a.example/ü", "a.example", 80, "/%C3%BC", "http://a.example/%C3%BC"),
    ],
)
def test_urls(url, host, port, path, again):
    target = read_url(url)
    assert (target.host, target.port, target.path, target.url) == (host, port, path, again)
    assert target.authorization is None


@pytest.mark.parametrize(
    "url",
    [
        "",
        "file:///etc/passwd",
        "ftp://a.example/",
        "gopher://a.example/",
        "xmpp:romeo@montague.example",
        "//a.example/",
        "/x",
        "http:/x",
        "http:x",
        "http://",
        "http:///x",
        "http://:80/",
        "http://user@/",
        "http://a.example:x/",
        "http://a.example:99999/",
        "http://a.example:-1/",
        "http://a.example:0/",
        "http://a b/",
        "http://a.example/a b",
        " http://a.example/",
        "http://a.example/\r\nX: y",
        "http://a.example/\0",
        "http://a..example/",
        "http://.example/",
        f"http://{'a' * 64}.example/",
        f"http://{'a.' * 130}example/",
        "http://%31%32%37.0.0.1/",
        "http://bücher.example/",
        "http://\uff11\uff12\uff17.0.0.1/",
        "http://a.example\\@b.example/",
        "http://a;b/",
        "http://[::1/",
        "http://[fe80::1%25eth0]/",
        "http://[v1.x]/",
        "http://[127.0.0.1]/",
    ],
)
def test_other_urls_are_forbidden(url):
    with pytest.raises(Forbidden):
        read_url(url)


@pytest.mark.parametrize("tail", ["a.example/", "[::1", "a b/", "a.example:x/", "a.example:0/", ""])
@pytest.mark.parametrize("scheme", ["http", "ftp"])
def test_no_error_repeats_the_userinfo(scheme, tail):
    url = f"{scheme}://juliet:capulet@{tail}"
    try:
        target = read_url(url)
    except Forbidden as error:
        told = f"{error} {error!r} {error.text} {error.detail} {error.__cause__}"
    else:
        told = f"{target} {target!r} {target.url}"
    assert "capulet" not in told


@pytest.mark.parametrize(
    ("userinfo", "pair"),
    [
        ("juliet:capulet", b"juliet:capulet"),
        ("juliet", b"juliet:"),
        (":capulet", b":capulet"),
        ("j%40m:%3A%C3%BC", "j@m::ü".encode()),
        ("a@b:c", b"a@b:c"),
    ],
)
def test_userinfo_becomes_basic_credentials(userinfo, pair):
    target = read_url(f"http://{userinfo}@a.example/")
    assert target.authorization == b"Basic " + base64.b64encode(pair)
    assert target.url == "http://a.example/"


@given(st.text())
def test_reading_a_url_never_fails_in_another_way(text):
    for url in (text, f"http://{text}", f"http://a.example/{text}"):
        try:
            target = read_url(url)
        except Forbidden:
            continue
        assert read_url(target.url).url == target.url
        assert target.url.isascii()


# --- redirects

HERE = read_url("https://juliet:capulet@a.example/dir/file?x=1")


@pytest.mark.parametrize(
    ("location", "url", "keeps_credentials"),
    [
        (b"/other", "https://a.example/other", True),
        (b"other", "https://a.example/dir/other", True),
        (b"?y=2", "https://a.example/dir/file?y=2", True),
        (b"../up#part", "https://a.example/up", True),
        (b"  https://a.example:443/x \t", "https://a.example/x", True),
        (b"https://A.EXAMPLE/x", "https://a.example/x", True),
        (b"https://a.example:444/x", "https://a.example:444/x", False),
        (b"//b.example/x", "https://b.example/x", False),
        (b"https://b.example/x", "https://b.example/x", False),
        (b"https://sub.a.example/x", "https://sub.a.example/x", False),
        (b"/with space", "https://a.example/with%20space", True),
        ("/ü".encode(), "https://a.example/%C3%BC", True),
        (b"/\xfc", "https://a.example/%FC", True),
        (b"\\\\b.example/", "https://a.example/dir/%5C%5Cb.example/", True),
    ],
)
def test_redirects(location, url, keeps_credentials):
    following = POLICY.next_hop(HERE, location, 1)
    assert following.url == url
    assert following.authorization == (HERE.authorization if keeps_credentials else None)


def test_credentials_are_not_carried_from_http_to_https():
    here = read_url("http://juliet:capulet@a.example/")
    assert POLICY.next_hop(here, b"https://a.example/", 1).authorization is None


def test_a_redirect_may_bring_its_own_credentials():
    following = POLICY.next_hop(HERE, b"https://romeo:montague@b.example/", 1)
    assert following.authorization == b"Basic " + base64.b64encode(b"romeo:montague")


@pytest.mark.parametrize(
    "location",
    [
        b"http://a.example/x",
        b"http://b.example/x",
        b"ftp://a.example/x",
        b"file:///etc/passwd",
        b"javascript:alert(1)",
        b"https://[::1/",
        b"//[",
        b"https://b\xfc.example/",
        b"https://a.example:0/",
    ],
)
def test_redirects_are_judged_like_first_urls(location):
    with pytest.raises(Forbidden) as caught:
        POLICY.next_hop(HERE, location, 1)
    assert "capulet" not in caught.value.detail


@pytest.mark.parametrize("location", [None, b"", b"  "])
def test_a_redirect_needs_a_location(location):
    with pytest.raises(FetchFailed, match="without a Location"):
        POLICY.next_hop(HERE, location, 1)


@pytest.mark.parametrize("most", [0, 1, 5])
def test_only_so_many_redirects(most):
    policy = FetchPolicy(max_redirects=most)
    for hop in range(1, most + 1):
        policy.next_hop(HERE, b"/x", hop)
    with pytest.raises(FetchFailed, match="too many redirects"):
        policy.next_hop(HERE, b"/x", most + 1)


@given(st.binary())
def test_following_a_redirect_never_fails_in_another_way(location):
    try:
        following = POLICY.next_hop(HERE, location, 1)
    except (Forbidden, FetchFailed):
        return
    assert following.scheme == "https"


# --- answers


@pytest.mark.parametrize("status", [201, 202, 203, 204, 205, 206, 300, 304, 305, 401, 404, 500])
def test_only_200_is_a_file(status):
    assert status not in REDIRECTS
    with pytest.raises(FetchFailed) as caught:
        POLICY.check_answer(status, [], 1)
    assert caught.value.text == f"HTTP status {status}"


def test_redirect_statuses():
    assert {301, 302, 303, 307, 308} == REDIRECTS


@pytest.mark.parametrize(
    ("encodings", "allowed"),
    [
        ([], True),
        ([b""], True),
        ([b"identity"], True),
        ([b"Identity ", b"identity"], True),
        ([b"gzip"], False),
        ([b"identity, gzip"], False),
        ([b"identity", b"br"], False),
        ([b"aes128gcm"], False),
    ],
)
def test_content_encodings(encodings, allowed):
    if allowed:
        POLICY.check_answer(200, encodings, None)
    else:
        with pytest.raises(FetchFailed, match="Content-Encoding"):
            POLICY.check_answer(200, encodings, None)


def test_a_file_of_exactly_the_limit_is_accepted():
    policy = FetchPolicy(max_size=10)
    policy.check_answer(200, [], 10)
    policy.check_size(10)
    with pytest.raises(TooLarge):
        policy.check_answer(200, [], 11)
    with pytest.raises(TooLarge):
        policy.check_size(11)


def test_a_negative_length_is_no_answer():  # Twisted 22 lets it through
    with pytest.raises(FetchFailed, match="length -1"):
        POLICY.check_answer(200, [], -1)

"""Which URLs can be fetched, and what is in them."""

from __future__ import annotations

import base64
import dataclasses
from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.fetching import told_by
from twisted_oob.errors import Forbidden
from twisted_oob.files.urls import Target, path_of, percent_encoded, quoted, read_url

MAPPED = str(IPv6Address("::ffff:1.2.3.4"))  # Pythons differ in how they write it


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
        ("http://a.example:0080/x", "a.example", 80, "/x", "http://a.example/x"),
        ("http://a.example/ü", "a.example", 80, "/%C3%BC", "http://a.example/%C3%BC"),
        ("http://a.example/\ud800", "a.example", 80, "/%ED%A0%80", "http://a.example/%ED%A0%80"),
    ],
)
def test_urls(url, host, port, path, again):
    target = read_url(url)
    assert (target.host, target.port, target.path, target.url) == (host, port, path, again)
    assert target.authorization is None
    assert target.origin == (url.partition(":")[0].lower(), host, port)


@pytest.mark.parametrize(
    ("written", "target"),
    [
        ("", "/"),
        ("/", "/"),
        ("#f", "/"),
        ("?", "/?"),
        ("?#", "/?"),
        ("?q", "/?q"),
        ("?q/r?s", "/?q/r?s"),
        ("//a/b", "//a/b"),
        ("///", "///"),
        ("/a//b///", "/a//b///"),
        ("/a;", "/a;"),
        ("/a;x?y", "/a;x?y"),
        ("/a;x=1;y/b;z", "/a;x=1;y/b;z"),
        ("/a?", "/a?"),
        ("/a?#f", "/a?"),
        ("/a#", "/a"),
        ("/a#f", "/a"),
        ("/a#f?g/h#i", "/a"),
        ("/a?b?c", "/a?b?c"),
        ("/a?b#c?d", "/a?b"),
        ("/%7e", "/%7e"),
        ("/%7E%2f%2E%2e", "/%7E%2f%2E%2e"),
        ("/%", "/%"),
        ("/./a/../b/.", "/./a/../b/."),
        ("/..//x", "/..//x"),
        ("/a:b@c", "/a:b@c"),
        ("/http://b.example/c", "/http://b.example/c"),
        ("/a|b[1]{2}\"<3>`^'", "/a|b[1]{2}\"<3>`^'"),
        ("/ü?ü=ü#ü", "/%C3%BC?%C3%BC=%C3%BC"),
        ("/\x85\u2028", "/%C2%85%E2%80%A8"),
    ],
)
@pytest.mark.parametrize("before", ["http://a.example", "HTTPS://u:p@[::1]:8443"])
def test_the_path_and_query_stay_as_they_are_written(before, written, target):
    assert read_url(before + written).path == target


@pytest.mark.parametrize(
    ("host", "ascii_host"),
    [
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.Example", "xn--bcher-kva.example"),
        ("bu\u0308cher.example", "xn--bcher-kva.example"),
        ("bücher.example.", "xn--bcher-kva.example."),
        ("bücher\u3002example\uff61", "xn--bcher-kva.example."),
        ("\uff26\uff29\uff2c\uff25.Example", "file.example"),
        ("日本語\uff0ejp", "xn--wgv71a119e.jp"),
        ("faß.example", "xn--fa-hia.example"),
        ("пример.испытание", "xn--e1afmkfd.xn--80akhbyknj4f"),
        ("XN--BCHER-KVA.example", "xn--bcher-kva.example"),
        ("a_b.ü", "a_b.xn--tda"),
        # In percent-encoded UTF-8 (RFC 3986 section 3.2.2).
        ("b%C3%BCcher.example", "xn--bcher-kva.example"),
        ("%C3%9c.B%c3%9cCHER%E3%80%82example", "xn--tda.xn--bcher-kva.example"),
        ("%D0%BF%D1%80\u0438\u043c\u0435\u0440.example", "xn--e1afmkfd.example"),
        ("%EF%BC%91%EF%BC%92%EF%BC%97.0.0.1", "127.0.0.1"),
        ("\uff11\uff12\uff17.0.0.1", "127.0.0.1"),
        ("127\u30020\uff0e0\uff611", "127.0.0.1"),
        ("\u2460\u2461\u2466.0.0.1", "127.0.0.1"),
        ("\uff10x7\uff26.1", "0x7f.1"),
        ("\uff12\uff11\uff13\uff10\uff17\uff10\uff16\uff14\uff13\uff13", "2130706433"),
    ],
)
def test_international_hosts_become_a_labels(host, ascii_host):
    target = read_url(f"https://ü:ü@{host}:8443/ü")
    assert target.host == ascii_host
    assert target.authority == f"{ascii_host}:8443"
    assert target.authorization == b"Basic " + base64.b64encode("ü:ü".encode())


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
        "http://a.example:65536/",
        "http://a.example:99999/",
        f"http://a.example:{'9' * 5000}/",
        "http://a.example:+80/",
        "http://a.example:\uff18\uff10/",
        "http://a.example:80:80/",
        "http://a.example:-1/",
        "http://a.example:0/",
        "http://a.example:000/",
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
        "http://f%69les.example/",
        "http://b\u00fccher%2Eexample/",
        "http://b%FCcher.example/",
        "http://b%C3cher.example/",
        "http://b%C0%AEexample/",
        "http://a.example%EF%BC%8Fb.example/",
        "http://a.example%EF%BC%A0b.example/",
        "http://%EF%BC%853127.example/",
        "http://%E2%80%AE.example/",
        "http://b\ud800cher.example/",
        "http://b\u202echer.example/",
        "http://\u2100.example/",
        "http://a.example\uff0fb.example/",
        "http://a.example\uff20b.example/",
        "http://a\uff1a80/",
        "http://ü..example/",
        f"http://{'ü' * 60}.example/",
        f"http://{'ü.' * 5000}example/",
        "http://\uff3b::1\uff3d/",
        "http://a.example\\@b.example/",
        "http://a;b/",
        "http://[::1/",
        "http://[fe80::1%25eth0]/",
        "http://[v1.x]/",
        "http://[127.0.0.1]/",
        "http://[::1]x/",
        "http://[::ü]/",
        "http://x[::1]/",
    ],
)
def test_other_urls_are_forbidden(url):
    with pytest.raises(Forbidden):
        read_url(url)


@pytest.mark.parametrize(
    "tail",
    ["a.example/", "[::1", "a b/", "a.example:x/", "a.example:0/", "a.example:25/", "ü..b/", ""],
)
@pytest.mark.parametrize("scheme", ["http", "ftp"])
def test_no_error_repeats_the_userinfo(scheme, tail):
    url = f"{scheme}://juliet:capulet@{tail}"
    try:
        target = read_url(url)
    except Forbidden as error:
        told = told_by(error)
    else:
        told = f"{target} {target!r} {target.url}"
    assert "capulet" not in told
    assert base64.b64encode(b"juliet:capulet").decode() not in told


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


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("a" * 63, True),
        ("a" * 64, False),
        (f"x.{'a' * 63}", True),
        (f"x.{'a' * 64}", False),
        (f"{'a.' * 126}aa", True),
        (f"{'a.' * 126}a.", True),
        (f"{'a.' * 126}aa.", False),
        (f"{'a.' * 126}aaa", False),
        ("-", True),
        ("_", True),
        ("9", True),
        (".", False),
        ("a..", False),
        ("a+b", False),
        ("a~b", False),
    ],
)
def test_host_names(host, allowed):
    if allowed:
        assert read_url(f"http://{host}/").host == host
    else:
        with pytest.raises(Forbidden):
            read_url(f"http://{host}/")


@pytest.mark.parametrize("port", [2, 80, 81, 443, 8080, 65535])
@pytest.mark.parametrize(("scheme", "usual"), [("http", 80), ("https", 443)])
def test_only_the_usual_port_is_not_written(scheme, usual, port):
    target = read_url(f"{scheme}://a.example:{port}/x")
    assert target.port == port
    assert target.url == f"{scheme}://a.example{'' if port == usual else f':{port}'}/x"


@pytest.mark.parametrize("character", [*map(chr, range(0x21)), "\x7f", "\\"])
def test_no_character_is_dropped_or_read_in_two_ways(character):
    for url in (
        f"http://a.example/x{character}y",
        f"{character}http://a.example/",
        f"http://a{character}",
    ):
        with pytest.raises(Forbidden) as caught:
            read_url(url)
        assert caught.value.detail == "a space, backslash or control character in the URL"


@pytest.mark.parametrize(
    ("url", "text", "detail"),
    [
        ("http://a.example:0/", "this is not a URL that can be fetched", "port 0"),
        ("http://a.example:22/", "this port is not allowed", "browsers block port 22 (ssh)"),
        ("http://a..example/", "this is not a URL that can be fetched", "host name 'a..example'"),
        ("http://[fe80::1%25x]/", "this is not a URL that can be fetched", "IPv6 address "),
        (
            "http://[::1",
            "this is not a URL that can be fetched",
            "the URL's host or port is malformed",
        ),
        ("ftp://a.example/", "only http and https are allowed", "scheme 'ftp'"),
        ("file", "only http and https are allowed", "scheme ''"),
    ],
)
def test_what_is_told_of_a_url(url, text, detail):
    with pytest.raises(Forbidden) as caught:
        read_url(url)
    assert caught.value.text == text
    told = caught.value.detail
    assert told.startswith(detail) if detail.endswith(" ") else told == detail


@pytest.mark.parametrize(
    "url",
    [f"{'s' * 10_000}://a/", f"http://{'h' * 10_000}/", f"http://[::1%25{'z' * 10_000}]/"],
    ids=["scheme", "host", "zone"],
)
def test_a_long_url_is_told_in_part(url):
    with pytest.raises(Forbidden) as caught:
        read_url(url)
    assert len(caught.value.detail) < 500


def test_only_what_may_stand_in_a_url_is_left_as_it_is():
    every = bytes(range(256))
    kept = bytes(range(0x21, 0x7F)).replace(b"\\", b"")
    encoded = "".join(chr(byte) if byte in kept else f"%{byte:02X}" for byte in every)
    assert percent_encoded(every) == encoded


@pytest.mark.parametrize("text", ["x" * 1000, b"x" * 1000, "short", b""])
def test_what_is_quoted_is_cut(text):
    assert quoted(text) == repr(text[:100])


def test_a_target_never_changes():
    target = read_url("http://a.example/")
    with pytest.raises(dataclasses.FrozenInstanceError):
        target.host = "b.example"
    assert not hasattr(target, "__dict__")


def test_each_part_of_a_target_is_named():
    with pytest.raises(TypeError):
        Target("http", "a.example", 80, "/")


def test_the_repr_has_neither_credentials_nor_query():
    shown = repr(read_url("https://juliet:capulet@a.example:444/dir/file?sig=secret#key"))
    assert shown == "Target('https://a.example:444/dir/file')"


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("https://a.example/dir//a;b?c#d", "/dir//a;b"),
        ("https://[V1.x]/a", "/a"),
        ("https://[::1/a", "/a"),
        ("https://a.example:port", ""),
        ("ftp:ü \ud800", "%C3%BC%20%ED%A0%80"),
        ("", ""),
    ],
)
def test_any_url_has_a_path(url, path):
    assert path_of(url) == path

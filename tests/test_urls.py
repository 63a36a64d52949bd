"""URLs: what goes over the wire of one that somebody wrote, and what of it anybody may see."""

from __future__ import annotations

import re
from contextlib import suppress
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from twisted_oob._urls import MAX_URL_LENGTH, shown_text, shown_url, to_uri
from twisted_oob.files.urls import read_url

# What is sent: a URI

CHANGED = [
    # White space around it.
    (" https://h/a\n", "https://h/a"),
    ("\r\n\t https://h/a \t\r\n", "https://h/a"),
    ("\u00a0\u2003https://h/a\u3000\u2028\x85", "https://h/a"),
    # Spaces, and what only URLs of the web hold.
    ("https://h/my holiday.jpg", "https://h/my%20holiday.jpg"),
    ("https://h/a\u00a0b", "https://h/a%C2%A0b"),
    ("https://h/a|b", "https://h/a%7Cb"),
    ("https://h/a[1].png", "https://h/a%5B1%5D.png"),
    ('https://h/"<>\\^`{}', "https://h/%22%3C%3E%5C%5E%60%7B%7D"),
    ("https://h/?a[]=1|2&b=c d", "https://h/?a%5B%5D=1%7C2&b=c%20d"),
    ("https://h/#a|b#c", "https://h/#a%7Cb%23c"),
    # A percent sign that encodes nothing.
    ("https://h/100%", "https://h/100%25"),
    ("https://h/100% of it.png", "https://h/100%25%20of%20it.png"),
    ("https://h/%4g%41%%41?%#%", "https://h/%254g%41%25%41?%25#%25"),
    # Other scripts.
    ("https://h/\u00fc\u00df", "https://h/%C3%BC%C3%9F"),
    ("https://h/u\u0308", "https://h/u%CC%88"),
    ("https://h/\U0001f600?q=\u65e5#\u202e", "https://h/%F0%9F%98%80?q=%E6%97%A5#%E2%80%AE"),
    ("https://\u00fc:\u00e4@h/", "https://%C3%BC:%C3%A4@h/"),
    ("mailto:\u00fc@h", "mailto:%C3%BC@h"),
    ("aesgcm://h/\u00fc#00ff", "aesgcm://h/%C3%BC#00ff"),
    # Hosts.
    ("https://b\u00fccher.example/", "https://xn--bcher-kva.example/"),
    ("https://BU\u0308CHER.example:8443/A", "https://xn--bcher-kva.example:8443/A"),
    ("https://fa\u00df.example", "https://xn--fa-hia.example"),
    ("https://u:p@\u65e5\u672c\u8a9e\u3002jp/", "https://u:p@xn--wgv71a119e.jp/"),
    ("https://\uff48.example/", "https://h.example/"),
    ("https://i\u2764.example/", "https://xn--i-7iq.example/"),
    ("aesgcm://\u00fc.example/", "aesgcm://xn--tda.example/"),
]


@pytest.mark.parametrize(("url", "uri"), CHANGED, ids=ascii)
def test_a_url_becomes_a_uri(url, uri):
    assert to_uri(url) == uri


@pytest.mark.parametrize("uri", sorted({uri for _, uri in CHANGED}))
def test_a_uri_stays_as_it_is(uri):
    assert to_uri(uri) == uri


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("", "blank"),
        (" \n\u3000", "blank"),
        *((f"https://h/a{one}b", "which no URL can hold") for one in "\0\t\n\r\x1b\x7f\x85\ud800"),
        ("https://h/\x1f", "which no URL can hold"),
        ("\x0bhttps://h/", "which no URL can hold"),
        ("files.example/a", "scheme"),
        ("see https://h/", "scheme"),
        ("\u00fc://h/", "scheme"),
        ("https:// /", "user, host or port"),
        ("https://a b/", "user, host or port"),
        ("https://a|b/", "user, host or port"),
        ("https://a%/", "two hexadecimal digits"),
        ("https://a@b@h/", "user, host or port"),
        ("https://a\\@h/", "user, host or port"),
        ("https://h\\a", "user, host or port"),
        ("https://h:8o/", "user, host or port"),
        ("https://[::1]a/", "user, host or port"),
        ("https://[::1\u00fc]/", "no domain name"),
        ("https://[1::2::3]/\u00fc", "no IPv6 address"),
        # What would become another part of the URL.
        ("https://\u2100.example/", "no domain name"),
        ("https://good.example\uff20evil.example/", "no domain name"),
        ("https://good.example\uff0fevil.example/", "no domain name"),
        ("https://\u00fc..example/", "no domain name"),
        ("https://a\u202eb.example/", "no domain name"),
        ("https://" + "\u00fc" * 64 + ".example/", "no domain name"),
        ("https://" + "\u00fc." * 200 + "example/", "no domain name"),
        ("https:///\u00fc", "no host"),
        ("http:\u00fc", "no host"),
        ("https://?\u00fc", "no host"),
        ("https://h/".ljust(MAX_URL_LENGTH, "a") + "b", "8193 characters"),
        ("https://h/" + "\u00fc" * 1400, "8410 characters"),
    ],
    ids=lambda text: ascii(text)[:30],
)
def test_nothing_else_is_a_url(url, told):
    with pytest.raises(ValueError, match=told):
        to_uri(url)


def test_eight_kibibytes_are_the_most():
    longest = "https://h/" + "%C3%BC" * 1363
    longest = longest.ljust(MAX_URL_LENGTH, "a")
    assert to_uri(longest.replace("%C3%BC", "\u00fc")) == longest
    assert to_uri(f"\n {longest} \n") == longest


# RFC 3986 appendix B, and what each part of a URI may hold.
_APPENDIX_B = re.compile(r"([^:/?#]+):(?://([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#(.*))?")
_SUB = r"A-Za-z0-9\-._~!$&'()*+,;="
_PATH = re.compile(rf"(?:[{_SUB}:@/]|%[0-9A-Fa-f]{{2}})*")
_QUERY = re.compile(rf"(?:[{_SUB}:@/?]|%[0-9A-Fa-f]{{2}})*")
_AUTHORITY = re.compile(
    rf"(?:(?:[{_SUB}:]|%[0-9A-Fa-f]{{2}})*@)?"
    rf"(?:\[[0-9A-Fa-f:.]+\]|\[[vV][0-9A-Fa-f]+\.[{_SUB}:]+\]|(?:[{_SUB}]|%[0-9A-Fa-f]{{2}})*)"
    r"(?::[0-9]*)?"
)


def is_uri(text):
    parts = _APPENDIX_B.fullmatch(text)
    if parts is None:
        return False
    scheme, authority, path, query, fragment = parts.groups(default="")
    return bool(
        re.fullmatch("[A-Za-z][A-Za-z0-9+.-]*", scheme)
        and _AUTHORITY.fullmatch(authority)
        and _PATH.fullmatch(path)
        and _QUERY.fullmatch(query)
        and _QUERY.fullmatch(fragment)
    )


PIECES = st.sampled_from(
    [
        *"aZ0-._~!$&'()*+,;=:@/?#[]%|\\\"<>^`{} \u00fc\u3002\uff0f\U0001f600",
        "%41",
        "%zz",
        "//",
        "::1",
    ]
)
ANY_URL = st.builds(
    "{}{}{}".format,
    st.sampled_from(["", " ", "\n"]),
    st.sampled_from(["https:", "https://", "HTTP://h/", "x:", "aesgcm://h.example/", ""]),
    st.lists(PIECES | st.characters(), max_size=12).map("".join),
)


@settings(deadline=None, max_examples=500)
@given(ANY_URL)
@example("https://\u00df@\u00df:80/\u00df?\u00df#\u00df")
def test_whatever_is_made_is_a_uri_and_made_of_itself(text):
    try:
        uri = to_uri(text)
    except ValueError:
        assert not is_uri(text) or text.lower().startswith("http") or "[" in text
        return
    assert is_uri(uri)
    assert len(uri) <= MAX_URL_LENGTH
    assert to_uri(uri) == uri
    if is_uri(text):
        assert uri == text


@settings(deadline=None)
@given(
    st.sampled_from(["files.example", "b\u00fccher.example", "\u65e5\u672c.example:8443"]),
    st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="?#%"), max_size=30),
)
def test_the_path_that_somebody_wrote_is_the_one_that_is_asked_for(host, name):
    name = name.strip()
    target = read_url(to_uri(f"https://{host}/a/{name}"))
    assert target.path == "/a/" + quote(name, safe="/:@!$&'()*+,;=~")
    assert target.host.isascii()


# What is shown

SHOWN = [
    ("https://files.example/a.png", "https://files.example/a.png"),
    ("https://files.example:8443/a", "https://files.example:8443/a"),
    ("https://[::1]:80/a", "https://[::1]:80/a"),
    ("https://h", "https://h"),
    ("https://u:secret@h/a", "https://h/a"),
    ("https://secret@h", "https://h"),
    ("https://a:secret@b:secret@h/", "https://h/"),
    ("https://h/@user/a@b", "https://h/@user/a@b"),
    ("https://h/a?token=secret", "https://h/a"),
    ("https://h/a#secret", "https://h/a"),
    ("https://h/a?a@b#secret", "https://h/a"),
    ("https://h?secret", "https://h"),
    ("aesgcm://h/a#secret", "aesgcm://h/a"),
    # A password with characters that end a host.
    ("https://u:sec/ret@h/a", "https://u"),
    ("https://u:sec?ret@h/a", "https://u"),
    ("https://u:sec#ret@h/a", "https://u"),
    ("https://[u:sec/ret@h/", "https://[u"),
    # As browsers read it.
    ("https:/u:secret@h/a", "https:/h/a"),
    ("https:u:secret@h/a", "https:h/a"),
    ("https:\\\\u:secret@h\\a", "https:\\\\h\\a"),
    ("https:///u:secret@h/", "https:///h/"),
    # No scheme, or another one.
    ("//u:secret@h/a", "//h/a"),
    ("u:secret@h/a", "u:h/a"),
    ("h/a?secret", "h/a"),
    ("\u00fc https://u:secret@h/a", "\u00fc https://h/a"),
    ("https://h/https://u:secret@h2/a", "https://h/https://h2/a"),
    ("mailto:someone@files.example?body=secret", "mailto:files.example"),
    ("urn:uuid:f81d4fae-7dec", "urn:uuid:f81d4fae-7dec"),
    ("magnet:?xt=secret", "magnet:"),
    ("", ""),
    ("?secret", ""),
    # What would forge a line, or the terminal.
    ("https://h/a\nroot logged in", "https://h/a\ufffdroot logged in"),
    ("https://h/\x1b[2J\u202e\x85\ud800", "https://h/\ufffd[2J\ufffd\ufffd\ufffd"),
]


@pytest.mark.parametrize(("url", "shown"), SHOWN, ids=ascii)
def test_scheme_host_and_path_are_shown(url, shown):
    assert shown_url(url) == shown


def test_two_hundred_characters_are_shown():
    url = "https://h/".ljust(10_000, "a")
    assert shown_url(url) == url[:200]
    assert shown_text("a" * 10_000) == "a" * 200
    assert len(shown_text("a " * 50 + url)) <= 200


@settings(deadline=None)
@given(ANY_URL | st.text())
def test_whatever_is_shown_is_one_line(text):
    for shown in (shown_url(text), shown_text(text)):
        assert shown.isprintable()
        assert len(shown) <= 200
        assert "?" not in shown
        assert "#" not in shown


SECRETS = st.text(st.sampled_from("s3\u00fc.-~:;=!&%"), max_size=8).map("s{}cret".format)


@settings(deadline=None)
@given(
    st.sampled_from(["https", "http", "aesgcm", "x"]),
    SECRETS,
    st.sampled_from(["h", "h:80", "[::1]", "\u00fc.example"]),
    st.sampled_from(["{u}@{h}/a", "{h}/a?{u}", "{h}/a#{u}", "{h}?a={u}#{u}", "a:{u}@b:{u}@{h}/"]),
    st.sampled_from(["", "see ", "a: ", "<", "\n"]),
)
def test_no_secret_is_shown(scheme, secret, host, form, before):
    url = f"{scheme}://{form.format(u=secret, h=host)}"
    for shown in (shown_url(url), shown_text(before + url), shown_url(before + url)):
        assert secret not in shown
        assert "cret" not in shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("A cat", "A cat"),
        ("A cat\nof mine", "A cat\ufffdof mine"),
        ("see https://h/a?x=secret", "see https://h/a"),
        ("see https://u:secret@h/a and https://u:secret@h/b", "see https://h/a and https://h/b"),
        ("see https://h/?x=a secret", "see https://h/"),
        ("u:secret@h/a", "u:h/a"),
        ("see user:a secret@h/a", "see user:h/a"),
        ("bob: https://bob:secret@h/a", "bob: https://h/a"),
    ],
)
def test_a_text_is_shown_up_to_the_secrets_of_its_url(text, shown):
    assert shown_text(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "alice@example.org is not in your contact list",
        "no such user: <alice@example.org>",
        "alice@example.org/oob: gone",
        "b\u00fccher@\u00fc.example: not now, ask carol@example.org",
        "127.0.0.1:5347: alice@example.org is not known there",
    ],
)
def test_addresses_in_a_text_are_whole(text):
    assert shown_text(text) == text


LONG = ["/" * 8192, "a" * 8192, ":" * 8192, "@" * 8192, "//a" * 2700, "https://" + "[" * 8192]


@pytest.mark.parametrize("url", LONG, ids=lambda url: url[:9])
def test_long_texts_take_no_time(url):
    for text in (url, url * 100):
        shown_url(text)
        shown_text(text)
        for made in (text, f"https://h/{text}", f"https://{text}", f"https://\u00fc{text}"):
            with suppress(ValueError):
                to_uri(made)


def test_a_host_is_what_everybody_reads():
    for url, _ in CHANGED:
        uri = to_uri(url)
        if "//" in uri:
            assert re.fullmatch("[a-z0-9.-]+", urlsplit(uri).hostname)

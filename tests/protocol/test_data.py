"""OOBData and its XML (XEP-0066 sections 2 and 3, RFC 3986)."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.words.protocols.jabber.jid import JID
from twisted.words.xish import domish

import twisted_oob
from twisted_oob import (
    DISCO_FEATURES,
    NS_IQ_OOB,
    NS_X_OOB,
    InvalidOOBData,
    OOBData,
    url_from_element,
)
from twisted_oob._urls import to_uri
from twisted_oob.protocol.data import oob_payload

# Wokkel's own imports need what importing twisted_oob puts back.
from wokkel.generic import parseXml  # isort: skip


URL = "https://files.example/a.png"
NAMES = {NS_IQ_OOB: "query", NS_X_OOB: "x"}
LONGEST = "https://files.example/".ljust(8192, "a")


def element(children, name="query", namespace=NS_IQ_OOB):
    return parseXml(f"<{name} xmlns='{namespace}'>{children}</{name}>".encode())


def test_constants_are_those_of_the_standard():
    assert NS_IQ_OOB == "jabber:iq:oob"
    assert NS_X_OOB == "jabber:x:oob"
    assert DISCO_FEATURES == ("jabber:iq:oob", "jabber:x:oob")


def test_everything_of_the_contract_is_importable():
    for name in twisted_oob.__all__:
        assert hasattr(twisted_oob, name)


GOOD_URLS = [
    URL,
    LONGEST,
    "HTTP://FILES.EXAMPLE",
    "http://h",
    "http://h:",
    "http://h:8080/",
    "http://h?q",
    "http://h/?q=/?:@",
    "http://h/#f/?:@",
    "http://h//double//slash",
    "http://user@h/",
    "http://user:pass:word@h:80/",
    "http://127.0.0.1/",
    "http://999.999.999.999/",
    "http://[::1]/",
    "http://[2001:DB8::1]:8080/a",
    "http://[::ffff:192.0.2.1]/",
    "http://[v1.fe80::a+en1]/",
    "http://[VF.a]",
    "http://xn--bcher-kva.example/%C3%BC",
    "http://h%41/%2f%2F",
    "http://h/a-._~!$&'()*+,;=:@b",
    "magnet:?xt=urn:btih:c12fe1c06bba254a9dc9f519b335aa7c1367a88a",
    "ftp://ftp.example/pub/a;type=i",
    "urn:isbn:0451450523",
    "mailto:someone@files.example",
    "xmpp:room@chat.example?join",
    "file:///etc/motd",
    "data:,a%20b",
    "a+b-c.1:x",
    "x:",
    "x:/",
    "x://",
    "x:////",
]


# As people and clients write them, and as they go over the wire.
CONVERTED = {
    " " + URL: URL,
    "\n" + URL + "\r\n\t\u3000": URL,
    " " + LONGEST: LONGEST,
    "https://b\u00fccher.example/\u00fc?\u00e4#\u00f6": (
        "https://xn--bcher-kva.example/%C3%BC?%C3%A4#%C3%B6"
    ),
    "https://files.example/a b.png": "https://files.example/a%20b.png",
    "https://files.example/a|b[1].png?x[1]=%": "https://files.example/a%7Cb%5B1%5D.png?x%5B1%5D=%25",
}


BAD_URLS = [
    URL + "\x1f",
    "https://files.example/a\nb",
    "https://files.example/a\x85b",
    "https://files example/",
    "https://files|.example/",
    "https://files.example\\@evil.example/",
    "https://\u2100.example/",
    "",
    " ",
    "\t\n",
    "https://files.example/a\tb",
    "https://files.example/a\x00b",
    "https://files.example/a\x1fb",
    "https://files.example/a\x7fb",
    "https://files.example/\ud800",
    "https://files%2/",
    "https://a@b@files.example/",
    "ftp://a@b@files.example/",
    "ftp://files.example:8o/",
    "https://files.example:80:80/",
    "https://files.example:8o/",
    "//files.example/a",
    "/a/b",
    "a/b:c",
    "files.example",
    "?a:b",
    "#a:b",
    "1http://h/",
    "+a:b",
    "ht_tp://h/",
    ":",
    "://h/",
    "http:",
    "http:/",
    "http://",
    "http:///a",
    "http://?q",
    "http://#f",
    "http://:80/",
    "http://user@/",
    "http://user@:80/",
    "HTTPS:///a",
    "https:files.example",
    "https:/files.example",
    "http://[]/",
    "http://[::1/",
    "http://::1/",
    "http://[::1]a/",
    "http://[1::2::3]/",
    "http://[12345::]/",
    "http://[:::]/",
    "http://[127.0.0.1]/",
    "http://[::1%25eth0]/",
    "http://[v.a]/",
    "http://[v1.]/",
    "ftp://[::z]/",
    LONGEST + "a",
]


@pytest.mark.parametrize("url", GOOD_URLS, ids=lambda url: url[:40])
def test_accepts_absolute_uri(url):
    data = OOBData(url)
    assert (data.url, data.desc, data.sid) == (url, None, None)


@pytest.mark.parametrize(("url", "uri"), CONVERTED.items(), ids=ascii)
def test_a_url_becomes_the_uri_that_is_sent(url, uri):
    assert OOBData(url) == OOBData(uri)
    assert OOBData(url).url == uri
    assert oob_payload(NS_IQ_OOB, url).parts == (("url", uri),)


@pytest.mark.parametrize("url", BAD_URLS, ids=lambda url: ascii(url[:40]))
def test_what_gives_no_absolute_uri_is_invalid(url):
    with pytest.raises(InvalidOOBData, match="url"):
        OOBData(url)


@pytest.mark.parametrize("url", [None, b"http://h/", 1, JID("h")])
def test_url_must_be_a_str(url):
    with pytest.raises(InvalidOOBData, match="url must be a str"):
        OOBData(url)
    with pytest.raises(TypeError, match=f"not {type(url).__name__}"):
        OOBData(url)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("", "blank"),
        ("https://files.example/a\0b", r"U\+0000 at 23"),
        ("https://files%4g/", "'%' needs two"),
        ("https://files example/", "user, host or port"),
        ("https://\u00fc /", "no domain name"),
        ("files.example", "scheme"),
        ("http:///a", "no host"),
        ("http://[::z]/", "user, host or port"),
        ("http://[:::]/", "no IPv6"),
        ("x" * 9000, "9000 characters; at most 8192"),
    ],
)
def test_error_names_what_is_wrong(url, told):
    with pytest.raises(InvalidOOBData, match=told):
        OOBData(url)


@pytest.mark.parametrize("name", ["desc", "sid"])
@pytest.mark.parametrize(
    "text", [*"\0\x08\x0b\x0c\x0e\x1f\ud800\udfff\ufffe\uffff", "a\x0bb\x00", b"bytes", 1]
)
def test_text_that_xml_cannot_hold_is_invalid(name, text):
    with pytest.raises(InvalidOOBData, match=name):
        OOBData(URL, **{name: text})


@pytest.mark.parametrize("url", [*BAD_URLS, "https://user:secret@%/", "secret" * 2000])
def test_error_is_short_and_does_not_repeat_the_url(url):
    with pytest.raises(InvalidOOBData) as caught:
        OOBData(url)
    assert len(str(caught.value)) < 120
    assert "secret" not in str(caught.value)


def test_error_of_a_text_tells_the_first_bad_character_and_where():
    with pytest.raises(InvalidOOBData, match=r"desc has the character U\+000B at 2,"):
        OOBData(URL, "\t\n\x0b\x00")


def test_invalid_data_is_a_value_error():
    assert issubclass(InvalidOOBData, ValueError)


# What a backtracking pattern would need the age of the universe for.
ADVERSARIAL = [
    "a" * 8192,
    "a:" + "@" * 8189 + "\x7f",
    "a:" + ":" * 8189 + "\x7f",
    "http://" + "a" * 8184 + "\x7f",
    "http://" + "a:" * 4092 + "\x00",
    "http://" + "@" * 8185,
    "http://" + "%41" * 2728 + "/\x7f",
    "http://a/" + "/" * 8182 + "\x7f",
    "http://a?" + "?" * 8182 + "[",
    "http://a#" + "#" * 8183,
    "http://a:" + "1" * 8182 + "x",
    "http://[" + ":" * 8183 + "]",
    "http://[" + "1:" * 4091 + "]",
    "http://[v1." + "a:" * 4090 + "/",
    "+" * 8192,
    " " * 8192,
    "http://a/" + "%" * 8183,
]


@pytest.mark.parametrize("url", ADVERSARIAL, ids=lambda url: ascii(url[:12]))
def test_validation_is_linear(url):
    for _ in range(20):
        with pytest.raises(InvalidOOBData):
            OOBData(url)


def test_data_is_frozen():
    data = OOBData(URL)
    with pytest.raises(dataclasses.FrozenInstanceError):
        data.url = "http://other.example/"


@pytest.mark.parametrize(
    "url",
    [
        "ftp://user:secret@h/a",
        "http://secret@h",
        "x://a:secret@?q",
        "https://h/a?token=secret",
        "aesgcm://h/a#secret",
    ],
)
def test_repr_shows_no_secret_of_a_url(url):
    shown = repr(OOBData(url, "a picture", "s1"))
    assert "secret" not in shown
    assert "a picture" in shown


@pytest.mark.parametrize("name", ["desc", "sid"])
def test_repr_shows_no_secret_of_a_url_in_another_text(name):
    for text in ["https://u:secret@h/a", "see https://h/a?x=secret y#secret", "u:secret@h"]:
        assert "secret" not in repr(OOBData(URL, **{name: text}))


def test_repr_shows_scheme_host_port_and_path():
    assert "'https://h:1/user@there'" in repr(OOBData("https://u@h:1/user@there?a@b"))


@pytest.mark.parametrize(("namespace", "name"), NAMES.items())
def test_element_is_that_of_the_standard(namespace, name):
    found = OOBData(URL, "A <b> & c", "s1").to_element(namespace)
    assert found.toXml() == (
        f"<{name} xmlns='{namespace}' sid='s1'><url>{URL}</url>"
        "<desc>A &lt;b&gt; &amp; c</desc></" + name + ">"
    )


@pytest.mark.parametrize("empty", [None, ""])
def test_empty_desc_and_sid_are_left_out(empty):
    data = OOBData(URL, empty, empty)
    assert data == OOBData(URL)
    assert data.to_element(NS_IQ_OOB).toXml() == (
        f"<query xmlns='jabber:iq:oob'><url>{URL}</url></query>"
    )


@pytest.mark.parametrize("namespace", ["jabber:client", "", None, "jabber:iq:OOB"])
def test_another_namespace_is_a_value_error(namespace):
    with pytest.raises(ValueError, match="namespace"):
        OOBData(URL).to_element(namespace)


SUB = "ABCxyz019-._~!$&'()*+,;="
PIECES = st.one_of(
    st.text(st.sampled_from(SUB), max_size=8),
    st.sampled_from(["%20", "%C3%BC", "%2f"]),
)


TEXT = st.lists(PIECES, max_size=4).map("".join)
HOST = st.one_of(
    st.text(st.sampled_from(SUB), min_size=1, max_size=12),
    st.ip_addresses(v=6).map("[{}]".format),
    st.ip_addresses(v=4).map(str),
)


URLS = st.builds(
    "{}://{}{}/{}{}{}".format,
    st.sampled_from(["http", "https", "ftp", "HTTP", "x+1.-"]),
    TEXT.map(lambda text: text and text + "@"),
    HOST,
    TEXT,
    TEXT.map(lambda text: text and "?/:@" + text),
    TEXT.map(lambda text: text and "#/?:" + text),
)


# Expat makes \n of \r, as XML 1.0 section 2.11 tells it to.
XML_TEXT = st.text(
    st.characters(codec="utf-8", exclude_characters="\r\ufffe\uffff", exclude_categories=["Cc"])
    | st.sampled_from("\t\n&<>\"'")
)


@settings(deadline=None)
@given(
    url=URLS,
    desc=st.none() | XML_TEXT,
    sid=st.none() | XML_TEXT.filter(lambda text: not set("\t\n") & set(text)),
    namespace=st.sampled_from(DISCO_FEATURES),
)
def test_valid_data_round_trips_over_the_wire(url, desc, sid, namespace):
    data = OOBData(url, desc, sid)
    wire = data.to_element(namespace).toXml().encode()
    assert OOBData.from_element(parseXml(wire)) == data
    assert url_from_element(parseXml(b"<message>" + wire + b"</message>")) == data


@settings(deadline=None)
@given(st.text())
def test_any_text_is_a_valid_url_or_invalid_data(text):
    try:
        OOBData(text)
    except InvalidOOBData:
        return
    assert OOBData(text).url == to_uri(text)


def elements():
    """Any tree of elements, with the names and namespaces that matter among them."""
    names = st.sampled_from(["query", "x", "url", "desc", "iq", "handled", "toXml"])
    uris = st.sampled_from([NS_IQ_OOB, NS_X_OOB, "jabber:client", "", None])
    texts = st.text(max_size=8) | URLS | st.just("\x00")
    attributes = st.dictionaries(st.sampled_from(["sid", "type", "xmlns"]), texts, max_size=2)

    def build(name, uri, attribs, children):
        made = domish.Element((uri, name), attribs=attribs)
        for child in children:
            made.children.append(child)
        return made

    leaves = st.builds(build, names, uris, attributes, st.lists(texts, max_size=2))
    return st.recursive(
        leaves,
        lambda inner: st.builds(
            build, names, uris, attributes, st.lists(inner | texts, max_size=4)
        ),
        max_leaves=8,
    )


@settings(deadline=None)
@given(elements())
def test_any_element_is_read_or_is_invalid_data(found):
    try:
        OOBData.from_element(found)
    except InvalidOOBData:
        pass
    else:
        assert NAMES.get(found.uri) == found.name


@settings(deadline=None)
@given(elements())
def test_url_from_element_never_raises(found):
    data = url_from_element(found)
    assert data is None or isinstance(data, OOBData)


def test_unknown_children_and_attributes_are_ignored():
    found = element(
        f"text<other/><url xmlns='urn:other'>http://other.example/</url><url a='b'>{URL}</url>"
        "<desc xmlns='urn:other'>other</desc>text<desc>mine</desc><handled/>"
    )
    found["other"] = "ignored"
    assert OOBData.from_element(found) == OOBData(URL, "mine")


def test_elements_inside_url_and_desc_are_ignored():
    found = element("<url>http://<b>bad</b>h/</url><desc>a<b>bad</b>b</desc>")
    assert OOBData.from_element(found) == OOBData("http://h/", "ab")


def test_first_url_and_first_desc_count():
    found = element(
        f"<desc>first</desc><url>{URL}</url><url>http://second.example/</url><desc>second</desc>"
    )
    assert OOBData.from_element(found) == OOBData(URL, "first")


def test_empty_desc_counts_as_none():
    assert OOBData.from_element(element(f"<url>{URL}</url><desc/>")).desc is None


@pytest.mark.parametrize(
    ("children", "told"),
    [
        ("", "missing"),
        ("<desc>a</desc>", "missing"),
        ("<url xmlns='urn:x'>https://files.example/</url>", "missing"),
        ("<url/>", "blank"),
        ("<url> </url>", "blank"),
    ],
)
def test_missing_or_blank_url_is_invalid(children, told):
    with pytest.raises(InvalidOOBData, match=told):
        OOBData.from_element(element(children))


@pytest.mark.parametrize(("url", "uri"), CONVERTED.items(), ids=ascii)
def test_from_element_gives_the_uri(url, uri):
    assert OOBData.from_element(element(f"<url>{url}</url>")).url == uri


@pytest.mark.parametrize(
    ("name", "namespace"),
    [("x", NS_IQ_OOB), ("query", NS_X_OOB), ("query", "urn:other"), ("iq", "jabber:client")],
)
def test_element_of_another_name_or_namespace_is_invalid(name, namespace):
    found = element(f"<url>{URL}</url>", name, namespace)
    with pytest.raises(InvalidOOBData, match="neither"):
        OOBData.from_element(found)
    assert url_from_element(found) is None


@pytest.mark.parametrize(
    "xml",
    [
        f"<query xmlns='{NS_IQ_OOB}'><url>{URL}</url></query>",
        f"<x xmlns='{NS_X_OOB}'><url>{URL}</url></x>",
        f"<iq><query xmlns='{NS_IQ_OOB}'><url>{URL}</url></query></iq>",
        f"<message><body>b</body><x xmlns='{NS_X_OOB}'><url>{URL}</url></x></message>",
        f"<presence><x xmlns='{NS_X_OOB}'/><x xmlns='{NS_X_OOB}'><url>{URL}</url></x></presence>",
        f"<o:query xmlns:o='{NS_IQ_OOB}'><o:url>{URL}</o:url></o:query>",
    ],
)
def test_url_from_element_reads_it_or_its_children(xml):
    assert url_from_element(parseXml(xml.encode())) == OOBData(URL)


@pytest.mark.parametrize(
    "xml",
    [
        "<message/>",
        f"<message><x xmlns='{NS_X_OOB}'><url>bad</url></x></message>",
        f"<message><a><x xmlns='{NS_X_OOB}'><url>{URL}</url></x></a></message>",
        f"<url>{URL}</url>",
    ],
)
def test_url_from_element_gives_none_without_a_usable_url(xml):
    assert url_from_element(parseXml(xml.encode())) is None

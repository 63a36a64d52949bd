"""What a stranger's stanza must not become when it is echoed; stanzas that come in pieces."""

from __future__ import annotations

from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

import pytest
from twisted.internet.task import Clock
from twisted.words.protocols.jabber.error import StanzaError
from twisted.words.xish import domish

from tests.support.streams import WIRES, ClientWire, ComponentWire, connected
from twisted_oob import OOBResponder
from twisted_oob.xmpp.guard import (
    MAX_DEPTH,
    MAX_NAMESPACES,
    error_response,
    forbid_markup,
    is_bounded,
)
from twisted_oob.xmpp.prompt import without_deferral

from wokkel.generic import parseXml  # isort: skip

# With tabs: a space in a namespace is the one thing that Twisted's parser rejects.
EVIL = "'/></error></iq><message\tto='victim@far.example'><body>forged</body></message><iq\tx='"
HOSTILE = {
    "namespace": f"<evil xmlns={quoteattr(EVIL)}/>",
    "nested namespace": f"<a><b><evil xmlns={quoteattr(EVIL)}/></b></a>",
    "default namespace": f"<p:a xmlns:p='urn:p' xmlns={quoteattr(EVIL)}/>",
    "nested default namespace": (
        f"<a xmlns='urn:a'><p:b xmlns:p='urn:p' xmlns={quoteattr(EVIL)}><p:c/></p:b></a>"
    ),
    "prefix": f"<a xmlns:p={quoteattr(EVIL)}/>",
    "prefixed element": f"<p:a xmlns:p={quoteattr(EVIL)}/>",
    "prefixed attribute": f"<a xmlns:p={quoteattr(EVIL)} p:b='c'/>",
    "language": "<a xml:lang='de'/>",
    "rebound prefix": (
        "<q xmlns='x' xmlns:c='u1'><r xmlns:p='u1'><s xmlns:p='u2' p:x='1' c:x='2'/></r></q>"
    ),
    "the serialiser's prefix": "<q xmlns:xn0='u1' xmlns:b='u2' xn0:x='1' b:x='2'/>",
    "a part of stream": "<q xmlns:s='u1' s:x='1'/>",
    "depth": "<a>" * 2000 + "</a>" * 2000,
}


def payload(hostile):
    return f"<query xmlns='jabber:iq:oob'><url>no url</url>{hostile}</query>"


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("wire", [ClientWire, ComponentWire])
def test_hostile_payload_is_echoed_as_what_it_is_or_not_at_all(wire, hostile):
    _handler, end = connected(wire=wire)
    end.offer(payload=payload(hostile))
    answer = end.sent_one()
    assert (answer.tag, answer.get("type")) == ("iq", "error")
    *echo, _error = answer
    if "</a></a>" in hostile:
        assert echo == []
    else:
        came = ElementTree.fromstring(f"<r xmlns='{end.namespace}'>{payload(hostile)}</r>")[0]
        assert [same(query) for query in echo] == [same(came)]


def same(element):
    """Give all that an element means, for comparison."""
    held = [same(child) for child in element]
    return element.tag, element.attrib, element.text, element.tail, held


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize(
    "request_",
    [
        ("get", "<query xmlns='http://jabber.org/protocol/disco#info' node='none'>{}</query>"),
        ("get", "<query xmlns='urn:example:other'>{}</query>"),
        ("set", "<query xmlns='jabber:iq:oob'><url>http://far.example/</url>{}</query>"),
        ("set", "{}"),
    ],
)
def test_responder_echoes_no_hostile_payload(request_, hostile):
    class NoFetcher:
        fetch = pytest.fail

    end = ComponentWire()
    OOBResponder(NoFetcher(), allow_from=[], reactor=Clock()).attach(end.manager)
    end.open()
    kind, xml = request_
    end.offer(type=kind, payload=xml.format(hostile))
    answer = end.sent_one()
    assert (answer.tag, answer.get("type")) == ("iq", "error")


def test_harmless_payload_is_echoed_whole():
    _handler, end = connected()
    end.offer(payload=payload("<a xmlns='urn:a' xmlns:p='urn:b' p:c=\"&lt;'&quot;&gt;\">&lt;</a>"))
    query, _error = end.sent_one()
    assert query.find("{urn:a}a").get("{urn:b}c") == "<'\">"


@pytest.mark.parametrize(
    ("depth", "fits"), [(MAX_DEPTH, True), (MAX_DEPTH + 1, False), (20_000, False)]
)
def test_depth_is_bounded(depth, fits):
    assert is_bounded(parseXml(("<a>" * depth + "</a>" * depth).encode())) is fits


@pytest.mark.parametrize(
    "child", ["<p:b/>", "<b p:c='d'/>", "<p:b><c/></p:b>", "<c><p:b/></c>"], ids=str
)
def test_what_namespaces_make_of_an_element_is_bounded(child):
    name = "n" * 1024
    for count, fits in ((MAX_NAMESPACES // 1024, True), (MAX_NAMESPACES // 1024 + 1, False)):
        xml = f"<a xmlns:p='{name}'>{child * count}</a>"
        assert is_bounded(parseXml(xml.encode())) is fits


def test_namespaces_that_are_not_written_again_count_once():
    name = "n" * (MAX_NAMESPACES // 2)
    xml = f"<a xmlns='{name}' xmlns:p='{name}q'><b/><b><b/></b><p:c><p:c/></p:c></a>"
    assert is_bounded(parseXml(xml.encode()))


@pytest.mark.parametrize("name", [name for name in WIRES if "internal" not in name])
def test_stanza_that_comes_in_pieces_is_given_at_its_last_byte(name):
    got = []
    _handler, end = connected(got.append, wire=WIRES[name])
    offer = (
        f"<iq type='set' id='1' from='a@far.example' to='{end.me}'>"
        "<query xmlns='jabber:iq:oob'><url>http://far.example/</url></query></iq>"
    )
    for character in offer:
        end.receive(character)
    assert len(got) == 1


@pytest.mark.parametrize(
    "error",
    [
        StanzaError("bogus", type="cancel"),
        StanzaError(None, type="cancel"),
        StanzaError("bad-request", type="bogus"),
        StanzaError("undefined-condition"),
        StanzaError("bad request", type="cancel"),
    ],
)
def test_error_outside_rfc_6120_is_a_value_error(error):
    with pytest.raises(ValueError, match="condition"):
        error_response(parseXml(b"<iq/>"), error)


@pytest.mark.parametrize("kind", ["auth", "cancel", "continue", "modify", "wait"])
def test_error_may_be_of_any_type_of_rfc_6120(kind):
    (error,) = error_response(parseXml(b"<iq/>"), StanzaError("gone", type=kind)).elements()
    assert error["type"] == kind


def test_error_answers_the_stanza_and_leaves_it_alone():
    xml = "<iq type='set' id='1' from='a@far.example' to='b@home.example'><x xmlns='urn:x'/></iq>"
    iq = parseXml(xml.encode())
    response = error_response(iq, StanzaError("bad-request", text="why"))
    assert iq.toXml() == parseXml(xml.encode()).toXml()
    assert (response["type"], response["id"]) == ("error", "1")
    assert (response["from"], response["to"]) == ("b@home.example", "a@far.example")
    child, error = response.elements()
    assert child is iq.firstChildElement()
    assert str(error.text) == "why"


def test_text_of_an_error_holds_nothing_that_xml_cannot():
    error = StanzaError("gone", type="cancel", text="a\x00b\x0b\ud800\ufffe\uffff<")
    (element,) = error_response(parseXml(b"<iq/>"), error).elements()
    assert str(element.text) == "a\ufffdb" + "\ufffd" * 4 + "<"


def test_error_of_an_application_keeps_its_own_condition():
    own = domish.Element(("urn:x", "text"))
    own.addContent("mine")
    error = StanzaError("conflict", text="why", appCondition=own)
    (element,) = error_response(parseXml(b"<iq/>"), error).elements()
    assert next(element.elements("urn:x", "text")) is own
    assert str(own) == "mine"


# Parsers.


MARKUP = {
    "comment": "<!-- -->",
    "processing instruction": "<?target data?>",
    "document type": "<!DOCTYPE a>",
    "entity": "<!DOCTYPE a [<!ENTITY e 'x'>]>",
}


def watched():
    """Give a parser, the stanzas that it gives, and a list that grows when it finds markup."""
    parser, stanzas, found = domish.elementStream(), [], []
    parser.DocumentStartEvent = parser.DocumentEndEvent = lambda *_: None
    parser.ElementEvent = stanzas.append
    without_deferral(parser)
    forbid_markup(parser.parser, lambda: found.append(True))
    return parser, stanzas, found


@pytest.mark.parametrize(
    "before", ["", "<?xml version='1.0'?>", "<r>", "<r> ", "<r><a/>", "<r><a>"]
)
@pytest.mark.parametrize("markup", MARKUP.values(), ids=MARKUP)
def test_forbidden_markup_ends_the_parser_and_nothing_follows(markup, before):
    parser, stanzas, found = watched()
    # A document type is not well-formed after the root's start, whatever a stream allows.
    is_xml = "<r" not in before or "DOCTYPE" not in markup
    with pytest.raises(domish.ParserError):
        parser.parse(f"{before}{markup}<a/><r><b/>{markup}<c/>".encode())
    assert found == [True] * is_xml
    assert len(stanzas) == before.count("<a/>")


def test_markup_is_found_when_its_bytes_come_one_by_one():
    parser, _stanzas, found = watched()
    for byte in b"<r><a><!-- never --":
        parser.parse(bytes([byte]))
    assert found == []
    with pytest.raises(domish.ParserError):
        parser.parse(b">")
    assert found == [True]


def test_an_xml_declaration_and_character_data_are_not_forbidden():
    parser, stanzas, found = watched()
    parser.parse(b"<?xml version='1.0'?><r><a><![CDATA[<!-- -->]]>&lt;!-- &#33;</a>")
    assert [str(stanza) for stanza in stanzas] == ["<!-- --><!-- !"]
    assert found == []

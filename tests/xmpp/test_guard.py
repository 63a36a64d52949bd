"""What a stranger's stanza must not become when it is echoed; stanzas that come in pieces."""

from __future__ import annotations

from xml.sax.saxutils import quoteattr

import pytest
from twisted.internet.task import Clock
from twisted.words.protocols.jabber.error import StanzaError

from tests.support.streams import WIRES, ClientWire, ComponentWire, connected
from twisted_oob import OOBResponder
from twisted_oob.xmpp.guard import MAX_DEPTH, error_response, is_safe

from wokkel.generic import parseXml  # isort: skip

# With tabs: a space in a namespace is the one thing that Twisted's parser rejects.
EVIL = "'/></error></iq><message\tto='victim@far.example'><body>forged</body></message><iq\tx='"
HOSTILE = {
    "namespace": f"<evil xmlns={quoteattr(EVIL)}/>",
    "nested namespace": f"<a><b><evil xmlns={quoteattr(EVIL)}/></b></a>",
    "prefix": f"<a xmlns:p={quoteattr(EVIL)}/>",
    "prefixed element": f"<p:a xmlns:p={quoteattr(EVIL)}/>",
    "prefixed attribute": f"<a xmlns:p={quoteattr(EVIL)} p:b='c'/>",
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
def test_hostile_payload_is_not_echoed_in_an_error(wire, hostile):
    _handler, end = connected(wire=wire)
    end.offer(payload=payload(hostile))
    answer = end.sent_one()
    assert (answer.tag, answer.get("type")) == ("iq", "error")
    assert len(answer) == 1


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
        pass

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


@pytest.mark.parametrize(("depth", "safe"), [(MAX_DEPTH, True), (MAX_DEPTH + 1, False)])
def test_depth_is_bounded(depth, safe):
    assert is_safe(parseXml(("<a>" * depth + "</a>" * depth).encode())) is safe


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

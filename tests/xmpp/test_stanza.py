"""IQs as text and as elements: what is written is what is read, by any parser."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.words.xish.domish import Element, SerializedXML

from tests.support.streams import ME, PEER, URL, ClientWire, canonical
from twisted_oob import NS_IQ_OOB, NS_X_OOB, OOBData
from twisted_oob.xmpp.stanza import IQ, Payload, iq_element, iq_xml

# All that XML can hold, and more often what it must escape.
CHARACTERS = st.one_of(
    st.sampled_from("'\"<>&]\t\n\r ;#\x7f\x85\u2028\ufffd"),
    st.characters(exclude_categories=["Cs"], exclude_characters="\ufffe\uffff").filter(
        lambda character: character >= " "
    ),
)
TEXTS = st.text(CHARACTERS)
ANY = st.none() | TEXTS
PAYLOADS = st.none() | st.builds(
    Payload,
    st.sampled_from(["jabber:iq:oob", "urn:xmpp:ping"]),
    st.sampled_from(["query", "ping"]),
    st.lists(st.tuples(st.sampled_from(["url", "desc"]), TEXTS), max_size=3).map(tuple),
    st.none() | st.dictionaries(st.sampled_from(["sid", "node"]), TEXTS, min_size=1, max_size=2),
)
URLS = st.text("abc/?=&;'()", max_size=20).map("https://files.example/{}".format)


def read(xml):
    """Give one stanza as a parser that is not ours reads it, on a client's stream."""
    (element,) = ElementTree.fromstring(f"<stream xmlns='jabber:client'>{xml}</stream>")
    return element


def sent_by_twisted(element):
    """Give an element as Twisted's own stream writes it."""
    end = ClientWire()
    end.open()
    end.xmlstream.send(element)
    return end.transport.value().decode()


def parsed_by_twisted(xml):
    """Give a stanza as Twisted reads it on a stream."""
    end = ClientWire()
    end.open()
    found = []
    end.xmlstream.addObserver("/*", found.append)
    end.receive(xml)
    (element,) = found
    return element


def tree(element, inherited=None):
    """All that there is to an element; ``inherited``: what None is in place of."""

    def namespace(uri):
        return inherited if uri is None else uri

    return (
        namespace(element.uri),
        element.name,
        namespace(element.defaultUri),
        dict(element.localPrefixes),
        dict(element.attributes),
        [
            (child.parent is element, tree(child, inherited))
            if isinstance(child, Element)
            else child
            for child in element.children
        ],
    )


ADDRESSED = (st.sampled_from(["get", "set", "result"]), ANY, ANY, ANY, PAYLOADS)
HARD = Payload(
    "urn:x", "query", (("url", "<&>"), ("desc", "]]>"), ("url", "")), {"sid": "\r\n\t'\""}
)


@given(*ADDRESSED)
@example("set", "'", '"', "<&>", None)
@example("set", "\r\n\t ", "\r", "]]>", HARD)
def test_iq_is_read_as_it_was_meant(kind, id_, to, from_, payload):
    element = read(iq_xml(kind, id_, to, from_, payload))
    given = {"type": kind, "id": id_, "to": to, "from": from_}
    assert element.tag == "{jabber:client}iq"
    assert element.attrib == {name: text for name, text in given.items() if text}
    children = list(element)
    assert len(children) == (payload is not None)
    if payload is not None:
        (child,) = children
        assert child.tag == f"{{{payload.namespace}}}{payload.name}"
        assert child.attrib == (payload.attributes or {})
        assert [(part.tag, part.text or "") for part in child] == [
            (f"{{{payload.namespace}}}{name}", text) for name, text in payload.parts
        ]


@settings(max_examples=50)
@given(st.tuples(*ADDRESSED))
@example(("set", "i", PEER, ME, HARD))
def test_element_is_what_a_parser_makes_of_the_text(parts):
    element = iq_element(*parts)
    assert element.uri is None
    assert tree(element, "jabber:client") == tree(parsed_by_twisted(iq_xml(*parts)))


@settings(max_examples=50)
@given(st.tuples(*ADDRESSED))
@example(("set", "i", PEER, ME, HARD))
@example(("set", "i", PEER, ME, Payload("urn:x", "query", (("url", "a"),))))
@example(("result", "i", PEER, None, None))
def test_element_goes_out_as_exactly_the_text(parts):
    assert sent_by_twisted(iq_element(*parts)) == iq_xml(*parts)


@given(PAYLOADS.filter(bool))
def test_payload_is_read_as_it_was_written(payload):
    assert Payload.from_element(payload.to_element()) == payload


def test_only_parts_of_the_same_namespace_are_read():
    element = Payload("urn:x", "query", (("url", "a"),)).to_element()
    element.addElement(("urn:y", "url"), content="b")
    element.addContent("c")
    element.addElement("desc").addElement("deep", content="d")
    assert Payload.from_element(element).parts == (("url", "a"), ("desc", ""))


@pytest.mark.parametrize("built", [False, True])
def test_element_of_a_received_iq_is_always_the_same(built):
    attributes = {"type": "set", "id": "i", "urn:y extra": "1", "to": ME}
    element = iq_element("set", "i", ME, None) if built else None
    iq = IQ(attributes, HARD, namespace="jabber:client", element=element)
    assert iq.element is iq.element
    if built:
        assert iq.element is element
    else:
        assert list(iq.element.attributes) == ["type", "id", "to", ("urn:y", "extra")]
        assert iq.element.uri == "jabber:client"
        assert iq.element.handled is True
        assert Payload.from_element(iq.element.firstChildElement()) == HARD


@given(URLS, ANY, ANY, st.sampled_from([NS_IQ_OOB, NS_X_OOB]))
@example("https://files.example/", "]]>", ">", NS_X_OOB)
@example("https://files.example/", "a\r\nb\rc\td", "a\r\nb\rc\td", NS_IQ_OOB)
def test_data_comes_back_as_it_was(url, desc, sid, namespace):
    data = OOBData(url, desc, sid)
    element = data.to_element(namespace)
    assert OOBData.from_element(element) == data
    assert element.uri == element.defaultUri == namespace
    assert [(child.uri, child.parent) for child in element.elements()] == [(namespace, element)] * (
        1 + bool(desc)
    )


@pytest.mark.parametrize("length", [100, 70_000, 200_000])
@pytest.mark.parametrize("character", ["a", "é", "&", "😀"])
@pytest.mark.parametrize("field", ["desc", "sid"])
def test_long_texts_come_back_as_they_were(field, character, length):
    text = character * (length // len(character.encode()))
    data = OOBData(URL, **{field: text})
    assert OOBData.from_element(data.to_element(NS_IQ_OOB)) == data


def serialised(element):
    """Give an element as Twisted's serialiser writes it on a client's stream."""
    scope = {"defaultUri": "jabber:client", "prefixesInScope": ["stream"]}
    return Element.toXml(element, {"http://etherx.jabber.org/streams": "stream"}, **scope)


CHANGES = {
    "nothing": lambda iq: None,
    "another recipient": lambda iq: iq.attributes.update(to="a@b.example/<&>"),
    "no recipient": lambda iq: iq.attributes.pop("to"),
    "no type": lambda iq: iq.attributes.pop("type"),
    "another attribute instead of the type": lambda iq: (
        iq.attributes.pop("type"),
        iq.attributes.update(extra="1"),
    ),
    "an empty id": lambda iq: iq.attributes.update(id=""),
    "a further attribute": lambda iq: iq.attributes.update(extra="1"),
    "an attribute with a namespace": lambda iq: iq.attributes.update({("urn:y", "a"): "1"}),
    "a further child": lambda iq: iq.addElement(("urn:y", "more")),
    "a text": lambda iq: iq.addContent("text"),
    "no child": lambda iq: iq.children.clear(),
    "only a text": lambda iq: iq.children.__setitem__(0, "a < b"),
    "another name": lambda iq: setattr(iq, "name", "message"),
    "another type": lambda iq: iq.attributes.update(type="<"),
    "a payload without a namespace": lambda iq: iq.children.__setitem__(0, Element((None, "a"))),
    "an empty namespace": lambda iq: iq.children.__setitem__(0, Element(("", "a"))),
    "a prefix": lambda iq: iq.localPrefixes.update(p="urn:y"),
    "a namespace": lambda iq: setattr(iq, "uri", "urn:y"),
    "another payload": lambda iq: iq.children.__setitem__(0, Element(("urn:y", "other"))),
    "a payload of another default": lambda iq: iq.children.__setitem__(
        0, Element(("urn:y", "other"), "urn:z")
    ),
    "a prefix of the payload": lambda iq: iq.query.localPrefixes.update(p="urn:y"),
    "an attribute of the payload": lambda iq: iq.query.attributes.update(extra="<"),
    "one of the payload with a namespace": lambda iq: iq.query.attributes.update(
        {("urn:y", "a"): "1"}
    ),
    "a text in the payload": lambda iq: iq.query.addContent("a < b"),
    "raw XML in the payload": lambda iq: iq.query.addRawXml("<b/>"),
    "another text of a part": lambda iq: iq.query.desc.children.__setitem__(0, "a < b"),
    "two texts of a part": lambda iq: iq.query.desc.addContent(" more"),
    "raw XML in a part": lambda iq: iq.query.desc.children.__setitem__(0, SerializedXML("<b/>")),
    "an element in a part": lambda iq: iq.query.desc.addElement("b"),
    "an attribute of a part": lambda iq: iq.query.desc.attributes.update(a="1"),
    "a prefix of a part": lambda iq: iq.query.desc.localPrefixes.update(p="urn:y"),
    "a part of another namespace": lambda iq: setattr(iq.query.desc, "uri", "urn:y"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_changed_element_goes_out_as_changed(change):
    iq = iq_element("set", "i", PEER, ME, Payload(NS_IQ_OOB, "query", (("desc", "a"),)))
    change(iq)
    sent, twisteds = sent_by_twisted(iq), serialised(iq)
    assert canonical(read(sent)) == canonical(read(twisteds))
    # A text may mean a prefix that no name has, which canonical XML would leave out.
    assert sent.count("xmlns:p=") == twisteds.count("xmlns:p=")


def test_start_tag_alone_is_written_by_twisted():
    assert iq_element("set", "i", None, None).toXml(closeElement=0) == "<iq type='set' id='i'>"


def test_elements_do_not_share_anything():
    one, other = (iq_element("set", "i", PEER, ME, HARD) for _ in range(2))
    one["id"] = one.firstChildElement()["sid"] = "changed"
    one.addElement("more")
    assert other["id"] == "i"
    assert other.firstChildElement()["sid"] == HARD.attributes["sid"]
    assert len(other.children) == 1


def test_repr_of_a_payload_shows_nothing_of_what_it_holds():
    payload = Payload(
        "jabber:iq:oob", "query", (("url", "https://u:secret@h/"),), {"sid": "secret"}
    )
    assert repr(payload) == "Payload(namespace='jabber:iq:oob', name='query')"

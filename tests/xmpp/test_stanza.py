"""IQs as text: what is written is what is read, by any parser."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.words.xish.domish import Element

from tests.support.streams import ME, PEER, URL, ClientWire, canonical
from twisted_oob import NS_IQ_OOB, NS_X_OOB, OOBData
from twisted_oob.xmpp.stanza import element_from_xml, iq_xml

# All that XML can hold, and more often what it must escape.
CHARACTERS = st.one_of(
    st.sampled_from("'\"<>&]\t\n\r ;#\x7f\x85\u2028\ufffd"),
    st.characters(exclude_categories=["Cs"], exclude_characters="\ufffe\uffff").filter(
        lambda character: character >= " "
    ),
)
TEXTS = st.text(CHARACTERS)
ANY = st.none() | TEXTS
# Twisted writes these into attributes as they are, and a parser then makes spaces of them.
PLAIN = ANY.filter(lambda text: not text or not set(text) & set("\t\r\n"))
PAYLOADS = st.sampled_from(["", "<query xmlns='jabber:iq:oob'/>", "<ping xmlns='urn:xmpp:ping'/>"])
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


@given(st.sampled_from(["get", "set", "result"]), ANY, ANY, ANY, PAYLOADS)
@example("set", "'", '"', "<&>", "")
@example("set", "\r\n\t ", "\r", "]]>", "")
def test_iq_is_read_as_it_was_meant(kind, id_, to, from_, payload):
    xml = iq_xml(kind, id_, to, from_, payload)
    given = {"type": kind, "id": id_, "to": to, "from": from_}
    expected = {name: text for name, text in given.items() if text}
    element = read(xml)
    assert element.tag == "{jabber:client}iq"
    assert element.attrib == expected
    assert len(element) == bool(payload)
    assert element_from_xml(xml).attributes == expected


@settings(max_examples=50)
@given(PLAIN, PLAIN, PLAIN, TEXTS.map(lambda text: text.replace("\r", "")))
def test_element_is_what_an_ordinary_parse_gives(id_, to, from_, desc):
    payload = OOBData(f"{URL}?a=1&b='2'", desc, id_).to_element(NS_IQ_OOB).toXml()
    xml = iq_xml("set", id_, to, from_, payload)
    element = element_from_xml(xml)
    assert element.uri is None
    assert tree(element, "jabber:client") == tree(parsed_by_twisted(xml))
    assert canonical(read(sent_by_twisted(element))) == canonical(read(xml))


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


def test_elements_do_not_share_anything():
    one, other = (element_from_xml(iq_xml("set", "i", PEER, ME)) for _ in range(2))
    one["id"] = "changed"
    one.addElement("more")
    assert other["id"] == "i"
    assert other.children == []


def test_making_an_element_takes_no_time_for_much_that_is_escaped(monkeypatch):
    texts = []
    add = Element.addContent
    monkeypatch.setattr(Element, "addContent", lambda *args: texts.append(1) or add(*args))
    OOBData(URL, "&" * 100_000).to_element(NS_IQ_OOB)
    assert len(texts) < 100

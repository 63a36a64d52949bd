"""Elements as text: what is read again is what was written, whatever a stranger put into it."""

from __future__ import annotations

from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.words.xish import domish
from twisted.words.xish.domish import Element

from twisted_oob.xmpp.memory import stanza_parser
from twisted_oob.xmpp.serial import SafeElement, to_xml

from wokkel.generic import parseXml  # isort: skip

NS_XML = "http://www.w3.org/XML/1998/namespace"
STREAM = "jabber:component:accept"


def tree(element):
    """Give all that an element means."""
    children = []
    for child in element.children:
        if not isinstance(child, str):
            children.append(tree(child))
        elif children and isinstance(children[-1], str):
            children[-1] += child
        else:
            children.append(str(child))
    return element.uri, element.name, element.attributes, children


def on_stream(xml, namespace=STREAM):
    """Read the stanzas of a stream as whoever gets them does."""
    stanzas = []
    parser = stanza_parser(stanzas.append, lambda: None)
    root = f"<stream:stream xmlns={quoteattr(namespace)} xmlns:stream='urn:stream'>"
    parser.parse(f"{root}{xml}</stream:stream>".encode())
    return stanzas


def written(xml, namespace=STREAM):
    """Write what came in as XML on a stream, and read it again on another one."""
    [element] = on_stream(xml)
    [again] = on_stream(to_xml(element, namespace), namespace)
    assert tree(again) == tree(element)
    return again


# With tabs: a space in a namespace is the one thing that Twisted's parser rejects.
EVIL = "'/></error></iq><message\tto='victim@far.example'><body>forged</body></message><iq\tx='"
HOSTILE = {
    "namespace": f"<evil xmlns={quoteattr(EVIL)}/>",
    "nested namespace": f"<a><b><evil xmlns={quoteattr(EVIL)}/></b></a>",
    "default namespace": f"<p:a xmlns:p='urn:p' xmlns={quoteattr(EVIL)}><c/></p:a>",
    "prefix": f"<a xmlns:p={quoteattr(EVIL)}/>",
    "prefixed element": f"<p:a xmlns:p={quoteattr(EVIL)}/>",
    "prefixed attribute": f"<a xmlns:p={quoteattr(EVIL)} p:b='c'/>",
    "each character of markup": "<a xmlns='urn:&lt;&gt;&amp;&apos;&quot;&#9;&#10;&#13;'/>",
    "attribute": "<a b='&lt;&gt;&amp;&apos;&quot;&#9;&#10;&#13;'/>",
    "text": "<a>&lt;&gt;&amp;&apos;&quot;&#9;&#10;&#13;]]&gt;<![CDATA[<!-- -->]]></a>",
    "a prefix bound anew": (
        "<q xmlns='x' xmlns:c='u1'><r xmlns:p='u1'><s xmlns:p='u2' p:x='1' c:x='2'/></r></q>"
    ),
    "the serialiser's prefix": "<q xmlns:xn0='u1' xmlns:b='u2' xn0:x='1' b:x='2'/>",
    "our own prefixes": "<q xmlns:ns1='u1' xmlns:ns0='u2' ns1:x='1' ns0:x='2'><ns0:y/></q>",
    "two prefixes of one namespace": (
        "<q xmlns:b='u' xmlns:c='u' b:x='1' c:y='2'><c:z b:x='3'/></q>"
    ),
    "a part of stream": "<q xmlns:s='u1' s:x='1'><s:y/></q>",
    "the prefix of the stream": "<q xmlns:stream='u1' stream:x='1'><stream:y/></q>",
    "a redundant prefix": "<q xmlns:stream='urn:stream'><stream:y/></q>",
    "no namespace": "<q xmlns=''><r/><s xmlns='urn:s'><t xmlns=''/></s></q>",
    "a stanza with a prefix": f"<s:iq xmlns:s='{STREAM}' s:to='a'><s:q/></s:iq>",
    "language": "<q xml:lang='de'><r xml:lang='en' xml:space='preserve'>a</r></q>",
    "emoji": "<q \u00e4='\U0001f600'>\U0001f600\u00a0\u2028</q>",
}


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("namespace", [STREAM, "jabber:client", "u1", ""])
def test_what_strangers_send_stays_what_it_is(hostile, namespace):
    written(hostile, namespace)
    written(f"<iq><q xmlns='urn:q'>before{hostile}after</q>end</iq>", namespace)


def test_no_prefix_of_a_sender_goes_out():
    [element] = on_stream("<s:a xmlns:s='urn:x' s:b='1' xmlns:t='urn:t'><c/><s:d t:e='2'/></s:a>")
    assert to_xml(element, STREAM) == (
        "<a xmlns='urn:x' xmlns:ns0='urn:x' ns0:b='1'>"
        f"<c xmlns='{STREAM}'/><d xmlns:ns1='urn:t' ns1:e='2'/></a>"
    )


def test_a_stanza_goes_out_in_the_namespace_of_the_stream():
    for namespace in (STREAM, None):
        iq = Element((namespace, "iq"))
        iq.addElement("q")
        iq.addElement(("urn:q", "q")).addElement((None, "r"))
        assert to_xml(iq, STREAM) == "<iq><q/><q xmlns='urn:q'><r/></q></iq>"
    assert to_xml(Element(("", "iq")), STREAM) == "<iq xmlns=''/>"
    assert to_xml(Element((STREAM, "iq"))) == f"<iq xmlns='{STREAM}'/>"


def test_a_child_without_a_namespace_is_in_the_default_of_what_holds_it():
    element = Element(("urn:a", "a"), defaultUri="urn:d")
    element.addChild(Element((None, "b"))).addChild(Element((None, "c")))
    for namespace in ("urn:a", "urn:d", STREAM):
        [again] = on_stream(to_xml(element, namespace), namespace)
        [b] = again.children
        [c] = b.children
        assert [one.uri for one in (again, b, c)] == ["urn:a", "urn:d", "urn:d"]


def test_depth_costs_no_recursion():
    depth = 20_000
    [element] = on_stream("<a>" * depth + "x" + "</a>" * depth)
    assert to_xml(element, STREAM) == "<a>" * depth + "x" + "</a>" * depth


def test_what_xml_cannot_hold_is_replaced():
    element = Element((None, "a"), attribs={"b": "\x00\ud800\n"})
    element.addContent("\ufffe\x1b\nx")
    assert to_xml(element) == "<a b='\ufffd\ufffd&#10;'>\ufffd\ufffd\nx</a>"


def test_raw_xml_is_written_as_it_is():
    element = Element(("urn:a", "a"))
    element.addRawXml("<b/>&#33;")
    assert to_xml(element, "urn:a") == "<a><b/>&#33;</a>"


HARMLESS = [
    "<iq id='1' type='result'/>",
    "<iq id='1' type='set'><query xmlns='jabber:iq:oob'><url>u&amp;\n</url><desc/></query></iq>",
    "<message><body>a</body><x xmlns='jabber:x:oob'><url>u</url></x>text</message>",
    "<a xmlns='urn:a'><b xmlns='urn:b'><c xmlns='urn:a'/></b></a>",
    "<a b='&lt;&gt;&amp;&quot;&apos;' xml:lang='en'>&lt;&gt;&amp;\"'</a>",
]


@pytest.mark.parametrize("xml", HARMLESS)
def test_harmless_stanzas_are_written_as_twisted_writes_them(xml):
    [element] = on_stream(xml)
    assert to_xml(element, STREAM) == element.toXml(defaultUri=STREAM)
    assert to_xml(element) == element.toXml()


def test_an_element_of_ours_writes_itself_on_any_stream():
    [inner] = on_stream(HOSTILE["prefixed attribute"])
    element = SafeElement((None, "iq"))
    element.addChild(inner)
    assert element.toXml(defaultUri=STREAM) == to_xml(element, STREAM)
    assert element.toXml() == to_xml(element)
    assert element.toXml(closeElement=0) == "<iq>"


# Any tree, with any declarations.

URIS = st.one_of(
    st.sampled_from(["u1", "u2", STREAM, EVIL, NS_XML + "/"]),
    st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters=" \ufffe\uffff")),
)
TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"))
PREFIXES = st.sampled_from(["s", "stream", "xn0", "ns0", "ns1", "p"])


@st.composite
def elements(draw, scope=("stream",), depth=0):
    """Write an element, by string, with whatever prefixes are in scope."""
    declared = draw(st.dictionaries(PREFIXES, URIS.filter(bool), max_size=3))
    default = draw(st.one_of(st.none(), URIS))
    scope = sorted({*scope, *declared})
    parts = [f" xmlns:{prefix}={quoteattr(uri)}" for prefix, uri in declared.items()]
    parts += [] if default is None else [f" xmlns={quoteattr(default)}"]
    # Under one local name each, two prefixes of one namespace don't make one attribute twice.
    for number, prefix in enumerate(draw(st.lists(st.sampled_from(["", "xml", *scope])))):
        parts.append(f" {prefix}{':' if prefix else ''}a{number}={quoteattr(draw(TEXT))}")
    prefix = draw(st.sampled_from(["", *scope]))
    name = f"{prefix}:e" if prefix else "e"
    held = ""
    for _ in range(draw(st.integers(0, 3)) if depth < 4 else 0):
        held += (
            draw(elements(tuple(scope), depth + 1)) if draw(st.booleans()) else escape(draw(TEXT))
        )
    return f"<{name}{''.join(parts)}>{held}</{name}>"


@settings(deadline=None)
@given(xml=elements(), namespace=URIS)
def test_any_tree_is_read_again_as_it_was(xml, namespace):
    written(xml, namespace)


@settings(deadline=None)
@given(xml=elements())
def test_another_parser_reads_the_same(xml):
    try:
        before = ElementTree.fromstring(f"<r xmlns='{STREAM}' xmlns:stream='urn:stream'>{xml}</r>")
    except ElementTree.ParseError:
        return  # it takes no "}" in a namespace
    [element] = on_stream(xml)
    after = ElementTree.fromstring(f"<r xmlns='{STREAM}'>{to_xml(element, STREAM)}</r>")
    assert ElementTree.canonicalize(ElementTree.tostring(before), rewrite_prefixes=True) == (
        ElementTree.canonicalize(ElementTree.tostring(after), rewrite_prefixes=True)
    )


def test_parse_of_wokkel_is_written_alike():
    element = parseXml(b"<a xmlns='urn:a'><p:b xmlns:p='urn:p'/></a>")
    assert to_xml(element) == "<a xmlns='urn:a'><b xmlns='urn:p'/></a>"
    assert isinstance(element, domish.Element)

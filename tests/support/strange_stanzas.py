"""Strategies for stanzas such as no client writes, of the parts that clients use."""

from __future__ import annotations

from hypothesis import strategies as st
from twisted.words.xish.domish import Element

_NAMES = """
    body x url reply fallback thread request received replace origin-id stanza-id delay encrypted
    encryption payload file-sharing sources file reference media-sharing url-data attach-to result
    forwarded private reactions invite name size hash desc
"""
_NAMESPACES = """
    jabber:client jabber:x:oob jabber:x:delay urn:xmpp:sfs:0 urn:xmpp:sims:1 urn:xmpp:reference:0
    urn:xmpp:fallback:0 urn:xmpp:sid:0 urn:xmpp:delay urn:xmpp:receipts urn:xmpp:reply:0
    urn:xmpp:eme:0 urn:xmpp:omemo:2 urn:xmpp:message-correct:0 urn:xmpp:message-attaching:1
    urn:xmpp:file:metadata:0 http://jabber.org/protocol/url-data http://jabber.org/protocol/muc#user
"""
_ATTRIBUTES = "id by to from type for start end stamp target uri xml:lang"
_URL = "https://h.example/a"

NAMES = st.sampled_from(_NAMES.split())
NAMESPACES = st.sampled_from(_NAMESPACES.split()) | st.none()
TEXTS = st.sampled_from(
    ["", " ", "hello", _URL, f"{_URL} {_URL}?2).", "https://[", "2026-11-26T00:00:00Z", "\u202e"]
) | st.text(max_size=20)
ATTRIBUTES = st.dictionaries(
    st.sampled_from(_ATTRIBUTES.split()), TEXTS | st.integers(-5, 10**30).map(str), max_size=4
)


def element_of(name, namespace, attributes, children):
    """Make an element; each child is an element or a text."""
    element = Element((namespace, name), namespace, attributes)
    for child in children:
        if isinstance(child, Element):
            element.addChild(child)
        else:
            element.addContent(child)
    return element


ELEMENTS = st.recursive(
    st.builds(element_of, NAMES, NAMESPACES, ATTRIBUTES, st.lists(TEXTS, max_size=2)),
    lambda inner: st.builds(
        element_of, NAMES, NAMESPACES, ATTRIBUTES, st.lists(inner | TEXTS, max_size=3)
    ),
    max_leaves=6,
)

"""Strategies for stanzas such as no client writes, of the parts that clients use."""

from __future__ import annotations

from hypothesis import strategies as st
from twisted.words.xish.domish import Element

_URL = "https://h.example/a"
_SFS = "urn:xmpp:sfs:0"
_SIMS = "urn:xmpp:sims:1"
_REFERENCE = "urn:xmpp:reference:0"

TEXTS = st.sampled_from(
    [
        *(_URL, f"{_URL}?2", f"{_URL} {_URL}?2).", "https://[", "xmpp:a@b", "a.jpg"),
        *("", " ", "hello", "\x00", "\ud800", "\u202e", "2026-11-26T00:00:00Z"),
    ]
) | st.text(max_size=20)


def some_of(attributes):
    """Some of these attributes, each with any value."""
    values = st.just(_URL) | TEXTS | st.integers(-5, 10**30).map(str)
    each = dict.fromkeys(attributes.split(), values)
    return st.fixed_dictionaries(each) | st.fixed_dictionaries({}, optional=each)


def element_of(name, namespace, attributes, children):
    """Make an element; each child is an element or a text."""
    element = Element((namespace, name), namespace, attributes)
    for child in children:
        if isinstance(child, Element):
            element.addChild(child)
        else:
            element.addContent(child)
    return element


def _one(namespace, names, attributes="", *inside):
    """One element of these names, with a few texts or elements inside."""
    children = st.one_of(inside) if inside else st.just(_URL) | TEXTS
    return st.builds(
        element_of,
        st.sampled_from(names.split()),
        st.just(namespace),
        some_of(attributes),
        st.lists(children, min_size=1, max_size=3) | st.lists(children | TEXTS, max_size=3),
    )


def _file(namespace):
    known = _one(namespace, "name size media-type desc")
    return _one(namespace, "file", "", known, _one("urn:xmpp:hashes:2", "hash", "algo"))


_URL_DATA = _one("http://jabber.org/protocol/url-data", "url-data", "target")
_SOURCES = _one(_SFS, "sources", "id", _URL_DATA, _one("urn:xmpp:esfs:0", "encrypted"))
_SIMS_SOURCES = _one(_SIMS, "sources", "", _one(_REFERENCE, "reference", "uri"))
_MEDIA = _one(
    _SIMS, "media-sharing", "", _SIMS_SOURCES, _file("urn:xmpp:jingle:apps:file-transfer:5")
)

ELEMENTS = st.one_of(
    _one("jabber:x:oob", "x", "sid", _one("jabber:x:oob", "url desc")),
    _one(_SFS, "file-sharing", "id", _SOURCES, _file("urn:xmpp:file:metadata:0")),
    _SOURCES,
    _one(_REFERENCE, "reference", "uri begin end", _MEDIA),
    _one("jabber:client", "body thread", "parent"),
    _one("jabber:x:delay", "x", "stamp"),
    _one("urn:xmpp:delay", "delay", "stamp"),
    _one("urn:xmpp:eme:0", "encryption", "namespace"),
    _one("urn:xmpp:omemo:2", "encrypted", "", _one("urn:xmpp:omemo:2", "payload")),
    _one("urn:xmpp:fallback:0", "fallback", "for", _one(None, "body subject", "start end")),
    _one("http://jabber.org/protocol/muc#user", "x", "", _one(None, "invite")),
    _one("urn:xmpp:message-attaching:1", "attach-to", "id"),
    _one("urn:xmpp:message-correct:0", "replace", "id"),
    _one("urn:xmpp:reactions:0", "reactions"),
    _one("urn:xmpp:receipts", "request received", "id"),
    _one("urn:xmpp:reply:0", "reply", "to id"),
    _one("urn:xmpp:sid:0", "origin-id stanza-id", "id by"),
)
"""Children of a message."""

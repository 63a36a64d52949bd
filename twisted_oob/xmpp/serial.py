"""Elements as XML text that means the same, whoever made them and whatever they hold.

Theory of operation
===================

Twisted's serialiser trusts what it writes. It keeps the prefixes of whoever sent an element, and to
it a prefix means one namespace in a whole stanza; it takes each part of the word ``stream`` for a
prefix that is declared; it escapes no namespace name; and it is recursive. So a stranger's element
that is sent on, or echoed in an error, may become other XML, or none at all.

Here no prefix of a sender goes out:

- An element is written without a prefix. It declares its namespace unless that is the one of the
  element around it.
- An attribute that has a namespace gets a prefix of ours, ``ns0``, ``ns1`` and so on. A namespace
  has the same one in the whole stanza, and each element declares those that it uses.
- Whatever is text is escaped, namespace names too. Characters that XML can't hold are replaced.

What comes in as ``<s:a xmlns:s='urn:x' s:b='1'><c/></s:a>`` goes out, on a stream whose default
namespace is that of ``<c/>`` (here ``urn:y``), as
``<a xmlns='urn:x' xmlns:ns0='urn:x' ns0:b='1'><c xmlns='urn:y'/></a>``.

This makes text longer where a sender declared a long name once and used it often. So what strangers
send is measured first, see ``guard.is_bounded``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from twisted.words.xish.domish import Element, SerializedXML

from twisted_oob.xmpp.characters import escaped, replace_non_xml

_NS_XML = "http://www.w3.org/XML/1998/namespace"


def to_xml(element: Element, namespace: str = "") -> str:
    """Write an element and all that it holds.

    Args:
        element: What is written. ``None`` as the namespace of an element means that around it, as
            for Twisted. Raw XML (``addRawXml``) is written as it is; it must be in the namespace of
            the element that holds it, and declare the prefixes that it uses.
        namespace: The default namespace where the text will stand, such as that of the stream.

    Returns:
        Text without an XML declaration, which a parser in that place reads as the same element.
    """
    written: list[str] = []
    prefixes: dict[str, str] = {}
    # Of the elements that are open: what is left of their children, their end tag, the namespace
    # that their tag put in force, and the one of children that have none.
    around: list[tuple[Iterator[Any], str, str, str]] = []
    children: Iterator[Any] = iter((element,))
    end, in_force, inherited = "", namespace, namespace
    while True:
        for child in children:
            if isinstance(child, str):
                written.append(child if isinstance(child, SerializedXML) else _text(child))
                continue
            default = inherited if child.defaultUri is None else child.defaultUri
            uri = default if child.uri is None else child.uri
            tag = f"<{child.name}"
            if uri != in_force:
                tag += f" xmlns='{escaped(uri)}'"
            if child.attributes:
                tag += _attributes(child.attributes, prefixes)
            if child.children:
                written.append(f"{tag}>")
                around.append((children, end, in_force, inherited))
                children, end = iter(child.children), f"</{child.name}>"
                in_force, inherited = uri, default
                break
            written.append(f"{tag}/>")
        else:
            written.append(end)
            if not around:
                break
            children, end, in_force, inherited = around.pop()
    xml = "".join(written)
    # One character that XML can't hold would cost the receiver its stream. What is printable has
    # none, and that is known much sooner.
    return xml if xml.replace("\n", "").isprintable() else replace_non_xml(xml)


def _attributes(attributes: dict[Any, str], prefixes: dict[str, str]) -> str:
    """Write attributes, each after a space, and declare the prefixes that they need."""
    written = ""
    declared: set[str] = set()
    for name, value in attributes.items():
        if isinstance(name, tuple):
            uri, name = name  # noqa: PLW2901
            if uri == _NS_XML:
                name = f"xml:{name}"  # noqa: PLW2901
            elif uri:
                prefix = prefixes.get(uri)
                if prefix is None:
                    prefix = prefixes[uri] = f"ns{len(prefixes)}"
                if prefix not in declared:
                    declared.add(prefix)
                    written += f" xmlns:{prefix}='{escaped(uri)}'"
                name = f"{prefix}:{name}"  # noqa: PLW2901
        written += f" {name}='{escaped(value)}'"
    return written


def _text(text: str) -> str:
    """Write character data."""
    if "&" in text:
        text = text.replace("&", "&amp;")
    if "<" in text:
        text = text.replace("<", "&lt;")
    if ">" in text:
        text = text.replace(">", "&gt;")
    # A parser would make a line feed of it (XML 1.0 section 2.11).
    if "\r" in text:
        text = text.replace("\r", "&#13;")
    return text


class SafeElement(Element):
    """An element that ``to_xml`` writes, on any stream, whatever its children are."""

    def toXml(  # noqa: N802  (Twisted's name)
        self,
        prefixes: dict[str, str] | None = None,
        closeElement: int = 1,  # noqa: N803  (Twisted's names)
        defaultUri: str = "",  # noqa: N803
        prefixesInScope: list[str] | None = None,  # noqa: N803
    ) -> str:
        """Write it; only a start tag alone is left to Twisted."""
        if closeElement:
            return to_xml(self, defaultUri)
        xml: str = Element.toXml(self, prefixes, closeElement, defaultUri, prefixesInScope)
        return xml

"""IQ stanzas as we read and write them: written as text, read as what expat tells of them.

Twisted's elements are made for any XML. Building, matching and serialising a tree of them costs
several times all else that is done for a stanza, so here one is made only where it is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from twisted.words.xish.domish import Element, elementStream, escapeToXml

NON_XML: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


class IQ:
    """An IQ that was received, with Out of Band Data in it.

    ``attributes``: of ``<iq/>``.
    ``query``: the attributes of its ``<query/>``.
    ``parts``: local name and text of each child of that in the same namespace.
    """

    __slots__ = ("_element", "_uris", "attributes", "parts", "query")

    def __init__(
        self,
        attributes: Mapping[str, str],
        query: Mapping[str, str],
        parts: Sequence[tuple[str, str]],
        *,
        uris: tuple[str, str] = ("", ""),
        element: Element | None = None,
    ) -> None:
        self.attributes = attributes
        self.query = query
        self.parts = parts
        self._uris = uris
        self._element = element

    @property
    def element(self) -> Element:
        """The whole stanza; always the same object."""
        if self._element is None:
            iq_uri, query_uri = self._uris
            element: Any = Element((iq_uri, "iq"), attribs=_qualified(self.attributes))
            query = element.addElement((query_uri, "query"))
            query.attributes = _qualified(self.query)
            for name, text in self.parts:
                query.addElement(name, content=text or None)
            element.handled = True  # as it is where observers see it
            self._element = element
        return self._element


def _qualified(attributes: Mapping[str, str]) -> dict[str | tuple[str, ...], str]:
    """Name and order attributes as Twisted does; expat puts a space after a namespace."""
    plain: dict[str | tuple[str, ...], str] = {}
    qualified: dict[str | tuple[str, ...], str] = {}
    for name, value in attributes.items():
        if " " in name:
            qualified[tuple(name.rsplit(" ", 1))] = value
        else:
            plain[name] = value
    return plain | qualified


def parts_of(element: Element) -> list[tuple[str, str]]:
    """Give local name and text of each child that has the same namespace."""
    return [
        (child.name, "".join([text for text in child.children if isinstance(text, str)]))
        for child in element.elements()
        if child.uri == element.uri
    ]


def iq_xml(kind: str, id_: str | None, to: str | None, from_: str | None, payload: str = "") -> str:
    """Write an IQ in the stream's namespace. ``payload``: XML that holds its own namespace."""
    given = f"{id_}{to}{from_}"
    if id_ and to and escaped(given) is given:
        # The usual one in one piece, which costs half as much.
        sender = f" from='{from_}'" if from_ else ""
        head = f"<iq type='{kind}' id='{id_}' to='{to}'{sender}"
    else:
        head = f"<iq type='{kind}'"
        for name, value in (("id", id_), ("to", to), ("from", from_)):
            if value:
                head += f" {name}='{escaped(value)}'"
    return f"{head}>{payload}</iq>" if payload else f"{head}/>"


def escaped(text: str) -> str:
    """Write text so that it can stand between tags, or in an attribute, and is read as it was."""
    # Most has nothing to escape, and looking for it is faster than replacing it.
    if text.isprintable() and not (
        "&" in text or "<" in text or ">" in text or "'" in text or '"' in text
    ):
        return text
    xml: str = escapeToXml(text, 1)
    # A parser makes other white space of these.
    return xml.replace("\t", "&#9;").replace("\n", "&#10;").replace("\r", "&#13;")


def element_from_xml(xml: str) -> Element:
    """Make an element of what was written here; without a namespace, it takes the stream's."""
    found: list[Element] = []
    stream = elementStream()
    stream.parser.buffer_text = True  # or much that was escaped takes quadratic time
    stream.DocumentStartEvent = stream.DocumentEndEvent = lambda *_: None
    stream.ElementEvent = found.append
    stream.parse(f"<stream>{xml}</stream>".encode())
    [element] = found
    # To Twisted, None is the namespace of what it will stand in, and "" is none.
    element.uri = element.uri or None
    element.defaultUri = element.defaultUri or None
    return element


def replace_non_xml(text: str) -> str:
    """Put U+FFFD for every character that no XML document may hold (XML 1.0 section 2.2)."""
    return NON_XML.sub("\ufffd", text)

"""IQ stanzas as values: read without a tree, written as text or as elements.

Twisted's elements are made for any XML. To build, match and serialise a tree of them costs several
times as much as everything else that is done for a stanza. An IQ of ours is always a few attributes
and one flat payload, so both directions work on that, and an element is made only if somebody asks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from twisted.words.xish.domish import Element, escapeToXml

NON_XML: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
"""One character that no XML document may hold (XML 1.0 section 2.2)."""

_NO_ATTRIBUTES: Final[Mapping[str, str]] = MappingProxyType({})


class Payload(NamedTuple):
    """The child of an IQ: an element whose own children hold nothing but text.

    Args:
        namespace: Its namespace, and that of its children. A constant of ours: it is not escaped.
        name: Its local name.
        parts: Local name and text of each child, in order.
        attributes: Its attributes by name.
    """

    namespace: str
    name: str
    parts: tuple[tuple[str, str], ...] = ()
    attributes: Mapping[str, str] = _NO_ATTRIBUTES

    def to_xml(self) -> str:
        """Write it as XML that declares its own namespace."""
        xml = f"<{self.name} xmlns='{self.namespace}'"
        for name, text in self.attributes.items():
            xml += f" {name}='{escaped(text)}'"
        xml += ">"
        for name, text in self.parts:
            xml += f"<{name}>{escaped(text)}</{name}>"
        return f"{xml}</{self.name}>"

    def to_element(self) -> Element:
        """Build the element that a parser would make of ``to_xml()``."""
        element = Element((self.namespace, self.name))
        if self.attributes:
            element.attributes = _qualified(self.attributes)
        for name, text in self.parts:
            # Twisted would keep an empty text as a child of its own.
            element.addElement(name, content=text or None)
        return element

    @classmethod
    def from_element(cls, element: Element) -> Payload:
        """Read an element; of its children, those of its own namespace."""
        parts = tuple(
            [
                (child.name, "".join([text for text in child.children if isinstance(text, str)]))
                for child in element.elements()
                if child.uri == element.uri
            ]
        )
        return cls(element.uri, element.name, parts, element.attributes)


class IQ:
    """An IQ request that was received.

    Args:
        attributes: The attributes of ``<iq/>``, as the parser gave them.
        payload: Its child.
        namespace: The namespace of ``<iq/>``; needed if there is no ``element``.
        element: The whole stanza, if Twisted has built it.
    """

    __slots__ = ("_element", "_namespace", "attributes", "payload")

    def __init__(
        self,
        attributes: Mapping[str, str],
        payload: Payload,
        *,
        namespace: str | None = None,
        element: Element | None = None,
    ) -> None:
        self.attributes = attributes
        self.payload = payload
        self._namespace = namespace
        self._element = element

    @property
    def element(self) -> Element:
        """The whole stanza; always the same object."""
        if self._element is None:
            element = Element((self._namespace, "iq"), attribs=_qualified(self.attributes))
            element.addChild(self.payload.to_element())
            # So it is when observers see it, as the handler that has it sets this.
            element.handled = True  # type: ignore[attr-defined]
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


def iq_xml(
    kind: str, id_: str | None, to: str | None, from_: str | None, payload: Payload | None = None
) -> str:
    """Write an IQ as text, in the namespace of the stream that it goes out on.

    Args:
        kind: Its type.
        id_: Its id. What is None or empty, here and below, is left out.
        to: Whom it goes to.
        from_: Whom it comes from.
        payload: Its child.
    """
    given = f"{id_}{to}{from_}"
    if id_ and to and escaped(given) is given:
        # The usual one in one piece costs half as much.
        sender = f" from='{from_}'" if from_ else ""
        head = f"<iq type='{kind}' id='{id_}' to='{to}'{sender}"
    else:
        head = f"<iq type='{kind}'"
        for name, value in (("id", id_), ("to", to), ("from", from_)):
            if value:
                head += f" {name}='{escaped(value)}'"
    return f"{head}/>" if payload is None else f"{head}>{payload.to_xml()}</iq>"


def iq_element(
    kind: str, id_: str | None, to: str | None, from_: str | None, payload: Payload | None = None
) -> Element:
    """Build the element that ``iq_xml`` writes with the same arguments."""
    element = Element((None, "iq"))
    attributes = element.attributes
    attributes["type"] = kind
    for name, value in (("id", id_), ("to", to), ("from", from_)):
        if value:
            attributes[name] = value
    if payload is not None:
        element.addChild(payload.to_element())
    return element


def escaped(text: str) -> str:
    """Write text so that a parser reads it as it was, between tags and in an attribute."""
    # Most texts need no escaping, and to see that is faster than to replace nothing.
    if text.isprintable() and not (
        "&" in text or "<" in text or ">" in text or "'" in text or '"' in text
    ):
        return text
    xml: str = escapeToXml(text, 1)
    # A parser would make a space or a line feed of these (XML 1.0 sections 2.11 and 3.3.3).
    return xml.replace("\t", "&#9;").replace("\n", "&#10;").replace("\r", "&#13;")


def replace_non_xml(text: str) -> str:
    """Put U+FFFD for every character that no XML document may hold (XML 1.0 section 2.2)."""
    return NON_XML.sub("\ufffd", text)

"""IQ stanzas as values: read without a tree, written as text or as elements.

Twisted's elements are made for any XML. To build, match and serialise a tree of them costs several
times as much as everything else that is done for a stanza. An IQ of ours is always a few attributes
and one flat payload, so both directions work on that, and an element is made only if somebody asks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from twisted.words.xish.domish import Element

from twisted_oob.xmpp.characters import escaped
from twisted_oob.xmpp.serial import SafeElement, to_xml


@dataclass(slots=True)
class Payload:
    """The child of an IQ: an element whose own children hold nothing but text, but for one.

    Args:
        namespace: Its namespace, and that of its parts. A constant of ours: it is not escaped.
        name: Its local name.
        parts: Local name and text of each child, in order.
        attributes: Its attributes by name; None if it has none.
        nested: A child of any form, after the others; None if it has no such child. It is written,
            never read: see ``IQ.nested`` for that.
    """

    namespace: str
    name: str
    # Not in the repr: they hold URLs with their secrets.
    parts: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    attributes: Mapping[str, str] | None = field(default=None, repr=False)
    nested: Element | None = field(default=None, repr=False)

    def to_xml(self, *, plain: bool = False) -> str:
        """Write it as XML that declares its own namespace.

        Args:
            plain: Whether the texts of its parts are known to need no escaping.
        """
        held = given = ""
        for part, text in self.parts:
            if not plain:
                text = escaped(text)  # noqa: PLW2901
            held += f"<{part}>{text}</{part}>"
        if self.attributes:
            for attribute, text in self.attributes.items():
                given += f" {attribute}='{escaped(text)}'"
        if self.nested is not None:
            held += to_xml(self.nested, self.namespace)
        return f"<{self.name} xmlns='{self.namespace}'{given}>{held}</{self.name}>"

    def to_element(self) -> Element:
        """Build the element that a parser would make of ``to_xml()``."""
        namespace = self.namespace
        element = Element((namespace, self.name), namespace)
        if self.attributes:
            element.attributes = _qualified(self.attributes)
        for part, text in self.parts:
            child = Element((namespace, part), namespace)
            child.parent = element
            if text:  # a parser makes no child of an empty one
                child.children.append(text)
            element.children.append(child)
        if self.nested is not None:
            element.addChild(self.nested)
        return element

    @classmethod
    def from_element(cls, element: Element) -> Payload:
        """Read an element; of its children, those of its own namespace."""
        uri = element.uri
        parts = []
        for child in element.children:
            if isinstance(child, Element) and child.uri == uri:
                text = "".join([text for text in child.children if isinstance(text, str)])
                parts.append((child.name, text))
        return cls(uri, element.name, tuple(parts), element.attributes or None)


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
            # Observers see it marked so, because our handler sets it.
            element.handled = True  # type: ignore[attr-defined]
            self._element = element
        return self._element

    def nested(self, namespace: str, name: str) -> Element | None:
        """Give a child of the payload that the payload itself can't hold.

        If Twisted has built no element, there is no such child, and nobody has to look.

        Args:
            namespace: The child's namespace, another than the payload's.
            name: The child's name.

        Returns:
            The first such child; None if there is no such child.
        """
        if self._element is None:
            return None
        for held in self._element.elements(self.payload.namespace, self.payload.name):
            found: Element | None = next(held.elements(namespace, name), None)
            return found
        return None


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
    if payload is not None:
        for _, text in payload.parts:
            given += text
    # Nearly all need no escaping. To look at all of it at once costs half as much as at each.
    plain = escaped(given) is given
    if plain and id_ and to:
        sender = f" from='{from_}'" if from_ else ""
        head = f"<iq type='{kind}' id='{id_}' to='{to}'{sender}"
    else:
        head = f"<iq type='{kind}'"
        for name, value in (("id", id_), ("to", to), ("from", from_)):
            if value:
                head += f" {name}='{escaped(value)}'"
    return f"{head}/>" if payload is None else f"{head}>{payload.to_xml(plain=plain)}</iq>"


def iq_element(
    kind: str, id_: str | None, to: str | None, from_: str | None, payload: Payload | None = None
) -> Element:
    """Build the element that ``iq_xml`` writes with the same arguments."""
    attributes = {"type": kind}
    if id_:
        attributes["id"] = id_
    if to:
        attributes["to"] = to
    if from_:
        attributes["from"] = from_
    kind_of = _FlatIQ if payload is None or payload.nested is None else SafeElement
    element: Element = kind_of((None, "iq"), attribs=attributes)
    if payload is not None:
        element.addChild(payload.to_element())
    return element


_KINDS: Final = frozenset(("error", "get", "result", "set"))


class _FlatIQ(Element):
    """An IQ that is written by ``iq_xml`` as long as that can write it.

    Twisted's serialiser is made for any XML, and takes a quarter of the time of a whole exchange.
    Whoever wrapped ``send`` gets an ordinary element and may change it in any way: what counts is
    what it holds when it is written. If that is more than ``iq_xml`` knows, Twisted writes it.
    """

    def toXml(  # noqa: N802  (Twisted's name)
        self,
        prefixes: dict[str, str] | None = None,
        closeElement: int = 1,  # noqa: N803  (Twisted's names)
        defaultUri: str = "",  # noqa: N803
        prefixesInScope: list[str] | None = None,  # noqa: N803
    ) -> str:
        parts = _flat_parts(self) if closeElement and self.uri is None else None
        if parts is not None:
            return iq_xml(*parts)
        xml: str = Element.toXml(self, prefixes, closeElement, defaultUri, prefixesInScope)
        return xml


def _flat_parts(
    iq: Element,
) -> tuple[str, str | None, str | None, str | None, Payload | None] | None:
    """Give the arguments for ``iq_xml`` to write an element; None if they can't say all of it."""
    given = iq.attributes.get
    kind, id_, to, from_ = given("type"), given("id"), given("to"), given("from")
    children = iq.children
    if (
        kind not in _KINDS
        or iq.name != "iq"
        or len(iq.attributes) != 1 + bool(id_) + bool(to) + bool(from_)
        or iq.localPrefixes
        or len(children) > 1
    ):
        return None
    payload = _flat_payload(children[0]) if children else None
    return None if payload is None and children else (kind, id_, to, from_, payload)


def _flat_payload(element: Element | str) -> Payload | None:
    """Read an element; None if it is more than a Payload can say."""
    if type(element) is not Element or element.localPrefixes:
        return None
    # Without a namespace of its own, it is in that of what holds it.
    if not element.uri or element.uri != element.defaultUri:
        return None
    if element.attributes and not all(type(name) is str for name in element.attributes):
        return None
    parts = []
    for child in element.children:
        if type(child) is not Element or child.uri != element.uri or child.attributes:
            return None
        held = child.children
        # A subclass of str is XML that somebody wrote (SerializedXML).
        if child.localPrefixes or len(held) > 1 or (held and type(held[0]) is not str):
            return None
        parts.append((child.name, held[0] if held else ""))
    return Payload(element.uri, element.name, tuple(parts), element.attributes or None)

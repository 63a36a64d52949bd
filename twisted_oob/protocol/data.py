"""Out of Band Data as a value, and its XML: parse, build, validate. No reactor, no I/O.

XEP-0066 has one payload under two names. ``<query xmlns='jabber:iq:oob'/>`` goes in an IQ and is
answered when the file has been retrieved (section 2). ``<x xmlns='jabber:x:oob'/>`` goes in a
message or presence and is not answered (section 3). Both hold a ``<url/>`` and may hold a
``<desc/>``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from twisted.words.xish import domish

from twisted_oob._checks import wrong_type
from twisted_oob._urls import MAX_URL_LENGTH, URI, shown_text, shown_url, to_uri
from twisted_oob.errors import InvalidOOBData
from twisted_oob.xmpp.characters import NON_XML
from twisted_oob.xmpp.stanza import Payload

NS_IQ_OOB: Final = "jabber:iq:oob"
NS_X_OOB: Final = "jabber:x:oob"
DISCO_FEATURES: Final = (NS_IQ_OOB, NS_X_OOB)
RESOURCE: Final = "oob"
"""The resource of an account that our own commands bind by default. Others can know it beforehand,
and so make offers without a subscription: those need the full JID."""

_ELEMENT_NAMES: Final = {NS_IQ_OOB: "query", NS_X_OOB: "x"}


@dataclass(frozen=True, slots=True, init=False)
class OOBData:
    """A URL offered out of band (XEP-0066 sections 2 and 3). Valid once made.

    Args:
        url: A URL of any scheme. It is made an absolute URI (RFC 3986; RFC 3987 section 3.1) of at
            most 8 KiB: white space around it is cut, the host becomes A-labels, and what else a
            URI can't hold is percent-encoded.
        desc: A description, for people. An empty one is the same as None.
        sid: The stream identifier that version 1.5 of the standard had. An empty one is the same
            as None.

    Raises:
        InvalidOOBData: One of them can't be sent. It is a ValueError.
        WrongType: One of them is not a str. It is a TypeError and InvalidOOBData.

    Attributes:
        url: The URI.
    """

    url: str
    desc: str | None = None
    sid: str | None = None

    def __init__(self, url: str, desc: str | None = None, sid: str | None = None) -> None:
        put = object.__setattr__  # it is frozen to everybody else
        put(self, "url", _checked(url, desc, sid))
        put(self, "desc", desc or None)
        put(self, "sid", sid or None)

    def __repr__(self) -> str:
        # Many clients put the URL into the description, too.
        desc, sid = (text and shown_text(text) for text in (self.desc, self.sid))
        return f"OOBData({shown_url(self.url)!r}, {desc!r}, {sid!r})"

    def to_element(self, namespace: str) -> domish.Element:
        """Build ``<query/>`` or ``<x/>``.

        Args:
            namespace: NS_IQ_OOB for ``<query/>``, NS_X_OOB for ``<x/>``.

        Raises:
            ValueError: It is another namespace.
        """
        return oob_payload(namespace, self.url, self.desc, self.sid).to_element()

    @classmethod
    def from_payload(cls, payload: Payload) -> OOBData:
        """Read what a ``<query/>`` or ``<x/>`` holds. Unknown parts and attributes are ignored.

        Raises:
            InvalidOOBData: Its ``<url/>`` is missing or not usable.
        """
        url = desc = None
        for name, text in payload.parts:
            # Of several, the first one counts.
            if name == "url" and url is None:
                url = text
            elif name == "desc" and desc is None:
                desc = text
        if url is None:
            raise InvalidOOBData("the <url/> is missing")
        return cls(url, desc, payload.attributes.get("sid") if payload.attributes else None)

    @classmethod
    def from_element(cls, element: domish.Element) -> OOBData:
        """Read a ``<query/>`` or ``<x/>``. Unknown children and attributes are ignored.

        Raises:
            InvalidOOBData: It is neither of them, or its ``<url/>`` is missing or not usable.
            WrongType: It is no Element. It is a TypeError and InvalidOOBData.
        """
        _check_element(element)
        if not is_oob(element):
            raise InvalidOOBData(
                f"<{element.name} xmlns={element.uri!r}/> is neither jabber:iq:oob nor jabber:x:oob"
            )
        return cls.from_payload(Payload.from_element(element))


def oob_payload(
    namespace: str, url: str, desc: str | None = None, sid: str | None = None
) -> Payload:
    """Make the payload that offers a URL, without an OOBData in between.

    Args:
        namespace: NS_IQ_OOB for ``<query/>``, NS_X_OOB for ``<x/>``.
        url: As for OOBData; so are ``desc`` and ``sid``.

    Raises:
        InvalidOOBData: OOBData would raise it.
        ValueError: The namespace is neither of the two.
    """
    name = _ELEMENT_NAMES.get(namespace)
    if name is None:
        raise ValueError(f"Out of Band Data has no namespace {namespace!r}: {DISCO_FEATURES}")
    url = _checked(url, desc, sid)
    parts = (("url", url), ("desc", desc)) if desc else (("url", url),)
    return Payload(namespace, name, parts, {"sid": sid}) if sid else Payload(namespace, name, parts)


def is_oob(element: domish.Element) -> bool:
    """Whether this is ``<query/>`` or ``<x/>``, each in its own namespace."""
    return bool(_ELEMENT_NAMES.get(element.uri) == element.name)


def oob_elements(stanza: domish.Element, namespace: str) -> Iterator[domish.Element]:
    """Give the children of a stanza that are Out of Band Data, of one of its two namespaces."""
    name = _ELEMENT_NAMES[namespace]
    for child in stanza.children:
        if isinstance(child, domish.Element) and child.uri == namespace and child.name == name:
            yield child


def url_from_element(element: domish.Element) -> OOBData | None:
    """Read Out of Band Data of either namespace.

    Args:
        element: A ``<query/>`` or ``<x/>``, or a stanza that holds one.

    Returns:
        The first that is usable; None if there is no usable one.

    Raises:
        WrongType: It is no Element. It is a TypeError.
    """
    _check_element(element)
    for candidate in (element, *element.elements()):
        if is_oob(candidate):
            try:
                return OOBData.from_element(candidate)
            except InvalidOOBData:
                continue
    return None


def _check_element(given: object) -> None:
    if not isinstance(given, domish.Element):
        raise wrong_type("element", "an Element", given)


def check_text(name: str, text: object) -> None:
    """Check that something is a str that XML can hold.

    Args:
        name: What the error calls it.
        text: What is checked.

    Raises:
        WrongType: It is not a str.
        InvalidOOBData: XML can't hold it.
    """
    if not isinstance(text, str):
        raise wrong_type(name, "a str", text)
    # All that is printable can be in XML, and isprintable() is the faster check.
    bad = None if text.isprintable() else NON_XML.search(text)
    if bad is not None:
        raise InvalidOOBData(
            f"{name} has the character U+{ord(bad[0]):04X} at {bad.start()}, which XML can't hold"
        )


def _checked(url: object, desc: object, sid: object) -> str:
    """Give the URI; raise InvalidOOBData if one of them can't be sent."""
    # What is printable needs no closer look, and that is nearly all there is.
    if desc is not None and not (isinstance(desc, str) and desc.isprintable()):
        check_text("desc", desc)
    if sid is not None:
        check_text("sid", sid)
    if not isinstance(url, str):
        raise wrong_type("url", "a str", url)
    # Nearly all are URIs already, for which this spares a call.
    if "%" not in url and "[" not in url and len(url) <= MAX_URL_LENGTH and URI.fullmatch(url):
        return url
    try:
        return to_uri(url)
    except ValueError as error:
        raise InvalidOOBData(str(error)) from None

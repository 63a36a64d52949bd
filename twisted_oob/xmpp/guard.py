"""What Twisted's XML leaves open, closed: hostile stanzas.

Twisted's serialiser does not escape namespace names, and expat lets any character into them. So a
stranger's element with a quote in a namespace, sent on or echoed in an error, would become markup:
stanzas of the stranger's choice, under our own address. And to the serialiser, a prefix means one
namespace in a whole stanza. If an element binds a prefix anew, or binds one that the serialiser
takes as its own, what goes out is not well-formed, and the server closes the stream.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.words.protocols.jabber.error import STANZA_CONDITIONS, StanzaError
from twisted.words.protocols.jabber.xmlstream import toResponse
from twisted.words.xish import domish

from twisted_oob.xmpp.stanza import NON_XML, replace_non_xml

MAX_DEPTH: Final = 128
"""How deep elements may be nested; Twisted's serialiser is recursive."""

_ERROR_TYPES: Final = ("auth", "cancel", "continue", "modify", "wait")
_MARKUP: Final = frozenset("<>&'\"")


def is_safe(element: domish.Element) -> bool:
    """Whether an element that came in goes out as what it is, on its own or inside another."""
    depth, level = 0, [element]
    bound: dict[str, str] = {}
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            return False
        below: list[domish.Element] = []
        for one in level:
            for prefix, uri in one.localPrefixes.items():
                # It makes up xn0, xn1, ..., and takes every part of "stream" as declared.
                if prefix in "stream" or prefix.startswith("xn"):
                    return False
                if bound.setdefault(prefix, uri) != uri:
                    return False
            names = [one.uri, one.defaultUri, *one.localPrefixes.values()]
            names += [key[0] for key in one.attributes if isinstance(key, tuple)]
            if any(name and not _MARKUP.isdisjoint(name) for name in names):
                return False
            below.extend(one.elements())
        level = below
    return True


def error_response(stanza: domish.Element, error: StanzaError) -> domish.Element:
    """Build the error that answers a stanza (RFC 6120 section 8.3.1).

    Args:
        stanza: What came in. Its children stand before the error, unless it is not safe to send
            them (see ``is_safe``).
        error: What goes into ``<error/>``. Characters that XML can't hold are replaced in its text.

    Raises:
        ValueError: The condition or type is not one of RFC 6120, or XML can't hold what else is in
            the error, so that no peer could parse it.
    """
    if error.condition not in STANZA_CONDITIONS or error.type not in _ERROR_TYPES:
        raise ValueError(f"condition {error.condition!r} with type {error.type!r}: not RFC 6120's")
    response: domish.Element = toResponse(stanza, "error")
    response.children = list(stanza.children) if is_safe(stanza) else []
    element = error.getElement()
    for text in element.elements(error.namespace, "text"):
        text.children = [replace_non_xml(str(text))]
    # Whatever else an application put into it: one character that XML can't hold would cost us the
    # whole stream.
    bad = NON_XML.search(element.toXml())
    if bad is not None:
        raise ValueError(f"the error has the character U+{ord(bad[0]):04X}, which XML can't hold")
    response.addChild(element)
    return response


def forbid_markup(parser: Any, on_found: Callable[[], object]) -> None:
    """Let an expat parser stop at what no XML stream may hold (RFC 6120 section 11.1).

    That is a comment, a processing instruction or a document type, whose entities can expand to
    gigabytes; before the root of the stream, too. An XML declaration is none of these.

    Each new parser needs it, such as that of a stream that was reset.

    Args:
        parser: An expat parser.
        on_found: Called without arguments at the first such markup, to end the stream with
            ``restricted-xml`` (section 4.9.3.18). Then ``parse`` raises domish.ParserError, and
            nothing that follows gets through.
    """

    def found(*_: object) -> None:
        on_found()
        # Expat calls no handler any more after an exception in one.
        raise domish.ParserError("restricted XML")

    parser.CommentHandler = found
    parser.ProcessingInstructionHandler = found
    parser.StartDoctypeDeclHandler = found

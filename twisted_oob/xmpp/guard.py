"""What a stream must not let through, and errors that any stanza can be answered with.

Strangers choose what is in a stanza. What it may hold and what not is XML's and XMPP's business
(``forbid_markup``); how to write it so that it stays what it is, is that of ``serial.py``. Left to
us is how much of it there may be (``is_bounded``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.words.protocols.jabber.error import STANZA_CONDITIONS, StanzaError
from twisted.words.protocols.jabber.xmlstream import toResponse
from twisted.words.xish import domish

from twisted_oob.xmpp.characters import NON_XML, replace_non_xml
from twisted_oob.xmpp.serial import SafeElement

MAX_DEPTH: Final = 128
"""How deep elements may be nested: others write and read them recursively."""
MAX_NAMESPACES: Final = 128 * 1024
"""Characters of all namespace names that a stanza's elements and attributes have.

A sender declares a name once and uses it often. We write it out each time (see ``serial.py``).
"""

_ERROR_TYPES: Final = ("auth", "cancel", "continue", "modify", "wait")


def is_bounded(element: domish.Element) -> bool:
    """Whether an element that came in can be sent on, or in an error, without getting too much."""
    depth, namespaces, level = 0, 0, [element]
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            return False
        below: list[domish.Element] = []
        for one in level:
            for key in one.attributes:
                if isinstance(key, tuple):
                    namespaces += len(key[0] or "")
            for child in one.children:
                if isinstance(child, str):
                    continue
                # Where it is the same as around it, it is not written again.
                if child.uri != one.uri:
                    namespaces += len(child.uri or "")
                below.append(child)
        if namespaces > MAX_NAMESPACES:
            return False
        level = below
    return True


def error_response(
    stanza: domish.Element, error: StanzaError, *, echo: bool = True
) -> domish.Element:
    """Build the error that answers a stanza (RFC 6120 section 8.3.1).

    Args:
        stanza: What came in. It may be anything that a parser gives.
        error: What goes into ``<error/>``. Characters that XML can't hold are replaced in its text.
        echo: Whether the stanza's children stand before the error, unless they are too much (see
            ``is_bounded``). Without them, an error is not longer than what it answers by much.

    Raises:
        ValueError: The condition or type is not one of RFC 6120, or XML can't hold what else is in
            the error, so that no peer could parse it.
    """
    if error.condition not in STANZA_CONDITIONS or error.type not in _ERROR_TYPES:
        raise ValueError(f"condition {error.condition!r} with type {error.type!r}: not RFC 6120's")
    answer: domish.Element = toResponse(stanza, "error")
    response: domish.Element = SafeElement((None, stanza.name), attribs=answer.attributes)  # type: ignore[no-untyped-call]
    if echo and is_bounded(stanza):
        response.children = list(stanza.children)
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
    gigabytes; before the root of the stream, too. An XML declaration is allowed.

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

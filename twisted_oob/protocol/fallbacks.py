"""A person's own words in the text of a message, without what stands in for something else.

Clients put text into ``<body/>`` for those who don't know what the message really is, and mark it
(XEP-0428): a quote above a reply, the name of a reaction. A file's is kept: it is the URL.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from twisted.words.xish.domish import Element

from twisted_oob.protocol.data import NS_X_OOB
from twisted_oob.protocol.file_sharing import NS_FALLBACK, NS_REFERENCE, NS_SFS, NS_SIMS
from twisted_oob.protocol.metadata import text_of

_NAMESPACES: Final = (NS_FALLBACK, "urn:xmpp:feature-fallback:0")  # the latter is in XEP-0461
_OF_FILES: Final = frozenset((NS_SFS, NS_SIMS, NS_REFERENCE, NS_X_OOB))
_NUMBER: Final = re.compile("[0-9]{1,9}")
_XML_LANG: Final = ("http://www.w3.org/XML/1998/namespace", "lang")


def body_of(message: Element) -> str | None:
    """Give the text of a message; of several in different languages, the one without a language.

    Returns:
        The text; None if there is no ``<body/>``.
    """
    bodies = list(message.elements(message.uri, "body"))
    if not bodies:
        return None
    plain = (body for body in bodies if not body.attributes.get(_XML_LANG))
    return text_of(next(plain, bodies[0]))


def own_words(message: Element, body: str) -> str:
    """Take out of a text what stands in for something other than a file (XEP-0428 section 2.2).

    Args:
        message: What has the text. A range in it that can't be is ignored.
        body: The text.
    """
    kept = []
    position = 0
    for start, end in sorted(_ranges(message, len(body))):
        if end > position:
            kept.append(body[position:start])
            position = end
    return "".join([*kept, body[position:]]).strip()


def _ranges(message: Element, length: int) -> Iterator[tuple[int, int]]:
    """Give the ranges to take out, in code points (XEP-0426)."""
    for fallback in message.elements():
        if (
            fallback.name == "fallback"
            and fallback.uri in _NAMESPACES
            and fallback.getAttribute("for") not in _OF_FILES
        ):
            for start, end in _marked(fallback, length):
                if start < end:
                    yield start, end


def _marked(fallback: Element, length: int) -> Iterator[tuple[int, int]]:
    parts = [part for part in fallback.elements() if part.name in ("body", "subject")]
    if not parts:
        yield 0, length
    for part in parts:
        if part.name == "body":
            start = _index(part.getAttribute("start", "0"))
            end = _index(part.getAttribute("end", str(length)))
            if start is not None and end is not None:
                yield start, end


def _index(text: str) -> int | None:
    return int(text) if _NUMBER.fullmatch(text) else None

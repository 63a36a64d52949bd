"""Characters in XML: those that it can hold, and those that must be escaped."""

from __future__ import annotations

import re
from typing import Final

from twisted.words.xish.domish import escapeToXml

NON_XML: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
"""One character that no XML document may hold (XML 1.0 section 2.2)."""


def escaped(text: str) -> str:
    """Write text so that a parser reads it as it was, between tags and in an attribute."""
    # Most texts need no escaping. To search for one character after the other is the fastest way to
    # see that: a regular expression, or replacing nothing, takes twice as long.
    if not (
        "&" in text
        or "<" in text
        or ">" in text
        or "'" in text
        or '"' in text
        or "\t" in text
        or "\n" in text
        or "\r" in text
    ):
        return text
    xml: str = escapeToXml(text, 1)
    # A parser would make a space or a line feed of these (XML 1.0 sections 2.11 and 3.3.3).
    return xml.replace("\t", "&#9;").replace("\n", "&#10;").replace("\r", "&#13;")


def replace_non_xml(text: str) -> str:
    """Put U+FFFD for every character that no XML document may hold (XML 1.0 section 2.2)."""
    return NON_XML.sub("\ufffd", text)

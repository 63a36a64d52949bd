"""Characters in XML: which are escaped, and which are replaced."""

from __future__ import annotations

import pytest

from twisted_oob.xmpp.characters import escaped, replace_non_xml

ESCAPED = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    "'": "&apos;",
    '"': "&quot;",
    "\t": "&#9;",
    "\n": "&#10;",
    "\r": "&#13;",
}


@pytest.mark.parametrize("text", ["a{}b", "\x7f{}{}", "{}\x85{}"])
def test_each_character_that_a_parser_would_change_is_escaped(text):
    for character, reference in ESCAPED.items():
        assert escaped(text.replace("{}", character)) == text.replace("{}", reference)
    assert escaped(text) == text


# XML 1.0 section 2.2.
XML_RANGES = ((0x9, 0xA), (0xD, 0xD), (0x20, 0xD7FF), (0xE000, 0xFFFD), (0x10000, 0x10FFFF))
# Every character but the inner ones of long ranges, which a class of characters can't tell apart.
CODE_POINTS = [
    *range(0x300),
    *range(0xD700, 0xE100),
    *range(0xFD00, 0x10100),
    *(
        plane + offset
        for plane in range(0x10000, 0x110000, 0x10000)
        for offset in (0, 0xFFFE, 0xFFFF)
    ),
]


def test_each_character_that_xml_cannot_hold_is_replaced_and_no_other():
    for code in CODE_POINTS:
        held = any(first <= code <= last for first, last in XML_RANGES)
        wanted = chr(code) if held else "\ufffd"
        assert replace_non_xml(f"a{chr(code)}{chr(code)}b") == f"a{wanted}{wanted}b", hex(code)

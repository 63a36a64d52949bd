"""A person's own words in the text of a message."""

from __future__ import annotations

import pytest

from tests.support.written import arrived, body, fallback
from twisted_oob.protocol.fallbacks import body_of, own_words

URL = "https://h.example/a.pdf"

WORDS = {
    "plain": ([body("hello")], "hello"),
    "with characters of markup": ([body("a &lt; b &amp; c")], "a < b & c"),
    "of several languages": (
        [body("bonjour", **{"xml:lang": "fr"}), body("hello"), body("hallo", **{"xml:lang": "de"})],
        "hello",
    ),
    "of one language": ([body("bonjour", **{"xml:lang": "fr"})], "bonjour"),
    "a reply": (
        [
            body("&gt; Anna:\n&gt; hi\nlist"),
            fallback("urn:xmpp:reply:0", "<body start='0' end='13'/>"),
        ],
        "list",
    ),
    "a reply, as its standard has it": (
        [
            body("&gt; hi\nlist"),
            "<fallback xmlns='urn:xmpp:feature-fallback:0' for='urn:xmpp:reply:0'>"
            "<body end='5'/></fallback>",
        ],
        "list",
    ),
    "code points": (
        [body("&gt; \U0001f44d\U0001f44d\nlist"), fallback("urn:xmpp:reply:0", "<body end='5'/>")],
        "list",
    ),
    "several ranges, that overlap": (
        [
            body("0123456789"),
            fallback("urn:a", "<body start='1' end='4'/>", "<body start='3' end='5'/>"),
            fallback("urn:b", "<body start='8'/>", "<body start='2' end='3'/>"),
        ],
        "0567",
    ),
    "ranges that can't be": (
        [
            body("list"),
            fallback("urn:a", "<body start='-1' end='2'/>", "<body start='x'/>"),
            fallback("urn:b", "<body start='3' end='1'/>", "<body start='9' end='12'/>"),
            fallback("urn:c", "<body start='0' end='0'/>", f"<body end='{'9' * 5000}'/>"),
        ],
        "list",
    ),
    "a range beyond the end": (
        [body("list"), fallback("urn:a", "<body start='2' end='99'/>")],
        "li",
    ),
    "a fallback of the subject": ([body("list"), fallback("urn:a", "<subject/>")], "list"),
    "a file's": ([body(URL), fallback("urn:xmpp:sfs:0", "<body/>")], URL),
    "a body in a fallback first": ([fallback("urn:a", "<subject/>"), body("list")], "list"),
}


@pytest.mark.parametrize(("children", "words"), WORDS.values(), ids=WORDS)
def test_the_words_are_the_writers_own(children, words):
    for order in (1, -1):
        message = arrived(*children, order=order)
        assert own_words(message, body_of(message)) == words


def test_a_message_without_a_body_has_no_text():
    assert body_of(arrived(fallback("urn:a", "<body/>"))) is None

"""URLs in running text, as people write them in any language.

Theory of operation
===================

A text comes in, and the http and https URLs in it go out, as URIs. What surrounds a URL may touch
it: a sentence goes on, or it is in brackets, in quotes, or in Markdown.

==========================================  ====================================================
in the text                                 what becomes of it
==========================================  ====================================================
a letter, digit or "+" before the scheme    no URL: it is another scheme, or a word
white space, control and bidi characters,   end the URL
``<>"`` and the like, quotes and brackets
that are not ASCII, East Asian punctuation
``<URL>``                                   ends at the ``>``, so it may have spaces (RFC 3986
                                            appendix C)
``'``, ``*``, ``_`` or ``~`` before it      ends at the same character if the word does
a bracket that nothing in the URL opened    ends it: ``[x](URL)``
``,`` or ``;`` right before another URL     ends it
``.,;:!?'`` and other punctuation at the    is the sentence's
end
a script without spaces right behind a      is the sentence: ``URL.pdf`` + ``を見て``
file name's extension
a line that begins with ``>``               is a quote (XEP-0393): it has no URLs, as they are
                                            somebody else's words
==========================================  ====================================================

Each character is looked at a fixed number of times, as strangers choose the text: a URL is read in
pieces up to its end, and the search goes on there.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Final

from twisted_oob._urls import MAX_URL_LENGTH, to_uri

MAX_TEXT_LENGTH: Final = 65536
"""How many characters of a text are searched. Servers let through a few times as many."""
MAX_URLS: Final = 1000
"""How many URLs of a text are found. To make URIs of them takes most of the time."""

_SCHEME: Final = re.compile(r"(?<![A-Za-z0-9+])https?://", re.IGNORECASE)
# White space, control and bidi characters (RFC 3987 section 4.1); what no URI holds; quotes, angle
# brackets and the dash of other languages; East Asian punctuation and brackets, also of full width.
# An apostrophe (U+2019) may be in a name.
_ENDS: Final = (
    r"\s\x00-\x1f\x7f-\x9f\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufffc"
    r"<>\"`|\\"
    r"\xab\xbb\u2039\u203a\u201a-\u201f\u27e8\u27e9\u2329\u232a\u2014"
    r"\u3001\u3002\u3008-\u3011\u3014-\u301b\u301d-\u301f"
    r"\uff01\uff08\uff09\uff0c\uff0e\uff1a\uff1b\uff1f\uff3b\uff3d\uff5b\uff5d\uff5f-\uff64"
)
_PIECE: Final = re.compile(rf"(?:[^{_ENDS}()\[\]{{}},;]|[,;](?!https?://))*", re.IGNORECASE)
_CLOSED_BY: Final = {")": "(", "]": "[", "}": "{"}
_IN_ANGLES: Final = re.compile(r"[^<>\n]*")
_OPEN_ANGLE: Final = ("<", "<URL:")  # RFC 3986 appendix C
_ALSO_CLOSES: Final = "'*_~"
_TRAILING: Final = frozenset(".,;:!?'([{")
# Thai to Burmese, Khmer, kana, Han, Hangul, and emoji.
_NO_SPACES: Final = (
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2600-\u27bf\u3005-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
    r"\uac00-\ud7a3\uf900-\ufaff\U0001f000-\U0001faff\U00020000-\U0003ffff"
)
_BEHIND_EXTENSION: Final = re.compile(
    rf"(?<=\.)(?P<extension>[A-Za-z0-9]{{1,5}})[{_NO_SPACES}][^/?#&=%.]*\Z"
)


def urls_in(text: str) -> list[str]:
    """Find the http and https URLs in a text.

    Args:
        text: Any text. Of a longer one, the first MAX_TEXT_LENGTH characters count, and of more
            URLs, the first MAX_URLS.

    Returns:
        URIs (RFC 3986), each once, in the order of the text. What only looks like a URL is left
        out, such as one without a host.
    """
    found: dict[str, None] = {}
    for line in text[:MAX_TEXT_LENGTH].splitlines():
        if not line.startswith(">"):
            for url in _written(line):
                try:
                    found[to_uri(url)] = None
                except ValueError:
                    continue
                if len(found) == MAX_URLS:
                    return list(found)
    return list(found)


def _written(line: str) -> Iterator[str]:
    """Give the URLs of a line as they are written there."""
    begins = _SCHEME.search(line)
    while begins is not None:
        start = begins.start()
        before = line[start - 1] if start else ""
        in_angles = line.endswith(_OPEN_ANGLE, 0, start)
        end = _angle_end(line, begins) if in_angles else None
        if end is not None:
            url = line[start:end]
        else:
            end = _end(line, begins.end())
            url = _trimmed(line[start:end], before)
        if len(url) > begins.end() - start:
            yield url
        begins = _SCHEME.search(line, end)


def _angle_end(line: str, begins: re.Match[str]) -> int | None:
    """Give where the ``>`` is that closes a URL; None if a second URL, or nothing, follows."""
    inside = _IN_ANGLES.match(line, begins.end(), begins.end() + MAX_URL_LENGTH)
    if inside is None or line[inside.end() : inside.end() + 1] != ">":
        return None
    if re.search(r"\s", inside[0]) and _SCHEME.search(inside[0]):
        return None
    return inside.end()


def _end(line: str, position: int) -> int:
    """Give where a URL ends, before the end of the sentence is taken from it."""
    open_ = dict.fromkeys("([{", 0)
    while True:
        piece = _PIECE.match(line, position)
        position = piece.end() if piece is not None else position
        at = line[position : position + 1]
        if at in open_:
            open_[at] += 1
        elif at in _CLOSED_BY and open_[_CLOSED_BY[at]]:
            open_[_CLOSED_BY[at]] -= 1
        else:
            return position
        position += 1


def _trimmed(url: str, before: str) -> str:
    """Take from a URL what belongs to the sentence that it is in."""
    if before and before in _ALSO_CLOSES:
        # As in '*URL*', with or without a full stop.
        closed = url.rfind(before)
        if closed > 0 and all(_is_sentence(each) for each in url[closed + 1 :]):
            url = url[:closed].rstrip(before)
    behind = _BEHIND_EXTENSION.search(url)
    if behind is not None:
        url = url[: behind.end("extension")]
    end = len(url)
    while end and _is_sentence(url[end - 1]):
        end -= 1
    return url[:end]


def _is_sentence(character: str) -> bool:
    if character.isascii():
        return character in _TRAILING
    # Punctuation of any script, and what joins or directs letters.
    category = unicodedata.category(character)
    return category.startswith("P") or category == "Cf"

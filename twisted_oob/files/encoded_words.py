"""Encoded words (RFC 2047): how mail writes names, and some servers of files, too.

``=?UTF-8?B?w7wudHh0?=`` is "ü.txt". HTTP has another way (RFC 8187), but browsers read this one as
well.
"""

from __future__ import annotations

import binascii
import re
from typing import Final

# The charset, perhaps with a language (RFC 2231 section 5), the encoding and the text.
_WORD: Final = re.compile(r"=\?([!-)+->@-~]{1,40})(?:\*[!->@-~]*)?\?([BbQq])\?([^?]*)\?=")
# Only what others can write and nothing that is no charset, as Python has codecs of many kinds.
_CHARSETS: Final = re.compile(
    r"utf-?8|(us-)?ascii|iso-?8859-?[0-9]{1,2}|(windows-|cp)(125[0-8]|874)|koi8-[ru]"
    r"|gb2312|gbk|gb18030|big5|shift_jis|euc-(jp|kr)|iso-2022-jp",
    re.IGNORECASE,
)
# "White space between adjacent encoded words is not displayed" (RFC 2047 section 6.2).
_BETWEEN: Final = re.compile(r"(?<=\?=)\s+(?==\?)")


def without_encoded_words(text: str) -> str:
    """Decode the encoded words in a text. One that can't be decoded stays as it is."""
    return _WORD.sub(_decoded, _BETWEEN.sub("", text)) if "=?" in text else text


def _decoded(word: re.Match[str]) -> str:
    charset, encoding, text = word.groups()
    if _CHARSETS.fullmatch(charset) is None:
        return word[0]
    try:
        raw = text.encode("ascii")
        if encoding in "Bb":
            # Padding is often missing.
            raw = binascii.a2b_base64(raw + b"=" * (-len(raw) % 4))
        else:
            raw = binascii.a2b_qp(raw, header=True)
        return raw.decode(charset)
    except (ValueError, LookupError):
        return word[0]

"""What an answer says of a shared file: its type, its name, and how a browser may show it."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

# A browser shows these in place. Everything else could run something, or is of no use there: SVG is
# an image that can hold scripts.
_INLINE: Final = re.compile(r"(?!image/svg)(?:image|audio|video)/.*|text/plain")
# RFC 8187 section 3.2.1, without what quote() never touches.
_ATTR_CHARS: Final = "!#$&+^`|"
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
# Clients decode percent signs, and disagree about backslashes (RFC 6266 appendix D).
_NOT_IN_FALLBACK: Final = re.compile(r'[^ -~]|["\\%]')


def clean_name(name: str) -> str:
    """Give a name that is proper Unicode: what the system couldn't decode becomes U+FFFD."""
    return _SURROGATE.sub("\ufffd", name)


def name_in_url(name: str) -> str:
    """Give a name as the last segment of a URL's path: percent-encoded UTF-8.

    Clients resolve ``.`` and ``..``, whether encoded or not, so that these become ``file``.
    """
    return "file" if name in {".", ".."} else quote(name, safe="")


def disposition(name: str, media_type: str) -> str:
    """Give a Content-Disposition (RFC 6266): the name, and whether a browser may show the file.

    ``filename*`` (RFC 8187) has the exact name. ``filename`` is for clients that don't know that,
    and has an underscore for each character that some of them would take for another one.
    """
    kind = "inline" if _INLINE.fullmatch(media_type) else "attachment"
    fallback = _NOT_IN_FALLBACK.sub("_", name)
    exact = quote(name, safe=_ATTR_CHARS)
    return f"{kind}; filename=\"{fallback}\"; filename*=UTF-8''{exact}"


def describe(name: str, media_type: str) -> dict[str, str]:
    """Give the headers that only the name and the media type decide."""
    return {
        "Accept-Ranges": "bytes",
        "Cache-Control": "no-store",
        "Content-Disposition": disposition(name, media_type),
        # Even if a browser shows it, the file runs no script and is of no origin.
        "Content-Security-Policy": "sandbox",
        "Content-Type": media_type,
        "X-Content-Type-Options": "nosniff",
    }

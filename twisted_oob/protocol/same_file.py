"""Which URLs name the same file, however they are written."""

from __future__ import annotations

import re
from typing import Final

_HTTP: Final = re.compile(r"(https?):(//(?:[^/?#@]*@)?)([^/?#]*)([^#]*)", re.IGNORECASE)
_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}
_ENCODED: Final = re.compile("%([0-9A-Fa-f]{2})")
# Unreserved characters (RFC 3986 section 2.3), and those that separate nothing in http URLs: some
# clients encode them, some don't. A semicolon does: in a path it begins parameters (section 3.3),
# which Java's servers cut off, and in a query it is the "&" of some.
_SAME_ENCODED: Final = re.compile(r"[A-Za-z0-9\-._~!$'()*,:@\[\]]")


def file_key(url: str) -> str:
    """Give what is equal for two URLs of the same file (RFC 3986 section 6.2).

    It is only for comparing. Scheme and host have no case, the default port is the same as no port,
    a character may be percent-encoded or not, and a fragment names a part of the same file.

    Args:
        url: An absolute URI. Of one that is neither http nor https, every character counts.
    """
    found = _HTTP.match(url)
    if found is None:
        return url
    scheme, user, host, rest = found.groups()
    scheme, host = scheme.lower(), host.lower()
    host = host.removesuffix(_DEFAULT_PORTS[scheme]).removesuffix(":")
    if "%" in rest:
        rest = _ENCODED.sub(_plain, rest)
    return f"{scheme}:{user}{host}{rest if rest.startswith('/') else '/' + rest}"


def _plain(encoded: re.Match[str]) -> str:
    character = chr(int(encoded[1], 16))
    return character if _SAME_ENCODED.fullmatch(character) else encoded[0].upper()

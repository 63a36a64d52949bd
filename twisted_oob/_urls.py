"""URLs as others may see them, and as they go over the wire; for every wing."""

from __future__ import annotations

from typing import Final

_MOST_SHOWN: Final = 200


def shown_url(url: str) -> str:
    """Give a URL as a log or repr may show it: scheme, host, port and path, cut at 200 characters.

    The userinfo, the query and the fragment hold passwords, signatures and keys.

    Args:
        url: Any text, also one that is no URL.
    """
    rest = url.partition("#")[0].partition("?")[0]
    scheme, slashes, rest = rest.partition("//")
    if slashes:
        authority, slash, path = rest.partition("/")
        rest = authority.rpartition("@")[2] + slash + path
    return f"{scheme}{slashes}{rest}"[:_MOST_SHOWN]

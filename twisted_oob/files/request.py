"""Requests as they go over the wire, without a reactor or I/O (RFC 9112 section 3).

The request target is the URL's own, octet for octet, as ``urls`` read it (section 3.2.1). Every
request is the only one on its connection: the next one would go to an address that nobody judged.
"""

from __future__ import annotations

from twisted_oob.files.urls import Target


def first_lines(method: bytes, target: Target, user_agent: str) -> list[bytes]:
    """Give the lines that all requests begin with: the request line and the fields.

    Args:
        method: Such as ``GET``.
        target: What is asked for.
        user_agent: Printable ASCII.

    Returns:
        The lines without their ends, for ``ended``.
    """
    return [
        b"%b %b HTTP/1.1" % (method, target.path.encode("ascii")),
        b"Host: " + target.authority.encode("ascii"),
        b"User-Agent: " + user_agent.encode("ascii"),
        b"Connection: close",
    ]


def get_head(target: Target, *, user_agent: str, cookie: bytes | None = None) -> bytes:
    """Write a GET, with the credentials of its target.

    Args:
        target: What is asked for.
        user_agent: Printable ASCII.
        cookie: The value of a Cookie field, or None.
    """
    lines = [
        *first_lines(b"GET", target, user_agent),
        b"Accept: */*",
        # A compressed file is not the file that was offered, and may be a zip bomb.
        b"Accept-Encoding: identity",
    ]
    if target.authorization is not None:
        lines.append(b"Authorization: " + target.authorization)
    if cookie is not None:
        lines.append(b"Cookie: " + cookie)
    return ended(lines)


def ended(lines: list[bytes]) -> bytes:
    """Join the lines of a head, and end it (RFC 9112 section 2.1)."""
    return b"\r\n".join([*lines, b"", b""])

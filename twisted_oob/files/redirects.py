"""Redirects: where a Location leads, judged like the first URL, without a reactor or I/O.

A Location is a reference that is resolved against the URL that was asked for (RFC 9110 section
10.2.2), exactly as RFC 3986 section 5.2 has it. So an empty one leads to the same URL again: a
server may want to be asked with its cookie. It is bytes: servers send UTF-8 there, or anything
else. What is no ASCII in its path and query is percent-encoded, byte for byte. Its host is UTF-8,
and becomes A-labels as in a first URL.

What may see which credentials (RFC 6454: an origin is scheme, host and port):

========================================  =====================================
where the Location leads                  what goes there
========================================  =====================================
the origin that sent it                   its userinfo, else what went there
                                          before
the first URL's origin, from another one  the first URL's userinfo
any other origin                          nothing
========================================  =====================================
"""

from __future__ import annotations

import dataclasses
from typing import Final

from twisted_oob.errors import FetchFailed, Forbidden
from twisted_oob.files.policy import FetchPolicy
from twisted_oob.files.urls import Reference, Target, judge, read_reference

REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
"""The statuses that a Location comes with, and that are followed (RFC 9110 section 15.4). 300
leaves the choice to a person, 304 answers what we never ask, 305 and 306 are no longer used."""


def next_hop(policy: FetchPolicy, target: Target, location: bytes | None, hop: int) -> Target:
    """Follow a redirect, and judge where it leads like the first URL.

    Args:
        policy: Its ``max_redirects`` is kept.
        target: What was asked for.
        location: The Location header, or None.
        hop: Which redirect this is, counted from 1.

    Returns:
        What to ask for next.

    Raises:
        FetchFailed: There is no Location, or there were more than ``max_redirects``.
        Forbidden: The next URL is not allowed, or leads from https to http.
    """
    if hop > policy.max_redirects:
        raise FetchFailed("too many redirects")
    if location is None:
        raise FetchFailed("a redirect without a Location")
    following = judge(_resolved(target, read_reference(location.strip())))
    if (target.scheme, following.scheme) == ("https", "http"):
        raise Forbidden("a redirect from https to http is not allowed")
    first = target.first or target
    if following.origin == target.origin:
        authorization = following.authorization or target.authorization
    elif following.origin == first.origin:
        authorization = first.authorization
    else:
        authorization = None
    return dataclasses.replace(following, authorization=authorization, first=first)


def _resolved(target: Target, reference: Reference) -> Reference:
    """Resolve a reference against a URL (RFC 3986 section 5.2.2)."""
    scheme = reference.scheme or target.scheme.encode("ascii")
    if reference.scheme is not None or reference.authority is not None:
        path = _without_dots(reference.path)
        return Reference(scheme, reference.authority, path, reference.query)
    authority = target.authority.encode("ascii")
    base_path, question, base_query = target.path.encode("ascii").partition(b"?")
    path, query = reference.path, reference.query
    if not path:
        # The base's own path, whose dot segments stay as they are.
        base = base_query if question else None
        return Reference(scheme, authority, base_path, base if query is None else query)
    if not path.startswith(b"/"):  # section 5.2.3: it takes the place of the last segment
        path = base_path[: base_path.rindex(b"/") + 1] + path
    return Reference(scheme, authority, _without_dots(path), query)


def _without_dots(path: bytes) -> bytes:
    """Resolve the dot segments of an absolute path (RFC 3986 section 5.2.4). Takes linear time."""
    if b"/." not in path:
        return path
    kept: list[bytes] = []
    segments = path.split(b"/")[1:]
    for segment in segments:
        if segment == b"..":
            del kept[-1:]
        elif segment != b".":
            kept.append(segment)
    if segments[-1] in {b".", b".."}:
        kept.append(b"")
    return b"/" + b"/".join(kept)

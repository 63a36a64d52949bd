"""Cookies of one transfer: what a server sets on a redirect goes back to it (RFC 6265).

Many file hosts set a cookie, redirect to the same place, and redirect without end whoever comes
back without it. So cookies live as long as the chain of redirects, and no longer: nobody can
recognise us by them in another transfer. They also go to no other origin than the one that set
them, whatever its Domain attribute says. This is narrower than RFC 6265 and enough.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Final

from twisted_oob.files.response_head import ResponseHead
from twisted_oob.files.urls import Target

# A server may set cookies without end. RFC 6265 section 6.1 wants room for 50 of 4096 bytes each.
_MOST_COOKIES: Final = 50
_COOKIE_BYTES: Final = 4096
# More than this in one header line is more than many servers take (nginx: 8 KiB).
_HEADER_BYTES: Final = 8192
_BETWEEN: Final = b"; "

_CONTROL: Final = re.compile(rb"[\0-\x08\x0a-\x1f\x7f]")
_MAX_AGE: Final = re.compile(rb"-?[0-9]+")
# RFC 6265 section 5.1.1, where every date that a server can mean is read, in any order.
_DELIMITERS: Final = re.compile(rb"[\t\x20-/;-@\[-`{-~]+")
_TIME: Final = re.compile(rb"([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})(?![0-9])")
_DAY: Final = re.compile(rb"([0-9]{1,2})(?![0-9])")
_YEAR: Final = re.compile(rb"([0-9]{2,4})(?![0-9])")
_MONTHS: Final = b"jan feb mar apr may jun jul aug sep oct nov dec".split()
_FIRST_YEAR: Final = 1601
_CENTURY_TURNS: Final = 70  # 69 is 2069, 70 is 1970
_TWO_DIGITS: Final = 100


class Cookies:
    """The cookies of one transfer.

    Args:
        now: Tells the time, in seconds since 1970.
    """

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        # By origin, path and name (RFC 6265 section 5.3), the oldest first.
        self._values: dict[tuple[tuple[str, str, int], bytes, bytes], bytes] = {}

    def take(self, target: Target, head: ResponseHead) -> None:
        """Keep, replace and remove what an answer's Set-Cookie fields say (section 5.3).

        Args:
            target: What was asked for.
            head: The answer. A field that makes no sense is ignored.
        """
        for field in head.values(b"set-cookie"):
            self._set(target, field)

    def header(self, target: Target) -> bytes | None:
        """Give the value of the Cookie field for a request (section 5.4).

        Args:
            target: What will be asked for.

        Returns:
            At most 8 KiB; None if no cookie goes there.
        """
        asked = _path_of(target)
        fitting = [
            (path, name, value)
            for (origin, path, name), value in self._values.items()
            if origin == target.origin and _matches(path, asked)
        ]
        pairs: list[bytes] = []
        room = _HEADER_BYTES + len(_BETWEEN)
        # Longer paths first; among equal ones, the oldest first.
        for _, name, value in sorted(fitting, key=lambda cookie: -len(cookie[0])):
            pair = b"%b=%b" % (name, value)
            room -= len(pair) + len(_BETWEEN)
            if room < 0:
                break
            pairs.append(pair)
        return _BETWEEN.join(pairs) or None

    def _set(self, target: Target, field: bytes) -> None:
        pair, _, rest = field.partition(b";")
        name, equals, value = (part.strip() for part in pair.partition(b"="))
        if not name or not equals or len(name) + len(value) > _COOKIE_BYTES:
            return
        attributes = _attributes(rest)
        if _CONTROL.search(pair) is not None or not _may_set(target, attributes):
            return
        path = attributes.get(b"path", b"")
        if not path.startswith(b"/"):
            path = _path_of(target).rpartition(b"/")[0] or b"/"
        key = (target.origin, path, name)
        if self._is_over(attributes):
            self._values.pop(key, None)
            return
        self._values[key] = value
        if len(self._values) > _MOST_COOKIES:
            del self._values[next(iter(self._values))]

    def _is_over(self, attributes: dict[bytes, bytes]) -> bool:
        """Whether a cookie has expired when it comes, which is how a server removes it."""
        max_age = attributes.get(b"max-age", b"")
        if _MAX_AGE.fullmatch(max_age):
            return max_age.startswith(b"-") or not max_age.strip(b"0")
        expires = _date(attributes.get(b"expires", b""))
        return expires is not None and expires <= self._now()


def _attributes(rest: bytes) -> dict[bytes, bytes]:
    """Read what follows the pair of a Set-Cookie field (section 5.2): the last one counts."""
    parts = (part.partition(b"=") for part in rest.split(b";"))
    return {name.strip().lower(): value.strip() for name, _, value in parts}


def _may_set(target: Target, attributes: dict[bytes, bytes]) -> bool:
    """Whether a cookie is the server's own: neither for others, nor for https only."""
    domain = attributes.get(b"domain", b"").removeprefix(b".").lower()
    host = target.host.removesuffix(".").encode("ascii")
    if domain and host != domain and not host.endswith(b"." + domain):
        return False
    return target.scheme == "https" or b"secure" not in attributes


def _path_of(target: Target) -> bytes:
    return target.path.encode("ascii").partition(b"?")[0]


def _matches(path: bytes, asked: bytes) -> bool:
    """Whether a cookie's path is that of a request, or one above it (section 5.1.4)."""
    return asked == path or asked.startswith(path if path.endswith(b"/") else path + b"/")


def _date(text: bytes) -> float | None:
    """Read a date (section 5.1.1), as seconds since 1970; None if it is not one."""
    clock = day = month = year = None
    for token in _DELIMITERS.split(text):
        if clock is None and (clock := _TIME.match(token)) is not None:
            continue
        if day is None and (day := _DAY.match(token)) is not None:
            continue
        if month is None and token[:3].lower() in _MONTHS:
            month = _MONTHS.index(token[:3].lower()) + 1
            continue
        if year is None:
            year = _YEAR.match(token)
    if clock is None or day is None or month is None or year is None:
        return None
    number = int(year[1])
    if number < _TWO_DIGITS:
        number += 2000 if number < _CENTURY_TURNS else 1900
    if number < _FIRST_YEAR:
        return None
    hour, minute, second = (int(part) for part in clock.groups())
    try:
        date = datetime(number, month, int(day[1]), hour, minute, second, tzinfo=timezone.utc)
    except ValueError:
        return None
    return date.timestamp()

"""When a server wants to be asked again (RFC 9110 section 10.2.3), without a reactor or I/O."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from email.utils import parsedate_tz
from typing import Final

_SECONDS: Final = re.compile(rb"[0-9]+")
_LEAP_SECOND: Final = 60  # RFC 9110 section 5.6.7 has it, and time since the epoch has not
_LONGEST_DATE: Final = 40  # bytes; RFC 850 has the longest form, with up to 33


def retry_after(value: bytes | None, *, date: bytes | None, now: float) -> float | None:
    """Read a Retry-After.

    Args:
        value: The field's value; None if there is no such field.
        date: The Date of the same answer, by the server's own clock, which may be wrong; None if it
            has none.
        now: Seconds since the epoch, for a server that does not tell its time.

    Returns:
        Seconds to wait from now on, never less than 0, and infinite if there are hundreds of
        digits; None if the value is missing or not valid.
    """
    if value is None:
        return None
    if _SECONDS.fullmatch(value):
        return float(value)
    at = _http_date(value)
    if at is None:
        return None
    of_server = None if date is None else _http_date(date)
    return max(0.0, at - (now if of_server is None else of_server))


def _http_date(value: bytes) -> float | None:
    """Read a date in any of the three forms of RFC 9110 section 5.6.7, as seconds since the epoch.

    None if it is in no such form.
    """
    if len(value) > _LONGEST_DATE:
        return None
    try:
        parsed = parsedate_tz(value.decode("ascii"))
        if parsed is None:
            return None
        year, month, day, hour, minute, second, *_, offset = parsed
        leap = second == _LEAP_SECOND
        at = datetime(year, month, day, hour, minute, second - leap, tzinfo=timezone.utc)
    except (ValueError, OverflowError):
        return None
    return at.timestamp() + leap - (offset or 0)

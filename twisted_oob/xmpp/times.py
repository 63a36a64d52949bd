"""Times in stanzas (XEP-0082), and when a stanza was first sent (XEP-0203)."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from twisted.words.xish.domish import Element

_DELAY: Final = ("urn:xmpp:delay", "delay")
_LEGACY_DELAY: Final = ("jabber:x:delay", "x")  # XEP-0091
# XEP-0082 section 3.2. Without a zone it is UTC, which most standards ask for anyway.
_STAMP: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.[0-9]+)?"
    r"(?:Z|([+-])([0-9]{2}):([0-9]{2}))?"
)
_LEGACY_STAMP: Final = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})(T[0-9:]{8})")


def read_stamp(text: str) -> datetime | None:
    """Read a date and time (XEP-0082); None if it is not one."""
    found = _STAMP.fullmatch(text.strip())
    if found is None:
        return None
    try:
        stamp = datetime.fromisoformat(found[1]).replace(tzinfo=timezone.utc)
        if found[2]:
            offset = timedelta(hours=int(found[3]), minutes=int(found[4]))
            stamp += offset if found[2] == "-" else -offset
    except (ValueError, OverflowError):
        return None
    return stamp


def is_delayed(stanza: Element) -> bool:
    """Tell whether somebody says that a stanza was delayed, even if nobody can read since when."""
    return any((child.uri, child.name) in (_DELAY, _LEGACY_DELAY) for child in stanza.elements())


def delayed_since(stanza: Element) -> datetime | None:
    """Tell when a delayed stanza was first sent.

    A server adds the time to what waited for the recipient to come online, and a room to what was
    said before its occupant joined. If several added one, the earliest counts.

    Args:
        stanza: A message or presence. What is malformed in it counts as missing.

    Returns:
        The time, in UTC; None if the stanza was not delayed.
    """
    stamps = map(_delay_in, stanza.elements())
    return min((stamp for stamp in stamps if stamp is not None), default=None)


def _delay_in(child: Element) -> datetime | None:
    kind, stamp = (child.uri, child.name), child.getAttribute("stamp", "")
    if kind == _DELAY:
        return read_stamp(stamp)
    if kind == _LEGACY_DELAY:
        found = _LEGACY_STAMP.fullmatch(stamp.strip())
        return None if found is None else read_stamp("{}-{}-{}{}".format(*found.groups()))
    return None

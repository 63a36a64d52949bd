"""When a stanza was first sent, if it did not come at once (XEP-0203, and the older XEP-0091)."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Final

from twisted_oob.protocol.slots import read_stamp

if TYPE_CHECKING:
    from twisted.words.xish.domish import Element

NS_DELAY: Final = "urn:xmpp:delay"
NS_LEGACY_DELAY: Final = "jabber:x:delay"

_LEGACY_STAMP: Final = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})T([0-9:]{8})")


def delayed_since(stanza: Element) -> datetime | None:
    """Tell when a delayed stanza was first sent.

    A server adds the time to what waited for the recipient to come online, and a room to what was
    said before its occupant joined. If several added one, the earliest counts.

    Args:
        stanza: A message or presence. What is malformed in it counts as missing.

    Returns:
        The time, in UTC; None if the stanza was not delayed.
    """
    stamps = map(_read, stanza.elements())
    return min((stamp for stamp in stamps if stamp is not None), default=None)


def _read(child: Element) -> datetime | None:
    if (child.uri, child.name) == (NS_DELAY, "delay"):
        return read_stamp(child.getAttribute("stamp", ""))
    if (child.uri, child.name) == (NS_LEGACY_DELAY, "x"):
        found = _LEGACY_STAMP.fullmatch(child.getAttribute("stamp", "").strip())
        if found is not None:
            year, month, day, time = found.groups()
            try:
                stamp = datetime.fromisoformat(f"{year}-{month}-{day}T{time}")
            except ValueError:
                return None
            return stamp.replace(tzinfo=timezone.utc)
    return None

"""AllowList: who may ask us for something."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from twisted_oob.xmpp.jid import parse_jid

if TYPE_CHECKING:
    from twisted.words.protocols.jabber.jid import JID

EVERYBODY: Final = "*"


class AllowList:
    """Who may make offers.

    ``entries``: each a full JID (that one), a bare JID (with any resource), a domain (everybody
    there) or ``*`` (everybody anywhere). A ValueError for anything else. Empty: nobody.
    """

    def __init__(self, entries: Iterable[str]) -> None:
        names = set(entries)
        self._everybody = EVERYBODY in names
        self._names = {parse_jid(name).full() for name in names - {EVERYBODY}}

    def __contains__(self, sender: JID | None) -> bool:
        if self._everybody:
            return True
        return sender is not None and not self._names.isdisjoint(
            (sender.full(), sender.userhost(), sender.host)
        )

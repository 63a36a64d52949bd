"""AllowList: who may ask us to do something."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from twisted_oob.xmpp.jid import parse_jid

if TYPE_CHECKING:
    from twisted.words.protocols.jabber.jid import JID

EVERYBODY: Final = "*"
"""The entry that allows every sender."""


class AllowList:
    """The senders that are allowed; test a JID with ``in``.

    Addresses are compared after stringprep (RFC 7622). A domain does not include its subdomains.

    Args:
        entries: Each is a full JID (only that one), a bare JID (with any resource), a domain
            (everybody there) or ``*`` (everybody anywhere). An empty list allows nobody.

    Raises:
        ValueError: An entry is not one of these.
    """

    def __init__(self, entries: Iterable[str]) -> None:
        names = set(entries)
        self._everybody = EVERYBODY in names
        self._names = {parse_jid(name).full() for name in names - {EVERYBODY}}

    def __contains__(self, sender: JID | None) -> bool:
        if self._everybody:
            return True
        # Without a "from", a stanza comes from our own account or server. That is on no list.
        return sender is not None and not self._names.isdisjoint(
            (sender.full(), sender.userhost(), sender.host)
        )

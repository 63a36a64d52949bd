"""AllowList: who may ask us to do something."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from twisted.words.protocols.jabber.jid import JID

from twisted_oob.xmpp.jid import parse_jid

EVERYBODY: Final = "*"
"""The entry that allows every sender."""


class AllowList:
    """The senders that are allowed; test a JID with ``in``.

    Addresses are compared as RFC 7622 has them: a domain is the same with its A-labels, its
    U-labels, in capitals, and with a final dot. A domain does not include its subdomains.

    Args:
        entries: Each is a full JID (only that one), a bare JID (with any resource), a domain
            (everybody there) or ``*`` (everybody anywhere), as text or as a JID. An empty list
            allows nobody.

    Raises:
        TypeError: ``entries`` is one str or not iterable, or an entry is neither a str nor a JID.
        ValueError: An entry is not an address, or it is a pattern, which would allow nobody.
    """

    def __init__(self, entries: Iterable[str | JID]) -> None:
        self._everybody = False
        self._names: frozenset[str] = frozenset()
        self.replace(entries)

    def replace(self, entries: Iterable[str | JID]) -> None:
        """Allow other senders from now on, instead of those before.

        Args:
            entries: As for the class.

        Raises:
            TypeError: As for the class; whoever was allowed before still is.
            ValueError: Likewise.
        """
        # The letters of a str would be entries, each of them a domain.
        if isinstance(entries, str | bytes | JID) or not isinstance(entries, Iterable):
            example = f"[{entries!r}]" if isinstance(entries, str | JID) else "['home.example']"
            raise TypeError(
                "the entries of an AllowList (allow_from) must be a list of addresses, such as "
                f"{example}, not {_kind(entries)}"
            )
        everybody = False
        names = set()
        for name in entries:
            if not isinstance(name, str | JID):
                raise TypeError(
                    "an entry of an AllowList (allow_from) must be a str or a JID, "
                    f"not {_kind(name)}"
                )
            if name == EVERYBODY:
                everybody = True
            else:
                names.add(_checked(name).full())
        self._everybody, self._names = everybody, frozenset(names)

    def __contains__(self, sender: JID | None) -> bool:
        if self._everybody:
            return True
        # Without a "from", a stanza comes from our own account or server. That is on no list.
        if sender is None:
            return False
        try:
            # An application may have made it itself, with another spelling of the domain.
            jid = parse_jid(sender)
        except ValueError:
            return False
        return not self._names.isdisjoint((jid.full(), jid.userhost(), jid.host))


def _kind(value: object) -> str:
    return "None" if value is None else f"{value!r} ({type(value).__name__})"


def _checked(entry: str | JID) -> JID:
    """Read an entry that names somebody.

    Raises:
        ValueError: It names nobody; the message says what would be right.
    """
    try:
        jid = parse_jid(entry)
    except ValueError as error:
        if EVERYBODY in str(entry):
            raise ValueError(
                f"{error}; {EVERYBODY} stands alone, for everybody: there are no patterns, so name "
                "each JID or domain"
            ) from None
        raise
    # What others write to mean everybody there. Nobody has these names.
    if jid.user == EVERYBODY:
        raise ValueError(
            f"{str(entry)!r} is not a JID that allows anybody: {jid.host!r} allows everybody there"
        )
    if jid.resource == EVERYBODY:
        raise ValueError(
            f"{str(entry)!r} is not a JID that allows anybody: "
            f"{jid.userhost()!r} allows each resource"
        )
    return jid

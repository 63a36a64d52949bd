"""Bounces: messages that were written, and the errors that they may come back with.

Nobody acknowledges a message. One that can't be delivered comes back as an error, most often within
a moment: from the recipient's server, or from our own if it knows no way there (RFC 6121 section
8.5, RFC 6120 section 8.3). It carries the message's id, which nobody else can guess.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from twisted_oob.errors import ErrorCondition, error_from_stanza
from twisted_oob.xmpp.jid import normalized_jid, parse_jid

if TYPE_CHECKING:
    from twisted.words.protocols.jabber.jid import JID
    from twisted.words.xish.domish import Element


class Bouncing(Protocol):
    """What hears of the bounce of a message."""

    def bounced(self, condition: ErrorCondition) -> None:
        """Take the error. The message is forgotten by then."""


class Bounces:
    """Knows the messages whose bounce somebody waits for."""

    def __init__(self) -> None:
        self._waiting: dict[str, tuple[Element, Bouncing]] = {}

    def watch(self, message: Element, waiting: Bouncing) -> None:
        """Wait for the bounce of a message, from before it is written: that may bring it.

        Args:
            message: A message of ours, with an id and a prepared ``to``.
            waiting: What hears of it.
        """
        self._waiting[message["id"]] = message, waiting

    def forget(self, message: Element) -> None:
        """Wait no more, if anybody does."""
        self._waiting.pop(message["id"], None)

    def take(self, stanza: Element, me: JID | None) -> bool:
        """Tell who waits for it that a message has bounced.

        Args:
            stanza: A message of type error that came in.
            me: Our address on the stream that brought it.

        Returns:
            False if nobody waits for it, or if it is from somebody who can't know.
        """
        attributes: Any = stanza.attributes
        message, waiting = self._waiting.get(attributes.get("id"), (None, None))
        if message is None or waiting is None:
            return False
        if not _may_bounce(attributes.get("from"), message, me):
            return False
        del self._waiting[message["id"]]
        waiting.bounced(ErrorCondition(error_from_stanza(stanza)))
        return True


def _may_bounce(sender: str | None, message: Element, me: JID | None) -> bool:
    """Whether an error is from the recipient or whoever answers for it (RFC 6120 section 8.1.2.1).

    That is its bare JID and its domain, too. Our own server answers for our own account, under any
    of our names or none at all.
    """
    to = parse_jid(message["to"])
    if message.hasAttribute("from"):
        me = parse_jid(message["from"])
    own = me is not None and to.userhost() == me.userhost()
    if sender is None:
        return own
    try:
        bouncer = normalized_jid(sender)
    except ValueError:
        return False
    return bouncer in (to.full(), to.userhost(), to.host) or (
        own and me is not None and bouncer == me.full()
    )

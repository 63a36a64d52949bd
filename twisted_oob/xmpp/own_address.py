"""OwnAddress: who we are on a stream, to tell what others send from what is our own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wokkel.subprotocols import XMPPHandler

from twisted_oob.xmpp.stream import BoundStream

if TYPE_CHECKING:
    from twisted.words.protocols.jabber.jid import JID


class OwnAddress(XMPPHandler):  # type: ignore[misc]  # Wokkel has no types
    """Knows our address on one stream after the other."""

    parent: Any
    xmlstream: Any

    def __init__(self) -> None:
        XMPPHandler.__init__(self)
        self._me: JID | None = None

    def connectionInitialized(self) -> None:
        """Learn who we are."""
        self._me = BoundStream(self.xmlstream, self.parent).me

    def covers(self, sender: JID | None) -> bool:
        """Whether we sent it, or our server did in the name of our account.

        Every address at a component's domain is its own (XEP-0114). Another device of our account
        is somebody else, as people send themselves files.

        Args:
            sender: From whom something came; None if nothing tells.
        """
        me = self._me
        if sender is None or me is None:
            return False
        if me.user is None:
            return bool(sender.host == me.host)
        return sender.full() in (me.full(), me.userhost())

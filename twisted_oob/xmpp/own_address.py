"""OwnAddress: who we are on a stream, to tell what others send from what is our own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted_oob.xmpp.stream_handler import StreamHandler

if TYPE_CHECKING:
    from twisted.words.protocols.jabber.jid import JID


class OwnAddress(StreamHandler):
    """Knows our address on one stream after the other."""

    def covers(self, sender: JID | None) -> bool:
        """Whether we sent it, or our server did in the name of our account.

        Every address at a component's domain is its own (XEP-0114). Another device of our account
        is somebody else, as people send themselves files.

        Args:
            sender: From whom something came; None if nothing tells.
        """
        me = None if self.bound_stream is None else self.bound_stream.me
        if sender is None or me is None:
            return False
        if me.user is None:
            return bool(sender.host == me.host)
        return sender.full() in (me.full(), me.userhost())

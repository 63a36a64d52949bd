"""PresenceHandler: shows an account as online, to those who are allowed to see it.

A server delivers IQs only to a full JID, and messages to a bare JID only if a resource is available
(RFC 6121 section 8.5). Presence makes the resource available, and a subscription to it is how
others learn the full JID. Without both, no offer would come.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from hashlib import sha1
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred, ensureDeferred, succeed
from twisted.logger import Logger
from twisted.words.xish import domish
from wokkel.disco import DiscoFeature, DiscoIdentity
from wokkel.iwokkel import IDisco
from wokkel.subprotocols import XMPPHandler
from zope.interface import implementer

from twisted_oob.xmpp.disco import everything
from twisted_oob.xmpp.jid import parse_jid

if TYPE_CHECKING:
    from twisted.words.protocols.jabber.jid import JID

    from twisted_oob.xmpp.access import AllowList

NS_CAPS: Final = "http://jabber.org/protocol/caps"
NODE: Final = "https://pypi.org/project/twisted_oob"
"""The URI that identifies this software to others (XEP-0115 section 4)."""


@implementer(IDisco)
class PresenceHandler(XMPPHandler):  # type: ignore[misc]  # Wokkel has no types
    """Makes an account available (RFC 6121 section 4.2), and answers requests for subscription.

    Add it to a client's stream before that is connected. Its presence announces what the other
    handlers of the stream can do (XEP-0115). A contact that is allowed gets a subscription and is
    asked for one in turn (RFC 6121 section 3.1). It denies all others.

    Args:
        allowed: The AllowList of contacts. A request comes from a bare JID, so entries that are
            full JIDs allow nobody here.
    """

    _log = Logger()

    parent: Any
    xmlstream: Any

    def __init__(self, allowed: AllowList) -> None:
        XMPPHandler.__init__(self)
        self._allowed = allowed
        self._node = ""

    def connectionInitialized(self) -> None:
        """Begin to answer, and send the initial presence."""
        for kind in ("subscribe", "unsubscribe"):
            self.xmlstream.addObserver(f"/presence[@type='{kind}']", self._on_subscription)
        ensureDeferred(self._announce()).addErrback(
            lambda failure: self._log.failure("No presence was sent", failure=failure)
        )

    def getDiscoInfo(
        self, requestor: JID, target: JID, nodeIdentifier: str = ""
    ) -> Deferred[list[object]]:
        """Return our own feature or, for the node in our presence, those of all handlers.

        Whoever reads ``ver`` in our presence asks for that node, to learn what it stands for. The
        answer must be the same as without a node (XEP-0115 section 6.2).
        """
        if nodeIdentifier and nodeIdentifier == self._node:
            return ensureDeferred(everything(self.parent, "getDiscoInfo", requestor, target, ""))
        return succeed([] if nodeIdentifier else [DiscoFeature(NS_CAPS)])

    def getDiscoItems(self, requestor: JID, target: JID, nodeIdentifier: str = "") -> list[object]:
        """Return no items: presence has no part in disco#items."""
        return []

    async def _announce(self) -> None:
        # Gathering takes its time, and the stream may be lost or replaced meanwhile.
        stream = self.xmlstream
        me = stream.authenticator.jid
        info = await everything(self.parent, "getDiscoInfo", me, me, "")
        ver = verification_string(info)
        self._node = f"{NODE}#{ver}"
        presence = domish.Element((None, "presence"))
        caps = presence.addElement((NS_CAPS, "c"))
        caps["hash"], caps["node"], caps["ver"] = "sha-1", NODE, ver
        stream.send(presence)

    def _on_subscription(self, presence: domish.Element) -> None:
        try:
            contact = parse_jid(parse_jid(presence.getAttribute("from")).userhost())
        except ValueError:
            return
        if presence["type"] == "unsubscribe":
            # Servers of RFC 3921 expect an acknowledgement (section 8.4), whoever it was; those
            # of RFC 6121 ignore it.
            answers = ["unsubscribed"]
        elif contact in self._allowed:
            # We don't need theirs, but clients expect contacts to see each other.
            answers = ["subscribed", "subscribe"]
        else:
            answers = ["unsubscribed"]
        for kind in answers:
            answer = domish.Element((None, "presence"))
            answer["to"], answer["type"] = contact.full(), kind
            self.xmlstream.send(answer)


def verification_string(info: Iterable[object]) -> str:
    """Return the ``ver`` of entity capabilities, by SHA-1 (XEP-0115 section 5.1).

    Args:
        info: DiscoIdentity objects without a language, and DiscoFeature objects.

    Raises:
        TypeError: An object is neither. It would be missing from the string, so that nobody would
            believe our capabilities (section 5.4).
    """
    identities, features = set(), set()
    for item in info:
        if isinstance(item, DiscoIdentity):
            # The empty part is the language.
            identities.add(f"{item.category}/{item.type}//{item.name or ''}".encode())
        elif isinstance(item, DiscoFeature):
            features.add(item.encode())
        else:
            raise TypeError(f"capabilities can't contain a {type(item).__name__}")
    # Sorted as bytes ("i;octet"), not as text; and a feature that two handlers give counts once.
    text = b"".join(part + b"<" for part in (*sorted(identities), *sorted(features)))
    # SHA-1 is what the standard requires everybody to support; no secret depends on it.
    return b64encode(sha1(text, usedforsecurity=False).digest()).decode()

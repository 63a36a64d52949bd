"""PresenceHandler: an account that is online, and lets those see it who may ask it."""

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
"""Names this software to others (XEP-0115 section 4)."""


@implementer(IDisco)
class PresenceHandler(XMPPHandler):  # type: ignore[misc]  # Wokkel has no types
    """Makes an account available (RFC 6121 section 4.2), and answers who wants to see it.

    Add it to a client's stream before that is connected. Its presence tells what the other
    handlers of the stream can do (XEP-0115). Whoever may ask gets a subscription, and is asked
    for one (RFC 6121 section 3.1); others are refused.

    ``allowed``: those who may, an AllowList; a bare JID asks, so entries of full JIDs don't count.
    """

    _log = Logger()

    parent: Any
    xmlstream: Any

    def __init__(self, allowed: AllowList) -> None:
        XMPPHandler.__init__(self)
        self._allowed = allowed
        self._node = ""

    def connectionInitialized(self) -> None:
        """Begin to answer, and send initial presence."""
        for kind in ("subscribe", "unsubscribe"):
            self.xmlstream.addObserver(f"/presence[@type='{kind}']", self._on_subscription)
        ensureDeferred(self._announce()).addErrback(
            lambda failure: self._log.failure("No presence was sent", failure=failure)
        )

    def getDiscoInfo(
        self, requestor: JID, target: JID, nodeIdentifier: str = ""
    ) -> Deferred[list[object]]:
        """Give our own feature or, for the node that our presence names, what everybody gives."""
        if nodeIdentifier and nodeIdentifier == self._node:
            return ensureDeferred(everything(self.parent, "getDiscoInfo", requestor, target, ""))
        return succeed([] if nodeIdentifier else [DiscoFeature(NS_CAPS)])

    def getDiscoItems(self, requestor: JID, target: JID, nodeIdentifier: str = "") -> list[object]:
        """Give no items: presence has none."""
        return []

    async def _announce(self) -> None:
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
            answers = ["unsubscribed"]
        elif contact in self._allowed:
            answers = ["subscribed", "subscribe"]
        else:
            answers = ["unsubscribed"]
        for kind in answers:
            answer = domish.Element((None, "presence"))
            answer["to"], answer["type"] = contact.full(), kind
            self.xmlstream.send(answer)


def verification_string(info: Iterable[object]) -> str:
    """Give the ``ver`` of entity capabilities, by SHA-1 (XEP-0115 section 5.1).

    ``info``: DiscoIdentity and DiscoFeature objects; identities are without a language.
    Anything else is a TypeError, as it would be missing from the string.
    """
    identities, features = set(), set()
    for item in info:
        if isinstance(item, DiscoIdentity):
            identities.add(f"{item.category}/{item.type}//{item.name or ''}".encode())
        elif isinstance(item, DiscoFeature):
            features.add(item.encode())
        else:
            raise TypeError(f"capabilities of {type(item).__name__} objects are not known")
    text = b"".join(part + b"<" for part in (*sorted(identities), *sorted(features)))
    # The standard's default, and what every server and client knows; no secret depends on it.
    return b64encode(sha1(text, usedforsecurity=False).digest()).decode()

"""ChatFrontend: takes the files that people send in chats, and answers there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from twisted.words.protocols.jabber.jid import JID
from wokkel.disco import DiscoFeature
from wokkel.iwokkel import IDisco
from zope.interface import implementer

from twisted_oob.protocol.data import NS_X_OOB
from twisted_oob.transfer.chat_texts import ChatTexts
from twisted_oob.xmpp.own_address import OwnAddress

if TYPE_CHECKING:
    from twisted_oob.transfer.fair_fetcher import FetchHost
    from twisted_oob.transfer.giver import FileGiver

CHAT_FEATURES: Final = (
    NS_X_OOB,
    "urn:xmpp:sfs:0",
    "urn:xmpp:sims:1",
    "urn:xmpp:receipts",
    "urn:xmpp:reply:0",
    "urn:xmpp:message-correct:0",
)
"""What a ChatFrontend announces (XEP-0030)."""


@implementer(IDisco)
class ChatFrontend(OwnAddress):
    """Takes the files that people send in chats, and answers there.

    Args:
        responder: Fetches the files, and knows who is allowed.
        texts: What is said; None for English.
        giver: Gives files away; None not to.
    """

    def __init__(
        self,
        responder: FetchHost,
        *,
        texts: ChatTexts | None = None,
        giver: FileGiver | None = None,
    ) -> None:
        OwnAddress.__init__(self)
        self._responder = responder
        self._texts = ChatTexts() if texts is None else texts
        self._giver = giver

    def getDiscoInfo(
        self, requestor: JID, target: JID, nodeIdentifier: str = ""
    ) -> list[DiscoFeature]:
        """Give the features of what is taken and answered, and none for a node."""
        return [] if nodeIdentifier else [DiscoFeature(feature) for feature in CHAT_FEATURES]

    def getDiscoItems(self, requestor: JID, target: JID, nodeIdentifier: str = "") -> list[object]:
        """Give no items: a chat has none."""
        return []

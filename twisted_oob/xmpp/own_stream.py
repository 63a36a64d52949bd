"""OwnXmlStream: the XmlStream of our own connections to a server."""

from __future__ import annotations

from typing import Any

from twisted.python.failure import Failure
from twisted.words.protocols.jabber.jid import InvalidFormat
from twisted.words.protocols.jabber.xmlstream import STREAM_ERROR_EVENT, XmlStream

from twisted_oob.xmpp.prompt import parse_promptly


class OwnXmlStream(XmlStream):
    """An XmlStream that gives each stanza as soon as it is there, also while it negotiates."""

    transport: Any

    def dataReceived(self, data: bytes) -> None:
        """Parse what comes. What Twisted can't handle ends the stream, as malformed XML does."""
        try:
            XmlStream.dataReceived(self, data)
        except (InvalidFormat, IndexError, KeyError):
            # Twisted looks into the stream's header and features for what a server should have
            # put there: an address that is a JID, a namespace, an attribute.
            XmlStream.dispatch(self, Failure(), STREAM_ERROR_EVENT)
            self.transport.loseConnection()

    def connectionMade(self) -> None:
        """Begin to parse."""
        XmlStream.connectionMade(self)
        parse_promptly(self)

    def reset(self) -> None:
        """Begin to parse anew, with another parser."""
        XmlStream.reset(self)
        parse_promptly(self)

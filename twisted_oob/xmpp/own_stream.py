"""OwnXmlStream: the XmlStream of our own connections to a server.

What Twisted's XmlStream doesn't have, and a stream that stays up for months needs:

- It gives each stanza as soon as it is there (see prompt.py).
- It remembers when the last byte came, which is how keepalive.py knows that the server lives.
- While more than about 64 KiB wait to be written, it reads nothing (see output_bounds.py).
- What XMPP forbids, or Twisted can't handle, ends the stream, and its failure says why.
- It remembers the host that ``see-other-host`` names, which Twisted leaves out of the error.

The limit of the output begins when the stream is up, and ends with the stream. Before, TLS counts
as output what can only be written when more of the handshake was read, and would wait for ever.
After, both TCP and TLS keep a connection open that has a producer.
"""

from __future__ import annotations

from typing import Any

from twisted.python.failure import Failure
from twisted.words.protocols.jabber.error import NS_XMPP_STREAMS, StreamError
from twisted.words.protocols.jabber.jid import InvalidFormat
from twisted.words.protocols.jabber.xmlstream import (
    STREAM_AUTHD_EVENT,
    STREAM_ERROR_EVENT,
    XmlStream,
)
from twisted.words.xish import domish

from twisted_oob.errors import StreamRefused
from twisted_oob.xmpp.deadlines import Clock
from twisted_oob.xmpp.guard import forbid_markup
from twisted_oob.xmpp.output_bounds import OutputLimit
from twisted_oob.xmpp.prompt import parse_promptly


class OwnXmlStream(XmlStream):
    """An XmlStream to a server, for one connection.

    Args:
        authenticator: Negotiates the stream.
        clock: Tells the time.

    Attributes:
        heard: When the last byte came, or when the output was last all written after there was too
            much of it, as nothing is read meanwhile. In seconds, as ``clock`` tells them.
        other_host: What a ``see-other-host`` error named, or None (RFC 6120 section 4.9.3.19).
    """

    transport: Any

    def __init__(self, authenticator: Any, *, clock: Clock) -> None:
        XmlStream.__init__(self, authenticator)
        self.heard = 0.0
        self.other_host: str | None = None
        self._clock = clock
        self._output: OutputLimit | None = None

    @property
    def blocked(self) -> bool:
        """Whether too much waits to be written, so that nothing is read."""
        return self._output is not None and self._output.blocked

    def connectionMade(self) -> None:
        """Begin to parse."""
        self.heard = self._clock.seconds()
        self.addObserver(STREAM_AUTHD_EVENT, self._limit_output)  # type: ignore[no-untyped-call]
        # Whoever dispatches this closes the connection next.
        self.addObserver(STREAM_ERROR_EVENT, self._lift_limit)  # type: ignore[no-untyped-call]
        XmlStream.connectionMade(self)
        self._prepare_parser()

    def reset(self) -> None:
        """Begin to parse anew, with another parser."""
        XmlStream.reset(self)
        self._prepare_parser()

    def dataReceived(self, data: bytes) -> None:
        """Parse what comes. What Twisted can't handle ends the stream, as malformed XML does."""
        self.heard = self._clock.seconds()
        try:
            XmlStream.dataReceived(self, data)
        except (InvalidFormat, IndexError, KeyError):
            # Twisted looks into the stream's header and features for what a server should have
            # put there: an address that is a JID, a namespace, an attribute.
            XmlStream.dispatch(self, Failure(), STREAM_ERROR_EVENT)
            self.transport.loseConnection()

    def onStreamError(self, errelem: domish.Element) -> None:
        """Remember what the error says beside its condition, and end the stream."""
        for other_host in errelem.elements(NS_XMPP_STREAMS, "see-other-host"):
            self.other_host = str(other_host)
        XmlStream.onStreamError(self, errelem)

    def onDocumentEnd(self) -> None:
        """Close the connection, as the server has ended the stream."""
        self._lift_limit()
        XmlStream.onDocumentEnd(self)

    def sendFooter(self) -> None:  # noqa: N802
        """End the stream. What the server sends until it has ended it, too, is still read."""
        XmlStream.sendFooter(self)
        self._lift_limit()

    def _prepare_parser(self) -> None:
        parse_promptly(self)
        parser: Any = self.stream
        forbid_markup(parser.parser, self._on_markup)

    def _on_markup(self) -> None:
        """End a stream with what XMPP forbids in it (RFC 6120 section 11.1)."""
        forbidden = StreamRefused(
            "the server sent a comment, a processing instruction or a document type, "
            "which XMPP forbids (restricted-xml)"
        )
        XmlStream.dispatch(self, Failure(forbidden), STREAM_ERROR_EVENT)
        self.sendStreamError(StreamError("restricted-xml"))  # type: ignore[no-untyped-call]

    def _limit_output(self, _: object) -> None:
        self._output = OutputLimit(self.transport, self._on_output_change)

    def _lift_limit(self, _: object = None) -> None:
        if self._output is not None:
            self._output.release()

    def _on_output_change(self) -> None:
        self.heard = self._clock.seconds()

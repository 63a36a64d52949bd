"""KeepAlive: finds a stream whose other end is gone without a word.

TCP notices a lost peer only when something is sent, and then only after about a quarter of an hour
(on Linux). A stream that waits for offers sends nothing for days: after a router on the way has
forgotten the connection, it would look alive for ever. So we send something every minute, and
watch whether it arrives.
"""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.words.protocols.jabber.jid import JID
from twisted.words.protocols.jabber.xmlstream import TimeoutError as IQTimeoutError
from wokkel.ping import NS_PING
from wokkel.subprotocols import XMPPHandler

from twisted_oob.xmpp.deadlines import Clock, DeadlineQueue, Timer
from twisted_oob.xmpp.silence import bound_silence
from twisted_oob.xmpp.stanza import Payload
from twisted_oob.xmpp.stream import BoundStream
from twisted_oob.xmpp.tracker import RequestTracker

INTERVAL: Final = 60.0
"""Seconds from the answer to a ping until the next ping."""
PATIENCE: Final = 30.0
"""Seconds that an answer may take. A dead stream is found within INTERVAL + PATIENCE."""


class KeepAlive(XMPPHandler):  # type: ignore[misc]  # Wokkel has no types
    """Cuts a connection on which nothing comes back.

    A client pings its server (XEP-0199 section 4.2). A component sends white space (RFC 6120
    section 4.6.1) and lets the operating system watch for its acknowledgement.

    Args:
        clock: Tells the time and runs the timer.
    """

    _log = Logger()

    def __init__(self, clock: Clock) -> None:
        XMPPHandler.__init__(self)
        self._clock = clock
        self._tracker = RequestTracker(DeadlineQueue(clock))
        self._timer: Timer | None = None
        self._to: JID | None = None

    def connectionInitialized(self) -> None:
        """Begin to send pings or white space."""
        stream = BoundStream(self.xmlstream, self.parent)
        if stream.me is not None and stream.me.user is None:
            # A component can ping nobody. A server need not answer for itself on this stream, and
            # for the component's own domain the answer may come on another connection, as some
            # servers let several components share a domain.
            bound_silence(self.xmlstream.transport)
            self._timer = self._clock.callLater(INTERVAL, self._send_space)
            return
        self._to = JID(stream.me.host) if stream.me is not None else None
        for kind in ("result", "error"):
            self.xmlstream.addObserver(f"/iq[@type='{kind}']", self._on_answer)
        self._tracker.stream_opened(stream)
        self._timer = self._clock.callLater(INTERVAL, self._ping)

    def connectionLost(self, reason: Any) -> None:
        """Stop until the next stream."""
        XMPPHandler.connectionLost(self, reason)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._tracker.stream_lost(reason)

    def _send_space(self) -> None:
        # Between stanzas, white space means nothing. It only makes TCP send a segment.
        self._timer = self._clock.callLater(INTERVAL, self._send_space)
        self.xmlstream.send(" ")

    def _ping(self) -> None:
        # The next ping begins with the answer to this one, so that a slow server never has two.
        self._timer = None
        ping = Payload(NS_PING, "ping")
        answer: Deferred[Any] = self._tracker.request("get", ping, self._to, timeout=PATIENCE)
        answer.addBoth(self._answered)

    def _answered(self, result: object) -> None:
        if self.xmlstream is None:
            # The stream is gone, which ended the ping as well.
            return
        if isinstance(result, Failure) and result.check(IQTimeoutError):
            self._log.warn(
                "No answer to a ping in {patience:g} s: cutting the dead connection",
                patience=PATIENCE,
            )
            # Not loseConnection, which would wait for the peer to acknowledge what is left.
            self.xmlstream.transport.abortConnection()
        else:
            # An error is a sign of life, too: a server without XEP-0199 sends service-unavailable.
            self._timer = self._clock.callLater(INTERVAL, self._ping)

    def _on_answer(self, iq: Any) -> None:
        if not iq.handled and self._tracker.take_answer(iq):
            iq.handled = True

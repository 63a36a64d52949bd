"""KeepAlive: finds a stream whose other end is gone without a word."""

from __future__ import annotations

import socket
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.words.protocols.jabber.jid import JID
from twisted.words.protocols.jabber.xmlstream import TimeoutError as IQTimeoutError
from wokkel.ping import NS_PING
from wokkel.subprotocols import XMPPHandler

from twisted_oob.xmpp.deadlines import Clock, DeadlineQueue, Timer
from twisted_oob.xmpp.stanza import Payload
from twisted_oob.xmpp.stream import BoundStream
from twisted_oob.xmpp.tracker import RequestTracker

INTERVAL: Final = 60.0
"""Seconds from an answer to the next ping."""
PATIENCE: Final = 30.0
"""Seconds that a ping may take. A dead stream is found within both together."""


class KeepAlive(XMPPHandler):  # type: ignore[misc]  # Wokkel has no types
    """Cuts a connection on which nothing comes back.

    A client pings its server (XEP-0199); any answer is a sign of life, an error too. A component
    has nobody to ping whose answer is sure to come back on the same connection, as several may
    share its domain: it sends white space (RFC 6120 section 4.6.1), which the system must see
    acknowledged in time (TCP_USER_TIMEOUT, where there is one). ``clock``: what tells the time.
    """

    _log = Logger()

    def __init__(self, clock: Clock) -> None:
        XMPPHandler.__init__(self)
        self._clock = clock
        self._tracker = RequestTracker(DeadlineQueue(clock))
        self._timer: Timer | None = None
        self._to: JID | None = None

    def connectionInitialized(self) -> None:
        """Begin to ping."""
        stream = BoundStream(self.xmlstream, self.parent)
        if stream.me is not None and stream.me.user is None:
            _bound_silence(self.xmlstream.transport)
            self._timer = self._clock.callLater(INTERVAL, self._send_space)
            return
        self._to = JID(stream.me.host) if stream.me is not None else None
        for kind in ("result", "error"):
            self.xmlstream.addObserver(f"/iq[@type='{kind}']", self._on_answer)
        self._tracker.stream_opened(stream)
        self._timer = self._clock.callLater(INTERVAL, self._ping)

    def connectionLost(self, reason: Any) -> None:
        """Leave off."""
        XMPPHandler.connectionLost(self, reason)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._tracker.stream_lost(reason)

    def _send_space(self) -> None:
        self._timer = self._clock.callLater(INTERVAL, self._send_space)
        self.xmlstream.send(" ")

    def _ping(self) -> None:
        self._timer = None
        ping = Payload(NS_PING, "ping")
        answer: Deferred[Any] = self._tracker.request("get", ping, self._to, timeout=PATIENCE)
        answer.addBoth(self._answered)

    def _answered(self, result: object) -> None:
        if self.xmlstream is None:
            return
        if isinstance(result, Failure) and result.check(IQTimeoutError):
            self._log.warn(
                "Nothing came back in {patience:g} s: the connection is dead", patience=PATIENCE
            )
            self.xmlstream.transport.abortConnection()
        else:
            self._timer = self._clock.callLater(INTERVAL, self._ping)

    def _on_answer(self, iq: Any) -> None:
        if not iq.handled and self._tracker.take_answer(iq):
            iq.handled = True


def _bound_silence(transport: Any) -> None:
    """Let the system cut a connection that acknowledges nothing for as long as a ping may take."""
    transport.setTcpKeepAlive(True)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        milliseconds = int(PATIENCE * 1000)
        handle = transport.getHandle()
        handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)

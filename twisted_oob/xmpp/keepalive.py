"""KeepAlive: finds a stream whose other end is gone or hangs, and lets one that is slow alone.

Theory of operation
===================

TCP notices a lost peer only when something is sent, and then only after about a quarter of an hour
(on Linux). A stream that waits for offers sends nothing for days: after a router on the way has
forgotten the connection, it would look alive for ever. So does a server that hangs: its system
acknowledges all that we send.

Any byte that comes is a sign of life (RFC 6120 section 4.6). If none comes, we send something that
is answered, and then need a reason to cut: a server that reads slowly, on purpose or not, is alive.

========  ===========================================  ===========================================
state     how it is entered                            what ends it
========  ===========================================  ===========================================
quiet     a byte came                                  INTERVAL without a byte: asking
asking    a ping is sent, unless the output is         a byte: quiet. PATIENCE without progress of
          blocked: it would only wait there            our output: cut or doubting, as below
doubting  a stream is begun on a second connection     an answer there: quiet, for another INTERVAL.
          to the same server                           None within its LIMIT: cut
========  ===========================================  ===========================================

After PATIENCE, what we know of our output decides:

=================================================  ===============================================
our output                                         the next step
=================================================  ===============================================
was sent, and nobody acknowledges it               cut: the machine or the network is gone
waits, as the server's system has no room for it   doubting: the server reads slowly, or it hangs
arrived whole; we are a client                     cut: the server should have answered the ping
arrived whole; we are a component                  doubting: another process may have got the answer
=================================================  ===============================================

A client pings its server (XEP-0199 section 4.2). A component pings itself, by way of the server:
if several processes are one component (see docs/scaling.rst), the server gives such a ping to any
one of them. A stream is cut within INTERVAL + PATIENCE + LIMIT, which is less than two minutes.
"""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from wokkel.ping import NS_PING
from wokkel.subprotocols import XMPPHandler

from twisted_oob.xmpp.deadlines import Clock, Timer
from twisted_oob.xmpp.second_connection import server_answers
from twisted_oob.xmpp.silence import queued_output
from twisted_oob.xmpp.stanza import Payload
from twisted_oob.xmpp.stream import BoundStream
from twisted_oob.xmpp.tracker import new_id

INTERVAL: Final = 60.0
"""Seconds without a byte until we ask."""
PATIENCE: Final = 30.0
"""Seconds without progress after which the stream counts as dead, or in doubt."""
TICK: Final = 5.0
"""Seconds between two looks at our output, while we wait for an answer."""


class KeepAlive(XMPPHandler):  # type: ignore[misc]  # Wokkel has no types
    """Cuts a connection on which nothing comes back.

    Args:
        clock: Tells the time and runs the timer.
        endpoint: The IStreamClientEndpoint of the server, to ask on a second connection. If it has
            ``same_server()``, it may connect to several, and that gives the endpoint of the one
            that it connected to last.
    """

    _log = Logger()

    parent: Any
    xmlstream: Any

    def __init__(self, clock: Clock, endpoint: Any) -> None:
        XMPPHandler.__init__(self)
        self._clock = clock
        self._endpoint = endpoint
        self._timer: Timer | None = None
        self._second: Deferred[None] | None = None
        self._is_component = False
        self._heard = 0.0
        self._queued: int | None = None
        self._moved = 0.0

    def connectionInitialized(self) -> None:
        """Begin to watch an OwnXmlStream."""
        self._timer = self._clock.callLater(INTERVAL, self._look)

    def connectionLost(self, reason: Any) -> None:
        """Stop until the next stream."""
        XMPPHandler.connectionLost(self, reason)
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        second, self._second = self._second, None
        if second is not None:
            second.cancel()

    def _look(self) -> None:
        """Ask, if nothing has come for an INTERVAL."""
        left = self.xmlstream.heard + INTERVAL - self._clock.seconds()
        if left > 0:
            self._timer = self._clock.callLater(left, self._look)
        else:
            self._ask()

    def _ask(self) -> None:
        stream = BoundStream(self.xmlstream, self.parent)
        self._is_component = stream.me is not None and stream.me.user is None
        self._heard = self.xmlstream.heard
        self._queued, self._moved = None, self._clock.seconds()
        self._timer = self._clock.callLater(TICK, self._wait)
        if not self.xmlstream.blocked:
            to = None if stream.me is None else stream.me.host
            stream.send_iq("get", new_id(), to, None, Payload(NS_PING, "ping"))

    def _wait(self) -> None:
        """Look whether something came, or our output at least makes progress."""
        self._timer = None
        if self.xmlstream.heard != self._heard:
            self._look()
            return
        in_flight, unsent = queued_output(self.xmlstream.transport)
        queued = in_flight + unsent
        if self._queued is not None and queued < self._queued:
            self._moved = self._clock.seconds()
        self._queued = queued
        left = self._moved + PATIENCE - self._clock.seconds()
        if left > 0:
            self._timer = self._clock.callLater(min(left, TICK), self._wait)
        elif in_flight:
            self._cut(f"Nobody acknowledged what we sent in {PATIENCE:g} s")
        elif self._is_component or unsent or self.xmlstream.blocked:
            self._doubt()
        else:
            self._cut(f"No answer to a ping in {PATIENCE:g} s")

    def _doubt(self) -> None:
        stream = self.xmlstream
        same_server = getattr(self._endpoint, "same_server", None)
        endpoint = self._endpoint if same_server is None else same_server()
        answers = server_answers(
            endpoint, stream.namespace, stream.authenticator.otherHost, clock=self._clock
        )
        self._second = answers.addCallback(self._judge, stream)

    def _judge(self, alive: bool, stream: Any) -> None:
        if self.xmlstream is not stream:
            # It was lost meanwhile, which cancelled the question.
            return
        if alive or stream.heard != self._heard:
            self._timer = self._clock.callLater(INTERVAL, self._look)
        else:
            self._cut("The server answers neither here nor on a second connection")

    def _cut(self, reason: str) -> None:
        self._log.warn("{reason}: cutting the dead connection", reason=reason)
        # Not loseConnection, which would wait for the peer to acknowledge what is left.
        self.xmlstream.transport.abortConnection()

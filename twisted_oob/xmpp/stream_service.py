"""StreamService: a stream to a real server, which stays up."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.error import TimeoutError as ConnectionTimeoutError
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.words.protocols.jabber.xmlstream import INIT_FAILED_EVENT, STREAM_ERROR_EVENT
from wokkel.subprotocols import StreamManager

from twisted_oob.xmpp.failures import Refusal, explain
from twisted_oob.xmpp.guard import PromptXmlStream
from twisted_oob.xmpp.keepalive import KeepAlive

LONGEST_PAUSE: Final = 60.0
"""Seconds between two attempts at the most; a stream that lasted longer counts as a success."""
NEGOTIATION_LIMIT: Final = 30.0
"""Seconds from the connection to a stream that is ready for stanzas."""
CLOSE_LIMIT: Final = 2.0
"""Seconds that the server has to answer the end of the stream with its own."""


class StreamService(StreamManager, Service):  # type: ignore[misc]  # Wokkel has no types
    """Connects, and connects again whenever the stream is lost, until it is stopped.

    A Twisted service and a Wokkel stream manager: add handlers with ``setHandlerParent``.
    The pauses between attempts double from a second to a minute, with jitter.

    ``factory``: makes the XmlStreams, such as ``account.client_factory`` or Twisted Words'
    ``componentFactory``. ``endpoint``: where it connects. ``name``: what the log calls it.
    ``on_refused``: called with a Refusal where no stream has been up yet and one fails for a
    reason that waiting does not mend (a wrong password, an unknown host, a bad certificate); no
    further attempt is made then. Once a stream has been up, every failure is taken as passing.
    """

    _log = Logger()

    def __init__(
        self,
        factory: Any,
        endpoint: Any,
        *,
        name: str,
        reactor: Any,
        on_refused: Callable[[Refusal], object],
    ) -> None:
        StreamManager.__init__(self, factory, reactor)
        factory.addBootstrap(STREAM_ERROR_EVENT, self._note)
        factory.noisy = False
        factory.protocol = PromptXmlStream
        self._endpoint = endpoint
        # Service has an attribute "name" for something else.
        self._peer = name
        self._on_refused = on_refused
        self._running: Deferred[None] | None = None
        self._waiting_for_end: list[Deferred[None]] = []
        self._negotiation: Any = None
        self._reason: Failure | None = None
        self._up_since: float | None = None
        self._was_up = False
        self._closing = False
        self.addHandler(KeepAlive(reactor))

    def startService(self) -> None:
        """Begin to connect."""
        Service.startService(self)
        self._running = ensureDeferred(self._stay_up())
        self._running.addErrback(lambda failure: failure.trap(CancelledError))
        self._running.addErrback(
            lambda failure: self._log.failure("{name} failed", failure=failure, name=self._peer)
        )

    def stopService(self) -> Deferred[None]:
        """Close the stream (RFC 6120 section 4.4); fires when the connection is gone."""
        Service.stopService(self)
        running, self._running = self._running, None
        if running is not None:
            running.cancel()
        if self.xmlstream is None:
            return succeed(None)
        transport = self.xmlstream.transport
        if self._closing:
            return self._end()
        self._closing = True
        if not self._initialized:
            ended = self._end()
            transport.abortConnection()
            return ended
        self.xmlstream.sendFooter()
        limit = self._reactor.callLater(CLOSE_LIMIT, transport.abortConnection)
        return self._end().addCallback(lambda _: limit.cancel() if limit.active() else None)

    async def _stay_up(self) -> None:
        if self.xmlstream is not None:
            # It was stopped a moment ago, and that stream has not ended yet.
            await self._end()
        attempt = 0
        while True:
            refusal = explain(await self._one_stream())
            if refusal.permanent and not self._was_up:
                self._on_refused(refusal)
                return
            lasted = 0.0 if self._up_since is None else self._reactor.seconds() - self._up_since
            if lasted >= LONGEST_PAUSE:
                attempt = 0
            # With jitter: when a server restarts, not all of its clients should come at once.
            pause = min(2.0**attempt, LONGEST_PAUSE) * random.uniform(0.5, 1.0)  # noqa: S311
            attempt += 1 if 2.0**attempt < LONGEST_PAUSE else 0
            self._log.warn(
                "{name}: {reason}; next attempt in {pause:.1f} s",
                name=self._peer,
                reason=refusal.text,
                pause=pause,
            )
            await deferLater(self._reactor, pause, lambda: None)

    async def _one_stream(self) -> Failure:
        """Connect, and wait for the end; gives its reason."""
        self._reason = self._up_since = None
        try:
            await self._endpoint.connect(self.factory)
        except Exception:
            if not self.running:
                # Endpoints have their own exceptions for an attempt that was cancelled.
                raise CancelledError from None
            return Failure()
        if self.xmlstream is not None:
            await self._end()
        return self._reason or Failure(ConnectionDone())

    def _end(self) -> Deferred[None]:
        """Wait for the end of the stream that there is."""
        ended: Deferred[None] = Deferred()
        self._waiting_for_end.append(ended)
        return ended

    def _give_up(self, xs: Any, reason: Failure) -> None:
        if self.xmlstream is xs:
            self._note(reason)
            xs.transport.abortConnection()

    def _note(self, reason: Failure) -> None:
        # What comes first is the cause; the loss of the connection is but its effect.
        self._reason = self._reason or reason

    def _connected(self, xs: Any) -> None:
        StreamManager._connected(self, xs)
        late = Failure(
            ConnectionTimeoutError(f"no stream {NEGOTIATION_LIMIT:g} s after connecting")
        )
        # For each stream its own: what one fails of may show only after its end.
        xs.addObserver(INIT_FAILED_EVENT, lambda reason: self._give_up(xs, reason))
        self._negotiation = self._reactor.callLater(NEGOTIATION_LIMIT, self._give_up, xs, late)

    def _authd(self, xs: Any) -> None:
        if self._negotiation.active():
            self._negotiation.cancel()
        self._was_up = True
        self._up_since = self._reactor.seconds()
        self._log.info("{name}: connected", name=self._peer)
        StreamManager._authd(self, xs)

    def _disconnected(self, reason: Any) -> None:
        if self._negotiation.active():
            self._negotiation.cancel()
        self._closing = False
        StreamManager._disconnected(self, reason)
        self._note(reason)
        waiting, self._waiting_for_end = self._waiting_for_end, []
        for ended in waiting:
            ended.callback(None)

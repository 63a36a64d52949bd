"""StreamService: a stream to a real server, which stays up.

One coroutine, ``_stay_up``, makes one stream after another. The states of the service:

===========  =====================================  ========================================
state        goes on to                             on failure
===========  =====================================  ========================================
connecting   negotiating, once connected            pausing
negotiating  up, once stanzas may be sent           pausing, after NEGOTIATION_LIMIT at most
up           (stays for months)                     pausing
pausing      connecting, after LONGEST_PAUSE at     --
             most
refused      connecting, when it is started again   --
closing      stopped, once the server closes, too   stopped, after CLOSE_LIMIT
===========  =====================================  ========================================

Two failures lead to refused, not to pausing: a permanent one, if no stream has been up yet; and,
for an account, a ``conflict`` on a stream that was up. With ``once``, every failure does.
``see-other-host`` leads to connecting at once.
``stopService`` leads from up to closing, and from any other state to stopped at once.
``startService`` may be called while a stream is still closing. The new stream then waits for the
end of the old one, as a server may see two streams of one address as a conflict.

StreamManager hears of a stream's events through its factory's bootstraps. So does this class: it
adds its own observers before or after those of StreamManager, and overrides none of its methods.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred, fail, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.error import TimeoutError as ConnectionTimeoutError
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.words.protocols.jabber.error import StreamError
from twisted.words.protocols.jabber.xmlstream import (
    INIT_FAILED_EVENT,
    STREAM_AUTHD_EVENT,
    STREAM_CONNECTED_EVENT,
    STREAM_END_EVENT,
    STREAM_ERROR_EVENT,
)
from wokkel.subprotocols import StreamManager

from twisted_oob.errors import StreamRefused
from twisted_oob.xmpp.failures import explain
from twisted_oob.xmpp.keepalive import KeepAlive
from twisted_oob.xmpp.own_stream import OwnXmlStream
from twisted_oob.xmpp.stream import BoundStream

if TYPE_CHECKING:
    from twisted.words.protocols.jabber.jid import JID

LONGEST_PAUSE: Final = 60.0
"""Seconds between two attempts at the most; a stream that lasted as long counts as a success.

Whatever shorter streams end with, a failure or a redirect, counts as one more in a row.
"""
NEGOTIATION_LIMIT: Final = 30.0
"""Seconds from the connection to a stream that is ready for stanzas."""
CLOSE_LIMIT: Final = 2.0
"""Seconds that the server has to answer the end of the stream with its own."""


class StreamService(StreamManager, Service):  # type: ignore[misc]  # Wokkel has no types
    """Connects, and connects again whenever the stream is lost, until it is stopped.

    It is a Twisted service and a Wokkel stream manager: add handlers with ``setHandlerParent``.
    The pauses between attempts double from a second to a minute, with jitter.

    If a stream fails for a permanent reason (a wrong password, an unknown host, a bad certificate)
    before any has been up, the service makes no further attempt: it is refused. Once a stream has
    been up, the configuration is known to be right, and such a failure counts as temporary.

    Those who want to know hear of a refusal: each handler that has a method ``stream_refused``,
    whoever waits for ``ready``, and ``on_refused``. It is logged as critical unless the application
    hears of it: by ``on_refused``, by ``ready``, or by a handler, whose method then returns True.

    Args:
        factory: Makes the XmlStreams, such as ``account.client_factory`` or Twisted Words'
            ``componentFactory``. It must serve no other manager.
        endpoint: The IStreamClientEndpoint of the server. If it has ``see_other_host(text)``, that
            is asked whether it follows a redirect; if it has ``stream_up()``, it is told of streams
            that were a success. KeepAlive says what ``same_server()`` is for.
        name: What the log calls this stream.
        reactor: Tells the time and runs the timers.
        on_refused: Called with the StreamRefused, at last.
        yields: Whether a stream that is up and gets ``conflict`` is refused: another connection has
            taken its address, and to take it back would begin a fight without an end.

    Attributes:
        refused: Why there is no stream and will be no other one, or None.
        on_refused: As the argument.
        once: Whether a stream that fails, or that is lost, leads to refused, whatever the reason.
            It is for whoever can't wait, and may change at any time. False at first.
    """

    _log = Logger()

    def __init__(
        self,
        factory: Any,
        endpoint: Any,
        *,
        name: str,
        reactor: Any,
        on_refused: Callable[[StreamRefused], object] | None = None,
        yields: bool = False,
    ) -> None:
        # Observers of an event are called in the order of their addition: these two before
        # StreamManager tells the handlers, the others after it.
        factory.addBootstrap(STREAM_AUTHD_EVENT, self._on_up)
        factory.addBootstrap(STREAM_END_EVENT, self._on_ending)
        StreamManager.__init__(self, factory, reactor)
        factory.addBootstrap(STREAM_CONNECTED_EVENT, self._on_connected)
        factory.addBootstrap(STREAM_AUTHD_EVENT, self._on_ready)
        factory.addBootstrap(STREAM_ERROR_EVENT, self._note)
        factory.addBootstrap(STREAM_END_EVENT, self._on_end)
        factory.noisy = False
        factory.protocol = partial(OwnXmlStream, clock=reactor)
        self.refused: StreamRefused | None = None
        self.on_refused = on_refused
        self.once = False
        self._clock = reactor
        self._endpoint = endpoint
        # Not "name": Service looks itself up by that in its parent.
        self._peer = name
        self._yields = yields
        self._running: Deferred[None] | None = None
        self._waiting_for_end: list[Deferred[None]] = []
        self._waiting_for_ready: list[Deferred[JID]] = []
        self._negotiation: Any = None
        self._last: Any = None
        self._reason: Failure | None = None
        self._up_since: float | None = None
        self._was_up = False
        self._me: JID | None = None
        self._closing = False
        self.addHandler(KeepAlive(reactor, endpoint))

    @property
    def ready(self) -> Deferred[JID]:
        """A Deferred of the reader's own, which fires with our address once the stream is up.

        The address is the full JID that was bound, or the domain of a component. The Deferred fires
        at once if the stream is up. It fails with StreamRefused if the service is refused. As long
        as neither is so, it waits, also while the service is stopped. It can be cancelled.
        """
        if self.refused is not None:
            return fail(self.refused)
        if self._me is not None:
            return succeed(self._me)
        ready: Deferred[JID] = Deferred(self._waiting_for_ready.remove)
        self._waiting_for_ready.append(ready)
        return ready

    def startService(self) -> None:
        """Begin to connect. Nothing happens if the service is connecting or connected already."""
        Service.startService(self)
        # A ServedStream and an application may both start it. Two streams would be a conflict.
        running = self._running is not None and not self._running.called
        if running and self.refused is None:
            return
        self.refused = None
        self._running = ensureDeferred(self._stay_up())
        self._running.addErrback(lambda failure: failure.trap(CancelledError))
        self._running.addErrback(self._crashed)

    def stopService(self) -> Deferred[None]:
        """Close the stream (RFC 6120 section 4.4).

        It can be called in any state, and more than once.

        Returns:
            A Deferred that fires when the connection is gone, after CLOSE_LIMIT seconds at the
            latest.
        """
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
        if self._up_since is None:
            # There is nothing to say goodbye to before the stream is negotiated.
            ended = self._end()
            transport.abortConnection()
            return ended
        # The server answers with its own end of the stream and then closes the connection. What
        # it sent until then is still handled.
        self.xmlstream.sendFooter()
        limit = self._clock.callLater(CLOSE_LIMIT, transport.abortConnection)
        return self._end().addCallback(lambda _: limit.cancel() if limit.active() else None)

    async def _stay_up(self) -> None:
        if self.xmlstream is not None:
            # The service was stopped a moment ago, and that stream has not ended yet.
            await self._end()
        attempt = 0
        while True:
            failure = await self._one_stream()
            lasted = 0.0 if self._up_since is None else self._clock.seconds() - self._up_since
            # A stream that is lost at once is no success. Otherwise a server that accepts and
            # then drops everybody would be asked every second, and two that redirect to each other
            # as soon as we are in, without a pause.
            if lasted >= LONGEST_PAUSE:
                attempt = 0
                if hasattr(self._endpoint, "stream_up"):
                    self._endpoint.stream_up()
            if self._follows_redirect():
                continue
            if (refused := self._judge(failure)) is not None:
                self._refuse(refused)
                return
            # With jitter: when a server restarts, its clients should not all come at once.
            pause = min(2.0**attempt, LONGEST_PAUSE) * random.uniform(0.5, 1.0)  # noqa: S311
            attempt += 1 if 2.0**attempt < LONGEST_PAUSE else 0
            self._log.warn(
                "{name}: {reason}; next attempt in {pause:.1f} s",
                name=self._peer,
                reason=explain(failure).text,
                pause=pause,
            )
            await deferLater(self._clock, pause, lambda: None)

    def _follows_redirect(self) -> bool:
        """Whether the server sent us to another host, and the endpoint goes there next."""
        other_host = None if self._last is None else self._last.other_host
        follow = getattr(self._endpoint, "see_other_host", None)
        return other_host is not None and follow is not None and bool(follow(other_host))

    def _judge(self, failure: Failure) -> StreamRefused | None:
        """Return why there must be no further attempt, or None."""
        reason = failure.value
        if (
            self._yields
            and self._up_since is not None
            and isinstance(reason, StreamError)
            and reason.condition == "conflict"
        ):
            return StreamRefused(
                f"another connection took over {self._peer} (conflict): "
                "give each of them a resource of its own"
            )
        refusal = explain(failure)
        if self.once or (refusal.permanent and not self._was_up):
            return StreamRefused(refusal.text, permanent=refusal.permanent)
        return None

    def _crashed(self, failure: Failure) -> None:
        # A fault of ours, or of a callback. Whoever waits must hear that nothing will come.
        self._log.failure("{name} failed", failure=failure, name=self._peer)
        if self.refused is None:
            self._refuse(StreamRefused(f"a fault ended the stream of {self._peer}; see the log"))

    def _refuse(self, error: StreamRefused) -> None:
        self.refused = error
        heard = False
        for handler in list(self):
            tell = getattr(handler, "stream_refused", None)
            if tell is not None:
                try:
                    heard = bool(tell(error)) or heard
                except Exception:
                    self._log.failure("A handler failed when it heard that there is no stream")
        heard = heard or bool(self._waiting_for_ready)
        for ready in self._take_waiting_for_ready():
            ready.errback(error)
        if self.on_refused is not None:
            self.on_refused(error)
        elif not heard:
            self._log.critical(
                "{name}: {reason}; there will be no further attempt",
                name=self._peer,
                reason=str(error),
            )

    async def _one_stream(self) -> Failure:
        """Connect, wait for the end of the stream, and return its reason."""
        self._last = self._reason = self._up_since = None
        try:
            await self._endpoint.connect(self.factory)
        except Exception:
            if not self.running:
                # Endpoints have exceptions of their own for an attempt that was cancelled.
                raise CancelledError from None
            return Failure()
        # The stream may have ended before the endpoint told us that it began.
        if self.xmlstream is not None:
            await self._end()
        return self._reason or Failure(ConnectionDone())

    def _end(self) -> Deferred[None]:
        """Return a Deferred that fires when the current stream has ended."""
        ended: Deferred[None] = Deferred()
        self._waiting_for_end.append(ended)
        return ended

    def _give_up(self, xs: Any, reason: Failure) -> None:
        """Cut a stream that can't be negotiated, unless it is gone already."""
        if self.xmlstream is xs:
            self._note(reason)
            xs.transport.abortConnection()

    def _note(self, reason: Failure) -> None:
        """Remember why the stream failed.

        The first reason is the cause. What follows is only its effect: after a stream error or a
        failed negotiation, the connection is lost as well, and that says nothing.
        """
        self._reason = self._reason or reason

    def _on_connected(self, xs: Any) -> None:
        self._last = xs
        late = Failure(
            ConnectionTimeoutError(f"no stream {NEGOTIATION_LIMIT:g} s after connecting")
        )
        # An observer per stream, which knows its stream: an initializer may fail only after the
        # stream has ended, and must not cut the next one.
        xs.addObserver(INIT_FAILED_EVENT, lambda reason: self._give_up(xs, reason))
        self._negotiation = self._clock.callLater(NEGOTIATION_LIMIT, self._give_up, xs, late)

    def _on_up(self, _xs: Any) -> None:
        if self._negotiation.active():
            self._negotiation.cancel()
        self._was_up = True
        self._up_since = self._clock.seconds()
        self._log.info("{name}: connected", name=self._peer)

    def _on_ready(self, xs: Any) -> None:
        # After the handlers heard of the stream: what waits may send at once.
        me: Any = BoundStream(xs, self).me
        self._me = me
        for ready in self._take_waiting_for_ready():
            ready.callback(me)

    def _take_waiting_for_ready(self) -> Iterator[Deferred[JID]]:
        # One after the other: the callbacks of one may cancel another, or begin to wait anew.
        for ready in self._waiting_for_ready.copy():
            if ready in self._waiting_for_ready:
                self._waiting_for_ready.remove(ready)
                yield ready

    def _on_ending(self, _reason: Failure) -> None:
        # Before the handlers hear of it, as one of them may stop or start this service.
        if self._negotiation.active():
            self._negotiation.cancel()
        self._closing = False
        self._me = None

    def _on_end(self, reason: Failure) -> None:
        # After StreamManager has let go of the stream: who waits may begin the next one at once.
        self._note(reason)
        waiting, self._waiting_for_end = self._waiting_for_end, []
        for ended in waiting:
            ended.callback(None)

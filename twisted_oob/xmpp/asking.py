"""AskingHandler: asks others by IQ on one stream after the other. Only whom it asked may answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure
from twisted.words.protocols.jabber.xmlstream import TimeoutError as IQTimeoutError
from wokkel.subprotocols import XMPPHandler

from twisted_oob.errors import StreamRefused
from twisted_oob.xmpp.deadlines import DeadlineQueue
from twisted_oob.xmpp.stream import BoundStream
from twisted_oob.xmpp.tracker import RequestTracker

if TYPE_CHECKING:
    from twisted.words.protocols.jabber.jid import JID

    from twisted_oob.xmpp.deadlines import Clock, Deadline
    from twisted_oob.xmpp.stanza import Payload

_ANY_IQ: Final = "/iq"
_ANSWERS: Final = frozenset(("result", "error"))


class _Waiter:
    """Somebody who waits for a stream."""

    def __init__(self, handler: AskingHandler) -> None:
        self._handler = handler
        self.deadline: Deadline | None = None
        self.deferred: Deferred[JID | None] = Deferred(lambda _: handler.forget(self))

    def expire(self) -> None:
        self._handler.forget(self)
        self.deferred.errback(IQTimeoutError("no stream to the server in time"))


class AskingHandler(XMPPHandler):  # type: ignore[misc]  # Wokkel has no types
    """Sends IQ requests and gives each its answer (RFC 6120 section 8.2.3).

    Ids can't be guessed, and an answer counts only from whom was asked. Without a stream, a request
    waits for the next one.

    Args:
        clock: Tells the time and runs the timer of all timeouts.
    """

    parent: Any
    xmlstream: Any

    def __init__(self, clock: Clock) -> None:
        XMPPHandler.__init__(self)
        self._deadlines = DeadlineQueue(clock)
        self._tracker = RequestTracker(self._deadlines)
        self._waiters: dict[_Waiter, None] = {}
        self._stream: BoundStream | None = None
        self._disowned = False

    @property
    def me(self) -> JID | None:
        """Our address on the stream that is up: a full JID or a domain; None without a stream."""
        return None if self._stream is None else self._stream.me

    def ask(
        self, kind: str, payload: Payload, recipient: JID | str | None, *, timeout: float | None
    ) -> Deferred[Any]:
        """Send a request.

        Args:
            kind: ``'get'`` or ``'set'``.
            payload: Its child.
            recipient: Who is asked; None for our own server.
            timeout: Seconds until it fails without an answer; None for never.

        Returns:
            A Deferred. It fires with the answer to a get, the whole ``<iq/>`` as an Element, or
            None if that is empty; and with None for the answer to a set. It fails with the
            StanzaError that was answered, with TimeoutError (of Twisted Words), with the reason
            that the stream was lost for, with StreamRefused or with CancelledError.

        Raises:
            ValueError: The recipient is not a JID. Nothing is sent.
        """
        refused = self._refused()
        if refused is not None:
            return fail(refused)
        return self._tracker.request(kind, payload, recipient, timeout=timeout)

    def wait_for_stream(self, timeout: float | None) -> Deferred[JID | None]:
        """Wait until requests are sent at once.

        Args:
            timeout: Seconds until it fails without a stream; None for never.

        Returns:
            A Deferred. It fires with ``me`` as it is then. It fails with TimeoutError (of Twisted
            Words), with StreamRefused or with CancelledError.
        """
        if self._stream is not None:
            return succeed(self.me)
        refused = self._refused()
        if refused is not None:
            return fail(refused)
        waiter = _Waiter(self)
        self._waiters[waiter] = None
        if timeout is not None:
            waiter.deadline = self._deadlines.add(waiter, timeout)
        return waiter.deferred

    def forget(self, waiter: _Waiter) -> None:
        """Let go of somebody who waits for a stream, before that one's Deferred is fired."""
        del self._waiters[waiter]
        if waiter.deadline is not None:
            self._deadlines.cancel(waiter.deadline)
            self._deadlines.stop_if_idle()

    def _refused(self) -> StreamRefused | None:
        refused = getattr(self.parent, "refused", None)
        return refused if self._stream is None and isinstance(refused, StreamRefused) else None

    def setHandlerParent(self, parent: Any) -> None:
        """Join a stream manager. What waits fails if its stream is refused for good."""
        self._disowned = False
        XMPPHandler.setHandlerParent(self, parent)
        refused = self._refused()
        if refused is not None:
            self.stream_refused(refused)

    def stream_refused(self, error: StreamRefused) -> bool:
        """Fail what waits for a stream: the manager says that there won't be one.

        Returns:
            Whether anything waited, so that the application hears of it.
        """
        requests = self._tracker.fail_waiting(error)
        waiters = list(self._waiters)
        for waiter in waiters:
            # What another one's failure caused may have let go of it.
            if waiter in self._waiters:
                self.forget(waiter)
                waiter.deferred.errback(error)
        return requests or bool(waiters)

    def makeConnection(self, xs: Any) -> None:
        """Know of a stream, unless another handler took us off while its manager told us of it."""
        if not self._disowned:
            XMPPHandler.makeConnection(self, xs)

    def connectionInitialized(self) -> None:
        """Begin to take answers, and send what has been waiting for the stream."""
        # As in OOBHandler: the manager may not have shown us the stream yet, or tell us twice.
        self.xmlstream = getattr(self.parent, "xmlstream", self.xmlstream)
        if self.xmlstream is None or (
            self._stream is not None and self._stream.xmlstream is self.xmlstream
        ):
            return
        stream = BoundStream(self.xmlstream, self.parent)
        self._stream = stream
        self.xmlstream.addObserver(_ANY_IQ, self._on_iq)
        # What is sent may lose the stream, and even open the next: the rest is for that one.
        self._tracker.stream_opened(stream)
        while self._waiters and self._stream is stream:
            waiter = next(iter(self._waiters))
            self.forget(waiter)
            waiter.deferred.callback(self.me)

    def connectionLost(self, reason: Failure | None) -> None:
        """Fail what was asked on this stream."""
        XMPPHandler.connectionLost(self, reason)
        self._detach(reason if isinstance(reason, Failure) else Failure(ConnectionDone()))

    def disownHandlerParent(self, parent: Any) -> None:
        """Leave a stream manager; to the handler, that is the loss of its stream."""
        handlers = getattr(self.parent, "handlers", None)
        if isinstance(handlers, list):
            # Twisted Words and InternalComponent may be going through this very list, and would
            # leave out the handler after us.
            self.parent.handlers = handlers.copy()
        self._disowned = True
        XMPPHandler.disownHandlerParent(self, parent)
        self.xmlstream = None
        self._detach(Failure(ConnectionDone("the handler was taken from its stream")))

    def _detach(self, reason: Failure) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.xmlstream.removeObserver(_ANY_IQ, self._on_iq)
            self._tracker.stream_lost(reason)

    # To Twisted, "handled" is an attribute that other handlers set; see OOBHandler.
    def _on_iq(self, iq: Any) -> None:
        if (
            vars(iq).get("handled") is not True
            and iq.attributes.get("type") in _ANSWERS
            and self._tracker.take_answer(iq)
        ):
            iq.handled = True

"""AskingHandler: asks others by IQ on one stream after the other. Only whom it asked may answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure
from twisted.words.protocols.jabber.xmlstream import TimeoutError as IQTimeoutError

from twisted_oob.errors import StreamRefused
from twisted_oob.xmpp.deadlines import DeadlineQueue
from twisted_oob.xmpp.stream import BoundStream
from twisted_oob.xmpp.stream_handler import StreamHandler
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


class AskingHandler(StreamHandler):
    """Sends IQ requests and gives each its answer (RFC 6120 section 8.2.3).

    Ids can't be guessed, and an answer counts only from whom was asked. Without a stream, a request
    waits for the next one.

    Args:
        clock: Tells the time and runs the timer of all timeouts.
    """

    def __init__(self, clock: Clock) -> None:
        StreamHandler.__init__(self)
        self._deadlines = DeadlineQueue(clock)
        self._tracker = RequestTracker(self._deadlines)
        self._waiters: dict[_Waiter, None] = {}

    @property
    def me(self) -> JID | None:
        """Our address on the stream that is up: a full JID or a domain; None without a stream."""
        return None if self.bound_stream is None else self.bound_stream.me

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
        refused = self.refusal()
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
        if self.bound_stream is not None:
            return succeed(self.me)
        refused = self.refusal()
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

    def stream_refused(self, error: StreamRefused) -> bool:
        """Fail what waits for a stream; see StreamHandler."""
        requests = self._tracker.fail_waiting(error)
        waiters = list(self._waiters)
        for waiter in waiters:
            # What another one's failure caused may have let go of it.
            if waiter in self._waiters:
                self.forget(waiter)
                waiter.deferred.errback(error)
        return requests or bool(waiters)

    def _stream_opened(self, stream: BoundStream) -> None:
        """Begin to take answers, and send what has been waiting for the stream."""
        self.observe_stream(_ANY_IQ, self._on_iq)
        # What is sent may lose the stream, and even open the next: the rest is for that one.
        self._tracker.stream_opened(stream)
        while self._waiters and self.bound_stream is stream:
            waiter = next(iter(self._waiters))
            self.forget(waiter)
            waiter.deferred.callback(self.me)

    def _stream_lost(self, stream: BoundStream, reason: Failure) -> None:
        """Fail what was asked on this stream."""
        self._tracker.stream_lost(reason)

    # To Twisted, "handled" is an attribute that other handlers set; see OOBHandler.
    def _on_iq(self, iq: Any) -> None:
        if (
            vars(iq).get("handled") is not True
            and iq.attributes.get("type") in _ANSWERS
            and self._tracker.take_answer(iq)
        ):
            iq.handled = True

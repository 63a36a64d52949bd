"""Outbox: messages that wait for a stream, each with a Deferred of its end.

A message is written, or its Deferred fails: it is never dropped silently, and never written twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure
from twisted.words.protocols.jabber.xmlstream import TimeoutError as StreamTimeoutError

from twisted_oob.errors import QueueFull

if TYPE_CHECKING:
    from twisted.words.xish.domish import Element

    from twisted_oob.xmpp.deadlines import Deadline, DeadlineQueue
    from twisted_oob.xmpp.stream import BoundStream

MOST_UNSENT: Final = 1000
"""Messages that wait at the most; one more fails at once."""


class _Unsent:
    """One message that waits."""

    __slots__ = ("_outbox", "deadline", "deferred", "message")

    def __init__(self, outbox: Outbox, message: Element) -> None:
        self._outbox = outbox
        self.message = message
        self.deadline: Deadline | None = None
        self.deferred: Deferred[None] = Deferred(self._cancelled)

    def expire(self) -> None:
        error = StreamTimeoutError("there was no stream for the message in time")
        self._outbox.settle(self, Failure(error))

    def _cancelled(self, _deferred: Deferred[None]) -> None:
        self._outbox.forget(self)


class Outbox:
    """Writes messages in order: at once, or as soon as there is a stream.

    Args:
        deadlines: Where the waiting messages' deadlines are kept.
    """

    def __init__(self, deadlines: DeadlineQueue) -> None:
        self._deadlines = deadlines
        # In order, and each can leave from the middle.
        self._unsent: dict[_Unsent, None] = {}
        self._stream: BoundStream | None = None

    def send(self, message: Element, timeout: float | None) -> Deferred[None]:
        """Write a message, now or with the next stream.

        Args:
            message: The whole stanza.
            timeout: Seconds that it may wait for a stream; None for ever.

        Returns:
            A Deferred. It fires with None once the message is written. It fails with what the
            stream raised; or, while there is no stream, with QueueFull, with TimeoutError, with
            CancelledError, or with the reason of ``fail_waiting``.
        """
        # What waits goes first, also while a stream is opening.
        if self._stream is not None and not self._unsent:
            try:
                self._stream.send(message)
            except Exception:
                return fail(Failure())
            return succeed(None)
        if len(self._unsent) >= MOST_UNSENT:
            return fail(QueueFull(f"{MOST_UNSENT} messages wait for a stream already"))
        unsent = _Unsent(self, message)
        self._unsent[unsent] = None
        if timeout is not None:
            unsent.deadline = self._deadlines.add(unsent, timeout)
        return unsent.deferred

    def stream_opened(self, stream: BoundStream) -> None:
        """Write what waits, in order. Later messages are written at once."""
        self._stream = stream
        # Writing one may lose the stream, and even open the next; what is left is for that one.
        while self._unsent and self._stream is stream:
            unsent = next(iter(self._unsent))
            # First, so that nothing that writing it causes writes it again.
            self.forget(unsent)
            try:
                stream.send(unsent.message)
            except Exception:
                self.settle(unsent, Failure())
            else:
                self.settle(unsent, None)

    def stream_lost(self) -> None:
        """Let messages wait from now on."""
        self._stream = None

    def fail_waiting(self, error: Exception) -> None:
        """Fail every message that waits."""
        # Chosen before any is failed: an errback may send another, which is judged anew.
        for unsent in list(self._unsent):
            if unsent in self._unsent:
                self.settle(unsent, Failure(error))

    def forget(self, unsent: _Unsent) -> None:
        """Take a message out, if it still waits."""
        if unsent in self._unsent:
            del self._unsent[unsent]
            if unsent.deadline is not None:
                self._deadlines.cancel(unsent.deadline)
                self._deadlines.stop_if_idle()

    def settle(self, unsent: _Unsent, result: Failure | None) -> None:
        """Forget a message and fire its Deferred, unless the application has done that."""
        self.forget(unsent)
        if not unsent.deferred.called:
            unsent.deferred.callback(result)

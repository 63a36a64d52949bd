"""Outbox: messages on their way, each with a Deferred of its end.

A message waits for a stream, is written, and may then be watched for a while, as it may bounce:

=========  ================================  =======================================================
state      how it is entered                 how it ends
=========  ================================  =======================================================
unsent     there is no stream, or others     written; its timeout, a stream that is refused, or
           wait                              ``cancel()``: fails, and is never written
watched    written, with a bounce timeout    the time is over: None; it bounces: an ErrorCondition;
                                             the stream is lost, or ``cancel()``: fails
done       written, without one              None
=========  ================================  =======================================================

A message is written, or its Deferred fails: it is never dropped silently, and never written twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure
from twisted.words.protocols.jabber.xmlstream import TimeoutError as StreamTimeoutError

from twisted_oob.errors import QueueFull
from twisted_oob.protocol.bounces import Bounces

if TYPE_CHECKING:
    from twisted.words.xish.domish import Element

    from twisted_oob.errors import ErrorCondition
    from twisted_oob.xmpp.deadlines import Deadline, DeadlineQueue
    from twisted_oob.xmpp.stream import BoundStream

MOST_UNSENT: Final = 1000
"""Messages that wait for a stream at the most; one more fails at once."""


class _Batch:
    """What one call sends, as long as its Deferred has not fired."""

    __slots__ = ("_outbox", "bounce_timeout", "deadline", "deferred", "messages")

    def __init__(
        self, outbox: Outbox, messages: Sequence[Element], bounce_timeout: float | None
    ) -> None:
        self._outbox = outbox
        self.messages = messages
        self.bounce_timeout = bounce_timeout
        self.deadline: Deadline | None = None
        self.deferred: Deferred[ErrorCondition | None] = Deferred(self._cancelled)

    def expire(self) -> None:
        self._outbox.expired(self)

    def bounced(self, condition: ErrorCondition) -> None:
        self._outbox.settle(self, condition)

    def _cancelled(self, _deferred: Deferred[ErrorCondition | None]) -> None:
        self._outbox.forget(self)


class Outbox:
    """Writes messages in order: at once, or as soon as there is a stream.

    Args:
        deadlines: Where the messages' deadlines are kept.
    """

    def __init__(self, deadlines: DeadlineQueue) -> None:
        self._deadlines = deadlines
        # In order, and each can leave from the middle.
        self._unsent: dict[_Batch, None] = {}
        self._watched: dict[_Batch, None] = {}
        self._stream: BoundStream | None = None
        self.bounces = Bounces()

    def send(
        self, messages: Sequence[Element], timeout: float | None, bounce_timeout: float | None
    ) -> Deferred[ErrorCondition | None]:
        """Write messages, now or with the next stream.

        Args:
            messages: Whole stanzas, which are written one after the other. If one can't be written,
                those after it are not.
            timeout: Seconds that they may wait for a stream; None for ever.
            bounce_timeout: Seconds to wait for the first one to bounce; None not to wait.

        Returns:
            A Deferred. It fires with None once the messages are written, or once the first has not
            bounced in time; with its ErrorCondition if it has. It fails with what the stream
            raised; while there is no stream, with QueueFull, with TimeoutError, with
            CancelledError, or with the reason of ``fail_waiting``; and if the stream is lost while
            the first may bounce, with the reason of that.
        """
        # What waits goes first, also while a stream is opening.
        stream = None if self._unsent else self._stream
        if stream is None and len(self._unsent) >= MOST_UNSENT:
            return fail(QueueFull(f"{MOST_UNSENT} messages wait for a stream already"))
        batch = _Batch(self, messages, bounce_timeout)
        if stream is not None:
            self._write(batch, stream)
        else:
            self._unsent[batch] = None
            if timeout is not None:
                batch.deadline = self._deadlines.add(batch, timeout)
        return batch.deferred

    def stream_opened(self, stream: BoundStream) -> None:
        """Write what waits, in order. Later messages are written at once."""
        self._stream = stream
        # Writing one may lose the stream, and even open the next; what is left is for that one.
        while self._unsent and self._stream is stream:
            batch = next(iter(self._unsent))
            # First, so that nothing that writing it causes writes it again.
            self.forget(batch)
            self._write(batch, stream)

    def stream_lost(self) -> Sequence[_Batch]:
        """Let messages wait from now on.

        Returns:
            Those that were written and may still bounce, for ``fail_lost``. Nothing is fired here:
            an errback may open the next stream, for which all must be ready by then.
        """
        self._stream = None
        return list(self._watched)

    def fail_lost(self, lost: Sequence[_Batch], reason: Failure) -> None:
        """Fail what ``stream_lost`` gave: nobody would hear of its bounces any more."""
        for batch in lost:
            # What one of them causes may settle others.
            if batch in self._watched:
                self.settle(batch, reason)

    def fail_waiting(self, error: Exception) -> bool:
        """Fail every message that waits for a stream.

        Returns:
            Whether there was one.
        """
        # Chosen before any is failed: an errback may send another, which is judged anew.
        chosen = list(self._unsent)
        for batch in chosen:
            if batch in self._unsent:
                self.settle(batch, Failure(error))
        return bool(chosen)

    def expired(self, batch: _Batch) -> None:
        """End what waits in vain for a stream, or well for a bounce."""
        if batch in self._watched:
            self.settle(batch, None)
        else:
            error = StreamTimeoutError("there was no stream for the message in time")
            self.settle(batch, Failure(error))

    def forget(self, batch: _Batch) -> None:
        """Take messages out, whether they wait for a stream or for a bounce."""
        self._unsent.pop(batch, None)
        if batch in self._watched:
            del self._watched[batch]
            self.bounces.forget(batch.messages[0])
        if batch.deadline is not None:
            self._deadlines.cancel(batch.deadline)
            self._deadlines.stop_if_idle()
            batch.deadline = None

    def settle(self, batch: _Batch, result: ErrorCondition | Failure | None) -> None:
        """Forget messages and fire their Deferred, unless the application has done that."""
        self.forget(batch)
        if not batch.deferred.called:
            batch.deferred.callback(result)

    def _write(self, batch: _Batch, stream: BoundStream) -> None:
        """Write messages, and wait for the bounce of the first if somebody wants to know."""
        seconds = batch.bounce_timeout
        if seconds is not None:
            # Before they are written: that may lose the stream, or bring the bounce.
            self._watched[batch] = None
            self.bounces.watch(batch.messages[0], batch)
        try:
            for message in batch.messages:
                stream.send(message)
        except Exception:
            self.settle(batch, Failure())
            return
        if seconds is None:
            self.settle(batch, None)
        elif batch in self._watched:
            batch.deadline = self._deadlines.add(batch, seconds)

"""Bounds for what waits to be written to an XML stream, so that nobody can make our memory grow.

Theory of operation
===================

Two make a stream's output grow: its peer, with requests that we answer, and others, whose stanzas a
router passes on. If the peer does not read, all of it waits in the transport, without a limit.

**The peer** (``OutputLimit``). Twisted tells a producer that is registered with the transport when
more than its buffer (64 KiB) waits to be written, and again when all of it is written. We are that
producer: while output waits, nothing is read. Then the peer can't make us write more, TCP lets it
feel that, and the stream goes on when it has read.

========  ==================================  =======================
state     how it is entered                   what happens to input
========  ==================================  =======================
flowing   made; all output is written         read
blocked   more than the buffer waits          left with the system
released  ``release()``                       read
========  ==================================  =======================

**Others** (``OutputQueue``). They can't be slowed: whoever doesn't read would stop all that have
something for it. So while the stream is blocked, what they send waits in a queue. It takes
MAX_WAITING bytes, and half of that from one sender, so that a flood leaves room for the answers of
others. What has no room is refused, for its sender to be told.

**Progress.** The queue gives the transport a piece of PIECE bytes at a time. So each time that the
transport has written all, the peer has read something. A stream that is blocked without progress
for PATIENCE seconds is stuck; if somebody was refused meanwhile, for FULL_PATIENCE seconds. A peer
that reads a byte a second is as stuck as one that reads nothing.

**A transport that has a producer does not close.** Its ``loseConnection`` waits until the producer
is unregistered; over TLS always, over TCP if the limit is blocked. So ``release()`` comes before
each ``loseConnection``. ``abortConnection`` waits for nothing.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from twisted_oob.xmpp.deadlines import Clock, Timer

MAX_WAITING: Final = 1024 * 1024
"""Bytes that may wait beyond the transport's buffer. The last stanza may exceed it."""
PIECE: Final = 64 * 1024
"""Bytes that a transport gets at once."""
PATIENCE: Final = 30.0
"""Seconds that a peer may take to read what waits in the transport."""
FULL_PATIENCE: Final = 10.0
"""The same, once the queue has refused something."""


@implementer(IPushProducer)
class OutputLimit:
    """Stops reading from a transport while too much waits to be written to it.

    Args:
        transport: A connected transport, an IConsumer such as Twisted's TCP and TLS transports.
        on_change: Called without arguments when ``blocked`` has changed.

    Attributes:
        blocked: Whether more than the transport's buffer waits, so that nothing is read.
    """

    def __init__(self, transport: Any, on_change: Callable[[], object] = lambda: None) -> None:
        self.blocked = False
        self._transport = transport
        self._on_change = on_change
        self._released = False
        transport.registerProducer(self, True)

    def release(self) -> None:
        """Limit nothing any more, so that the transport can be closed.

        ``on_change`` is not called. A second call does nothing.
        """
        if self._released:
            return
        self._released = True
        if self.blocked:
            self.blocked = False
            self._transport.resumeProducing()
        self._transport.unregisterProducer()

    def pauseProducing(self) -> None:
        """Stop reading: the transport says that too much waits."""
        if not self.blocked:
            self.blocked = True
            self._transport.pauseProducing()
            self._on_change()

    def resumeProducing(self) -> None:
        """Read again: the transport says that all is written."""
        if self.blocked:
            self.blocked = False
            self._transport.resumeProducing()
            self._on_change()

    def stopProducing(self) -> None:
        """Do nothing: the transport is gone."""


class OutputQueue:
    """Writes to a transport what its peer reads, and keeps a bounded amount of the rest.

    Args:
        transport: As for OutputLimit.
        clock: Runs the timer.
        on_progress: Called without arguments when the peer has read all that the transport had.
        on_stuck: Called without arguments if it has not for too long; at most once.
    """

    def __init__(
        self,
        transport: Any,
        clock: Clock,
        *,
        on_progress: Callable[[], object],
        on_stuck: Callable[[], object],
    ) -> None:
        self._transport = transport
        self._clock = clock
        self._on_progress = on_progress
        self._on_stuck = on_stuck
        # With its sender, and whether it is the last of what that wrote at once. Empty unless the
        # limit is blocked.
        self._pieces: deque[tuple[bytes, str, bool]] = deque()
        self._waiting: Counter[str] = Counter()
        self._whole = True
        self._impatient = False
        self._released = False
        self._timer: Timer | None = None
        self._limit = OutputLimit(transport, self._changed)

    def has_room(self, sender: str) -> bool:
        """Whether there is room for something from a sender; to refuse it makes impatient."""
        if not self._pieces:
            return True
        if self._waiting.total() < MAX_WAITING and self._waiting[sender] < MAX_WAITING // 2:
            return True
        if not self._impatient and self._timer is not None:
            self._impatient = True
            self._start_timer(FULL_PATIENCE)
        return False

    def write(self, data: bytes, sender: str = "") -> None:
        """Write, now or when the peer has read.

        Args:
            data: What is written whole or not at all, such as a stanza. There is always room for
                it: ask ``has_room`` first if others sent it.
            sender: Who sent it; empty if we did.
        """
        if self._released or (not self._limit.blocked and len(data) <= PIECE):
            self._transport.write(data)
            return
        for start in range(0, len(data), PIECE):
            piece = data[start : start + PIECE]
            self._pieces.append((piece, sender, start + PIECE >= len(data)))
        self._waiting[sender] += len(data)
        self._flush()

    def release(self, *, drop: bool = False) -> None:
        """Give the transport all that waits, and limit nothing any more.

        A second call does nothing.

        Args:
            drop: Whether to give it only the rest of what it has begun, and forget all else.
        """
        if self._released:
            return
        self._released = True
        self._stop_timer()
        self._limit.release()
        while self._pieces and not (drop and self._whole):
            self._write_piece()
        self._pieces.clear()
        self._waiting.clear()

    def _changed(self) -> None:
        if self._limit.blocked:
            self._start_timer(PATIENCE)
        else:
            self._stop_timer()
            self._impatient = False
            self._flush()
            self._on_progress()

    def _flush(self) -> None:
        while self._pieces and not self._limit.blocked:
            self._write_piece()

    def _write_piece(self) -> None:
        piece, sender, self._whole = self._pieces.popleft()
        self._waiting[sender] -= len(piece)
        if not self._waiting[sender]:
            del self._waiting[sender]
        self._transport.write(piece)

    def _start_timer(self, seconds: float) -> None:
        self._stop_timer()
        self._timer = self._clock.callLater(seconds, self._stuck)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _stuck(self) -> None:
        self._timer = None
        self._on_stuck()

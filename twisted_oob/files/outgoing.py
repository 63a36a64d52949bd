"""Outgoing: the body of a PUT, from the disk into a connection of ours.

What others read from a share goes out by another way (sendfile.py): the kernel takes it from the
file. Here the connection nearly always has TLS, so the bytes must come through this process.

Theory of operation
===================

In come a SourceFile and the transport of a connection. Out go pieces of the file, and the news of
each. A thread reads one piece while the last one leaves::

    disk -> thread: a piece of 512 KiB -> transport, 128 KiB at a time -> kernel

=========  ===========================================  ===========================================
state      waits for                                    leads to
=========  ===========================================  ===========================================
reading    the thread, as it has nothing to send        writing
writing    nothing: it hands a piece to the transport   paused, as the transport is full; reading;
                                                        sent, after the last piece
paused     the transport to be empty                    writing; sent
sent       nothing                                      (the transport has let go of it)
stopped    nothing: what a thread still reads is        (the file may be closed)
           dropped
=========  ===========================================  ===========================================

Why pieces, and why a thread
----------------------------

What costs is not Python, but who waits for whom. If the reactor reads, the socket is idle
meanwhile, and every other connection waits for the disk; larger pieces only make these waits
longer. A thread's read and a socket's send both let go of Python's lock, so they overlap.

Two things cost for each piece: the hop between threads, and that an empty transport stops watching
the socket and starts again. With 512 KiB both are rare. So two pieces are in memory, and, over TLS,
one once more. Larger pieces would cost more of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.interfaces import IPushProducer
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_oob.files.source import SourceFile

_PIECE: Final = 512 * 1024


@implementer(IPushProducer)
class Outgoing:
    """Sends a whole file into a connection.

    Args:
        reactor: Has a thread pool.
        source: The file.
        on_sent: Called with the number of bytes that have left, each time that some have.
        on_error: Called with the failure that ended the reading, or with None if the file got
            shorter.

    Attributes:
        written: How many bytes the transport has got.
    """

    def __init__(
        self,
        reactor: Any,
        source: SourceFile,
        on_sent: Callable[[int], object],
        on_error: Callable[[Failure | None], object],
    ) -> None:
        self._reactor = reactor
        self._source = source
        self._on_sent = on_sent
        self._on_error = on_error
        self._transport: Any = None
        self._on_stop: Callable[[], object] = lambda: None
        self._next = b""
        self._read = 0
        self._paused = False
        self._stopped = False
        self.written = 0

    @property
    def whole(self) -> bool:
        """Whether the transport has got all of it."""
        return self.written == self._source.size

    def begin(self, transport: Any, on_stop: Callable[[], object]) -> None:
        """Send the file into a transport; an empty one is sent at once.

        Args:
            transport: A connection.
            on_stop: Called if the transport is lost before it has got the whole file.
        """
        if self.whole:
            self._on_sent(0)
            return
        self._transport = transport
        self._on_stop = on_stop
        transport.registerProducer(self, True)
        self._read_ahead()

    def pauseProducing(self) -> None:
        """Wait: the transport is full."""
        self._paused = True

    def resumeProducing(self) -> None:
        """Go on: all that was written has left."""
        self._paused = False
        if not self._stopped:
            self._on_sent(self.written)
            self._write()

    def stopProducing(self) -> None:
        """Send nothing more, and read nothing more."""
        if not self._stopped:
            self._stopped = True
            self._on_stop()

    def _write(self) -> None:
        while not (self._paused or self._stopped):
            if self.whole:
                self._stopped = True
                self._transport.unregisterProducer()
                return
            if not self._next:
                return  # the thread is not done yet
            piece, self._next = self._next, b""
            self._read_ahead()
            self.written += len(piece)
            self._transport.write(piece)
            if not self._paused:
                self._on_sent(self.written)

    def _read_ahead(self) -> None:
        if self._read == self._source.size:
            return
        deferToThreadPool(
            self._reactor, self._reactor.getThreadPool(), self._source.read, self._read, _PIECE
        ).addBoth(self._came)

    def _came(self, result: bytes | Failure) -> None:
        if self._stopped:
            return
        if isinstance(result, bytes) and result:
            self._next = result
            self._read += len(result)
            self._write()
        else:
            self._stopped = True
            self._on_error(result if isinstance(result, Failure) else None)

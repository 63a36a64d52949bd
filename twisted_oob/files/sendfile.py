"""Sending: a part of a file goes out over a connection, as fast as the reader reads.

Theory of operation
===================

A sending is one coroutine (``Sending.run``). A part of a SourceFile goes in. It returns when the
kernel has the last byte, and not before: a process that ends then takes nothing with it. In between
it is in one of these states:

=========  =================================================  ==================================
state      waits for                                          leads to
=========  =================================================  ==================================
draining   the socket to have room, and nothing to wait in    loading or sending; done at the
           the transport's buffer                             end
loading    a thread, which reads the next window from the     sending
           disk
sending    nothing                                            draining
=========  =================================================  ==================================

Every state also leads to an end with ``SendingStopped``: the connection is gone, ``stop`` was
called, the reader took nothing for STALL seconds, or the file can't be read or got shorter. In all
these cases the connection is aborted. A reader thereby knows that it has not got the whole.

Memory and processor
--------------------

On a bare TCP or UNIX socket the kernel takes the bytes from the file (sendfile(2)): we neither
hold nor copy them. Where something stands between us and the socket, as TLS does, and for what is
so little that it goes out together with the headers, we read and write PIECE bytes at a time.

The disk
--------

sendfile waits for the disk, and with it the whole process would. So each WINDOW is first looked for
in the system's memory, which costs some microseconds. Nearly always it is there: the system reads
ahead, and the file may have been hashed a moment ago. If it isn't, a thread reads it. Few threads
do so at a time: a disk that hangs must not take all those of the reactor's pool.

The transport's buffer
----------------------

What we write waits in the transport until the socket has room. Only a pull producer
(IPullProducer) is told whenever that buffer is empty. So while a file is sent, a ``_Drain`` takes
the place that the HTTPChannel has as the transport's producer. Below TLS it is registered with the
transport that has the socket: TLS would ask for the next piece at once.

Stalls
------

A reader may be slow for days, but must take something within STALL seconds. The kernel asks for
more only when much of its buffer has room, and that may take longer. So before a reader is given
up, the bytes that the kernel still holds are looked at, every TICK.

Readers that have closed their side
-----------------------------------

One that has closed its side may still read. Or it is gone altogether: the kernel would take all of
a small file and only then hear of it. So such a reader's part is sent when its kernel has confirmed
every byte, which is looked at every CONFIRM.
"""

from __future__ import annotations

import array
import errno
import fcntl
import termios
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.internet.interfaces import IPullProducer
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.logger import Logger
from zope.interface import implementer

from twisted_oob.files.source import SourceFile

STALL: Final = 60.0
"""Seconds after which a reader that takes nothing is given up."""
TICK: Final = 10.0
"""Seconds between two looks at what the kernel holds."""
CONFIRM: Final = 0.02
"""Seconds between two looks at whether a reader has every byte."""
PIECE: Final = 64 * 1024
"""Bytes that are read and written at a time, if the kernel can't take them from the file."""
WINDOW: Final = 1024 * 1024
"""Bytes that are looked for in memory, or loaded, at a time."""

_LOADING_THREADS: Final = 4
# Some file systems can't do it.
_NO_SENDFILE: Final = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}


class SendingStopped(Exception):
    """The part was not sent to its end, and the connection is aborted."""


class Loader:
    """Loads pieces of files in a few threads of the reactor's pool."""

    def __init__(self) -> None:
        self._turns = DeferredSemaphore(_LOADING_THREADS)

    def load(self, source: SourceFile, offset: int, count: int) -> Deferred[None]:
        """Get a piece into memory; see ``SourceFile.load``.

        Returns:
            A Deferred that fires when it is there, or fails with an OSError or ValueError.
        """
        return self._turns.run(deferToThread, source.load, offset, count)


class Sending:
    """Sends a part of a file over a connection.

    Args:
        channel: The HTTPChannel of the connection.
        source: The file.
        part: The positions of the bytes to send.
        clock: Tells the time and runs the timer.
        loader: Loads what is not in memory.
        on_sent: Called with each range of positions that the kernel has.
    """

    _log = Logger()

    def __init__(
        self,
        channel: Any,
        source: SourceFile,
        part: range,
        *,
        clock: Any,
        loader: Loader,
        on_sent: Callable[[range], None],
    ) -> None:
        self._channel = channel
        self._transport = channel.transport
        self._source = source
        self._position, self._end = part.start, part.stop
        self._loaded = part.start
        self._clock = clock
        self._loader = loader
        self._on_sent = on_sent
        self._drain = _Drain(channel)
        self._by_kernel = self._drain.bare and len(part) > PIECE
        self._moved = 0.0
        self._held: int | None = None
        self._timer: Any = None

    async def run(self) -> None:
        """Send it. The headers may still wait in the transport's buffer.

        Raises:
            SendingStopped: It was not sent to its end.
        """
        self._moved = self._clock.seconds()
        self._timer = self._clock.callLater(TICK, self._look)
        whole = False
        try:
            await self._send()
            whole = True
        except (OSError, ValueError) as error:
            # Neither a lost connection nor a file that we closed is worth a line in the log.
            if isinstance(error, OSError) and not isinstance(error, ConnectionError):
                self._log.error(
                    "can't share {path} any more: {error}",
                    path=self._source.path,
                    error=error.strerror or error,
                )
            raise SendingStopped from None
        finally:
            if self._timer.active():
                self._timer.cancel()
            if not whole:
                self.stop()
            self._drain.close()

    def stop(self) -> None:
        """Stop it and abort the connection."""
        self._transport.abortConnection()
        self._drain.stopProducing()

    async def _send(self) -> None:
        if self._by_kernel or not self._left:
            # The headers go before the file, and are all that an empty one has.
            await self._drain.empty()
        while self._left:
            if self._position >= self._loaded:
                await self._load(min(WINDOW, self._left))
            await (self._hand_over() if self._by_kernel else self._write())
        # Whoever was told of the last byte may have stopped it.
        self._drain.check()
        while self._channel.ended and self._drain.held():
            await self._drain.empty()
            await deferLater(self._clock, CONFIRM)
            self._drain.check()

    @property
    def _left(self) -> int:
        return self._end - self._position

    async def _load(self, count: int) -> None:
        if not self._source.in_memory(self._position, count):
            await self._loader.load(self._source, self._position, count)
            self._drain.check()
        self._loaded = self._position + count

    async def _hand_over(self) -> None:
        """Let the kernel take bytes from the file, and wait until it has room for more."""
        count = self._loaded - self._position
        try:
            self._advance(self._source.send_to(self._transport.fileno(), self._position, count))
        except BlockingIOError:
            pass
        except OSError as error:
            if error.errno not in _NO_SENDFILE:
                raise
            self._by_kernel = False
        if self._left:
            await self._drain.empty()

    async def _write(self) -> None:
        """Read and write a piece, and wait until the kernel has it."""
        piece = self._source.read(self._position, min(PIECE, self._left))
        self._transport.write(piece)
        await self._drain.empty()
        self._advance(len(piece))

    def _advance(self, count: int) -> None:
        if not count:
            raise OSError(errno.EIO, "it got shorter")
        sent = range(self._position, self._position + count)
        self._position = sent.stop
        self._moved, self._held = self._clock.seconds(), None
        self._on_sent(sent)

    def _look(self) -> None:
        """Stop if the reader has taken nothing for too long."""
        held, before = self._drain.held(), self._held
        now = self._clock.seconds()
        if held is not None and before is not None and held < before:
            self._moved = now
        self._held = held
        left = self._moved + STALL - now
        if left > 0:
            self._timer = self._clock.callLater(min(left, TICK), self._look)
        else:
            self.stop()


@implementer(IPullProducer)
class _Drain:
    """Tells when all that was written to a connection is with the kernel.

    Args:
        channel: The HTTPChannel of the connection. It is the transport's producer before and after.

    Attributes:
        bare: Whether what is written goes to the socket as it is.
    """

    def __init__(self, channel: Any) -> None:
        self._channel = channel
        # The connection is lost, or the channel has its place back.
        self._done = False
        self._waiting: Deferred[None] | None = None
        self._lowest = channel.transport
        channel.transport.unregisterProducer()
        while (below := getattr(self._lowest, "transport", None)) is not None:
            self._lowest = below
        self.bare = self._lowest is channel.transport and isinstance(self._lowest, FileDescriptor)
        # It asks at once, while nobody waits.
        self._lowest.registerProducer(self, False)

    def check(self) -> None:
        """Raise SendingStopped if the connection is lost."""
        if self._done:
            raise SendingStopped

    async def empty(self) -> None:
        """Wait until nothing is left in the transport, and the socket has room.

        Raises:
            SendingStopped: The connection is lost.
        """
        self.check()
        if self.bare:
            # What the kernel took from a file, the transport knows nothing of.
            self._lowest.startWriting()
        self._waiting = Deferred()
        await self._waiting

    def held(self) -> int | None:
        """Give the bytes that the kernel still has to deliver; None if nobody can tell."""
        if self._done or not isinstance(self._lowest, FileDescriptor):
            return None
        held = array.array("i", [0])
        fcntl.ioctl(self._lowest.fileno(), termios.TIOCOUTQ, held)
        return held[0]

    def close(self) -> None:
        """Give the channel its place back."""
        if not self._done:
            self._done = True
            self._lowest.unregisterProducer()
            self._channel.transport.registerProducer(self._channel, True)
            # If it was paused before, nobody else would tell it that there is room now.
            self._channel.resumeProducing()

    def resumeProducing(self) -> None:
        """Note that the buffer is empty; the transport calls it."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(None)

    def stopProducing(self) -> None:
        """Note that the connection is lost; the transport calls it."""
        self._done = True
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.errback(SendingStopped())

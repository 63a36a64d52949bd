"""Reading the body of an HTTP response in pieces, each no larger than a thread should write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred

from twisted_oob._file_info import FileInfo
from twisted_oob.files.expected import check_so_far
from twisted_oob.files.policy import FetchPolicy

# Bytes to gather before a thread writes them. Smaller pieces cost more hops between threads than
# they save memory.
_PIECE: Final = 256 * 1024


class Body:
    """Gathers a response's body into pieces, and pauses the server while one is written.

    Reading and writing alternate. If both ran at full speed they would keep two processors busy,
    and a peer that waits for an answer from this process would wait for a processor, too.

    Args:
        policy: Its ``max_size`` ends a body that is larger.
        flowing: Called with ``on=True`` when bytes may be expected from the server again, and with
            ``on=False`` when the server is paused or the body has ended.
        info: What was offered. Its ``size`` ends a body that is larger. None if nobody said
            anything.
        progress: Called with the number of bytes that came so far, each time that more came, or
            None. It must not raise.

    Attributes:
        transport: Pauses and resumes the server (IPushProducer). Whoever delivers the body sets it.
    """

    transport: Any

    def __init__(
        self,
        policy: FetchPolicy,
        flowing: Callable[..., None],
        info: FileInfo | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        self._policy = policy
        self._flowing = flowing
        self._info = info
        self._progress = progress
        self._gathered = bytearray()
        self._received = 0
        self._paused = False
        self._finished = False
        self._error: Exception | None = None
        self._more: Deferred[None] | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing follows what was read."""
        return self._finished and not self._gathered

    async def read(self) -> bytearray:
        """Read a piece: at least 256 KiB, or all the rest, after which the body has ``ended``.

        Returns:
            The bytes, which the caller may keep.

        Raises:
            TooLarge: More than ``max_size`` bytes came.
            FetchFailed: The body has more bytes than were offered, or whoever delivers it said that
                it is not whole.
        """
        if self._paused and not self._finished:
            self._paused = False
            self._flowing(on=True)
            self.transport.resumeProducing()
        while not self._finished and len(self._gathered) < _PIECE:
            self._more = Deferred()
            await self._more
        if self._error is not None:
            raise self._error
        piece, self._gathered = self._gathered, bytearray()
        return piece

    def received(self, data: bytes | memoryview) -> None:
        """Gather the bytes, and pause the server when they are a piece."""
        if self._finished:
            return
        self._received += len(data)
        try:
            self._policy.check_size(self._received)
            check_so_far(self._info, self._received)
            self._gathered += data
        except Exception as error:
            # A body whose bytes could not be kept (MemoryError, too) must never count as whole.
            self.transport.pauseProducing()
            self.finish(error)
            return
        if len(self._gathered) >= _PIECE and not self._paused:
            self._paused = True
            # Before the pause: while we keep the server waiting, its silence is no stall.
            self._flowing(on=False)
            self.transport.pauseProducing()
            self._wake()
        if self._progress is not None:
            # At the end: it may cancel the transfer.
            self._progress(self._received)

    def finish(self, error: Exception | None) -> None:
        """End the body. Only the first end counts.

        Args:
            error: Why it is not whole; None if it is.
        """
        if not self._finished:
            self._finished = True
            self._error = error
            self._flowing(on=False)
            self._wake()

    def _wake(self) -> None:
        more, self._more = self._more, None
        if more is not None:
            more.callback(None)

"""Readers: what those who read one shared file have got, and who wants to know.

A read is whole when every byte of the file was handed to the kernel for one reader. It may have
taken several answers, as after a break that the reader resumed with a Range. Readers are told apart
by their address: the halves that two of them got make no whole. An answer that broke off never
completes a read, but what it had got counts for the one that resumes it. Behind a reverse proxy all
readers have the proxy's address and count as one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from twisted.internet.defer import Deferred, succeed

from twisted_oob.files.progress import ProgressObserver
from twisted_oob.files.ranges import Coverage

# Addresses whose parts are remembered; the one that was longest without a new part is forgotten.
_MOST_READERS: Final = 200


class Readers:
    """Counts the whole reads of one file.

    Args:
        size: The bytes that the file has.
        on_progress: Called with the bytes that the furthest reader has got, and the size, whenever
            there are more.

    Attributes:
        reads: The whole reads so far.
    """

    def __init__(self, size: int, on_progress: Callable[[int, int], object] | None) -> None:
        self._size = size
        self._progress = ProgressObserver(on_progress)
        self._furthest = 0
        self._coverage: OrderedDict[str, Coverage] = OrderedDict()
        self._waiting: list[Deferred[None]] = []
        self.reads = 0

    def got(self, reader: str, part: range) -> None:
        """Note bytes that were handed to the kernel for a reader.

        Args:
            reader: Its address.
            part: Where they stand in the file.
        """
        coverage = self._coverage.setdefault(reader, Coverage(self._size))
        self._coverage.move_to_end(reader)
        if len(self._coverage) > _MOST_READERS:
            self._coverage.popitem(last=False)
        coverage.add(part)
        if coverage.count > self._furthest:
            self._furthest = coverage.count
            self._progress(self._furthest, self._size)

    def ended(self, reader: str, part: range) -> None:
        """Note that an answer was sent to its end.

        Args:
            reader: The address of who got it.
            part: All that it had of the file.
        """
        coverage = self._coverage.get(reader)
        if len(part) == self._size or (coverage is not None and coverage.whole):
            self._coverage.pop(reader, None)
            self.reads += 1
            while self._waiting:
                # One at a time: each may cancel another one.
                self._waiting.pop(0).callback(None)

    def when_whole(self) -> Deferred[None]:
        """Wait for the first whole read.

        Returns:
            A Deferred that has fired already if there was one. It can be cancelled.
        """
        if self.reads:
            return succeed(None)
        waiting: Deferred[None] = Deferred(self._waiting.remove)
        self._waiting.append(waiting)
        return waiting

"""The driver's part in exchanges: it offers or answers, and checks all that comes.

A call of ``exchange`` begins and ends with an idle contender. So many can be alive at once, and
get their share of the work in turn. Bytes are read by regular expressions: there is no XML tree
whose cost would be in the way.
"""

from __future__ import annotations

import re
import time
from collections import deque

from benchmarks.process import BenchmarkError
from benchmarks.stream import ComponentStream

DRIVER = "driver@server.example/benchmark"
OFFERER = "u%d@d.example/lab"
OFFERERS = 10_000  # more than what remembers addresses is likely to keep
URL = "http://127.0.0.1/file"
DESC = "A file"
PATIENCE = 20.0  # seconds without anything new after which a contender has failed
_OFFERER = OFFERER.encode()
_AT_ONCE = 64  # exchanges between two looks at the clock, where the work is limited in time

_IQ = re.compile(rb"<iq\b[^>]*>")
_RESULT = re.compile(
    rb"<iq\b(?=[^>]*\stype=[\"']result[\"'])(?=[^>]*\sid=[\"']d(\d+)[\"'])"
    rb"(?=[^>]*\sto=[\"']([^\"']*)[\"'])[^>]*>"
)
_REQUEST = re.compile(
    rb"<iq\b(?=[^>]*\stype=[\"']set[\"'])[^>]*?\sid=[\"']([^\"']+)[\"'][^>]*>"
    rb"\s*<query\b[^>]*jabber:iq:oob[^>]*>.*?<url\b[^>]*>([^<]*)</url>.*?</iq>",
    re.DOTALL,
)


class Offering:
    """Offers to a contender that answers, as many peers in turn.

    ``window``: at most so many offers wait for their answer. ``held``: the contender keeps so
    many more of them open, and answers the oldest.
    """

    def __init__(self, stream: ComponentStream, window: int, held: int = 0) -> None:
        self._stream = stream
        self._window = window
        self._held = held
        self._open: set[int] = set()
        self._offered = 0
        self._unread = b""
        self._offer = (
            f"<iq type='set' id='d%d' from='{OFFERER}' to='{stream.domain}'>"
            f"<query xmlns='jabber:iq:oob'><url>{URL}</url><desc>{DESC}</desc></query></iq>"
        ).encode()

    def begin(self) -> None:
        """Fill the contender with open offers, and wait for the first answer."""
        self._send(self._held)
        self.exchange(1)

    def exchange(self, count: int, limit: float | None = None) -> int:
        """Get ``count`` answers; gives how many came, fewer where it took ``limit`` seconds."""
        end = None if limit is None else time.monotonic() + limit
        to_send = to_get = count
        while to_get:
            if end is not None and time.monotonic() > end:
                break
            batch = to_get if end is None else min(_AT_ONCE, to_get)
            to_get -= batch
            to_send -= batch
            self._exchange(batch)
        return count - to_get

    def _exchange(self, count: int) -> None:
        to_send = to_get = count
        while to_get:
            room = min(self._window + self._held - len(self._open), to_send)
            if room > 0:
                self._send(room)
                to_send -= room
            to_get -= self._collect()

    def _send(self, count: int) -> None:
        numbers = range(self._offered, self._offered + count)
        self._offered += count
        self._open.update(numbers)
        self._stream.send(b"".join([self._offer % (n, n % OFFERERS) for n in numbers]))

    def _collect(self) -> int:
        """Wait for answers, check them, and give how many came."""
        data = self._stream.read(time.monotonic() + PATIENCE)
        if not data:
            raise BenchmarkError(f"{len(self._open)} offers were not answered in time")
        came = self._unread + data
        cut = came.rfind(b">") + 1
        came, self._unread = came[:cut], came[cut:]
        results = _RESULT.findall(came)
        if len(results) != len(_IQ.findall(came)):
            raise BenchmarkError(f"not only results came: {came[:300]!r}")
        numbers = [int(number) for number, _ in results]
        for number, (_, to) in zip(numbers, results, strict=True):
            if to != _OFFERER % (number % OFFERERS):
                raise BenchmarkError(f"the answer to offer {number} went to {to!r}")
        before = len(self._open)
        self._open.difference_update(numbers)
        if before - len(self._open) != len(numbers):
            raise BenchmarkError("an answer came twice, or to no offer")
        return len(numbers)


class Answering:
    """Answers a contender that asks.

    ``window``: so many requests the contender keeps unanswered. ``full``: they are answered in
    small batches, each once the window is full again, so that so many really are pending.
    """

    def __init__(self, stream: ComponentStream, window: int, *, full: bool = False) -> None:
        self._stream = stream
        self._window = window
        self._full = full
        self._batch = max(1, min(_AT_ONCE, window // 2)) if full else window
        self._pending: deque[bytes] = deque()
        self._unread = b""
        self._answer = f"<iq type='result' id='%b' from='{DRIVER}' to='{stream.domain}'/>".encode()

    def begin(self) -> None:
        """Wait until as many requests are pending as there are to be."""
        while len(self._pending) < self._window:
            self._collect()

    def exchange(self, count: int, limit: float | None = None) -> int:
        """Answer ``count`` requests, and wait for as many new ones.

        Gives how many were answered, fewer where it took ``limit`` seconds.
        """
        end = None if limit is None else time.monotonic() + limit
        left = count
        while left:
            batch = min(left, len(self._pending), self._batch)
            if batch and (not self._full or len(self._pending) >= self._window):
                self.answer(batch)
                left -= batch
                if end is not None and time.monotonic() > end:
                    break
            else:
                self._collect()
        self.begin()
        return count - left

    def finish(self) -> int:
        """Answer the last requests, after which no more come; gives how many they were."""
        last = len(self._pending)
        self.answer(last)
        return last

    def answer(self, count: int) -> None:
        """Answer the oldest requests."""
        take = self._pending.popleft
        self._stream.send(b"".join([self._answer % take() for _ in range(count)]))

    def _collect(self) -> None:
        """Wait for requests, and check them."""
        data = self._stream.read(time.monotonic() + PATIENCE)
        if not data:
            raise BenchmarkError(f"only {len(self._pending)} requests were pending in time")
        came = self._unread + data
        cut = came.rfind(b"</iq>") + len(b"</iq>")
        if cut < len(b"</iq>"):
            self._unread = came
            return
        came, self._unread = came[:cut], came[cut:]
        requests = _REQUEST.findall(came)
        if len(requests) != len(_IQ.findall(came)):
            raise BenchmarkError(f"not only requests came: {came[:300]!r}")
        url = URL.encode()
        for id_, asked in requests:
            if asked != url:
                raise BenchmarkError(f"a request for {asked!r} came")
            self._pending.append(id_)
        if len(self._pending) > self._window:
            raise BenchmarkError(f"{len(self._pending)} requests are pending at once")

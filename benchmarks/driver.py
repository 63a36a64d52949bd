"""The server's part in exchanges: a driver offers or answers, and checks all that comes.

A call of ``exchange`` begins and ends with an idle contender. So many contenders can be alive at
once, and get their share of the work in turn. Bytes are read by regular expressions: the driver
shares a processor with the contenders, and a tree of elements would cost more than they do.
"""

from __future__ import annotations

import re
from collections import deque

from benchmarks.process import BenchmarkError
from benchmarks.stream import ComponentStream

ADDRESS = "driver@server.example/benchmark"
OFFERER = "u%d@d.example/lab"
OFFERERS = 10_000  # more than what remembers addresses is likely to keep
URL = "http://127.0.0.1/file"
DESC = "A file"
PATIENCE = 20.0  # seconds without anything new after which a contender has failed

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


class Driver:
    """What both drivers have in common.

    ``in_flight`` and ``held`` are those of a Column. The oldest exchange is the next to end.
    """

    def __init__(self, stream: ComponentStream, in_flight: int, held: int) -> None:
        self._stream = stream
        self._held = held
        self._most = held + in_flight
        self._unread = b""

    def _read(self, pattern: re.Pattern[bytes], end: bytes) -> list[tuple[bytes, bytes]]:
        """Wait for stanzas, and return the two groups of the pattern for each.

        Args:
            pattern: Matches every stanza that may come.
            end: How a stanza, or its start tag, ends.
        """
        came = self._unread + self._stream.read(PATIENCE)
        before, mark, self._unread = came.rpartition(end)
        stanzas = before + mark
        found = pattern.findall(stanzas)
        if len(found) != len(_IQ.findall(stanzas)):
            raise BenchmarkError(f"something else came: {stanzas[:300]!r}")
        return found


class Offering(Driver):
    """Offers to a contender that answers, as many peers in turn."""

    def __init__(self, stream: ComponentStream, in_flight: int, held: int = 0) -> None:
        super().__init__(stream, in_flight, held)
        self.open: set[int] = set()
        self._sent = 0
        self._offer = (
            f"<iq type='set' id='d%d' from='{OFFERER}' to='{stream.domain}'>"
            f"<query xmlns='jabber:iq:oob'><url>{URL}</url><desc>{DESC}</desc></query></iq>"
        ).encode()

    def begin(self) -> None:
        """Fill the contender with open offers, and wait for its first answer."""
        self.offer(self._held)
        self.exchange(1)

    def exchange(self, count: int) -> None:
        """Get ``count`` answers, and check each."""
        to_send = count
        while count:
            new = min(to_send, self._most - len(self.open))
            self.offer(new)
            to_send -= new
            for id_, to in self._read(_RESULT, b">"):
                count -= 1
                number = int(id_)
                if number not in self.open:
                    raise BenchmarkError(f"the answer to offer {number} came twice, or to no offer")
                if to != OFFERER.encode() % (number % OFFERERS):
                    raise BenchmarkError(f"the answer to offer {number} went to {to!r}")
                self.open.remove(number)

    def offer(self, count: int) -> None:
        """Send that many offers."""
        numbers = range(self._sent, self._sent + count)
        self._sent += count
        self.open.update(numbers)
        self._stream.send(b"".join([self._offer % (n, n % OFFERERS) for n in numbers]))


class Answering(Driver):
    """Answers a contender that asks and keeps ``in_flight + held`` requests unanswered."""

    def __init__(self, stream: ComponentStream, in_flight: int, held: int = 0) -> None:
        super().__init__(stream, in_flight, held)
        self.open: deque[bytes] = deque()
        self._answer = f"<iq type='result' id='%b' from='{ADDRESS}' to='{stream.domain}'/>".encode()

    def begin(self) -> None:
        """Wait until the contender has sent as many requests as it keeps unanswered."""
        while len(self.open) < self._most:
            self._collect()

    def exchange(self, count: int) -> None:
        """Answer ``count`` requests, and wait for as many new ones."""
        while count:
            ready = min(count, len(self.open) - self._held)
            if ready > 0:
                self.answer(ready)
                count -= ready
            else:
                self._collect()
        self.begin()

    def answer(self, count: int) -> None:
        """Answer the oldest requests."""
        oldest = self.open.popleft
        self._stream.send(b"".join([self._answer % oldest() for _ in range(count)]))

    def _collect(self) -> None:
        """Wait for requests and check them."""
        for id_, url in self._read(_REQUEST, b"</iq>"):
            if url != URL.encode():
                raise BenchmarkError(f"a request for {url!r} came")
            self.open.append(id_)
        if len(self.open) > self._most:
            raise BenchmarkError(f"{len(self.open)} requests are pending at once")

"""The lines before and behind a body, bounded, whatever the pieces that they come in."""

from __future__ import annotations

from typing import Final

from twisted_oob.errors import FetchFailed
from twisted_oob.files.policy import NO_ANSWER

MOST_BEFORE_BODY: Final = 256 * 1024
"""Bytes that a server may send in one hop before the body: interim answers and head."""
MOST_BELOW_TLS: Final = 2 * MOST_BEFORE_BODY
"""Bytes that may come from the network until then. They are more: a TLS handshake, with up to 100
KiB of certificates, what TLS adds to each record, and the body's first bytes in the last read."""
TOO_LONG: Final = "the server's headers are too long"
LINE: Final = 64 * 1024
"""Bytes of a line without its end. Some real Content-Security-Policies have 17,000 bytes."""
# Lines in all. Tiny ones cost far more than their bytes; no real server sends more than hundreds.
_LINES: Final = 5000


def malformed(detail: str) -> FetchFailed:
    """Give the error for what is not HTTP.

    Args:
        detail: What is wrong, for our own log. It quotes no line: a server that speaks another
            protocol may send our request back, with the secrets of its URL.
    """
    return FetchFailed(NO_ANSWER, detail=detail)


class HeaderLines:
    """Cuts bytes into lines (RFC 9112 section 2.2), in linear time.

    A line ends with LF. A CR before it belongs to the end. There are at most 5,000 of them.

    Args:
        limit: Bytes that all lines together may have, with their ends.
        where: Where in the response they are, for our own log.
    """

    def __init__(self, limit: int, where: str) -> None:
        self._limit = limit
        self._where = where
        self._buffer = bytearray()
        self._start = 0  # of the next line
        self._searched = 0  # no LF between the start and here
        self._room = limit - 1  # for the next line without its LF
        self._left = _LINES

    def feed(self, data: bytes) -> None:
        """Add what came."""
        del self._buffer[: self._start]
        self._searched -= self._start
        self._start = 0
        self._buffer += data

    def next(self) -> bytes | None:
        """Take the next line.

        Returns:
            The line without its end; None if it is not whole yet.

        Raises:
            FetchFailed: The line, or all of them, is too long, or it has a NUL or a CR within.
        """
        found = self._buffer.find(b"\n", self._searched)
        end = len(self._buffer) if found < 0 else found
        size = end - self._start
        if size > LINE or size > self._room:
            self._check(size)
        if found < 0:
            self._searched = end
            return None
        self._left -= 1
        if self._left < 0:
            raise self._too_long(f"{_LINES} lines")
        line = bytes(self._buffer[self._start : end])
        self._room -= size + 1
        self._start = self._searched = end + 1
        if line.endswith(b"\r"):
            line = line[:-1]
        if len(line) > LINE:
            raise self._too_long(f"{LINE} bytes in a line")
        # RFC 9110 section 5.5, RFC 9112 section 2.2: invalid, and dangerous.
        if b"\r" in line or b"\0" in line:
            raise malformed(f"a CR or NUL in a line {self._where}")
        return line

    @property
    def rest(self) -> bytes:
        """What came after the last line that was taken."""
        return bytes(self._buffer[self._start :])

    def _check(self, size: int) -> None:
        """Check a long line, whole or not. It may have a CR that is not its content.

        Which limit is met first does not depend on the pieces.
        """
        if size > self._room and self._room <= LINE:
            raise self._too_long(f"{self._limit} bytes")
        if size > LINE + 1:
            raise self._too_long(f"{LINE} bytes in a line")

    def _too_long(self, what: str) -> FetchFailed:
        return FetchFailed(TOO_LONG, detail=f"more than {what} {self._where}")

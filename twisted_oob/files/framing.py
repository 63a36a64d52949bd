"""Where the body of a response ends (RFC 9112 section 6.3), without a reactor.

=================  ================================  ==========================================
the head declares  the body ends                     it is whole
=================  ================================  ==========================================
chunks             after the last chunk, of size 0,  then
                   and its trailer fields
a length           after as many bytes               then
neither            with the connection               if TLS closed it by close_notify. Anybody
                                                     on the way can end a TCP connection.
=================  ================================  ==========================================

What comes after the end is ignored: each connection has one response.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import Final

from twisted_oob._shown import counted
from twisted_oob.errors import FetchFailed
from twisted_oob.files.header_lines import HeaderLines, malformed
from twisted_oob.files.response_head import ResponseHead

EARLY: Final = "the file ended early"
# Bytes of a chunk that costs more than it brings.
_SMALL: Final = 512
# Bytes of a chunk that somebody may really send. Who says more has lost count.
_LARGEST: Final = 1 << 63
# Bytes of the line with a chunk's size, and of the line end before it.
_CHUNK_LINE: Final = 1024
# Bytes of such a line that cost as much as a chunk.
_SMALL_LINE: Final = 128
# Bytes of all trailer fields.
_TRAILERS: Final = 64 * 1024

# RFC 9112 sections 7.1 and 7.1.1: the size, and extensions, which nobody has a use for. "BWS" is
# white space that must be taken (RFC 9110 section 5.6.3). A bare LF is malformed. No part of the
# pattern begins as the one before it goes on, so that it takes linear time.
_SIZE: Final = rb"([0-9A-Fa-f]{1,100})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?"
_FIRST: Final = re.compile(_SIZE + rb"\r\n")
# One match for the end of a chunk and the size of the next. Tiny chunks cost little more than it.
_NEXT: Final = re.compile(rb"\r\n" + _SIZE + rb"\r\n")
# What can become one of those when more comes.
_FIRST_BEGUN: Final = re.compile(rb"(?:" + _SIZE + rb"\r?)?")
_NEXT_BEGUN: Final = re.compile(rb"(?:\r(?:\n(?:" + _SIZE + rb"\r?)?)?)?")


class Framing(ABC):
    """Finds the payload in what comes after a head.

    Attributes:
        ended: Whether the body is whole.
        pieces: How many chunks came that are shorter than 512 bytes. They cost us more than the
            server. One with long extensions counts as several, by what it costs.
    """

    ended = False
    pieces = 0

    @abstractmethod
    def feed(self, data: bytes) -> bytes | memoryview:
        """Give the payload in the next bytes, which may be empty.

        Raises:
            FetchFailed: They are malformed.
        """

    @abstractmethod
    def closed(self, *, properly: bool) -> None:
        """Note that the connection is gone, so that nothing follows.

        Args:
            properly: Whether the server's TLS said so, by close_notify (RFC 8446 section 6.1).

        Raises:
            FetchFailed: The body is not whole, or nobody can tell.
        """


def framing(head: ResponseHead) -> Framing:
    """Give the framing of the body that follows a head."""
    if head.chunked:
        return _Chunks()
    return _UntilClosed() if head.length is None else _Sized(head.length)


class _Sized(Framing):
    """A body of a declared length."""

    def __init__(self, length: int) -> None:
        self._length = length
        self._missing = length
        self.ended = not length

    def feed(self, data: bytes) -> bytes:
        if len(data) > self._missing:
            data = data[: self._missing]
        self._missing -= len(data)
        self.ended = not self._missing
        return data

    def closed(self, *, properly: bool) -> None:
        if not self.ended:
            came = self._length - self._missing
            raise FetchFailed(EARLY, detail=f"{came} of {counted(self._length, 'byte')} came")


class _UntilClosed(Framing):
    """A body that ends with its connection (RFC 9112 section 9.8)."""

    def feed(self, data: bytes) -> bytes:
        return data

    def closed(self, *, properly: bool) -> None:
        if not properly:
            raise FetchFailed(
                "the server does not say where the file ends",
                detail="no Content-Length, no chunks, and no close_notify at the end",
            )
        self.ended = True


class _Chunks(Framing):
    """A body in chunks (RFC 9112 section 7.1)."""

    def __init__(self) -> None:
        self._missing = 0  # bytes of the chunk that has begun
        self._line, self._begun = _FIRST, _FIRST_BEGUN  # what follows it
        self._rest = b""  # the beginning of that
        self._trailers = HeaderLines(_TRAILERS, "after the body")
        self._in_trailers = False

    def feed(self, data: bytes) -> bytes | memoryview:
        if self._in_trailers:
            self._read_trailers(data)
            return b""
        if len(data) <= self._missing:
            self._missing -= len(data)
            return data
        data = self._rest + data
        payload: list[bytes | memoryview] = []
        position = self._read(data, payload)
        if self._in_trailers:
            self._read_trailers(data[position:])
        else:
            self._rest = data[position:]
        return payload[0] if len(payload) == 1 else b"".join(payload)

    def _read(self, data: bytes, payload: list[bytes | memoryview]) -> int:
        """Read chunks.

        Args:
            data: What to read.
            payload: Gets the content of the chunks.

        Returns:
            Where in the data the line begins that is not whole yet, or the trailer section.
        """
        view = memoryview(data)
        position, missing, line = 0, self._missing, self._line
        while True:
            if missing:
                end = position + missing
                # Of a few bytes, a copy costs less than a view.
                payload.append((data if missing < _SMALL else view)[position:end])
                if end > len(data):
                    self._missing = end - len(data)
                    return len(data)
                position = end
            match = line.match(data, position)
            if match is None:
                self._missing = 0
                self._check_begun(data, position)
                return position
            begin, position = position, match.end()
            if position - begin > _CHUNK_LINE:
                raise malformed("the line with a chunk's size is too long")
            missing = int(match[1], 16)
            if not missing:
                self._in_trailers = True
                return position
            if missing < _SMALL:
                self.pieces += 1 + (position - begin) // _SMALL_LINE
            elif missing > _LARGEST:
                raise malformed("no chunk is as large as this one says")
            if line is _FIRST:
                line = self._line = _NEXT
                self._begun = _NEXT_BEGUN

    def _check_begun(self, data: bytes, position: int) -> None:
        if len(data) - position >= _CHUNK_LINE or not self._begun.fullmatch(data, position):
            raise malformed("a malformed chunk")

    def _read_trailers(self, data: bytes) -> None:
        """Drop trailer fields (RFC 9112 section 7.1.2), up to the empty line."""
        self._trailers.feed(data)
        while not self.ended and (line := self._trailers.next()) is not None:
            self.ended = not line
            if line and b":" not in line and line[:1] not in {b" ", b"\t"}:
                raise malformed("a malformed line after the last chunk")

    def closed(self, *, properly: bool) -> None:
        if not self.ended:
            raise FetchFailed(EARLY, detail="the last chunk did not come")

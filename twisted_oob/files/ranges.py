"""Parts of a file: the one that a request asks for (RFC 9110 section 14), and what was read of it.

Both are ``range`` objects of byte positions: ``range(0, 5)`` is the first five bytes.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Final

_ONE_RANGE: Final = re.compile(rb"bytes[ \t]*=[ \t,]*([0-9]*)-([0-9]*)[ \t,]*", re.IGNORECASE)
# A larger number than any file has bytes; int() refuses numbers with thousands of digits.
_DIGITS: Final = 20
_MOST_SPANS: Final = 1000


class RangeNotSatisfiable(Exception):
    """None of the bytes that were asked for exist: status 416 (RFC 9110 section 15.5.17)."""


def asked_range(values: Sequence[bytes], size: int) -> range | None:
    """Read a Range header for a file.

    Args:
        values: The header's values; several lines are one list.
        size: The bytes that the file has.

    Returns:
        What to send as 206, or None for the whole file as 200. Several ranges, other units and
        whatever is malformed get the whole file (RFC 9110 section 14.2 allows all of it).

    Raises:
        RangeNotSatisfiable: It is one good range, and nothing of it exists.
    """
    found = _ONE_RANGE.fullmatch(b",".join(values))
    if found is None:
        return None
    first, last = map(_number, found.groups())
    if first is None:
        if last is None:
            return None
        if last == 0:
            raise RangeNotSatisfiable
        # All that an empty file has is nothing, which no Content-Range can say.
        return range(max(0, size - last), size) or None
    if last is not None and last < first:
        return None
    if first >= size:
        raise RangeNotSatisfiable
    return range(first, size if last is None else min(last + 1, size))


def _number(digits: bytes) -> int | None:
    digits = digits.lstrip(b"0") or digits[:1]
    return int(digits[:_DIGITS]) if digits else None


class Coverage:
    """The bytes that one reader has got so far, in any number of parts.

    Args:
        size: The bytes that the file has.

    Attributes:
        count: How many different bytes it has.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        # Of the spans, which neither overlap nor touch.
        self._starts: list[int] = []
        self._stops: list[int] = []
        self.count = 0

    @property
    def whole(self) -> bool:
        """Whether every byte is there."""
        return self.count == self._size

    def add(self, part: range) -> None:
        """Add bytes, some of which may be there already.

        Whoever reads so many crumbs that they would fill our memory begins anew.
        """
        if not part:
            return
        low = bisect_left(self._stops, part.start)
        high = bisect_right(self._starts, part.stop)
        start, stop = part.start, part.stop
        if low < high:
            start = min(start, self._starts[low])
            stop = max(stop, self._stops[high - 1])
        spans = zip(self._starts[low:high], self._stops[low:high], strict=True)
        self.count += stop - start - sum(end - begin for begin, end in spans)
        self._starts[low:high] = [start]
        self._stops[low:high] = [stop]
        if len(self._starts) > _MOST_SPANS:
            self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._starts, self._stops, self.count = [], [], 0

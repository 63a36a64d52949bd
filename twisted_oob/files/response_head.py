"""The head of an HTTP/1 response (RFC 9112): its status and fields, read without a reactor.

It takes what real servers send: lines that end with a bare LF, no reason phrase, HTTP/1.0, folded
values and white space before the colon. It does not take HTTP/0.9, which has no head, so that
whatever another protocol sends would be a file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from twisted_oob.files.header_lines import MOST_BEFORE_BODY, HeaderLines, malformed
from twisted_oob.files.urls import quoted

# Interim responses (RFC 9110 section 15.2) before the final one. Servers send one or two.
_INTERIM: Final = 100
_SWITCHING: Final = 101
_OK: Final = 200
# RFC 9112 section 4. The reason phrase says nothing that counts.
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.[0-9] ([1-9][0-9]{2})(?: .*)?", re.DOTALL)
# Digits of a Content-Length. More are no length of anything, and to read them takes quadratic time.
_DIGITS: Final = 100
_BLANK: Final = b" \t"


@dataclass(frozen=True)
class ResponseHead:
    """The head of a final response.

    Args:
        status: The status, three digits.
        fields: The values of each field, in the order that they came, without white space around.
            The names are in lower case. No repr shows them: cookies are secrets.

    Attributes:
        chunked: Whether the body is in chunks (RFC 9112 section 7.1).
        length: The bytes of the body as declared; None if the body is in chunks or nobody declares
            its length.

    Raises:
        FetchFailed: Nobody can tell where the body ends (RFC 9112 section 6.3): a transfer coding
            other than chunked, or a Content-Length that is no number, or several.
    """

    status: int
    fields: Mapping[bytes, tuple[bytes, ...]] = field(repr=False)
    chunked: bool = field(init=False)
    length: int | None = field(init=False)

    def __post_init__(self) -> None:
        """Read how the body is framed, so that no head exists whose body can't be read."""
        chunked = _chunked(self.values(b"transfer-encoding"))
        # "Transfer-Encoding overrides the Content-Length" (RFC 9112 section 6.3).
        length = None if chunked else _length(self.values(b"content-length"))
        object.__setattr__(self, "chunked", chunked)
        object.__setattr__(self, "length", length)

    def values(self, name: bytes) -> tuple[bytes, ...]:
        """Give the values of a field, one for each of its lines.

        Args:
            name: The field's name in lower case.
        """
        return self.fields.get(name, ())

    def first(self, name: bytes) -> bytes | None:
        """Give the first value of a field; None if there is no such field.

        Args:
            name: The field's name in lower case.
        """
        values = self.values(name)
        return values[0] if values else None


class HeadReader:
    """Reads the head of the final response from pieces of any size.

    Interim responses before it are skipped: nobody asked for them (RFC 9110 section 15.2). A 101 is
    final, as what follows it is no HTTP.
    """

    def __init__(self) -> None:
        self._lines = HeaderLines(MOST_BEFORE_BODY, "before the body")
        self._interim = 0
        self._status = 0  # of the head that is being read; 0 before its first line is whole
        self._fields: list[tuple[bytes, list[bytes]]] = []

    @property
    def rest(self) -> bytes:
        """What came after the final head."""
        return self._lines.rest

    def feed(self, data: bytes) -> ResponseHead | None:
        """Read on.

        Returns:
            The final head, after which nothing may be fed; None if it is not whole yet.

        Raises:
            FetchFailed: It is not the head of an HTTP/1 response, is too long, or more than 100
                interim responses come before it.
        """
        self._lines.feed(data)
        while (line := self._lines.next()) is not None:
            if not self._status:
                self._status = _status(line)
            elif line:
                self._add(line)
            elif self._is_interim():
                self._status = 0
                self._fields.clear()
            else:
                return self._head()
        return None

    def _add(self, line: bytes) -> None:
        """Read a field line, or the next line of a value (RFC 9112 section 5.2)."""
        if line[0] in _BLANK:
            if not self._fields:
                raise malformed("white space before the first field")
            self._fields[-1][1].append(line.strip(_BLANK))
            return
        name, colon, value = line.partition(b":")
        # Proxies remove white space before the colon (RFC 9112 section 5.1), and so do we.
        name = name.rstrip(_BLANK)
        if not colon or not name:
            raise malformed("a header line without a name and a colon")
        self._fields.append((name.lower(), [value.strip(_BLANK)]))

    def _is_interim(self) -> bool:
        if self._status >= _OK or self._status == _SWITCHING:
            return False
        self._interim += 1
        if self._interim > _INTERIM:
            raise malformed(f"more than {_INTERIM} interim responses")
        return True

    def _head(self) -> ResponseHead:
        fields: dict[bytes, list[bytes]] = {}
        for name, parts in self._fields:
            # Each fold is a space (RFC 9112 section 5.2).
            fields.setdefault(name, []).append(b" ".join(filter(None, parts)))
        return ResponseHead(self._status, {name: tuple(values) for name, values in fields.items()})


def _status(line: bytes) -> int:
    match = _STATUS_LINE.fullmatch(line)
    if match is None:
        raise malformed("the first line is no status line of HTTP/1")
    return int(match[1])


def _chunked(codings: tuple[bytes, ...]) -> bool:
    """Tell whether the body is in chunks (RFC 9112 section 6.1).

    Some servers say ``identity``, as HTTP had it once (RFC 2616 section 3.6): no coding. Others say
    the same twice, once for themselves and once for what is behind them. Every other coding is one
    that we said not to take, as we send no TE.
    """
    given = {coding.strip(_BLANK).lower() for coding in b",".join(codings).split(b",")}
    given -= {b"", b"identity"}
    if given - {b"chunked"}:
        raise malformed(f"Transfer-Encoding {quoted(b', '.join(codings))}")
    return bool(given)


def _length(values: tuple[bytes, ...]) -> int | None:
    """Read the Content-Length (RFC 9110 section 8.6): several that are equal count as one."""
    lengths = set()
    for value in b",".join(values).split(b",") if values else ():
        digits = value.strip(_BLANK)
        if not digits.isdigit() or len(digits) > _DIGITS:
            raise malformed(f"Content-Length {quoted(value)}")
        lengths.add(int(digits))
    if len(lengths) > 1:
        raise malformed("several Content-Lengths, which differ")
    return lengths.pop() if lengths else None

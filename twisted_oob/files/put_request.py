"""PutRequest: one PUT on one connection, and the status of its answer.

A server that refuses a large file answers at once and closes the connection. Whoever reads the
answer only when all is sent finds a broken pipe instead. This one reads while it writes.
"""

from __future__ import annotations

import re
import socket
import sys
from collections.abc import Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import ISSLTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from twisted_oob.errors import UploadFailed
from twisted_oob.files.outgoing import Outgoing
from twisted_oob.files.policy import NO_ANSWER
from twisted_oob.files.request import ended, first_lines
from twisted_oob.files.urls import Target

# RFC 9112 sections 2.2 and 4: a recipient may take a bare line feed for the end of a line.
_BEGIN: Final = b"HTTP/1."
_HEAD: Final = re.compile(
    rb"HTTP/1\.[0-9] ([1-5][0-9]{2})(?: ([^\r\n]*))?\r?\n(?:[^\r\n]+\r?\n)*\r?\n"
)
_END: Final = re.compile(rb"\r?\n\r?\n")
_LONGEST_END: Final = 4
# struct tcp_info of Linux: tcpi_bytes_acked, an unsigned number of 64 bits (RFC 4898).
_TCP_INFO_SIZE: Final = 192
_BYTES_ACKED: Final = slice(120, 128)
_FINAL: Final = 200
_SWITCHING: Final = 101


def request_head(
    target: Target,
    size: int,
    media_type: str,
    headers: Sequence[tuple[str, str]],
    *,
    user_agent: str,
) -> bytes:
    """Write the request line and the headers of a PUT (RFC 9112 section 3).

    Args:
        target: Where it goes.
        size: The bytes of its body.
        media_type: Their media type.
        headers: Further headers, in order, without line breaks. They are sent as UTF-8.
        user_agent: Printable ASCII.
    """
    lines = [
        *first_lines(b"PUT", target, user_agent),
        f"Content-Type: {media_type}".encode(),
        b"Content-Length: %d" % size,
        *(f"{name}: {value}".encode() for name, value in headers),
    ]
    if target.authorization is not None and not any(n == "Authorization" for n, _ in headers):
        lines.append(b"Authorization: " + target.authorization)
    return ended(lines)


class PutRequest(Protocol):
    """Sends a PUT, and reads the head of the answer. Whatever follows the head is ignored.

    Args:
        head: What goes before the body.
        body: What goes after it.

    Attributes:
        answer: Fires with the status and the reason phrase of the final answer (RFC 9110 section
            15); fails with UploadFailed, or with the reason that the connection was lost for.
    """

    transport: Any

    def __init__(self, head: bytes, body: Outgoing) -> None:
        self.answer: Deferred[tuple[int, bytes]] = Deferred()
        self._head = head
        self._body = body
        self._received = bytearray()

    def connectionMade(self) -> None:
        """Send the request."""
        self.transport.write(self._head)
        self._body.begin(self.transport, self._read_last_words)

    def dataReceived(self, data: bytes) -> None:
        """Look for the end of the answer's head. Interim answers are skipped."""
        if self.answer.called:
            return
        searched = max(0, len(self._received) - _LONGEST_END + 1)
        self._received += data
        while (end := _END.search(self._received, searched)) is not None:
            head = _HEAD.fullmatch(self._received, 0, end.end())
            status = 0 if head is None else int(head[1])
            if head is not None and status >= _FINAL:
                self.answer.callback((status, head[2] or b""))
                return
            if head is None or status == _SWITCHING:
                self.answer.errback(UploadFailed(None, NO_ANSWER))
                return
            del self._received[: end.end()]
            searched = 0
        if not _begins(self._received):
            self.answer.errback(UploadFailed(None, NO_ANSWER))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Fail, if there is no answer yet."""
        if not self.answer.called:
            self.answer.errback(reason)

    def _read_last_words(self) -> None:
        # A server that answers early closes a connection that we still write to. If a write is the
        # first to notice, Twisted closes the socket with the answer unread. Just before, it stops
        # whoever produces what is written.
        self.transport.doRead()

    def acknowledged(self) -> int:
        """Give how many bytes the server's system has confirmed; 0 if ours can't tell."""
        below = (
            self.transport.transport if ISSLTransport.providedBy(self.transport) else self.transport
        )
        try:
            told = below.getHandle().getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_SIZE)
            return int.from_bytes(told[_BYTES_ACKED], sys.byteorder)
        except (AttributeError, OSError):
            return 0


def _begins(received: bytearray) -> bool:
    """Whether this can become the head of an answer."""
    return received[: len(_BEGIN)] == _BEGIN[: len(received)]

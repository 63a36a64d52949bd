"""One GET over one connection: a Protocol that sends a request and reads its response.

Theory of operation
===================

The request goes out when the connection is made. What comes back passes through ``HeadReader``,
and then through the ``Framing`` that the head declares. A Get is in one of these states:

========  =====================================  ===================================================
state     what comes in                          leads to
========  =====================================  ===================================================
head      the head of the final response         held; ``head`` fires
          bytes that are no such head            over; ``head`` fails and the connection is aborted
          the end of the connection              over; ``head`` fails with its reason
held      bytes of the body: few, as the server  held
          is paused
          the end of the connection, noted       held
          ``deliver``, by whoever wants it       body, which gets what was held
body      bytes of the body                      body, or over if they are the last or malformed
          the end of the connection              over
over      anything                               over: it is ignored
========  =====================================  ===================================================

The server is not paused if somebody wants the body as soon as ``head`` fires. While there is a
body, that body pauses and resumes the server, and is told how it ends (``Body.finish``).

A TLS connection that ends by close_notify is told from one that breaks off, as this is the end of a
body without a length (RFC 9112 section 9.8). Twisted gives both the same reason if the socket is
aborted below TLS. OpenSSL notes what the server sent. But it notes a fatal alert likewise, and that
one has a reason of its own.
"""

from __future__ import annotations

from typing import Any

from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure

from twisted_oob.errors import FetchFailed
from twisted_oob.files.body import Body
from twisted_oob.files.failures import causes
from twisted_oob.files.framing import Framing, framing
from twisted_oob.files.pace import Pace
from twisted_oob.files.response_head import HeadReader, ResponseHead


class Get(Protocol):
    """Sends a request for a file, and reads the response.

    Args:
        request: The head of the request, with its empty line.
        pace: Is told how small the pieces are that come, or None.

    Attributes:
        head: Fires with the ResponseHead of the final response. It fails with FetchFailed if that
            is malformed, and with the connection's reason if it ends before. ``cancel()`` aborts
            the connection.
    """

    transport: Any
    _framing: Framing

    def __init__(self, request: bytes, *, pace: Pace | None = None) -> None:
        self.head: Deferred[ResponseHead] = Deferred(self._cancelled)
        self._request = request
        self._pace = pace
        self._reader = HeadReader()
        self._has_head = False
        self._held = b""
        self._paused = False
        self._body: Body | None = None
        self._lost: tuple[bool, Any] | None = None
        self._over = False

    def deliver(self, body: Body) -> None:
        """Hand over the body, from its first byte on. Call this once, after ``head`` has fired.

        Args:
            body: Gets what came so far before this returns.
        """
        self._body = body
        body.transport = self.transport
        if self._paused and self._lost is None:
            self.transport.resumeProducing()
        held, self._held = self._held, b""
        self._pass_on(body, held)
        if self._lost is not None:
            self._end_by_close(body, *self._lost)

    def connectionMade(self) -> None:
        """Send the request."""
        self.transport.write(self._request)

    def dataReceived(self, data: bytes) -> None:
        """Read the head, then pass on the body, or hold it."""
        if self._pace is not None:
            self._pace.piece(len(data))
        if self._over:
            return
        if self._body is not None:
            self._pass_on(self._body, data)
        elif self._has_head:
            self._held += data
        else:
            self._read_head(data)

    def connectionLost(self, reason: Any) -> None:  # type: ignore[override]  # always has one
        """Tell a whole body from one that broke off (RFC 9112 section 8)."""
        if not self._has_head:
            self._fail(reason)
            return
        self._lost = (self._closed_properly(reason), reason)
        if self._body is not None:
            self._end_by_close(self._body, *self._lost)

    def _read_head(self, data: bytes) -> None:
        try:
            head = self._reader.feed(data)
        except Exception:
            self._fail(Failure())
            self.transport.abortConnection()
            return
        if head is None:
            return
        self._has_head = True
        self._framing = framing(head)
        self._held = self._reader.rest
        self.head.callback(head)
        if self._body is None:
            self._paused = True
            self.transport.pauseProducing()

    def _fail(self, reason: Failure) -> None:
        if not self._over:
            self._over = True
            self.head.errback(reason)

    def _cancelled(self, _head: Deferred[ResponseHead]) -> None:
        self._over = True
        if self.transport is not None:
            self.transport.abortConnection()

    def _pass_on(self, body: Body, data: bytes) -> None:
        before = self._framing.pieces
        try:
            payload = self._framing.feed(data)
        except Exception as error:
            self._finish(body, error)
            if self._lost is None:
                self.transport.abortConnection()
            return
        if self._pace is not None and self._framing.pieces > before:
            self._pace.chunks(self._framing.pieces - before)
        if payload:
            body.received(payload)
        if self._framing.ended:
            self._finish(body, None)

    def _end_by_close(self, body: Body, properly: bool, reason: Any) -> None:
        try:
            self._framing.closed(properly=properly)
        except FetchFailed as error:
            detail = f"{error.detail}; {causes(reason.value)}"
            self._finish(body, FetchFailed(error.text, detail=detail))
        else:
            self._finish(body, None)

    def _finish(self, body: Body, error: Exception | None) -> None:
        if not self._over:
            self._over = True
            body.finish(error)

    def _closed_properly(self, reason: Any) -> bool:
        """Tell whether the server said by close_notify that nothing follows."""
        if not isinstance(self.transport, TLSMemoryBIOProtocol) or reason.check(SSL.Error):
            return False
        connection: Any = self.transport.getHandle()
        return bool(connection.get_shutdown() & SSL.RECEIVED_SHUTDOWN)

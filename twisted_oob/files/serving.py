"""Serving: HTTP/1.x for shared files, and nothing else, on twisted.web's HTTPChannel.

Theory of operation
===================

A ``ShareFactory`` has all connections. Each is a ``ShareChannel``; HTTPChannel parses its requests
and gives them, one after the other, to a ``ShareRequest``:

==================================  =========================================================
request                             answer
==================================  =========================================================
malformed, or over 16 KiB           400, by HTTPChannel, and the connection closes
another method than GET and HEAD    405, whatever the path
a path that ``find`` doesn't know   404, always the same
HEAD                                200 with the headers; a Range means nothing to it
GET                                 200, 206 or 416 (RFC 9110 section 14); a ``Sending`` follows
==================================  =========================================================

No other condition than If-Range is looked at: as nothing may be stored (``no-store``), there is
nothing to revalidate. Bodies of requests are read and thrown away as they come.

The states of a connection, and how long each may last:

===========  ==========================================================  ======================
state        ends with                                                   limit
===========  ==========================================================  ======================
asking       all of a request: it was answered, or a Sending begins      IDLE from the begin;
                                                                         bytes make it no longer
sending      the last byte of the file, then asking or lingering         see sendfile.py
lingering    the end of the other side                                   LINGER
===========  ==========================================================  ======================

Lingering: if a socket is closed with bytes unread, or if more come after that, the kernel resets
the connection, and the reader may lose the tail of its file although the kernel had all of it. So
our side is closed first, and what still comes is thrown away.

The other side may be closed before it has its answers. Then it gets them, and there is nothing to
linger for.

What is borrowed from twisted.web: HTTPChannel's parser, its timer (TimeoutMixin), and that it is
its transport's producer, whose place a Sending takes for a while. A Request that is told of a body,
its length or cookies would keep them, so those methods do nothing here.

A file's secret is in the path of its URL. So there is no access log, and no request has its path in
its ``repr``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.web import http
from zope.interface import implementer

from twisted_oob.files.ranges import RangeNotSatisfiable, asked_range
from twisted_oob.files.sendfile import Loader, Sending, SendingStopped
from twisted_oob.files.shared_file import SharedFile

IDLE: Final = 60.0
"""Seconds that a connection has for its next request."""
LINGER: Final = 2.0
"""Seconds that the other side has to close the connection after ours is closed."""
MOST_CONNECTIONS: Final = 500
"""Connections at a time; more are closed at once. By default a process may have 1024 files open."""

_METHODS: Final = {b"GET", b"HEAD"}
_LOG: Final = Logger()

# To the type checker, these classes of Twisted are Any: most of their methods have no types.
_Request: Any = http.Request
_HTTPChannel: Any = http.HTTPChannel
_Factory: Any = Factory


class ShareRequest(_Request):  # type: ignore[misc]
    """One request, and its answer."""

    channel: ShareChannel

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def parseCookies(self) -> None:
        """Ignore cookies."""

    def gotLength(self, length: int | None) -> None:
        """Need nothing to keep a body in."""

    def handleContentChunk(self, data: bytes) -> None:
        """Throw a part of the body away."""

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """Answer. Neither the query nor the body is parsed."""
        self.method, self.uri, self.clientproto = command, path, version
        self.channel.answering = True
        self.process()

    def process(self) -> None:
        """Answer."""
        self.setHeader("Date", http.datetimeToString(time.time()))
        if self.method not in _METHODS:
            self.setHeader("Allow", "GET, HEAD")
            self._say(http.NOT_ALLOWED, b"Only GET and HEAD\n")
            return
        shared = self.channel.factory.find(self.uri)
        if shared is None:
            self._say(http.NOT_FOUND, b"Not found\n")
            return
        size = shared.source.size
        try:
            part = self._asked(shared, size)
        except RangeNotSatisfiable:
            self.setHeader("Content-Range", f"bytes */{size}")
            self._say(http.REQUESTED_RANGE_NOT_SATISFIABLE, b"No such range\n")
            return
        for name, value in shared.headers().items():
            self.setHeader(name, value)
        if part is None:
            part = range(size)
        else:
            self.setResponseCode(http.PARTIAL_CONTENT)
            self.setHeader("Content-Range", f"bytes {part.start}-{part.stop - 1}/{size}")
        self.setHeader("Content-Length", str(len(part)))
        self.write(b"")  # the headers
        if self.method == b"HEAD":
            self.finish()
        else:
            Deferred.fromCoroutine(self._send(shared, part)).addErrback(self._failed)

    def _asked(self, shared: SharedFile, size: int) -> range | None:
        """Give the part that is to be sent as such; None for the whole file."""
        asked = self.requestHeaders.getRawHeaders(b"Range")
        if asked is None or self.method == b"HEAD":
            return None
        condition = self.requestHeaders.getRawHeaders(b"If-Range")
        if condition is not None and not shared.still(condition):
            return None
        return asked_range(asked, size)

    def _say(self, code: int, text: bytes) -> None:
        self.setResponseCode(code)
        self.setHeader("Content-Type", "text/plain")
        self.setHeader("Content-Length", str(len(text)))
        self.write(text)
        self.finish()

    async def _send(self, shared: SharedFile, part: range) -> None:
        reader = getattr(self.getClientAddress(), "host", "")
        factory = self.channel.factory
        sending = Sending(
            self.channel,
            shared.source,
            part,
            clock=factory.clock,
            loader=factory.loader,
            on_sent=lambda sent: shared.readers.got(reader, sent),
        )
        shared.sendings.add(sending)
        try:
            await sending.run()
        except SendingStopped:
            return
        finally:
            shared.sendings.discard(sending)
        self.finish()
        shared.readers.ended(reader, part)

    def _failed(self, failure: Any) -> None:
        _LOG.failure("a shared file could not be sent", failure)


@implementer(IHalfCloseableProtocol)
class ShareChannel(_HTTPChannel):  # type: ignore[misc]
    """One connection.

    Attributes:
        answering: Whether a request is there that has not been answered whole.
        ended: Whether the other side is closed. It may read on, or be gone.
    """

    factory: ShareFactory

    requestFactory = ShareRequest
    timeOut = IDLE
    answering = False
    ended = False
    _parsing = False
    _lingering = False
    _closing = False

    def connectionMade(self) -> None:
        """Begin to wait for a request."""
        self.callLater = self.factory.clock.callLater
        self.factory.channels.add(self)
        super().connectionMade()

    def dataReceived(self, data: bytes) -> None:
        """Parse what came."""
        if not self._lingering:
            super().dataReceived(data)

    def requestDone(self, request: ShareRequest) -> None:
        """Go on with the next request, which may have come already."""
        self.answering = False
        # What came already is parsed inside, and may be several requests.
        inside, self._parsing = self._parsing, True
        super().requestDone(request)
        self._parsing = inside
        if self.ended and not (self.answering or inside):
            self.loseConnection()

    def readConnectionLost(self) -> None:  # noqa: N802  # the interface's
        """Answer what was asked: some close their side when they have asked for all they want."""
        self.ended = True
        if self._lingering:
            self.transport.loseConnection()
        elif not self.answering:
            self.loseConnection()

    def writeConnectionLost(self) -> None:  # noqa: N802  # the interface's
        """Do nothing: our side is closed."""

    def resetTimeout(self) -> None:
        """Give no more time for bytes that came: a request could drip for ever."""

    def timeoutConnection(self) -> None:
        """Close the connection, each time less gently."""
        if not self._lingering:
            self.loseConnection()
        elif not self._closing:
            self._closing = True
            self.setTimeout(LINGER)
            self.transport.loseConnection()
        else:
            self.transport.abortConnection()

    def loseConnection(self) -> None:
        """Close our side once all is sent, and linger until the other side is closed."""
        if self._lingering:
            return
        self._lingering = True
        # Nothing comes any more that would make the kernel reset the connection.
        self._closing = self.ended
        # After a malformed request, HTTPChannel would go on with the rest of what came.
        self.clearLineBuffer()
        self.setTimeout(LINGER)
        self.transport.unregisterProducer()
        if isinstance(self.transport, FileDescriptor) and not self.ended:
            self.transport.loseWriteConnection()
        else:
            # TLS has a close of its own, which the other side answers.
            self.transport.loseConnection()

    def connectionLost(self, reason: Any) -> None:
        """Forget the connection."""
        super().connectionLost(reason)
        self.factory.forget(self)


class ShareFactory(_Factory):  # type: ignore[misc]
    """Has all connections.

    Args:
        find: Gives the shared file of a request's target, or None.
        clock: Tells the time and runs the timers.
    """

    noisy = False

    def __init__(self, find: Callable[[bytes], SharedFile | None], clock: Any) -> None:
        self.find = find
        self.clock = clock
        self.loader = Loader()
        self.channels: set[ShareChannel] = set()
        self._gone: list[Deferred[None]] = []
        self._stopped = False

    def startFactory(self) -> None:
        """Accept connections, also after a ``stop``."""
        self._stopped = False

    def buildProtocol(self, addr: IAddress) -> ShareChannel | None:
        """Make the channel of a new connection, or None to close it at once."""
        if self._stopped or len(self.channels) >= MOST_CONNECTIONS:
            return None
        channel = ShareChannel()
        channel.factory = self
        return channel

    def log(self, request: ShareRequest) -> None:
        """Log no request: its path is secret."""

    def stop(self) -> Deferred[None]:
        """Close every connection.

        Returns:
            A Deferred that fires when the last one is gone, after twice LINGER at the latest.
        """
        self._stopped = True
        for channel in list(self.channels):
            channel.loseConnection()
        if not self.channels:
            return succeed(None)
        gone: Deferred[None] = Deferred()
        self._gone.append(gone)
        return gone

    def forget(self, channel: ShareChannel) -> None:
        """Remove a connection that is gone, and tell whoever waits for the last one."""
        self.channels.discard(channel)
        if not self.channels:
            waiting, self._gone = self._gone, []
            for gone in waiting:
                gone.callback(None)

"""The server's end of a component's stream (XEP-0114), on a plain loopback socket."""

from __future__ import annotations

import hashlib
import re
import secrets
import select
import socket
import time
from collections.abc import Callable

from benchmarks.process import BenchmarkError

_HEADER = (
    "<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' "
    "xmlns:stream='http://etherx.jabber.org/streams' id='{}' from='{}'>"
)
_READ_AT_ONCE = 1 << 18
_LOOK_AFTER = 0.2  # seconds


class ComponentStream:
    """Listens on a port of its own for the one component DOMAIN, and talks to it in bytes.

    Nothing is sent but what the caller gives; only as much as the peer takes.
    """

    def __init__(self, domain: str) -> None:
        self.domain = domain
        self.secret = secrets.token_hex(16)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._socket: socket.socket | None = None
        self._unsent = bytearray()
        self._poll = select.poll()
        self._watched = 0

    @property
    def address(self) -> tuple[str, int]:
        """The host and port the component has to connect to."""
        host, port = self._listener.getsockname()
        return host, port

    def close(self) -> None:
        """Close both sockets."""
        self._listener.close()
        if self._socket is not None:
            self._socket.close()

    def accept(self, patience: float, given_up: Callable[[], bool]) -> None:
        """Wait for the component, check its secret and let it in, within ``patience`` seconds.

        ``given_up``: whether nobody will come any more.
        """
        deadline = time.monotonic() + patience
        while not select.select([self._listener], [], [], _LOOK_AFTER)[0]:
            if given_up() or time.monotonic() > deadline:
                raise BenchmarkError("it did not connect")
        connection, _ = self._listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setblocking(False)
        self._socket = connection
        self._expect(rb"<stream:stream[^>]*>", deadline)
        id_ = secrets.token_hex(8)
        self.send(_HEADER.format(id_, self.domain).encode())
        digest = self._expect(rb"<handshake[^>]*>\s*(\w+)\s*</handshake>", deadline)[1].decode()
        # XEP-0114 has this digest; nothing is to be kept secret on the loopback.
        if digest != hashlib.sha1((id_ + self.secret).encode()).hexdigest():  # noqa: S324
            raise BenchmarkError("it does not know the secret")
        self.send(b"<handshake/>")

    def _expect(self, pattern: bytes, deadline: float) -> re.Match[bytes]:
        """Read until what came matches; nothing may come after it yet."""
        came = b""
        while not (match := re.search(pattern, came)):
            data = self.read(deadline)
            if not data:
                raise BenchmarkError(f"no {pattern!r} in time, but {came[-200:]!r}")
            came += data
        return match

    def send(self, data: bytes) -> None:
        """Send all of it, now or while reading."""
        self._unsent += data
        self._flush()

    def _flush(self) -> None:
        if self._socket is not None and self._unsent:
            try:
                sent = self._socket.send(self._unsent)
            except BlockingIOError:
                return
            del self._unsent[:sent]

    def read(self, deadline: float) -> bytes:
        """Wait for bytes, and give them; none at the ``deadline`` of the monotonic clock."""
        if self._socket is None:
            raise BenchmarkError("nobody is connected")
        while True:
            wanted = select.POLLIN | (select.POLLOUT if self._unsent else 0)
            if wanted != self._watched:
                self._poll.register(self._socket, wanted)
                self._watched = wanted
            events = self._poll.poll(max(0, deadline - time.monotonic()) * 1000)
            if not events:
                return b""
            [(_, event)] = events
            if event & select.POLLOUT:
                self._flush()
            if event & ~select.POLLOUT:
                data = self._socket.recv(_READ_AT_ONCE)
                if not data:
                    raise BenchmarkError("it closed the stream")
                return data

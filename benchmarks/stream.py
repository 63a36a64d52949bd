"""The server's end of a component's stream (XEP-0114), on a plain loopback socket."""

from __future__ import annotations

import hashlib
import re
import secrets
import socket
import time

from benchmarks.process import BenchmarkError, Process

_HEADER = (
    "<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' "
    "xmlns:stream='http://etherx.jabber.org/streams' id='{}' from='{}'>"
)
_AT_ONCE = 1 << 18  # bytes of one read
_LOOK_AFTER = 0.2  # seconds between two looks at a process that has to connect


class ComponentStream:
    """Listens on a port of its own for one component, and talks to it in bytes.

    Use it in a ``with`` block. It waits while it writes: a component that stops to read until
    its own bytes are taken would hang. Neither Twisted nor asyncio does.
    """

    domain = "peer.example"

    def __init__(self) -> None:
        self.secret = secrets.token_hex(16)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._socket = socket.socket()  # until somebody connects

    def __enter__(self) -> ComponentStream:
        return self

    def __exit__(self, *_error: object) -> None:
        self._listener.close()
        self._socket.close()

    @property
    def arguments(self) -> tuple[str, int, str, str]:
        """What a component needs to know: HOST, PORT, DOMAIN and SECRET."""
        return "127.0.0.1", self._listener.getsockname()[1], self.domain, self.secret

    def accept(self, patience: float, process: Process) -> None:
        """Wait for the component, check its secret and let it in.

        Raises:
            BenchmarkError: It ended, did not connect in time, or has a wrong secret.
        """
        deadline = time.monotonic() + patience
        self._listener.settimeout(_LOOK_AFTER)
        while True:
            try:
                connection, _ = self._listener.accept()
                break
            except TimeoutError:
                if process.ended or time.monotonic() > deadline:
                    raise BenchmarkError("it did not connect") from None
        self._socket.close()
        self._socket = connection
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._expect(rb"<stream:stream[^>]*>", patience)
        id_ = secrets.token_hex(8)
        self.send(_HEADER.format(id_, self.domain).encode())
        digest = self._expect(rb"<handshake[^>]*>\s*(\w+)\s*</handshake>", patience)[1].decode()
        # XEP-0114 has this digest. Nothing on the loopback is secret.
        if digest != hashlib.sha1((id_ + self.secret).encode()).hexdigest():  # noqa: S324
            raise BenchmarkError("it does not know the secret")
        self.send(b"<handshake/>")

    def _expect(self, pattern: bytes, patience: float) -> re.Match[bytes]:
        came = b""
        while not (match := re.search(pattern, came)):
            came += self.read(patience)
        return match

    def send(self, data: bytes) -> None:
        """Send all of it."""
        self._socket.sendall(data)

    def read(self, patience: float) -> bytes:
        """Wait for bytes, and return what there is.

        Raises:
            BenchmarkError: Nothing came for ``patience`` seconds, or the stream is closed.
        """
        self._socket.settimeout(patience)
        try:
            data = self._socket.recv(_AT_ONCE)
        except TimeoutError:
            raise BenchmarkError(f"nothing came for {patience:g} s") from None
        if not data:
            raise BenchmarkError("it closed the stream")
        return data

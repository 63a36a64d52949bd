"""What a stranger's tiny pieces may cost: about 1 % of a processor for each transfer.

A server can send a file byte by byte. Each read, each TLS record and each chunk costs the same, be
it a byte or 16 KiB, so a few such servers would keep a processor busy. Every transfer has a bucket
of processor time (a token bucket). What is small takes out what it costs; with time the bucket
fills again. If it is empty, the transfer rests: nothing is read for a while. Meanwhile bytes gather
in the kernel, and the next read has more of them.

Costs are counted and not measured, so that a busy machine does not slow honest servers down. What
is large costs nothing, so that a fast line stays fast.

A host with thousands of addresses costs as much, as each of them is judged.
"""

from __future__ import annotations

from typing import Any, Final

# Seconds of a processor.
_BURST: Final = 20e-3
_EACH_SECOND: Final = 10e-3
_READ: Final = 30e-6
_PIECE: Final = 20e-6
_CHUNK: Final = 1e-6
_ADDRESS: Final = 20e-6
_REST: Final = 100e-6  # the reactor wakes up twice, and watches the socket anew
# Bytes; what is smaller is small.
_SMALL_READ: Final = 4096
_SMALL_PIECE: Final = 1024


class Pace:
    """The pace of one transfer, over all its connections.

    Args:
        reactor: Tells the time (IReactorTime).
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._left = _BURST
        self._filled_at: float = reactor.seconds()

    def read(self, size: int) -> None:
        """Count a read of so many bytes from the socket."""
        if size < _SMALL_READ:
            self._take(_READ)

    def piece(self, size: int) -> None:
        """Count a piece of so many bytes that TLS decrypted."""
        if size < _SMALL_PIECE:
            self._take(_PIECE)

    def chunks(self, count: int) -> None:
        """Count chunks of fewer than 512 bytes (RFC 9112 section 7.1)."""
        if count:
            self._take(count * _CHUNK)

    def addresses(self, count: int) -> None:
        """Count addresses of a host that were judged."""
        self._take(count * _ADDRESS)

    def pause(self) -> float:
        """Tell for how many seconds reading should rest from now on, mostly 0.

        Call this once for each rest: the rest itself costs something, too, and is counted.
        """
        if self._left < 0:
            self._take(0.0)
        if self._left >= 0:
            return 0.0
        self._left -= _REST
        return -self._left / _EACH_SECOND

    def _take(self, cost: float) -> None:
        now = self._reactor.seconds()
        # Not every reactor's clock is monotonic.
        gone = max(0.0, now - self._filled_at)
        self._filled_at = now
        self._left = min(_BURST, self._left + gone * _EACH_SECOND) - cost

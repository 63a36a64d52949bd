"""How long a connection may be silent, and what the operating system knows and does about it."""

from __future__ import annotations

import os
import socket
import struct
import sys
from typing import Any, Final

from twisted.internet.interfaces import ITCPTransport, IUNIXTransport

if sys.platform == "linux":
    import fcntl

# linux/sockios.h. Python's socket and termios have only the first, under its name for terminals.
_SIOCOUTQ: Final = 0x5411
_SIOCOUTQNSD: Final = 0x894B


def bound_silence(transport: Any, seconds: float) -> None:
    """Let the system cut a connection if what we send is not acknowledged in time.

    TCP_USER_TIMEOUT (see tcp(7)) does that on Linux. Elsewhere the system's own limit of
    retransmissions applies. The system acknowledges for a process that is stopped, too: this finds
    a machine or a network that is gone, not a program that hangs.

    Linux also counts the time in which the other end acknowledges, but has no room for more (a
    window of zero). So ``seconds`` must be more than a peer that is merely slow is given to read.

    Args:
        transport: A connected transport; nothing happens if it is not TCP.
        seconds: How long what was sent may stay unacknowledged. 0 lifts the limit.
    """
    if not _is_tcp(transport):
        return
    transport.setTcpKeepAlive(True)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        # Another descriptor of the same socket, which alone is closed afterwards.
        with socket.socket(fileno=os.dup(_descriptor(transport))) as same:
            same.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))


def queued_output(transport: Any) -> tuple[int, int]:
    """Tell what the system still holds of what was written to a connection.

    Args:
        transport: A connected transport.

    Returns:
        The bytes that are on their way, sent and not acknowledged yet; and those that were not
        sent, as the other end has no room for them. Both are 0 if the system doesn't tell, which
        only Linux does.
    """
    if sys.platform != "linux" or not _is_tcp(transport):
        return 0, 0
    descriptor = _descriptor(transport)
    unsent = _queue(descriptor, _SIOCOUTQNSD)
    return _queue(descriptor, _SIOCOUTQ) - unsent, unsent


def _is_tcp(transport: Any) -> bool:
    # Twisted's transports of local sockets are also, they say, of TCP.
    return ITCPTransport.providedBy(transport) and not IUNIXTransport.providedBy(transport)


def _descriptor(transport: Any) -> int:
    # Inside TLS, getHandle() is not the socket.
    return int(transport.fileno())


def _queue(descriptor: int, which: int) -> int:
    answer = fcntl.ioctl(descriptor, which, bytes(4))
    return int(struct.unpack("i", answer)[0])

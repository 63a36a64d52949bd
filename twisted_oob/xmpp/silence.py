"""How long a connection may be silent, and what the operating system does about it."""

from __future__ import annotations

import socket
from typing import Any, Final

from twisted.internet.interfaces import ITCPTransport

PATIENCE: Final = 30.0
"""Seconds that the other end's system may take to acknowledge what was sent."""


def bound_silence(transport: Any, seconds: float = PATIENCE) -> None:
    """Let the system cut a connection if what we send is not acknowledged in time.

    TCP_USER_TIMEOUT (see tcp(7)) does that on Linux. Elsewhere the system's own limit of
    retransmissions applies. The system acknowledges for a process that is stopped, too: this finds
    a machine or a network that is gone, not a program that hangs.

    Linux also counts the time in which the other end acknowledges, but has no room for more (a
    window of zero). So lift the limit while output waits for a peer that is merely slow.

    Args:
        transport: A connected transport; nothing happens if it is not TCP.
        seconds: How long what was sent may stay unacknowledged. 0 lifts the limit.
    """
    if not ITCPTransport.providedBy(transport):
        return
    transport.setTcpKeepAlive(True)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        handle = transport.getHandle()
        handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))

"""Which addresses are this machine's own.

No list is kept: addresses come and go while a process runs for months. So the system is asked about
each address when it matters, and nothing is sent.

On Linux the question is how it would route to the address, as ``ip route get`` asks it (rtnetlink,
RTM_GETROUTE). It answers ``local`` for all that it delivers to itself: every address of every
interface, and networks that are routed to the machine as a whole.

Elsewhere, and where a sandbox forbids rtnetlink, a UDP socket is bound to the address, which only
works for the machine's own. If the system lets it be bound to any address (Linux, sysctl
``ip_nonlocal_bind``), it is connected to the address instead. That chooses the address to send
from, which is the same one if it is the machine's own, unless it is the second one in a network.
"""

from __future__ import annotations

import socket
import struct
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from twisted_oob.errors import NO_ROOM

# struct nlmsghdr (length, type, flags, sequence, port), struct rtmsg (family, length of the
# destination in bits, six that don't matter, flags) and struct rtattr (length, type), as
# rtnetlink(7) has them. The address follows.
_QUESTION: Final = struct.Struct("=IHHII BB6xI HH")
_ATTRIBUTE_SIZE: Final = 4
_RTM_NEWROUTE, _RTM_GETROUTE = 24, 26
_NLM_F_REQUEST: Final = 1
_RTA_DST: Final = 1
# Of the answer: its type (in nlmsghdr), and the kind of the route (rtm_type).
_ANSWER: Final = struct.Struct("=4xH 17xB")
_RTN_LOCAL, _RTN_ANYCAST = 2, 4
_ANSWER_SIZE: Final = 4096

# Reserved for documentation (RFC 5737, RFC 3849): no machine's.
_NOBODYS: Final = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}
_DISCARD: Final = 9  # any port would do: nothing is sent there


def is_own(address: IPv4Address | IPv6Address) -> bool:
    """Tell whether an address is this machine's own. Takes some 15 us.

    Args:
        address: As it would be connected to. IPv4 that is hidden in IPv6 is another question.

    Raises:
        OSError: The file descriptors are used up.
    """
    family = socket.AF_INET if isinstance(address, IPv4Address) else socket.AF_INET6
    try:
        kind = _kind_of_route(family, address.packed)
        if kind is not None:
            return kind in (_RTN_LOCAL, _RTN_ANYCAST)
        if not _binds(family, _NOBODYS[family]):
            return _binds(family, str(address))
        return _source(family, str(address)) == address
    except OSError as error:
        if error.errno in NO_ROOM:
            raise
        return False  # unreachable


def _kind_of_route(family: socket.AddressFamily, packed: bytes) -> int | None:
    """Ask Linux how it would route to an address.

    Returns:
        The kind of the route (RTN_LOCAL, ...), 0 if there is no route; None if nobody can be asked.

    Raises:
        OSError: The file descriptors are used up.
    """
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as kernel:
            head = _QUESTION.pack(
                _QUESTION.size + len(packed),
                _RTM_GETROUTE,
                _NLM_F_REQUEST,
                0,
                0,
                family,
                len(packed) * 8,
                0,
                _ATTRIBUTE_SIZE + len(packed),
                _RTA_DST,
            )
            kernel.send(head + packed)
            answer = kernel.recv(_ANSWER_SIZE, socket.MSG_DONTWAIT)
    except AttributeError:  # no Linux
        return None
    except OSError as error:
        if error.errno in NO_ROOM:
            raise
        return None
    if len(answer) < _ANSWER.size:
        return None
    kind, route = _ANSWER.unpack_from(answer)
    return route if kind == _RTM_NEWROUTE else 0


def _binds(family: socket.AddressFamily, host: str) -> bool:
    """Tell whether a socket can be bound to an address.

    Raises:
        OSError: The file descriptors are used up.
    """
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((host, 0))
        except OSError:
            return False
    return True


def _source(family: socket.AddressFamily, host: str) -> IPv4Address | IPv6Address:
    """Give the address that this machine would send from to another one.

    Raises:
        OSError: There is no way to send there, or the file descriptors are used up.
    """
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((host, _DISCARD))
        text = probe.getsockname()[0]
    return IPv4Address(text) if family == socket.AF_INET else IPv6Address(text)

"""What may be fetched: pure decisions, without a reactor or I/O.

A URL comes from someone else, so fetching it is an attack surface (server-side request forgery).
Everything here either gives an answer or raises one of the errors that tell the peer:
``Forbidden``, ``TooLarge`` or ``FetchFailed``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from pathlib import Path
from typing import Final

from twisted_oob._checks import check_field_value, wrong_type
from twisted_oob._version import PROJECT_URL, __version__
from twisted_oob.errors import FetchFailed, Forbidden, TooLarge, WrongType
from twisted_oob.files.addresses import is_global, isatap, leads_to, stands_for

NO_ANSWER: Final = "no proper answer from the server"
USER_AGENT: Final = f"twisted_oob/{__version__} (+{PROJECT_URL})"
"""Who fetches, for those who run the servers (RFC 9110 section 10.1.5)."""
_OK: Final = 200
# For operators and applications alike.
_LETS_IN: Final = "--allow-network (allow_networks) lets it in"
# Each IPv4 address as an IPv6 socket has it (RFC 4291 section 2.5.5.2).
_MAPPED: Final = IPv6Network("::ffff:0:0/96")

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, kw_only=True, slots=True)
class FetchPolicy:
    """What a Fetcher accepts from a stranger.

    Args:
        max_size: The largest file in bytes. A file of exactly this size is accepted.
        allow_networks: Networks that files may come from although they are not global unicast. An
            IPv4 network also allows its addresses if they are hidden in IPv6
            (``::ffff:127.0.0.1``). An IPv6 network allows every address that is written that way,
            whatever IPv4 address is hidden in it. Only these networks let in this machine's own
            addresses.
        deny_networks: Networks that files must not come from, whatever else allows it. An IPv4
            network, also one that is written as ``::ffff:a.b.c.d``, denies its addresses in every
            spelling that IPv6 has for them. An IPv6 network denies every address that is written
            that way.
        max_redirects: How many redirects to follow at most.
        timeout: Seconds for the whole transfer, from resolving the name to committing the file.
        stall_timeout: Seconds without a single byte from the server; also for each attempt to
            connect.
        min_rate: The least rate of a transfer: bytes a second, on average over ``stall_timeout``. 0
            for no limit.
        user_agent: The User-Agent to send: printable ASCII in one line.
        ca_file: A file of certificates in PEM format that https servers may be verified with,
            beside the platform's: those of authorities, or of servers that have signed their own.
            A Fetcher reads it when it is made.

    Raises:
        WrongType: A value has the wrong type. It is a TypeError and a ValueError, and names it.
        ValueError: A value is out of range. The message names it.
    """

    max_size: int = 1_000_000_000
    allow_networks: tuple[Network, ...] = ()
    deny_networks: tuple[Network, ...] = ()
    max_redirects: int = 5
    timeout: float = 600.0
    stall_timeout: float = 30.0
    min_rate: int = 1000
    user_agent: str = USER_AGENT
    ca_file: str | Path | None = None

    def __post_init__(self) -> None:
        """Check the values, so that a mistake shows at the start and not at the first offer."""
        for name, least in (("max_size", 1), ("max_redirects", 0), ("min_rate", 0)):
            number = getattr(self, name)
            wanted = f"{name} must be an int of at least {least}, not {number!r}"
            if type(number) is not int:
                raise WrongType(wanted)
            if number < least:
                raise ValueError(wanted)
        for name in ("timeout", "stall_timeout"):
            seconds = getattr(self, name)
            wanted = f"{name} must be a positive number of seconds, not {seconds!r}"
            if type(seconds) not in {int, float}:
                raise WrongType(wanted)
            if not 0 < seconds < math.inf:
                raise ValueError(wanted)
        if not isinstance(self.ca_file, str | Path | None):
            raise wrong_type("ca_file", "a path or None", self.ca_file)
        check_field_value("user_agent", self.user_agent)
        for name in ("allow_networks", "deny_networks"):
            networks = getattr(self, name)
            if type(networks) is not tuple or not all(
                isinstance(network, IPv4Network | IPv6Network) for network in networks
            ):
                raise WrongType(
                    f"{name} must be a tuple of ipaddress.IPv4Network and IPv6Network, "
                    f"not {networks!r}"
                )

    def check_address(self, address: str, *, own: bool = False) -> None:
        """Forbid an IP address that is denied, or neither global unicast nor allowed.

        What counts is an IPv4 address that is hidden in an IPv6 address, unless the address is
        allowed as it is written.

        Args:
            address: The address as text.
            own: Whether it is this machine's. Then it is not enough that it is global unicast:
                what this machine tells itself is not for strangers.

        Raises:
            Forbidden: The address is not allowed, or is not an address. The error's text is the
                same in every case, so that a peer can't map a network by what it is told. Its
                detail, which goes to the log, says which rule it was.
        """
        why = self._why_not(address, own=own)
        if why is not None:
            raise Forbidden("this address is not allowed", detail=f"{address} is {why}")

    def _why_not(self, text: str, *, own: bool) -> str | None:
        try:
            address = ip_address(text)
        except ValueError:
            return "not an IP address"
        if self._denies(address):
            return "in a denied network"
        if self._allows(address, own=own):
            return None
        if own:
            return f"this machine's own address; {_LETS_IN}"
        return f"neither global unicast nor in an allowed network; {_LETS_IN}"

    def _denies(self, address: IPv4Address | IPv6Address) -> bool:
        """Whether an address is in a denied network, in whatever spelling."""
        addresses = leads_to(address)
        return any(
            one in network for network in map(_as_ipv4, self.deny_networks) for one in addresses
        )

    def _allows(self, address: IPv4Address | IPv6Address, *, own: bool) -> bool:
        if any(address in network for network in self.allow_networks):
            return True
        if isinstance(address, IPv4Address):
            return not own and is_global(address)
        hidden = stands_for(address)
        if hidden is None:
            if own or not is_global(address):
                return False
            hidden = isatap(address)
        return all(self._allows(one, own=own) for one in hidden)

    def check_answer(self, status: int, length: int | None) -> None:
        """Judge what a server says before its file.

        Args:
            status: The HTTP status. Only 200 is a whole file (RFC 9110 section 15.3).
            length: The declared Content-Length in bytes, or None.

        Raises:
            FetchFailed: The file will not come, or not whole.
            TooLarge: The file is larger than ``max_size``.
        """
        if status != _OK:
            raise FetchFailed(f"HTTP status {status}")
        if length is not None:
            self.check_size(length)

    def check_size(self, size: int) -> None:
        """Raise TooLarge for more than ``max_size`` bytes."""
        if size > self.max_size:
            raise TooLarge(f"the file is larger than {self.max_size} bytes")


def _as_ipv4(network: Network) -> Network:
    """Give the IPv4 network that an IPv6 network of mapped addresses is; any other as it is."""
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        # The mapping keeps the 32 bits on the right, and adds 96.
        first = int(network.network_address) & 0xFFFF_FFFF
        return IPv4Network((first, network.prefixlen - _MAPPED.prefixlen))
    return network

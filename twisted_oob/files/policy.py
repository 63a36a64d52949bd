"""What may be fetched: pure decisions, without a reactor or I/O.

A URL comes from someone else, so fetching it is an attack surface (server-side request forgery).
Everything here either gives an answer or raises one of the errors that tell the peer:
``Forbidden``, ``TooLarge`` or ``FetchFailed``.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from pathlib import Path
from typing import Final
from urllib.parse import urljoin

from twisted_oob._checks import wrong_type
from twisted_oob.errors import FetchFailed, Forbidden, TooLarge, WrongType
from twisted_oob.files.addresses import is_global, isatap, stands_for
from twisted_oob.files.urls import BAD_URL, QUOTED, Target, percent_encoded, read_url

# RFC 9110 section 15.4. 300 leaves the choice to a person, 304 answers what we never ask, 305 and
# 306 are no longer used.
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
NO_ANSWER: Final = "no proper answer from the server"
_OK: Final = 200
# Three digits (RFC 9110 section 15). Twisted lets through thousands, which no peer is to be sent.
_STATUSES: Final = range(100, 1000)


@dataclass(frozen=True, kw_only=True, slots=True)
class FetchPolicy:
    """What a Fetcher accepts from a stranger.

    Args:
        max_size: The largest file in bytes. A file of exactly this size is accepted.
        allow_networks: Networks that files may come from although they are not global unicast. An
            IPv4 network also allows its addresses if they are hidden in IPv6
            (``::ffff:127.0.0.1``). An IPv6 network allows every address that is written that way,
            whatever IPv4 address is hidden in it.
        max_redirects: How many redirects to follow at most.
        timeout: Seconds for the whole transfer, from resolving the name to committing the file.
        stall_timeout: Seconds without a single byte from the server; also for each attempt to
            connect.
        ca_file: A file of certificates in PEM format that https servers may be verified with,
            beside the platform's: those of authorities, or of servers that have signed their own.
            A Fetcher reads it when it is made.

    Raises:
        WrongType: A value has the wrong type. It is a TypeError and a ValueError, and names it.
        ValueError: A value is out of range. The message names it.
    """

    max_size: int = 1_000_000_000
    allow_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    max_redirects: int = 5
    timeout: float = 600.0
    stall_timeout: float = 30.0
    ca_file: str | Path | None = None

    def __post_init__(self) -> None:
        """Check the values, so that a mistake shows at the start and not at the first offer."""
        for name, least in (("max_size", 1), ("max_redirects", 0)):
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
        networks = self.allow_networks
        if type(networks) is not tuple or not all(
            isinstance(network, IPv4Network | IPv6Network) for network in networks
        ):
            raise WrongType(
                "allow_networks must be a tuple of ipaddress.IPv4Network and IPv6Network, "
                f"not {networks!r}"
            )

    def check_address(self, address: str) -> None:
        """Forbid an IP address that is neither global unicast nor allowed.

        What counts is an IPv4 address that is hidden in an IPv6 address, unless the address is
        allowed as it is written.

        Args:
            address: The address as text.

        Raises:
            Forbidden: The address is not allowed, or is not an address. The error's text is the
                same in every case, so that a peer can't map a network by what it is told.
        """
        try:
            allowed = self._allows(ip_address(address))
        except ValueError:
            allowed = False
        if not allowed:
            raise Forbidden(
                "this address is not allowed",
                detail=f"{address} is neither global unicast nor in an allowed network",
            )

    def _allows(self, address: IPv4Address | IPv6Address) -> bool:
        if any(address in network for network in self.allow_networks):
            return True
        if isinstance(address, IPv4Address):
            return is_global(address)
        hidden = stands_for(address)
        if hidden is None:
            hidden = isatap(address)
            if not is_global(address):
                return False
        return all(self._allows(one) for one in hidden)

    def check_answer(self, status: int, length: int | None) -> None:
        """Judge what a server says before its file.

        Args:
            status: The HTTP status. Only 200 is a whole file (RFC 9110 section 15.3).
            length: The declared Content-Length in bytes, or None.

        Raises:
            FetchFailed: The file will not come, or not whole.
            TooLarge: The file is larger than ``max_size``.
        """
        if status not in _STATUSES:
            raise FetchFailed(NO_ANSWER, detail=f"HTTP status {str(status)[:QUOTED]}")
        if status != _OK:
            raise FetchFailed(f"HTTP status {status}")
        if length is not None:
            if length < 0:  # Twisted 22.1 lets this through (RFC 9110 section 8.6)
                raise FetchFailed(NO_ANSWER, detail=f"length {str(length)[:QUOTED]}")
            self.check_size(length)

    def check_size(self, size: int) -> None:
        """Raise TooLarge for more than ``max_size`` bytes."""
        if size > self.max_size:
            raise TooLarge(f"the file is larger than {self.max_size} bytes")

    def next_hop(self, target: Target, location: bytes | None, hop: int) -> Target:
        """Follow a redirect (RFC 9110 section 10.2.2), and judge where it leads like the first URL.

        Credentials stay with the origin that they were given for.

        Args:
            target: What was asked for.
            location: The Location header, or None.
            hop: Which redirect this is, counted from 1.

        Returns:
            What to ask for next.

        Raises:
            FetchFailed: There is no Location, or there were more than ``max_redirects``.
            Forbidden: The next URL is not allowed, or leads from https to http.
        """
        if hop > self.max_redirects:
            raise FetchFailed("too many redirects")
        location = location and location.strip()
        if not location:
            raise FetchFailed("a redirect without a Location")
        try:
            url = urljoin(target.url, percent_encoded(location))
        except ValueError as error:  # its text may hold the userinfo
            raise Forbidden(BAD_URL, detail=f"redirect: {type(error).__name__}") from None
        following = read_url(url)
        if (target.scheme, following.scheme) == ("https", "http"):
            raise Forbidden("a redirect from https to http is not allowed")
        if following.authorization is None and following.origin == target.origin:
            following = dataclasses.replace(following, authorization=target.authorization)
        return following

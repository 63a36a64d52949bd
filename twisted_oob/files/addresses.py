"""Which IP addresses are global unicast, and which IPv4 addresses IPv6 hides (IANA's tables)."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

# Every block of the IANA IPv4 Special-Purpose Address Registry (RFC 6890) that is not globally
# reachable, multicast (RFC 5771), and the two whose exceptions serve no files (192.0.0.0/24,
# 192.88.99.0/24). Written out, since ``is_global`` differs from one Python release to the next.
_SPECIAL_IPV4: Final = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.88.99.0/24",
            "192.168.0.0/16",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",
            "240.0.0.0/4",
        ),
    )
)

# All the global unicast space IANA gave out (RFC 3587), and what is special in it: protocol
# assignments (RFC 2928), documentation (RFC 3849, RFC 9637). Everything outside is special too.
_GLOBAL_IPV6: Final = IPv6Network("2000::/3")
_SPECIAL_IPV6: Final = tuple(map(IPv6Network, ("2001::/23", "2001:db8::/32", "3fff::/20")))

# Where IPv6 hides IPv4: a network, and for each address in it the bits to skip on the right and
# the mask it is obfuscated with. The first network that matches counts. 64:ff9b:1::/48 (RFC 8215)
# is missing on purpose: where it keeps the IPv4 address is its own network's secret, so it is
# just not global.
_IPV4_IN_IPV6: Final[tuple[tuple[IPv6Network, tuple[tuple[int, int], ...]], ...]] = (
    (IPv6Network("::ffff:0:0/96"), ((0, 0),)),  # mapped, RFC 4291 section 2.5.5.2
    (IPv6Network("::ffff:0:0:0/96"), ((0, 0),)),  # translated (SIIT), RFC 2765
    (IPv6Network("64:ff9b::/96"), ((0, 0),)),  # NAT64, RFC 6052
    (IPv6Network("2002::/16"), ((80, 0),)),  # 6to4, RFC 3056
    (IPv6Network("2001::/32"), ((64, 0), (0, 0xFFFF_FFFF))),  # Teredo's server, client: RFC 4380
    (IPv6Network("::/96"), ((0, 0),)),  # compatible, RFC 4291 section 2.5.5.1
)


def is_global(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address, taken as it is written, is global unicast."""
    if isinstance(address, IPv4Address):
        return not any(address in block for block in _SPECIAL_IPV4)
    return address in _GLOBAL_IPV6 and not any(address in block for block in _SPECIAL_IPV6)


def stands_for(address: IPv6Address) -> tuple[IPv4Address, ...] | None:
    """The IPv4 addresses an IPv6 address is only another way to reach; None where it is its own."""
    # :: and ::1; is_loopback differs between Pythons for what hides an IPv4 address.
    if int(address) in (0, 1):
        return None
    for network, places in _IPV4_IN_IPV6:
        if address in network:
            return tuple(_bits(address, skip, mask) for skip, mask in places)
    return None


_ISATAP_MASK, _ISATAP = 0xFDFF_FFFF, 0x0000_5EFE


def isatap(address: IPv6Address) -> tuple[IPv4Address, ...]:
    """The IPv4 address in an ISATAP interface identifier, 0:5efe or 200:5efe (RFC 5214)."""
    if int(address) >> 32 & _ISATAP_MASK == _ISATAP:
        return (_bits(address, 0, 0),)
    return ()


def _bits(address: IPv6Address, skip: int, mask: int) -> IPv4Address:
    return IPv4Address((int(address) >> skip & 0xFFFF_FFFF) ^ mask)

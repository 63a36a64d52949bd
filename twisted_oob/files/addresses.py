"""Which IP addresses are global unicast, and which IPv4 addresses IPv6 hides (IANA's tables)."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

LOOPBACK: Final = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))
"""The addresses that each machine has for itself alone (RFC 1122, RFC 4291)."""

# Every block of the IANA IPv4 Special-Purpose Address Registry (RFC 6890) that is not globally
# reachable, and multicast (RFC 5771). Two blocks have single addresses that are reachable, but no
# web server is among them: 192.0.0.0/24 (anycast of PCP and TURN) and 192.88.99.0/24 (the old 6to4
# relays). The blocks are written out, because ``ipaddress``'s own ``is_global`` differs from one
# Python release to the next.
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

# All global unicast space that IANA hands out (RFC 3587), and what is special in it: protocol
# assignments (RFC 2928) and documentation (RFC 3849, RFC 9637). Whatever is outside is special,
# too: loopback, link-local, unique local, multicast, and what nobody has yet.
_GLOBAL_IPV6: Final = IPv6Network("2000::/3")
_SPECIAL_IPV6: Final = tuple(map(IPv6Network, ("2001::/23", "2001:db8::/32", "3fff::/20")))

# Networks whose IPv6 addresses are only another way to reach an IPv4 address, which is the one to
# judge: ``::ffff:127.0.0.1`` is this machine. For each network, where its IPv4 addresses are: how
# many bits to skip on the right, and the mask that they are XORed with. The networks don't overlap.
# 64:ff9b:1::/48 (RFC 8215) is missing on purpose: each site decides by itself where it keeps the
# IPv4 address in there, so such an address is just not global.
_IPV4_IN_IPV6: Final[tuple[tuple[IPv6Network, tuple[tuple[int, int], ...]], ...]] = (
    (IPv6Network("::ffff:0:0/96"), ((0, 0),)),  # mapped, RFC 4291 section 2.5.5.2
    (IPv6Network("::ffff:0:0:0/96"), ((0, 0),)),  # translated (SIIT), RFC 2765
    (IPv6Network("64:ff9b::/96"), ((0, 0),)),  # NAT64, RFC 6052
    (IPv6Network("2002::/16"), ((80, 0),)),  # 6to4, RFC 3056
    (IPv6Network("2001::/32"), ((64, 0), (0, 0xFFFF_FFFF))),  # Teredo's server, client: RFC 4380
    (IPv6Network("::/96"), ((0, 0),)),  # compatible, RFC 4291 section 2.5.5.1
)


def is_global(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address is global unicast, whatever IPv4 address may be hidden in it."""
    if isinstance(address, IPv4Address):
        return not any(address in block for block in _SPECIAL_IPV4)
    return address in _GLOBAL_IPV6 and not any(address in block for block in _SPECIAL_IPV6)


def stands_for(address: IPv6Address) -> tuple[IPv4Address, ...] | None:
    """The IPv4 addresses that an IPv6 address is only another way to reach.

    Returns:
        One address, or two for Teredo (its server and its client); None if the IPv6 address is one
        in its own right.
    """
    # :: and ::1 are in ::/96, too. ``is_loopback`` would not do: newer Pythons say yes for
    # ::ffff:127.0.0.1 as well.
    if int(address) in (0, 1):
        return None
    for network, places in _IPV4_IN_IPV6:
        if address in network:
            return tuple(_bits(address, skip, mask) for skip, mask in places)
    return None


# 0000:5efe or 0200:5efe: the mask leaves the bit out that says whether the IPv4 address is unique.
_ISATAP_MASK, _ISATAP = 0xFDFF_FFFF, 0x0000_5EFE


def isatap(address: IPv6Address) -> tuple[IPv4Address, ...]:
    """The IPv4 address in an ISATAP interface identifier (RFC 5214 section 6.1).

    Unlike ``stands_for``, such an address is one in its own right, too: any network can have hosts
    with these identifiers. So both count.

    Returns:
        One address, or an empty tuple if the identifier is of another kind.
    """
    if int(address) >> 32 & _ISATAP_MASK == _ISATAP:
        return (_bits(address, 0, 0),)
    return ()


def leads_to(
    address: IPv4Address | IPv6Address,
) -> tuple[IPv4Address | IPv6Address, ...]:
    """Every address that a packet to an address may come to: itself, and those hidden in it."""
    if isinstance(address, IPv4Address):
        return (address,)
    return (address, *(stands_for(address) or ()), *isatap(address))


def _bits(address: IPv6Address, skip: int, mask: int) -> IPv4Address:
    return IPv4Address((int(address) >> skip & 0xFFFF_FFFF) ^ mask)

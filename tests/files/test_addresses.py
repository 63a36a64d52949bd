"""What is global unicast, and which IPv4 addresses IPv6 hides: IANA's tables, row by row."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest

from twisted_oob.files.addresses import is_global, isatap, leads_to, stands_for

# Written out once more, as a table that is only compared with itself finds no wrong row.
SPECIAL_4 = [
    ("0.0.0.0", "0.255.255.255"),
    ("10.0.0.0", "10.255.255.255"),
    ("100.64.0.0", "100.127.255.255"),
    ("127.0.0.0", "127.255.255.255"),
    ("169.254.0.0", "169.254.255.255"),
    ("172.16.0.0", "172.31.255.255"),
    ("192.0.0.0", "192.0.0.255"),
    ("192.0.2.0", "192.0.2.255"),
    ("192.88.99.0", "192.88.99.255"),
    ("192.168.0.0", "192.168.255.255"),
    ("198.18.0.0", "198.19.255.255"),
    ("198.51.100.0", "198.51.100.255"),
    ("203.0.113.0", "203.0.113.255"),
    ("224.0.0.0", "239.255.255.255"),
    ("240.0.0.0", "255.255.255.255"),
]
SPECIAL_6 = [
    ("::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("4000::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
]


@pytest.mark.parametrize(("first", "last"), [*SPECIAL_4, *SPECIAL_6])
def test_a_special_block_from_end_to_end(first, last):
    first, last = ip_address(first), ip_address(last)
    middle = type(first)((int(first) + int(last)) // 2)
    assert not any(map(is_global, (first, middle, last)))


@pytest.mark.parametrize(("first", "last"), [*SPECIAL_4, *SPECIAL_6])
def test_the_neighbours_of_a_special_block_are_global(first, last):
    ends = {address for block in (*SPECIAL_4, *SPECIAL_6) for address in block}
    most = ip_address(first).max_prefixlen
    for number in (int(ip_address(first)) - 1, int(ip_address(last)) + 1):
        if 0 <= number < 2**most:
            neighbour = type(ip_address(first))(number)
            assert is_global(neighbour) or str(neighbour) in ends


# Where each network begins and ends, an address in it, and what it stands for.
HIDDEN = [
    ("::ffff:0:0/96", "::ffff:1.2.3.4", ["1.2.3.4"]),
    ("::ffff:0:0:0/96", "::ffff:0:1.2.3.4", ["1.2.3.4"]),
    ("64:ff9b::/96", "64:ff9b::1.2.3.4", ["1.2.3.4"]),
    ("2002::/16", "2002:102:304:5:6:7:8:9", ["1.2.3.4"]),
    ("2001::/32", "2001:0:102:304:8000:ffff:fafb:fcfd", ["1.2.3.4", "5.4.3.2"]),
    ("::/96", "::1.2.3.4", ["1.2.3.4"]),
]


@pytest.mark.parametrize(("network", "address", "expected"), HIDDEN)
def test_hidden_addresses(network, address, expected):
    assert ip_address(address) in ip_network(network)
    assert stands_for(IPv6Address(address)) == tuple(map(IPv4Address, expected))


@pytest.mark.parametrize("network", [network for network, *_ in HIDDEN])
def test_a_network_that_hides_does_so_from_end_to_end(network):
    network = ip_network(network)
    for address in (network[2], network[-1]):  # :: and ::1 stand for themselves
        assert stands_for(address) is not None
    for number in (int(network[0]) - 1, int(network[-1]) + 1):
        if number >= 0:
            assert stands_for(IPv6Address(number)) is None


@pytest.mark.parametrize("address", ["::", "::1", "2000::", "2606:4700::1111", "fe80::1"])
def test_an_address_in_its_own_right(address):
    assert stands_for(IPv6Address(address)) is None


@pytest.mark.parametrize("prefix", ["fe80::", "2606:4700:1:2::", "ffff:ffff:ffff:ffff::"])
@pytest.mark.parametrize(
    ("identifier", "found"),
    [
        (0x0000_5EFE_0102_0304, True),
        (0x0200_5EFE_0102_0304, True),
        (0x0100_5EFE_0102_0304, False),
        (0x0300_5EFE_0102_0304, False),
        (0x0400_5EFE_0102_0304, False),
        (0x0001_5EFE_0102_0304, False),
        (0x0000_5EFF_0102_0304, False),
        (0x0000_5EFC_0102_0304, False),
        (0x0000_0000_0102_0304, False),
    ],
)
def test_isatap(prefix, identifier, found):
    address = IPv6Address(int(IPv6Address(prefix)) | identifier)
    assert isatap(address) == ((IPv4Address("1.2.3.4"),) if found else ())


@pytest.mark.parametrize(
    ("address", "hidden"),
    [
        ("8.8.8.8", []),
        ("2a00:1450::1", []),
        ("::1", []),
        ("::ffff:8.8.8.8", ["8.8.8.8"]),
        ("64:ff9b::8.8.8.8", ["8.8.8.8"]),
        ("2001:0:808:808::f7f7:fbfb", ["8.8.8.8", "8.8.4.4"]),
        ("2a00:1450::5efe:8.8.8.8", ["8.8.8.8"]),
    ],
)
def test_a_packet_may_come_to_the_address_and_to_what_is_hidden_in_it(address, hidden):
    assert leads_to(ip_address(address)) == tuple(map(ip_address, (address, *hidden)))

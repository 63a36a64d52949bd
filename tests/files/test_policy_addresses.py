"""Which addresses a policy lets files come from."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_oob.errors import Forbidden
from twisted_oob.files.policy import FetchPolicy

POLICY = FetchPolicy()


def networks(*texts):
    return tuple(map(ipaddress.ip_network, texts))


def allowing(*texts):
    return FetchPolicy(allow_networks=networks(*texts))


def denying(*texts, allow=()):
    return FetchPolicy(deny_networks=networks(*texts), allow_networks=networks(*allow))


def is_allowed(address, policy=POLICY, **options):
    try:
        policy.check_address(str(address), **options)
    except Forbidden:
        return False
    return True


# Every block of the IANA special-purpose registries that is not global: first and last address.
SPECIAL = [
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
]
SPECIAL_6 = [
    "::/128",
    "::1/128",
    "64:ff9b:1::/48",
    "100::/64",
    "100:0:0:1::/64",
    "2001:2::/48",
    "2001:10::/28",
    "2001:20::/28",
    "2001:30::/28",
    "2001:db8::/32",
    "3fff::/20",
    "4000::/3",
    "5f00::/16",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
]
PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "169.253.255.255",
    "172.15.255.255",
    "172.32.0.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2000::",
    "2001:200::1",
    "2001:4860:4860::8888",
    "2606:4700:4700::1111",
    "2a00:1450::1%eth0",
    "3ffe:ffff::1",
]


@pytest.mark.parametrize("block", [*SPECIAL, *SPECIAL_6])
def test_special_blocks_are_forbidden_from_end_to_end(block):
    network = ipaddress.ip_network(block)
    assert not is_allowed(str(network[0]))
    assert not is_allowed(str(network[-1]))


@pytest.mark.parametrize("address", PUBLIC)
def test_global_unicast_is_allowed(address):
    assert is_allowed(address)


@pytest.mark.parametrize("address", ["", "example.com", "2130706433", "127.1", "fe80::1%eth0"])
def test_what_is_no_global_address_is_forbidden(address):
    assert not is_allowed(address)


def hide_6to4(v4):
    return ipaddress.IPv6Address(0x2002 << 112 | int(v4) << 80 | 1)


def hide_teredo_client(v4):
    return ipaddress.IPv6Address(
        0x2001_0000 << 96 | 0x08080808 << 64 | 0x8000 << 48 | int(v4) ^ 0xFFFF_FFFF
    )


def hide_teredo_server(v4):
    return ipaddress.IPv6Address(0x2001_0000 << 96 | int(v4) << 64 | 0x08080808 ^ 0xFFFF_FFFF)


def hide_at_the_end(prefix):
    return lambda v4: ipaddress.IPv6Address(int(ipaddress.IPv6Address(prefix)) | int(v4))


HIDINGS = {
    "mapped": hide_at_the_end("::ffff:0:0"),
    "compatible": hide_at_the_end("::"),
    "translated": hide_at_the_end("::ffff:0:0:0"),
    "NAT64": hide_at_the_end("64:ff9b::"),
    "6to4": hide_6to4,
    "Teredo client": hide_teredo_client,
    "Teredo server": hide_teredo_server,
    "ISATAP": hide_at_the_end("2a00:1450:0:1:0:5efe::"),
    "ISATAP, universal": hide_at_the_end("2a00:1450:0:1:200:5efe::"),
}


@pytest.mark.parametrize("hide", HIDINGS.values(), ids=HIDINGS)
@pytest.mark.parametrize("block", SPECIAL)
def test_special_ipv4_hidden_in_ipv6_is_forbidden(hide, block):
    network = ipaddress.ip_network(block)
    assert not is_allowed(str(hide(network[0])))
    assert not is_allowed(str(hide(network[-1])))


@pytest.mark.parametrize("hide", HIDINGS.values(), ids=HIDINGS)
def test_public_ipv4_hidden_in_ipv6_is_allowed(hide):
    assert is_allowed(str(hide(ipaddress.ip_address("8.8.4.4"))))


def test_isatap_does_not_make_a_forbidden_network_allowed():
    assert not is_allowed("fe80::5efe:8.8.8.8")


def test_local_nat64_is_forbidden_whatever_seems_hidden_in_it():
    assert not is_allowed("64:ff9b:1::8.8.8.8")
    assert is_allowed("64:ff9b:1::8.8.8.8", allowing("64:ff9b:1::/48"))


@pytest.mark.parametrize("hide", HIDINGS.values(), ids=HIDINGS)
def test_an_allowed_ipv4_network_counts_hidden_too(hide):
    policy = allowing("127.0.0.0/8")
    assert is_allowed(str(hide(ipaddress.ip_address("127.0.0.1"))), policy)
    assert not is_allowed(str(hide(ipaddress.ip_address("10.0.0.1"))), policy)


@pytest.mark.parametrize(
    ("network", "address", "allowed"),
    [
        ("127.0.0.0/8", "127.0.0.1", True),
        ("127.0.0.0/8", "10.0.0.1", False),
        ("127.0.0.0/8", "::1", False),
        ("0.0.0.0/8", "::1", False),
        ("::1/128", "::1", True),
        ("::1/128", "127.0.0.1", False),
        ("::/0", "::1", True),
        ("::/0", "::ffff:127.0.0.1", True),
        ("::/0", "127.0.0.1", False),
        ("fe80::/10", "fe80::1%eth0", True),
        ("2002::/16", "2002:7f00:1::", True),
        ("10.0.0.0/8", "2002:a00:1::", True),
    ],
)
def test_allowed_networks(network, address, allowed):
    assert is_allowed(address, allowing(network)) is allowed


@given(st.ip_addresses(v=6))
def test_an_ipv6_address_outside_global_unicast_is_only_allowed_as_a_public_ipv4(address):
    if is_allowed(str(address)) and address not in ipaddress.ip_network("2000::/3"):
        assert is_allowed(str(ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)))


@given(st.ip_addresses())
def test_nothing_python_knows_as_private_is_allowed(address):
    if address.is_private or address.is_multicast or address.is_loopback or address.is_link_local:
        hidden = address.version == 6 and (address.ipv4_mapped or address.teredo)
        assert hidden or not is_allowed(str(address))


# --- this machine's own


@pytest.mark.parametrize("address", PUBLIC)
def test_an_own_address_is_forbidden_though_it_is_public(address):
    assert not is_allowed(address, own=True)


@pytest.mark.parametrize(
    ("network", "address", "allowed"),
    [
        ("8.8.8.8/32", "8.8.8.8", True),
        ("8.8.8.0/24", "8.8.8.8", True),
        ("8.8.8.9/32", "8.8.8.8", False),
        ("10.0.0.0/8", "8.8.8.8", False),
        ("127.0.0.0/8", "127.0.0.1", True),
        ("::1/128", "::1", True),
        ("2a00:1450::/32", "2a00:1450::1", True),
        ("2a00:1450::/32", "2a00:1451::1", False),
        ("8.8.8.8/32", "2a00:1450::1", False),
        ("8.8.8.8/32", "::ffff:8.8.8.8", True),
        ("8.8.8.8/32", "2002:808:808::1", True),
        ("8.8.8.8/32", "::ffff:8.8.4.4", False),
        ("::/0", "::ffff:8.8.8.8", True),
        ("::/0", "8.8.8.8", False),
        # An ISATAP address is one in its own right, and nobody has named it here.
        ("8.8.8.8/32", "2a00:1450::5efe:8.8.8.8", False),
        ("2a00:1450::/32", "2a00:1450::5efe:8.8.8.8", True),
    ],
)
def test_only_an_allowed_network_lets_an_own_address_in(network, address, allowed):
    assert is_allowed(address, allowing(network), own=True) is allowed


# --- denied networks

ANY = ("0.0.0.0/0", "::/0")


@pytest.mark.parametrize(
    ("network", "address", "allowed"),
    [
        ("8.8.8.0/24", "8.8.8.8", False),
        ("8.8.8.0/24", "8.8.4.4", True),
        ("8.8.8.8/32", "8.8.8.8", False),
        ("0.0.0.0/0", "8.8.8.8", False),
        ("0.0.0.0/0", "2a00:1450::1", True),
        ("2a00:1450::/32", "2a00:1450::1", False),
        ("2a00:1450::/32", "2a00:1451::1", True),
        ("2a00:1450::1/128", "2a00:1450::1%eth0", False),
        # As it is written, whatever is hidden in it.
        ("2002::/16", "2002:808:808::1", False),
        ("64:ff9b::/96", "64:ff9b::8.8.8.8", False),
        ("64:ff9b::/96", "8.8.8.8", True),
        ("::/0", "::ffff:8.8.8.8", False),
        ("::/0", "8.8.8.8", True),
        # An IPv4 network in another spelling.
        ("::ffff:8.8.8.0/120", "::ffff:8.8.8.8", False),
        ("::ffff:8.8.8.0/120", "8.8.8.8", False),
        ("::ffff:8.8.8.0/120", "64:ff9b::8.8.8.8", False),
        ("::ffff:8.8.8.0/120", "8.8.4.4", True),
        ("::ffff:0:0/96", "8.8.8.8", False),
    ],
)
def test_denied_networks(network, address, allowed):
    assert is_allowed(address, denying(network)) is allowed
    assert is_allowed(address, denying(network, allow=ANY)) is allowed
    assert is_allowed(address, denying(network, allow=ANY), own=True) is allowed


def test_each_of_several_denied_networks_counts():
    policy = denying("8.8.8.0/24", "2a00:1450::/32", "1.1.1.1/32")
    assert not any(is_allowed(one, policy) for one in ("8.8.8.8", "2a00:1450::1", "1.1.1.1"))
    assert is_allowed("8.8.4.4", policy)


def test_a_part_of_an_allowed_network_can_be_denied():
    policy = denying("10.1.0.0/16", "10.0.0.1/32", allow=("10.0.0.0/8",))
    assert is_allowed("10.0.0.2", policy)
    assert not is_allowed("10.0.0.1", policy)
    assert not is_allowed("10.1.2.3", policy)


@pytest.mark.parametrize("hide", HIDINGS.values(), ids=HIDINGS)
def test_a_denied_ipv4_network_counts_hidden_too(hide):
    public, other = (hide(ipaddress.ip_address(one)) for one in ("8.8.4.4", "9.9.9.9"))
    for allow in ((), ("8.8.4.0/24",), (f"{public}/128",), ANY):
        assert not is_allowed(public, denying("8.8.4.4/32", allow=allow))
        assert not is_allowed(public, denying("8.8.4.4/32", allow=allow), own=True)
    assert is_allowed(other, denying("8.8.4.4/32"))


@given(st.ip_addresses(), st.data())
def test_no_address_of_a_denied_network_is_allowed(address, data):
    prefix = data.draw(st.integers(0, address.max_prefixlen))
    denied = str(ipaddress.ip_network(f"{address}/{prefix}", strict=False))
    for own in (False, True):
        assert not is_allowed(address, denying(denied, allow=(*ANY, denied)), own=own)


# --- what is told


@pytest.mark.parametrize(
    ("address", "own", "rule"),
    [
        ("127.0.0.1", False, "is neither global unicast nor in an allowed network; --allow-"),
        ("::1", False, "is neither global unicast nor in an allowed network; --allow-"),
        ("169.254.169.254", False, "is neither global unicast nor in an allowed network; --allow-"),
        ("8.8.8.8", True, "is this machine's own address; --allow-network (allow_networks) lets"),
        ("127.0.0.1", True, "is this machine's own address; --allow-network (allow_networks) lets"),
        ("2a00:1450::1", True, "is this machine's own address; --allow-network (allow_networks)"),
        ("1.1.1.1", False, "is in a denied network"),
        ("1.1.1.1", True, "is in a denied network"),
        ("::ffff:1.1.1.1", False, "is in a denied network"),
        ("nonsense", False, "is not an IP address"),
    ],
)
def test_the_log_says_which_rule_it_was_and_the_peer_does_not_hear_it(address, own, rule):
    with pytest.raises(Forbidden) as caught:
        denying("1.1.1.1/32").check_address(address, own=own)
    assert caught.value.text == "this address is not allowed"
    assert caught.value.detail.startswith(f"{address} {rule}")

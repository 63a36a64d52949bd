"""Where the embedded router listens: how a person reads it, and who else could read along."""

from __future__ import annotations

import pytest
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress

from twisted_oob.commands.listening import is_exposed, shown_address


@pytest.mark.parametrize(
    ("address", "endpoint", "shown", "exposed"),
    [
        (IPv4Address("TCP", "127.0.0.1", 5347), "tcp:5347", "127.0.0.1:5347", False),
        (IPv4Address("TCP", "127.8.0.1", 5347), "tcp:5347", "127.8.0.1:5347", False),
        (IPv4Address("TCP", "0.0.0.0", 5347), "tcp:5347", "0.0.0.0:5347", True),
        (IPv4Address("TCP", "10.0.0.1", 5347), "tcp:5347", "10.0.0.1:5347", True),
        (IPv4Address("TCP", "10.0.0.1", 5347), "ssl:5347", "10.0.0.1:5347", False),
        (IPv6Address("TCP", "::1", 5347), "tcp6:5347", "[::1]:5347", False),
        (IPv6Address("TCP", "::", 5347), "tcp6:5347", "[::]:5347", True),
        (
            IPv6Address("TCP", "::ffff:127.0.0.1", 1),
            "tcp6:1",
            "[::ffff:127.0.0.1]:1",
            False,
        ),
        (IPv6Address("TCP", "fe80::1%eth0", 1), "tcp6:1", "[fe80::1%eth0]:1", True),
        (UNIXAddress("/run/router"), "unix:/run/router", "unix:/run/router", False),
        (UNIXAddress(b"/run/router"), "unix:/run/router", "unix:/run/router", False),
    ],
)
def test_an_address(address, endpoint, shown, exposed):
    assert shown_address(address) == shown
    assert is_exposed(address, endpoint) is exposed

"""A scenario: which addresses a machine takes for its own, and how it found out."""

from __future__ import annotations

import json
import sys
from ipaddress import ip_address
from unittest import mock

from twisted_oob.files import own_addresses

SETUP = (
    "ip link add ours type veth peer name theirs",
    "ip link set ours up",
    "ip link set theirs up",
    "ip address add 93.184.215.14/24 dev ours",
    "ip address add 93.184.215.15/24 dev ours",
    "ip address add 8.8.4.4/32 dev lo",
    "ip route add local 9.9.9.0/24 dev lo",
    "ip -6 address add 2a00:1450::14/64 dev ours nodad",
    "ip -6 address add 2a00:1450::15/64 dev ours nodad",
    "ip -6 route add local 2a00:1451::/64 dev lo",
    "ip route add default dev ours",
    "ip -6 route add default dev ours",
)
ADDRESSES = ("93.184.215.14", "93.184.215.15", "8.8.4.4", "2a00:1450::14", "2a00:1450::15")
ROUTED_HERE = ("9.9.9.9", "2a00:1451::7")
LOOPBACK = ("127.0.0.1", "127.99.0.1", "::1")
OTHERS = ("93.184.215.16", "1.1.1.1", "2a00:1450::16", "2a00:9999::1", "203.0.113.1")


def own():
    every = (*ADDRESSES, *ROUTED_HERE, *LOOPBACK, *OTHERS)
    return [one for one in every if own_addresses.is_own(ip_address(one))]


def main():
    told = {"rtnetlink": own()}
    # As in a sandbox, or on a system without it.
    with mock.patch.object(own_addresses, "_kind_of_route", return_value=None):
        told["bind"] = own()
        with mock.patch.object(own_addresses, "_binds", return_value=True):
            told["connect"] = own()
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main()

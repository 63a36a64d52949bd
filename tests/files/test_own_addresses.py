"""Which addresses are this machine's own, on a machine that is made for it."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import socket
from ipaddress import ip_address

import pytest

from tests.support import whose_addresses
from tests.support.namespaces import run_in_namespace
from tests.support.whose_addresses import ADDRESSES, LOOPBACK, ROUTED_HERE
from twisted_oob.files import own_addresses
from twisted_oob.files.own_addresses import is_own


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    return run_in_namespace(whose_addresses.__name__, folder, setup=whose_addresses.SETUP)


def test_linux_knows_all_that_it_delivers_to_itself(told):
    assert told["rtnetlink"] == [*ADDRESSES, *ROUTED_HERE, *LOOPBACK]


def test_a_system_that_is_not_asked_for_routes_knows_its_addresses(told):
    assert set(told["bind"]) - {"9.9.9.9"} == {*ADDRESSES, *LOOPBACK}


def test_a_system_that_binds_to_any_address_knows_the_first_of_each_network(told):
    first = {"93.184.215.14", "8.8.4.4", "2a00:1450::14", "127.0.0.1", "::1"}
    assert first <= set(told["connect"])
    assert not set(told["connect"]) & {*whose_addresses.OTHERS}


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_loopback_is_everybodys_own(host):
    assert is_own(ip_address(host))


@pytest.mark.parametrize("error", [PermissionError(), OSError(errno.EAFNOSUPPORT, "no rtnetlink")])
def test_a_sandbox_that_forbids_rtnetlink(monkeypatch, error):
    make = socket.socket

    def sandboxed(family=socket.AF_INET, *args):
        if family == socket.AF_NETLINK:
            raise error
        return make(family, *args)

    monkeypatch.setattr(own_addresses.socket, "socket", sandboxed)
    assert is_own(ip_address("127.0.0.1"))
    assert not is_own(ip_address("192.0.2.1"))


def test_descriptors_that_are_used_up():
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = []
    try:
        highest = os.dup(0)
        held.append(highest)
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, limits[1]))
        with contextlib.suppress(OSError):
            while True:
                held.append(os.dup(0))
        with pytest.raises(OSError, match="Too many") as caught:
            is_own(ip_address("8.8.8.8"))
        assert caught.value.errno == errno.EMFILE
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for descriptor in held:
            os.close(descriptor)

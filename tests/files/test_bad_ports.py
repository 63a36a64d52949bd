"""Ports that no URL may have: those that browsers block."""

from __future__ import annotations

import pytest

from twisted_oob.errors import Forbidden
from twisted_oob.files.bad_ports import BAD_PORTS
from twisted_oob.files.policy import FetchPolicy
from twisted_oob.files.redirects import next_hop
from twisted_oob.files.urls import read_url

# Fetch Standard, "port blocking", without port 0.
BLOCKED_BY_BROWSERS = """
    1 7 9 11 13 15 17 19 20 21 22 23 25 37 42 43 53 69 77 79 87 95 101 102 103 104 109 110 111 113
    115 117 119 123 135 137 139 143 161 179 389 427 465 512 513 514 515 526 530 531 532 540 548 554
    556 563 587 601 636 989 990 993 995 1719 1720 1723 2049 3659 4045 4190 5060 5061 6000 6566 6665
    6666 6667 6668 6669 6679 6697 10080
"""


def test_the_list_is_that_of_browsers():
    assert list(BAD_PORTS) == [int(port) for port in BLOCKED_BY_BROWSERS.split()]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_no_url_may_have_one(scheme):
    for port in BAD_PORTS:
        for written in (port, f"00{port}"):
            with pytest.raises(Forbidden) as caught:
                read_url(f"{scheme}://me:hunter2@a.example:{written}/x?key=secret")
            assert caught.value.text == "this port is not allowed"
            assert caught.value.detail == f"browsers block port {port} ({BAD_PORTS[port]})"


@pytest.mark.parametrize("form", ["{}://a.example:{}/", "{}://b.example:{}/x", "//a.example:{1}"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_no_redirect_may_lead_to_one(scheme, form):
    here = read_url(f"{scheme}://a.example/")
    for port in BAD_PORTS:
        with pytest.raises(Forbidden, match="browsers block"):
            next_hop(FetchPolicy(), here, form.format(scheme, port).encode(), 1)


@pytest.mark.parametrize("port", [2, 24, 80, 81, 443, 444, 5280, 5443, 8000, 8080, 8443, 10081])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_other_ports_are_allowed(scheme, port):
    assert read_url(f"{scheme}://a.example:{port}/").port == port

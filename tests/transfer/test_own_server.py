"""Whom uploads may go to: the server itself, wherever it is."""

from __future__ import annotations

from ipaddress import ip_network
from types import SimpleNamespace

import pytest

from twisted_oob import UploadHandler
from twisted_oob.transfer.own_server import OwnServer, server_networks

LOOPBACK = ["127.0.0.0/8", "::1/128"]


def networks(*texts):
    return tuple(ip_network(text) for text in texts)


def connected_to(host):
    """A manager whose stream is connected to an address."""
    transport = SimpleNamespace(getPeer=lambda: SimpleNamespace(host=host))
    return SimpleNamespace(xmlstream=SimpleNamespace(transport=transport))


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("127.0.0.1", LOOPBACK),
        ("127.1.2.3", LOOPBACK),
        ("::1", LOOPBACK),
        ("192.168.1.5", ["192.168.1.5/32"]),
        ("fd00::5", ["fd00::5/128"]),
        ("fe80::5%eth0", ["fe80::5/128"]),
        ("/run/socket", []),
        (None, []),
    ],
)
def test_the_server_itself_may_be_uploaded_to(host, allowed):
    assert server_networks(connected_to(host)) == networks(*allowed)


def test_each_stream_allows_its_own_server_and_no_earlier_one():
    uploads = UploadHandler(allow_networks=networks("10.0.0.0/8"))
    handler = OwnServer(uploads)
    for host in ("192.168.1.5", "192.168.1.6"):
        handler.parent = connected_to(host)
        handler.makeConnection(handler.parent.xmlstream)
        handler.connectionInitialized()
        assert uploads.allow_networks == networks("10.0.0.0/8", f"{host}/32")
        handler.connectionLost(None)

"""Hosting: names that can be sent, and at which address a share is reached."""

from __future__ import annotations

import pytest
import pytest_twisted
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, succeed
from twisted.words.protocols.jabber.jid import JID

from tests.support.streams import ClientWire
from tests.support.waiting import in_time
from twisted_oob import FileShare
from twisted_oob.files.source import SourceFile
from twisted_oob.transfer.hosting import FileHost, UrlHost, is_loopback, sendable_name


class Port:
    """An endpoint and its port, which is at an address that this machine need not have."""

    def __init__(self, address):
        self.address = address

    def listen(self, factory):
        return succeed(self)

    def getHost(self):
        return self.address

    def stopListening(self):
        return succeed(None)


def tcp(host, port):
    return (IPv6Address if ":" in host else IPv4Address)("TCP", host, port)


@pytest.mark.parametrize(
    ("listens", "public", "stream", "reached"),
    [
        ("0.0.0.0", None, "192.0.2.7", "http://192.0.2.7:4711/"),
        ("0.0.0.0", None, "127.0.0.1", "http://127.0.0.1:4711/"),
        ("::", None, "2001:db8::7", "http://[2001:db8::7]:4711/"),
        ("::", None, "192.0.2.7", "http://192.0.2.7:4711/"),
        # Where it does not listen, nobody reaches it.
        ("192.0.2.9", None, "192.0.2.7", "http://192.0.2.9:4711/"),
        ("127.0.0.1", None, "192.0.2.7", "http://127.0.0.1:4711/"),
        ("0.0.0.0", None, "::1", "http://127.0.0.1:4711/"),
        # Without a stream of TCP.
        ("192.0.2.9", None, None, "http://192.0.2.9:4711/"),
        ("0.0.0.0", "https://files.example/x/", "192.0.2.7", "https://files.example/x/"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_share_is_reached_where_the_stream_comes_from(
    tmp_path, listens, public, stream, reached
):
    from twisted.internet import reactor

    share = FileShare(Port(tcp(listens, 4711)), public_url=public, reactor=reactor)
    share.startService()
    end = ClientWire()
    if stream is not None:
        end.open()
        end.transport.hostAddr = tcp(stream, 5222)
    (tmp_path / "a").write_bytes(b"a")
    host = FileHost(SourceFile(tmp_path / "a"), place="auto", share=share, uploads=None, tell=None)
    hosted = Deferred.fromCoroutine(host.give_url(end.manager, JID("bob@far.example"), None))
    url = await in_time(hosted)
    assert url.startswith(reached)
    assert url.endswith("/a")
    host.close()
    await in_time(share.stopService())


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://files.example/x/a%20b.png?c#d", "a b.png"),
        ("https://files.example/%0A%FF", "\ufffd\ufffd"),
        ("https://files.example/x/", None),
        ("https://files.example", None),
        ("magnet:?xt=urn:btih:00", None),
    ],
)
def test_a_url_tells_the_name_of_its_file(url, name):
    assert UrlHost(url).info.name == name


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("a b.png", "a b.png"),
        ("quoted \"'<&>.png", "quoted \"'<&>.png"),
        ("family \U0001f468\u200d\U0001f469\u200d\U0001f467.png", None),
        ("new\nline\x07", "new\ufffdline\ufffd"),
        ("latin\udcff", "latin\ufffd"),
        ("\uffff\x9f", "\ufffd\ufffd"),
    ],
)
def test_a_name_is_what_xml_can_hold(name, sent):
    assert sendable_name(name) == (name if sent is None else sent)


@pytest.mark.parametrize("host", ["localhost", "oob.localhost", "127.0.0.1", "127.9.9.9", "::1"])
def test_hosts_of_this_machine(host):
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["localhost.example", "192.0.2.1", "2001:db8::1", ""])
def test_hosts_of_others(host):
    assert not is_loopback(host)

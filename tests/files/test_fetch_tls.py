"""Fetching over TLS: only from servers whose certificate is for the URL's own host."""

from __future__ import annotations

import pytest
from OpenSSL import SSL
from twisted.internet import ssl
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.web.client import BrowserLikePolicyForHTTPS
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface import implementer

from tests.support.certificates import Authority
from tests.support.fetching import failure_of, names, step, tls_url
from tests.support.hostile_http import answer, first_connection, redirect
from twisted_oob.errors import FetchFailed, Forbidden

NO_TLS = "no secure connection to the server"


@pytest.fixture
def trusting(fetcher, authority):
    """A Fetcher that trusts the authority, beside the platform's."""
    return fetcher(ca_file=authority.file)


@step
async def test_https_is_verified_against_the_name_in_the_url(serve, trusting):
    seen = []

    def reply(connection):
        seen.append(connection.transport.getHandle().get_servername())
        connection.write(answer(b"x" * 500_000))

    web = serve("files.test")
    web.answers = [reply]
    got = await trusting.fetch(tls_url(web))
    assert got.size == 500_000
    assert got.url == tls_url(web)
    assert seen == [b"files.test"]


@pytest.mark.parametrize(
    ("certified", "interface", "host"),
    [
        (["files.test"], "127.0.0.1", "files.test"),
        (["other.test", "files.test"], "127.0.0.1", "files.test"),
        (["*.b.test"], "127.0.0.1", "a.b.test"),
        (["127.0.0.1"], "127.0.0.1", "127.0.0.1"),
        (["files.test", "127.0.0.1"], "127.0.0.1", "127.0.0.1"),
        (["::1"], "::1", "[::1]"),
        (["a_b.test"], "127.0.0.1", "a_b.test"),
        (["a---b.test"], "127.0.0.1", "a---b.test"),
        (["ab--c.test"], "127.0.0.1", "ab--c.test"),
        (["xn--bcher-kva.test"], "127.0.0.1", "xn--bcher-kva.test"),
        (["*.b.test"], "127.0.0.1", "a_c.b.test"),
        (["*.b.test"], "127.0.0.1", "ab--c.b.test"),
        (["*.b.test"], "127.0.0.1", "xn--bcher-kva.b.test"),
        (["files.test"], "127.0.0.1", "files.test."),
        (["*.b.test"], "127.0.0.1", "a_c.b.test."),
    ],
)
@step
async def test_a_certificate_for_the_host(*, net, serve, trusting, certified, interface, host):
    net.hosts[host] = [interface]
    web = serve(*certified, interface=interface)
    web.answers = [answer(b"x")]
    got = await trusting.fetch(tls_url(web, host))
    assert got.url == tls_url(web, host)


@pytest.mark.parametrize(
    ("certified", "interface", "host"),
    [
        (["files.test"], "127.0.0.1", "wrong.test"),
        (["*.test"], "127.0.0.1", "a.b.test"),
        (["*.test"], "127.0.0.1", "a_b.test"),
        (["*.b.test"], "127.0.0.1", "c.a_b.b.test"),
        (["a.*.test"], "127.0.0.1", "a.b_c.test"),
        (["a-b.test"], "127.0.0.1", "a_b.test"),
        (["127.0.0.1"], "127.0.0.1", "files.test"),
        (["files.test"], "127.0.0.1", "127.0.0.1"),
        (["127.0.0.2"], "127.0.0.1", "127.0.0.1"),
        (["127.0.0.1"], "::1", "[::1]"),
        ([], "127.0.0.1", "files.test"),
        ([], "127.0.0.1", "127.0.0.1"),
    ],
)
@step
async def test_a_certificate_for_another_host_or_for_none_gets_no_request(
    *, net, serve, trusting, folder, certified, interface, host
):
    net.hosts[host] = [interface]
    web = serve(*certified, interface=interface)
    web.answers = [answer(b"forged")]
    url = tls_url(web, host).replace("//", "//me:hunter2@")
    error = await failure_of(trusting.fetch(url), FetchFailed)
    assert error.text == NO_TLS
    assert len(error.detail) <= 300
    assert [connection.request for connection in web.connections] == [b""]
    assert names(folder) == []


@pytest.mark.parametrize("how", ["expired", "unknown authority", "platform's roots only"])
@step
async def test_a_certificate_that_is_not_valid(*, fetcher, serve, trusting, tmp_path, how):
    options = {"expired": True} if how == "expired" else {}
    if how == "unknown authority":
        options = {"issuer": Authority(tmp_path)}
    web = serve("files.test", **options)
    made = fetcher() if how == "platform's roots only" else trusting
    error = await failure_of(made.fetch(tls_url(web)), FetchFailed)
    assert error.text == NO_TLS
    assert [connection.request for connection in web.connections] == [b""]


@step
async def test_never_from_https_down_to_http(fetcher, serve, web, trusting):
    secure = serve("files.test")
    secure.answers = [redirect(web.url())]
    error = await failure_of(trusting.fetch(tls_url(secure)), Forbidden)
    assert error.text == "a redirect from https to http is not allowed"
    assert web.connections == []


@step
async def test_from_http_up_to_https(fetcher, serve, web, net, trusting):
    secure = serve("files.test")
    web.answers = [redirect(tls_url(secure))]
    secure.answers = [answer(b"x")]
    got = await trusting.fetch(web.url())
    assert got.url == tls_url(secure)
    assert net.open_before == [0, 0]


@step
async def test_a_server_that_speaks_no_tls(fetcher, web):
    arrived = first_connection(web)
    fetching = fetcher().fetch(web.url().replace("http:", "https:"))
    (await arrived).write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    error = await failure_of(fetching, FetchFailed)
    assert error.text == NO_TLS


@step
async def test_a_server_that_leaves_within_the_handshake(fetcher, web):
    arrived = first_connection(web)
    fetching = fetcher().fetch(web.url().replace("http:", "https:"))
    (await arrived).close()
    error = await failure_of(fetching, FetchFailed)
    assert error.text in {NO_TLS, "no proper answer from the server"}


@step
async def test_a_handshake_without_end(fetcher, web):
    record = b"\x16\x03\x03\x40\x00" + bytes(0x4000)  # as long as one may be
    arrived = first_connection(web)
    fetching = fetcher().fetch(web.url().replace("http:", "https:"))
    (await arrived).write(record * 40)
    error = await failure_of(fetching, FetchFailed)
    assert error.text in {NO_TLS, "the server's headers are too long"}


@pytest.mark.parametrize(
    ("host", "sent"), [("a_b.test.", b"a_b.test"), ("A--B.Test", b"a--b.test"), ("127.0.0.1", None)]
)
@step
async def test_the_server_name_has_no_final_dot_and_is_no_address(
    *, net, serve, trusting, host, sent
):
    seen = []

    def reply(connection):
        seen.append(connection.transport.getHandle().get_servername())
        connection.write(answer(b"x"))

    net.hosts[host.lower()] = ["127.0.0.1"]
    web = serve(host.lower().removesuffix("."))
    web.answers = [reply]
    await trusting.fetch(tls_url(web, host))
    assert seen == [sent]


@implementer(IPolicyForHTTPS, IOpenSSLClientConnectionCreator)
class Pinning:
    """A user's own policy: one certificate is good for any host, and no other is for any."""

    def __init__(self, file):
        self._pinned = ssl.Certificate.loadPEM(file.read_bytes()).original.digest("sha256")
        self.asked = []

    def creatorForNetloc(self, hostname, port):
        self.asked.append((hostname, port))
        return self

    def clientConnectionForTLS(self, _protocol):
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_verify(
            SSL.VERIFY_PEER, lambda _, one, *__: one.digest("sha256") == self._pinned
        )
        return SSL.Connection(context, None)


@pytest.mark.parametrize("names_in_it", [[], ["other.test"]])
@pytest.mark.parametrize("host", ["files.test", "a_b.test.", "127.0.0.1"])
@step
async def test_a_tls_policy_is_asked_alone(*, net, fetcher, serve, authority, names_in_it, host):
    net.hosts[host] = ["127.0.0.1"]
    file = authority.issue("x", names=names_in_it, self_signed=True)
    web, stranger = serve(file=file), serve(host.removesuffix("."))
    web.answers = [answer(b"x")]
    policy = Pinning(file)
    made = fetcher(tls_policy=policy)
    assert (await made.fetch(tls_url(web, host))).size == 1
    error = await failure_of(made.fetch(tls_url(stranger, host)), FetchFailed)
    assert error.text == NO_TLS
    assert [connection.request for connection in stranger.connections] == [b""]
    asked = host.removesuffix(".").encode()
    assert policy.asked == [(asked, web.port), (asked, stranger.port)]


@step
async def test_no_certificate_names_a_host_that_is_too_long(fetcher, net):
    host = ".".join(["a" * 63] * 3 + ["b" * 62])
    error = await failure_of(fetcher().fetch(f"https://{host}/"), FetchFailed)
    assert error.text == NO_TLS
    assert net.resolved == net.tried == []


@step
async def test_a_tls_policy_may_not_take_a_host(fetcher, net):
    net.hosts["a_b.test"] = ["127.0.0.1"]
    made = fetcher(tls_policy=BrowserLikePolicyForHTTPS())
    error = await failure_of(made.fetch("https://a_b.test/"), FetchFailed)
    assert error.text == NO_TLS
    assert "a_b" in error.detail
    assert net.tried == []

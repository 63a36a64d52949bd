"""Fetching over TLS: only from servers whose certificate is for the URL's own host."""

from __future__ import annotations

import pytest
from twisted.internet import ssl
from twisted.web.client import BrowserLikePolicyForHTTPS

from tests.support.certificates import Authority
from tests.support.fetching import failure_of, names, step, tls_url
from tests.support.hostile_http import answer, first_connection, redirect
from twisted_oob.errors import FetchFailed, Forbidden

NO_TLS = "no secure connection to the server"


@pytest.fixture(scope="module")
def trusting(authority):
    """A policy that trusts the authority, and nobody else."""
    root = ssl.Certificate.loadPEM(authority.file.read_bytes())
    return BrowserLikePolicyForHTTPS(trustRoot=root)


@step
async def test_https_is_verified_against_the_name_in_the_url(fetcher, serve, trusting):
    seen = []

    def reply(connection):
        seen.append(connection.transport.getHandle().get_servername())
        connection.write(answer(b"x" * 500_000))

    web = serve("files.test")
    web.answers = [reply]
    got = await fetcher(tls_policy=trusting).fetch(tls_url(web))
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
    ],
)
@step
async def test_a_certificate_for_the_host(*, fetcher, serve, trusting, certified, interface, host):
    web = serve(*certified, interface=interface)
    web.answers = [answer(b"x")]
    got = await fetcher(tls_policy=trusting).fetch(tls_url(web, host))
    assert got.url == tls_url(web, host)


@pytest.mark.parametrize(
    ("certified", "interface", "host"),
    [
        (["files.test"], "127.0.0.1", "wrong.test"),
        (["*.test"], "127.0.0.1", "a.b.test"),
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
    *, fetcher, serve, trusting, folder, certified, interface, host
):
    web = serve(*certified, interface=interface)
    web.answers = [answer(b"forged")]
    url = tls_url(web, host).replace("//", "//me:hunter2@")
    error = await failure_of(fetcher(tls_policy=trusting).fetch(url), FetchFailed)
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
    policy = None if how == "platform's roots only" else trusting
    error = await failure_of(fetcher(tls_policy=policy).fetch(tls_url(web)), FetchFailed)
    assert error.text == NO_TLS
    assert [connection.request for connection in web.connections] == [b""]


@step
async def test_never_from_https_down_to_http(fetcher, serve, web, trusting):
    secure = serve("files.test")
    secure.answers = [redirect(web.url())]
    error = await failure_of(fetcher(tls_policy=trusting).fetch(tls_url(secure)), Forbidden)
    assert error.text == "a redirect from https to http is not allowed"
    assert web.connections == []


@step
async def test_from_http_up_to_https(fetcher, serve, web, net, trusting):
    secure = serve("files.test")
    web.answers = [redirect(tls_url(secure))]
    secure.answers = [answer(b"x")]
    got = await fetcher(tls_policy=trusting).fetch(web.url())
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
    (await arrived).write(record * 20)
    error = await failure_of(fetching, FetchFailed)
    assert error.text in {NO_TLS, "the server's headers are too long"}


@step
async def test_a_name_that_no_certificate_can_have(fetcher, net):
    net.hosts["a_b.test"] = ["127.0.0.1"]
    error = await failure_of(fetcher().fetch("https://a_b.test/"), FetchFailed)
    assert error.text in {NO_TLS, "the server could not be reached"}

"""Secrets in URLs (userinfo, query, fragment) reach no error, no log and no repr."""

from __future__ import annotations

import pytest
from twisted.internet.protocol import Factory, Protocol

from tests.support.fetching import failure_of, step, told_by
from tests.support.hostile_http import answer, redirect, then_close

SECRETS = ("hunter2", "signature-of-the-url", "key-in-the-fragment", "token-of-the-redirect")


def secret_url(web, path="/file.bin", scheme="http"):
    return (
        f"{scheme}://me:hunter2@127.0.0.1:{web.port}{path}"
        "?sig=signature-of-the-url#key-in-the-fragment"
    )


def hop(url):
    return redirect(f"{url}?token=token-of-the-redirect")


def echo(connection):
    """Send the request back, as servers of other protocols do when they complain."""
    line = connection.request.partition(b"\r\n")[0]
    connection.write(b"unknown: " + line + b"\r\n\r\n")


def reply(status_line):
    return then_close(f"{status_line}\r\nContent-Length: 0\r\n\r\n".encode())


FAILURES = {
    "not found": answer(b"", status="404 Not Found"),
    "status that quotes": answer(b"", status="404 no sig=signature-of-the-url here"),
    "endless status": reply("HTTP/1.1 " + "9" * 4000 + " what"),
    "negative status": reply("HTTP/1.1 -" + "9" * 4000 + " what"),
    "no status": reply("HTTP/1.1 sig=signature-of-the-url OK"),
    "echo": echo,
    "echo as the version": reply("sig=signature-of-the-url 200 OK"),
    "short": then_close(answer(b"half", length=8)),
    "closed": lambda connection: connection.close(),
    "coding": answer(b"", "Content-Encoding: " + "gzip," * 1000),
    "length": answer(b"", length="-" + "9" * 4000),
    "lengths": answer(b"", "Content-Length: " + "9" * 4000),
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nsignature-of-the-url\r\n",
    "redirect to a scheme": hop("ftp://me:hunter2@files.example/"),
    "redirect to an address": hop("http://me:hunter2@10.0.0.1/"),
    "redirect to a name": hop("http://me:hunter2@a%20b/"),
    "redirect to a port": hop("http://me:hunter2@files.example:port/"),
    "redirect to nowhere": hop("http://me:hunter2@["),
    "redirect to a space": hop("http://me:hunter2@a b/"),
    "redirect without end": hop("http://127.0.0.1:1/" + "a" * 8000),
    "no Location": redirect(None),
}


def assert_told_nothing(*told):
    for text in told:
        for secret in SECRETS:
            assert secret not in text


def everything(log):
    return "\n".join(map(repr, log))


@pytest.mark.parametrize("why", FAILURES)
@step
async def test_no_failure_tells_a_secret_or_without_end(*, fetcher, web, log, why):
    web.answers = [FAILURES[why]]
    error = await failure_of(fetcher().fetch(secret_url(web)))
    assert_told_nothing(error.text, error.detail, str(error), repr(error), everything(log))
    assert len(error.text) <= 100
    assert len(error.detail) <= 300


@pytest.mark.parametrize(
    "url",
    [
        "http://me:hunter2@127.0.0.1:1/?sig=signature-of-the-url",
        "http://me:hunter2@10.0.0.1/?sig=signature-of-the-url",
        "http://me:hunter2@nobody.invalid/?sig=signature-of-the-url",
        "http://me:hunter2@a b/?sig=signature-of-the-url",
        "http://me:hunter2@a:hunter2/?sig=signature-of-the-url",
        "http://me:hunter2@[::1/?sig=signature-of-the-url",
        "http://me:hunter2@[fe80::1%25eth0]:x/?sig=signature-of-the-url",
        "aesgcm://files.example/a.bin#key-in-the-fragment",
        "ftp://me:hunter2@files.example/?sig=signature-of-the-url",
        "https://me:hunter2@a_b.test/?sig=signature-of-the-url",
        "http://me:hunter2@" + "a" * 8000 + "/?sig=signature-of-the-url",
        "s" * 8000 + "://me:hunter2@files.example/?sig=signature-of-the-url",
    ],
)
@step
async def test_no_url_that_is_not_fetched_tells_one(*, fetcher, net, log, url):
    net.hosts["nobody.invalid"] = []
    net.hosts["a_b.test"] = ["127.0.0.1"]
    error = await failure_of(fetcher().fetch(url))
    assert_told_nothing(told_by(error), everything(log))
    assert len(error.text) <= 100
    assert len(error.detail) <= 300


@pytest.mark.parametrize("names", [["wrong.test"], []])
@step
async def test_no_handshake_tells_one(*, fetcher, serve, log, names):
    web = serve(*names)
    error = await failure_of(fetcher().fetch(secret_url(web, scheme="https")))
    assert_told_nothing(told_by(error), everything(log))
    log.failures()  # Twisted logs what it can't read in a certificate


@step
async def test_a_fetched_file_shows_its_url_without_them(*, fetcher, web, log):
    web.answers = [hop("/other.bin"), answer(b"x")]
    got = await fetcher().fetch(secret_url(web))
    assert got.url == web.url("/other.bin?token=token-of-the-redirect")
    assert_told_nothing(repr(got), everything(log))
    assert web.url("/other.bin") in repr(got)
    assert got.sha256 in repr(got)
    assert str(got.path) in repr(got)


@step
async def test_a_long_url_is_cut_in_the_repr(*, fetcher, web):
    web.answers = [answer(b"x")]
    got = await fetcher().fetch(web.url("/" + "a" * 5000))
    assert len(got.url) > 5000
    assert len(repr(got)) < 1000


class _Talker(Protocol):
    """Speaks before it is asked, as an SMTP server does."""

    def connectionMade(self):
        self.transport.write(b"220 signature-of-the-url ESMTP\r\n")


@step
async def test_a_server_that_speaks_first(*, fetcher, net, log):
    port = net.listenTCP(0, Factory.forProtocol(_Talker), interface="127.0.0.1")
    try:
        where = port.getHost()
        error = await failure_of(fetcher().fetch(secret_url(where)))
    finally:
        await port.stopListening()
    assert_told_nothing(error.text, error.detail, everything(log))

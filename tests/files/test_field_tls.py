"""https as servers in the field speak it, over real sockets: the end of a body, names, trust."""

from __future__ import annotations

import pytest
from OpenSSL import SSL
from twisted.internet.ssl import DefaultOpenSSLContextFactory

from tests.support.fetching import end, failure_of, names, step, tls_url
from tests.support.hostile_http import HostileServer, answer, chunked, redirect
from twisted_oob.errors import FetchFailed, Forbidden

BODY = b"what was offered\n" * 1000
NO_TLS = "no secure connection to the server"
EARLY = "the file ended early"
NO_END = "the server does not say where the file ends"
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n" + BODY
VERSIONS = {"TLS 1.2": SSL.TLS1_2_VERSION, "TLS 1.3": SSL.TLS1_3_VERSION}


class _OneVersion(DefaultOpenSSLContextFactory):
    """Speaks one version of TLS only."""

    version = None

    def getContext(self):
        context = super().getContext()
        context.set_min_proto_version(self.version)
        context.set_max_proto_version(self.version)
        return context


@pytest.fixture(params=VERSIONS.values(), ids=list(VERSIONS))
def versioned(request, net, authority):
    """Begins servers for files.test that speak one version of TLS."""
    servers = []

    def begin():
        file = str(authority.issue("server", names=["files.test"]))
        tls = _OneVersion(file, file)
        tls.version = request.param
        servers.append(HostileServer(net, tls=tls))
        return servers[-1]

    net.hosts["files.test"] = ["127.0.0.1"]
    return begin


def then_close_properly(data):
    """An answer after which the server ends TLS (close_notify), and then TCP."""

    def reply(connection):
        connection.write(data)
        connection.transport.loseConnection()

    return reply


def then_cut(data):
    """An answer after which the server ends TCP alone."""

    def reply(connection):
        connection.write(data)
        # TLSMemoryBIOProtocol's transport is the TCP connection.
        connection.transport.transport.loseConnection()

    return reply


# By RFC 9112 section 9.8: what a close_notify makes whole, and what it does not.
ENDS = {
    "no length, closed properly": (then_close_properly(UNTIL_CLOSE), None),
    "no length, HTTP/1.0, closed properly": (
        then_close_properly(UNTIL_CLOSE.replace(b"1.1", b"1.0")),
        None,
    ),
    "nothing, closed properly": (then_close_properly(UNTIL_CLOSE[: -len(BODY)]), None),
    "no length, cut": (then_cut(UNTIL_CLOSE), {EARLY, NO_END}),
    "nothing, cut": (then_cut(UNTIL_CLOSE[: -len(BODY)]), {EARLY, NO_END}),
    "whole by its length, cut": (then_cut(answer(BODY)), None),
    "whole by its chunks, cut": (then_cut(chunked(BODY)), None),
    "whole by its length, closed properly": (then_close_properly(answer(BODY)), None),
    "short of its length, closed properly": (
        then_close_properly(answer(BODY, length=len(BODY) + 1)),
        {EARLY},
    ),
    "short of its length, cut": (then_cut(answer(BODY, length=len(BODY) + 1)), {EARLY}),
    "no last chunk, closed properly": (then_close_properly(chunked(BODY, end=b"")), {EARLY}),
    "no last chunk, cut": (then_cut(chunked(BODY, end=b"")), {EARLY}),
    "no end of the head, closed properly": (
        then_close_properly(b"HTTP/1.1 200 OK\r\nX: y\r\n"),
        {"no proper answer from the server"},
    ),
}


@pytest.mark.parametrize(("reply", "texts"), ENDS.values(), ids=list(ENDS))
@step
async def test_the_end_of_a_body(*, fetcher, versioned, authority, folder, log, reply, texts):
    web = versioned()
    log.clear()  # it says that it listens
    try:
        web.answers = [reply]
        fetching = fetcher(ca_file=authority.file).fetch(tls_url(web))
        if texts is None:
            content = (await fetching).path.read_bytes()
            assert content in (BODY, b"")
        else:
            assert (await failure_of(fetching, FetchFailed)).text in texts
            assert names(folder) == []
        assert log == []
    finally:
        await end(web)


# --- names that DNS can hold, and certificates do

HOSTS = {
    "an underscore": ("my_files.files.test", ["my_files.files.test"]),
    "an underscore at the begin": ("_a.files.test", ["_a.files.test"]),
    "an underscore at the end": ("a_.files.test", ["*.files.test"]),
    "an underscore, by a wildcard": ("user_1.files.test", ["*.files.test"]),
    "three dashes": ("a---b.files.test", ["a---b.files.test"]),
    "three dashes, by a wildcard": ("pr---12.files.test", ["*.files.test"]),
    "two dashes in the third place": ("ab--cd.files.test", ["ab--cd.files.test"]),
    "two dashes, by a wildcard": ("r3--sn-x.files.test", ["*.files.test"]),
    "dashes at both ends": ("-a-.files.test", ["*.files.test"]),
    "what looks like an A-label": ("xn--a.files.test", ["*.files.test"]),
    "a final dot": ("files.test.", ["files.test"]),
    "a final dot, by a wildcard": ("a.files.test.", ["*.files.test"]),
    "all of it": ("-_--.files.test.", ["*.files.test"]),
    "capitals": ("A_B.Files.TEST", ["a_b.files.test"]),
    "capitals in the certificate": ("a_b.files.test", ["A_B.Files.Test"]),
    "digits": ("1.2.3.files.test", ["1.2.3.files.test"]),
    "one label": ("files", ["files"]),
}


@pytest.mark.parametrize(("host", "certified"), HOSTS.values(), ids=list(HOSTS))
@step
async def test_a_host_that_its_certificate_names(
    *, fetcher, serve, net, authority, host, certified
):
    seen = []

    def reply(connection):
        seen.append(connection.transport.getHandle().get_servername())
        connection.write(answer(BODY))

    for spelled in (host, host.lower()):
        net.hosts[spelled] = ["127.0.0.1"]
    web = serve(*certified)
    web.answers = [reply]
    got = await fetcher(ca_file=authority.file).fetch(tls_url(web, host))
    assert got.path.read_bytes() == BODY
    assert seen == [host.lower().rstrip(".").encode()]


OTHERS = {
    "another underscore": ("a_b.files.test", ["a_c.files.test"]),
    "a wildcard of two labels": ("a_b.c.files.test", ["*.files.test"]),
    "a wildcard of no label": ("files.test.", ["*.files.test"]),
    "a wildcard for a whole domain": ("a_b.test", ["*.test."]),
    "a wildcard within a label": ("a_bcd.files.test", ["a_b*.files.test"]),
    "a wildcard in the middle": ("a_b.x.test", ["a_b.*.test"]),
    "two final dots": ("files.test..", ["files.test"]),
    "a dot before": (".files.test", ["*.files.test", ".files.test"]),
    "a longer name": ("a---b.files.test", ["a---b.files.test.evil.test"]),
    "a name with NUL": ("a_b.files.test", ["a_b.files.test\0.evil.test"]),
    "an address's name": ("127.0.0.1", ["*.0.0.1"]),
}


@pytest.mark.parametrize(("host", "certified"), OTHERS.values(), ids=list(OTHERS))
@step
async def test_a_host_that_its_certificate_does_not_name(
    *, fetcher, serve, net, authority, folder, host, certified
):
    net.hosts[host] = ["127.0.0.1"]
    web = serve(*certified)
    web.answers = [answer(BODY)]
    url = tls_url(web, host).replace("//", "//me:hunter2@")
    await failure_of(fetcher(ca_file=authority.file).fetch(url), FetchFailed, Forbidden)
    assert b"".join(connection.request for connection in web.connections) == b""
    assert names(folder) == []


# --- international hosts

INTERNATIONAL = {
    "bücher.test": "xn--bcher-kva.test",
    "BÜCHER.test": "xn--bcher-kva.test",
    "a_b.bücher.test": "a_b.xn--bcher-kva.test",
    "пример.test": "xn--e1afmkfd.test",
    "b%C3%BCcher.test": "xn--bcher-kva.test",  # as Django writes a Location
    "例え.テスト": "xn--r8jz45g.xn--zckzah",
    "bücher。test": "xn--bcher-kva.test",  # an ideographic full stop (RFC 3490 section 3.1)
}


@pytest.mark.parametrize(("host", "a_labels"), INTERNATIONAL.items(), ids=list(INTERNATIONAL))
@step
async def test_an_international_host_is_its_a_labels(
    *, fetcher, serve, web, net, authority, host, a_labels
):
    net.hosts[a_labels] = ["127.0.0.1"]
    secure = serve(a_labels)
    secure.answers = [answer(BODY), answer(BODY)]
    ours = fetcher(ca_file=authority.file)
    got = await ours.fetch(tls_url(secure, host))
    assert got.url == tls_url(secure, a_labels)
    web.answers = [
        lambda connection: connection.write(
            redirect("LOCATION").replace(b"LOCATION", tls_url(secure, host).encode())
        )
    ]
    got = await ours.fetch(web.url())
    assert got.url == tls_url(secure, a_labels)
    assert {connection.headers["host"] for connection in secure.connections} == {
        f"{a_labels}:{secure.port}"
    }


@pytest.mark.parametrize(
    "host",
    [
        *("１２７.0.0.1", "①.test", "127。0。0。2", "localhost\u00ad", "ⓛocalhost"),  # noqa: RUF001
        *("evil.test\uff0f.good.test", "good.test\uff03@evil.test", "a\u2100b.test", "\u200b.test"),
        *("%31%32%37.0.0.1", "b%C3%BCcher.test", "xn--\u00fc.test", "a..ü.test"),
    ],
)
@step
async def test_no_host_is_two_hosts(fetcher, net, host):
    """What is fetched, if it is at all, is asked for by the very name that was resolved."""
    resolved = []

    class Nobody(dict):
        def __contains__(self, name):
            resolved.append(name)
            return True

        def __getitem__(self, name):
            return ["10.0.0.1"]

    net.hosts = Nobody()
    fetching = fetcher(allow_networks=()).fetch(f"http://{host}/")
    error = await failure_of(fetching, Forbidden, FetchFailed)
    assert error.text
    assert net.tried == []
    for name in resolved:
        assert name.isascii()
        assert not set(name) & set("/#?@:%\\")


# --- who decides whom to trust


@step
async def test_a_policy_of_the_users_own_is_asked_alone(fetcher, serve):
    """It may pin a certificate that names nobody, or another host."""
    from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
    from twisted.web.iweb import IPolicyForHTTPS
    from zope.interface import implementer

    asked = []

    @implementer(IOpenSSLClientConnectionCreator)
    class Pinning:
        def clientConnectionForTLS(self, protocol):
            context = SSL.Context(SSL.TLS_METHOD)
            connection = SSL.Connection(context, None)
            connection.set_connect_state()
            return connection

    @implementer(IPolicyForHTTPS)
    class Policy:
        def creatorForNetloc(self, hostname, port):
            asked.append((hostname, port))
            return Pinning()

    web = serve("somebody.else.test")
    web.answers = [answer(BODY)]
    got = await fetcher(tls_policy=Policy()).fetch(tls_url(web))
    assert got.path.read_bytes() == BODY
    assert asked == [(b"files.test", web.port)]

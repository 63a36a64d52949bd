"""Fetching only from judged addresses, and over TLS only from verified servers."""

from __future__ import annotations

import datetime

import pytest
import pytest_twisted
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from twisted.internet import ssl
from twisted.internet.defer import Deferred
from twisted.web.client import BrowserLikePolicyForHTTPS

from tests.support.fetching import end, failure_of, names, step
from tests.support.hostile_http import HostileServer, answer, redirect
from twisted_oob.errors import FetchFailed, Forbidden

# --- addresses


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}/",
        "http://2130706433:{port}/",
        "http://0x7f.1:{port}/",
        "http://0177.0.0.1:{port}/",
        "http://127.1:{port}/",
        "http://[::1]:{port}/",
        "http://[::ffff:127.0.0.1]:{port}/",
        "http://localhost:{port}/",
        "https://127.0.0.1:{port}/",
        "http://169.254.169.254/latest/meta-data/",
        "http://0.0.0.0:{port}/",
    ],
)
@step
async def test_a_forbidden_address_is_never_tried(fetcher, web, net, url):
    fetching = fetcher(allow_networks=()).fetch(url.format(port=web.port))
    error = await failure_of(fetching, Forbidden)
    assert error.text == "this address is not allowed"
    assert net.tried == []
    assert web.connections == []


@step
async def test_an_address_as_everybody_writes_it_is_not_resolved(fetcher, web, net):
    web.answers = [answer(b"x"), answer(b"x")]
    await fetcher().fetch(web.url())
    assert net.resolved == []
    await fetcher().fetch(web.url(host="2130706433"))
    assert net.resolved == ["2130706433"]
    assert net.tried == [("127.0.0.1", web.port)] * 2


@step
async def test_a_name_with_one_forbidden_address_is_refused_wholly(fetcher, web, net):
    net.hosts["two.test"] = ["127.0.0.1", "10.0.0.1"]
    await failure_of(fetcher().fetch(web.url(host="two.test")), Forbidden)
    assert net.tried == []


@step
async def test_every_hop_is_judged_anew(fetcher, web, net, folder):
    net.hosts["inside.test"] = ["169.254.169.254"]
    web.answers = [redirect("http://inside.test/"), redirect("http://169.254.169.254/")]
    for _ in range(2):
        error = await failure_of(fetcher().fetch(web.url()), Forbidden)
        assert error.text == "this address is not allowed"
    assert {host for host, _ in net.tried} == {"127.0.0.1"}


@step
async def test_a_name_that_resolves_anew_meets_the_judged_address(fetcher, web, net):
    net.hosts["rebinding.test"] = [["127.0.0.1"], ["10.0.0.1"]]
    web.answers = [answer(b"x")]
    await fetcher().fetch(web.url(host="rebinding.test"))
    assert net.resolved == ["rebinding.test"]
    assert net.tried == [("127.0.0.1", web.port)]
    assert web.connections[0].headers["host"] == f"rebinding.test:{web.port}"


@step
async def test_a_name_that_resolves_anew_is_judged_on_the_next_hop(fetcher, web, net):
    net.hosts["rebinding.test"] = [["127.0.0.1"], ["10.0.0.1"]]
    web.answers = [redirect("/again")]
    await failure_of(fetcher().fetch(web.url(host="rebinding.test")), Forbidden)
    assert net.tried == [("127.0.0.1", web.port)]


@step
async def test_every_judged_address_is_tried(fetcher, web, net):
    net.hosts["many.test"] = ["127.0.0.2", "127.0.0.1"]
    web.answers = [answer(b"x")]
    await fetcher().fetch(web.url(host="many.test"))
    assert net.tried == [("127.0.0.2", web.port), ("127.0.0.1", web.port)]


@step
async def test_an_allowed_ipv4_network_is_reached_in_its_ipv6_form(fetcher, web):
    web.answers = [answer(b"x")]
    await fetcher().fetch(web.url(host="[::ffff:127.0.0.1]"))


@step
async def test_no_proxy_of_the_environment_is_used(fetcher, web, net, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1/")
    web.answers = [answer(b"x")]
    await fetcher().fetch(web.url())
    assert net.tried == [("127.0.0.1", web.port)]


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "file:///etc/passwd", "http://", "nonsense"])
@step
async def test_other_urls_are_forbidden(fetcher, net, url):
    await failure_of(fetcher().fetch(url), Forbidden)
    assert net.resolved == []


# --- TLS


def make_certificate(host, *, named=True):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    )
    if named:
        alternatives = x509.SubjectAlternativeName([x509.DNSName(host)])
        builder = builder.add_extension(alternatives, critical=False)
    certificate = builder.sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return ssl.PrivateCertificate.loadPEM(private + certificate.public_bytes(pem))


@pytest.fixture(scope="module")
def certificate():
    return make_certificate("files.test")


@pytest_twisted.async_yield_fixture
async def tls_server(net, certificate):
    web = HostileServer(net, tls=certificate.options())
    net.hosts["files.test"] = net.hosts["wrong.test"] = ["127.0.0.1"]
    yield web
    await end(web)


def tls_url(web, host="files.test"):
    return f"https://{host}:{web.port}/file.bin"


@step
async def test_https_is_verified_against_the_name_in_the_url(
    fetcher, tls_server, certificate, folder
):
    roots = BrowserLikePolicyForHTTPS(trustRoot=certificate)
    seen = []

    def reply(connection):
        seen.append(connection.transport.getHandle().get_servername())
        connection.write(answer(b"x" * 500_000))

    tls_server.answers = [reply]
    got = await fetcher(tls_policy=roots).fetch(tls_url(tls_server))
    assert got.size == 500_000
    assert got.url == tls_url(tls_server)
    assert seen == [b"files.test"]


@pytest.mark.parametrize(("host", "trusted"), [("wrong.test", True), ("files.test", False)])
@step
async def test_https_to_an_unverified_server_fails(
    *, fetcher, tls_server, certificate, folder, host, trusted
):
    roots = BrowserLikePolicyForHTTPS(trustRoot=certificate) if trusted else None
    fetching = fetcher(tls_policy=roots).fetch(tls_url(tls_server, host))
    error = await failure_of(fetching, FetchFailed)
    assert error.text == "no secure connection to the server"
    assert names(folder) == []


@step
async def test_a_certificate_for_no_name_is_good_for_none(fetcher, net, folder):
    nameless = make_certificate("files.test", named=False)
    web = HostileServer(net, tls=nameless.options())
    web.answers = [answer(b"forged")]
    net.hosts["files.test"] = ["127.0.0.1"]
    roots = BrowserLikePolicyForHTTPS(trustRoot=nameless)
    url = tls_url(web).replace("//", "//me:hunter2@")
    error = await failure_of(fetcher(tls_policy=roots).fetch(url), FetchFailed)
    assert error.text == "no secure connection to the server"
    assert [connection.request for connection in web.connections] == [b""]
    assert names(folder) == []
    await end(web)


@step
async def test_never_from_https_down_to_http(fetcher, tls_server, web, certificate):
    tls_server.answers = [redirect(web.url())]
    roots = BrowserLikePolicyForHTTPS(trustRoot=certificate)
    error = await failure_of(fetcher(tls_policy=roots).fetch(tls_url(tls_server)), Forbidden)
    assert error.text == "a redirect from https to http is not allowed"
    assert web.connections == []


@step
async def test_a_server_that_speaks_no_tls(fetcher, web):
    fetching = fetcher().fetch(web.url().replace("http:", "https:"))
    connection = await first_connection(web)
    connection.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    error = await failure_of(fetching, FetchFailed)
    assert error.text == "no secure connection to the server"


def first_connection(web):
    """Fires with the next connection as soon as it sends a byte."""
    arrived = Deferred()
    build = web.buildProtocol

    def building(address):
        connection = build(address)
        connection.dataReceived = lambda data: arrived.called or arrived.callback(connection)
        return connection

    web.buildProtocol = building
    return arrived


@step
async def test_a_name_that_no_certificate_can_have(fetcher, net):
    net.hosts["a_b.test"] = ["127.0.0.1"]
    error = await failure_of(fetcher().fetch("https://a_b.test/"), FetchFailed)
    assert error.text in {"no secure connection to the server", "the server could not be reached"}

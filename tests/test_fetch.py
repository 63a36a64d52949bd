"""Fetching over real sockets, from a server that misbehaves, to the real file system."""

from __future__ import annotations

import datetime
import errno
import functools
import hashlib
import ipaddress
import os
import threading
import tracemalloc

import pytest
import pytest_twisted
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from twisted.internet import ssl
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.web.client import BrowserLikePolicyForHTTPS

from tests.hostile_http import HostileServer, answer, chunked, redirect, then_close
from twisted_oob import fetch, landing
from twisted_oob._version import __version__
from twisted_oob.errors import FetchFailed, Forbidden, NoRoom, TooLarge
from twisted_oob.fetch import Fetcher
from twisted_oob.landing import Landing
from twisted_oob.policy import FetchPolicy

LOOPBACK = tuple(map(ipaddress.ip_network, ("127.0.0.0/8", "::1/128")))
HTTP_ERRORS = (FetchFailed, Forbidden, NoRoom, TooLarge)
PATIENCE = 10  # real seconds, after which a test that waits for something fails


def step(test):
    """An asynchronous test that fails rather than wait for ever."""

    @functools.wraps(test)
    def run(**fixtures):
        from twisted.internet import reactor  # no reactor before a test wants one

        begin = Deferred()
        begin.addCallback(lambda _: Deferred.fromCoroutine(test(**fixtures)))
        begin.addTimeout(PATIENCE, reactor)
        begin.callback(None)
        return begin

    return run


class Net:
    """The real reactor, except that names resolve to what a test says; it notes connections."""

    def __init__(self, reactor):
        self._reactor = reactor
        self.hosts = {}
        self.resolved = []
        self.tried = []
        self.on_try = lambda: None

    def __getattr__(self, name):
        return getattr(self._reactor, name)

    @property
    def nameResolver(self):
        return self

    def resolveHostName(self, receiver, hostName, portNumber=0, *args, **kwargs):
        self.resolved.append(hostName)
        if hostName not in self.hosts:
            return self._reactor.nameResolver.resolveHostName(
                receiver, hostName, portNumber, *args, **kwargs
            )
        answers = self.hosts[hostName]
        if answers is None:  # never answers
            return None
        if answers and isinstance(answers[0], list):  # other answers each time
            answers = answers.pop(0)
        for address in answers:
            kind = IPv6Address if ":" in address else IPv4Address
            receiver.addressResolved(kind("TCP", address, portNumber))
        receiver.resolutionComplete()
        return None

    def connectTCP(self, host, port, *args, **kwargs):
        self.tried.append((host, port))
        connector = self._reactor.connectTCP(host, port, *args, **kwargs)
        self.on_try()
        return connector


@pytest.fixture
def net():
    from twisted.internet import reactor  # no reactor before a test wants one

    return Net(reactor)


@pytest.fixture
def clock():
    """The clock of both limits; afterwards nothing may be left to be called."""
    clock = Clock()
    yield clock
    assert clock.getDelayedCalls() == []


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "downloads"
    folder.mkdir()
    return folder


@pytest.fixture
def fetcher(net, clock, folder):
    """Makes a Fetcher whose policy allows loopback."""

    def make(*, tls_policy=None, **policy):
        policy.setdefault("allow_networks", LOOPBACK)
        return Fetcher(net, FetchPolicy(**policy), folder, tls_policy=tls_policy, clock=clock)

    return make


@pytest_twisted.async_yield_fixture
async def server(net):
    server = HostileServer(net)
    yield server
    await end(server)


async def end(server):
    """Stop the server. The client closed every connection by itself: nobody had to help it."""
    gone = DeferredList([connection.lost for connection in server.connections])
    try:
        await gone.addTimeout(PATIENCE, server.reactor)
    finally:
        await server.stop()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def ends_of(deferred):
    """A list that is empty until the Deferred has its result. (Its .called is true before.)"""
    ends = []

    def ended(result):
        ends.append(result)
        return result

    deferred.addBoth(ended)
    return ends


async def failure_of(deferred, *kinds):
    with pytest.raises(kinds or HTTP_ERRORS) as caught:
        await deferred
    return caught.value


class Gate:
    """Holds a function in its thread until the test opens it. Tells the reactor when it is in."""

    def __init__(self, reactor, function):
        self._reactor = reactor
        self._function = function
        self._open = threading.Event()
        self.entered = Deferred()
        self.calls = 0

    def __call__(self, *args, **kwargs):
        self.calls += 1
        if self.calls == 1:
            self._reactor.callFromThread(self.entered.callback, None)
        assert self._open.wait(10)
        return self._function(*args, **kwargs)

    def open(self):
        self._open.set()


@pytest.fixture
def gate(net, monkeypatch):
    """Puts a Gate in front of a function; open at the latest when the test ends."""
    gates = []

    def make(owner, name):
        gate = Gate(net, getattr(owner, name))
        gates.append(gate)
        replacement = gate
        if isinstance(owner, type):

            def replacement(self, *args, **kwargs):
                return gate(self, *args, **kwargs)

        monkeypatch.setattr(owner, name, replacement)
        return gate

    yield make
    for each in gates:
        each.open()


@pytest.fixture
def bodies(net, monkeypatch):
    """Tells when a response's body gets its next bytes, and when it first pauses the server."""

    class Spy:
        waiting = None
        pauses = 0
        resumes = 0

        def __init__(self):
            self.paused = Deferred()

        def next(self):
            self.waiting = Deferred()
            return self.waiting

    spy = Spy()

    class Body(fetch._Body):
        def connectionMade(self):
            transport = self.transport
            pause, resume = transport.pauseProducing, transport.resumeProducing

            def pausing():
                pause()
                if not spy.pauses:
                    net.callLater(0, spy.paused.callback, None)
                spy.pauses += 1

            def resuming():
                resume()
                spy.resumes += 1

            class Transport:
                pauseProducing = staticmethod(pausing)
                resumeProducing = staticmethod(resuming)

            self.transport = Transport

        def dataReceived(self, data):
            super().dataReceived(data)
            if spy.waiting is not None:
                waiting, spy.waiting = spy.waiting, None
                net.callLater(0, waiting.callback, None)

    monkeypatch.setattr(fetch, "_Body", Body)
    return spy


# --- whole files


@step
async def test_a_file_is_fetched(fetcher, server, folder):
    server.answers = [answer(b"the file", "Content-Disposition: attachment; filename=a.txt")]
    got = await fetcher().fetch(server.url("/x?y#z"))
    assert got.path == folder / "a.txt"
    assert got.path.read_bytes() == b"the file"
    assert got.size == 8
    assert got.sha256 == hashlib.sha256(b"the file").hexdigest()
    assert got.url == server.url("/x?y")
    assert names(folder) == ["a.txt"]


@step
async def test_the_request(fetcher, server):
    server.answers = [answer()]
    await fetcher().fetch(server.url("/x?y#z"))
    [connection] = server.connections
    assert connection.line == "GET /x?y HTTP/1.1"
    assert connection.headers == {
        "host": f"127.0.0.1:{server.port}",
        "connection": "close",
        "accept": "*/*",
        "accept-encoding": "identity",
        "user-agent": f"twisted_oob/{__version__}",
    }


@pytest.mark.parametrize(
    ("reply", "content"),
    [
        (answer(b""), b""),
        (answer(b"x" * 300_000), b"x" * 300_000),
        (chunked(b"one ", b"two"), b"one two"),
        (chunked(), b""),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + answer(b"x"), b"x"),
        (answer(b"x", "Content-Encoding: identity"), b"x"),
        (answer(b"x") + b"and more that nobody asked for", b"x"),
    ],
    ids=["empty", "long", "chunked", "no chunk", "after 100", "identity", "more"],
)
@step
async def test_whole_files(fetcher, server, folder, reply, content):
    server.answers = [reply]
    got = await fetcher().fetch(server.url())
    assert got.path.read_bytes() == content
    assert got.size == len(content)
    assert got.sha256 == hashlib.sha256(content).hexdigest()
    assert names(folder) == ["file.bin"]


@step
async def test_a_second_file_of_the_same_name_gets_a_number(fetcher, server, folder):
    server.answers = [answer(b"1"), answer(b"2")]
    for _ in range(2):
        await fetcher().fetch(server.url())
    assert names(folder) == ["file (2).bin", "file.bin"]
    assert (folder / "file.bin").read_bytes() == b"1"


@pytest.mark.parametrize("disposition", ["../../evil", "/etc/passwd", "..%2fevil", ".."])
@step
async def test_no_name_leaves_the_folder(fetcher, server, folder, disposition):
    server.answers = [answer(b"1", f'Content-Disposition: x; filename="{disposition}"')]
    got = await fetcher().fetch(server.url())
    assert got.path.resolve().parent == folder.resolve()


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (then_close(answer(b"short", length=6)), "the file ended early"),
        (then_close(chunked(b"one", end=b"")), "the file ended early"),
        (then_close(chunked(b"one", end=b"0\r\n")), "the file ended early"),
        (chunked(b"one", end=b"nonsense\r\n"), "the file ended early"),
        (chunked(b"one", end=b"3\r\nfour\r\n"), "the file ended early"),
        (
            then_close(b"HTTP/1.1 200 OK\r\n\r\nall of it"),
            "the server does not say where the file ends",
        ),
        (
            then_close(b"HTTP/1.0 200 OK\r\n\r\nall of it"),
            "the server does not say where the file ends",
        ),
        (then_close(b"HTTP/1.1 200 OK\r\nConte"), "no proper answer from the server"),
        (then_close(b""), "no proper answer from the server"),
        (b"nonsense\r\n\r\n", "no proper answer from the server"),
        (answer(length="6\r\nContent-Length: 7"), "no proper answer from the server"),
        (answer(length=-1), "no proper answer from the server"),
        (answer(b"x", "Transfer-Encoding: gzip"), "no proper answer from the server"),
        (answer(b"x", "Content-Encoding: gzip"), "the file has a Content-Encoding"),
        (answer(b"x", status="404 Not Found"), "HTTP status 404"),
        (answer(b"x", "Content-Range: bytes 0-0/2", status="206 Partial"), "HTTP status 206"),
        (answer(status="204 No Content"), "HTTP status 204"),
        (answer(status="304 Not Modified"), "HTTP status 304"),
        (redirect(None), "a redirect without a Location"),
    ],
)
@step
async def test_what_is_not_a_whole_file_is_a_failure(fetcher, server, folder, reply, text):
    server.answers = [reply]
    error = await failure_of(fetcher().fetch(server.url()), FetchFailed)
    assert error.text == text
    assert names(folder) == []


@step
async def test_nobody_listens(fetcher, server, net):
    await server.stop()
    error = await failure_of(fetcher().fetch(server.url()), FetchFailed)
    assert error.text == "the server could not be reached"


@step
async def test_the_name_of_no_host(fetcher, net):
    net.hosts["nowhere.test"] = []
    error = await failure_of(fetcher().fetch("http://nowhere.test/"), FetchFailed)
    assert error.text == "the host was not found"
    assert net.tried == []


# --- size


@step
async def test_a_file_of_exactly_the_limit_is_accepted(fetcher, server):
    server.answers = [answer(b"x" * 10), chunked(b"x" * 4, b"x" * 6)]
    for _ in range(2):
        assert (await fetcher(max_size=10).fetch(server.url())).size == 10


@step
async def test_a_declared_size_over_the_limit_is_refused_before_the_body(fetcher, server, folder):
    server.answers = [answer(b"", length=11)]
    await failure_of(fetcher(max_size=10).fetch(server.url()), TooLarge)
    assert names(folder) == []


@step
async def test_an_undeclared_size_is_cut_off_at_the_limit(fetcher, server, folder):
    # The chunk never ends: only cutting it off ends this.
    server.answers = [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFF\r\n" + b"x" * 11]
    await failure_of(fetcher(max_size=10).fetch(server.url()), TooLarge)
    assert names(folder) == []


@step
async def test_endless_headers_are_cut_off(fetcher, server):
    server.answers = [b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100_000]
    error = await failure_of(fetcher().fetch(server.url()), FetchFailed)
    assert error.text == "too much before the file"


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
async def test_a_forbidden_address_is_never_tried(fetcher, server, net, url):
    fetching = fetcher(allow_networks=()).fetch(url.format(port=server.port))
    error = await failure_of(fetching, Forbidden)
    assert error.text == "this address is not allowed"
    assert net.tried == []
    assert server.connections == []


@step
async def test_a_name_with_one_forbidden_address_is_refused_wholly(fetcher, server, net):
    net.hosts["two.test"] = ["127.0.0.1", "10.0.0.1"]
    await failure_of(fetcher().fetch(server.url(host="two.test")), Forbidden)
    assert net.tried == []


@step
async def test_every_hop_is_judged_anew(fetcher, server, net, folder):
    net.hosts["inside.test"] = ["169.254.169.254"]
    server.answers = [redirect("http://inside.test/"), redirect("http://169.254.169.254/")]
    for _ in range(2):
        error = await failure_of(fetcher().fetch(server.url()), Forbidden)
        assert error.text == "this address is not allowed"
    assert {host for host, _ in net.tried} == {"127.0.0.1"}


@step
async def test_a_name_that_resolves_anew_meets_the_judged_address(fetcher, server, net):
    net.hosts["rebinding.test"] = [["127.0.0.1"], ["10.0.0.1"]]
    server.answers = [answer(b"x")]
    await fetcher().fetch(server.url(host="rebinding.test"))
    assert net.resolved == ["rebinding.test"]
    assert net.tried == [("127.0.0.1", server.port)]
    assert server.connections[0].headers["host"] == f"rebinding.test:{server.port}"


@step
async def test_a_name_that_resolves_anew_is_judged_on_the_next_hop(fetcher, server, net):
    net.hosts["rebinding.test"] = [["127.0.0.1"], ["10.0.0.1"]]
    server.answers = [redirect("/again")]
    await failure_of(fetcher().fetch(server.url(host="rebinding.test")), Forbidden)
    assert net.tried == [("127.0.0.1", server.port)]


@step
async def test_every_judged_address_is_tried(fetcher, server, net):
    net.hosts["many.test"] = ["127.0.0.2", "127.0.0.1"]
    server.answers = [answer(b"x")]
    await fetcher().fetch(server.url(host="many.test"))
    assert net.tried == [("127.0.0.2", server.port), ("127.0.0.1", server.port)]


@step
async def test_an_allowed_ipv4_network_is_reached_in_its_ipv6_form(fetcher, server):
    server.answers = [answer(b"x")]
    await fetcher().fetch(server.url(host="[::ffff:127.0.0.1]"))


@step
async def test_no_proxy_of_the_environment_is_used(fetcher, server, net, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1/")
    server.answers = [answer(b"x")]
    await fetcher().fetch(server.url())
    assert net.tried == [("127.0.0.1", server.port)]


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "file:///etc/passwd", "http://", "nonsense"])
@step
async def test_other_urls_are_forbidden(fetcher, net, url):
    await failure_of(fetcher().fetch(url), Forbidden)
    assert net.resolved == []


# --- redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@step
async def test_redirects_are_followed(fetcher, server, folder, status):
    server.answers = [redirect("../new/name?x#y", f"{status} Moved"), answer(b"x")]
    got = await fetcher().fetch(server.url("/old/file.bin"))
    assert got.path.name == "name"
    assert got.url == server.url("/new/name?x")
    assert [connection.line for connection in server.connections] == [
        "GET /old/file.bin HTTP/1.1",
        "GET /new/name?x HTTP/1.1",
    ]


@step
async def test_only_so_many_redirects(fetcher, server, folder):
    server.answers = [redirect("/") for _ in range(3)] + [answer(b"x")]
    error = await failure_of(fetcher(max_redirects=2).fetch(server.url()), FetchFailed)
    assert error.text == "too many redirects"
    assert len(server.connections) == 3
    assert names(folder) == []


@step
async def test_userinfo_goes_to_its_own_origin_only_and_is_told_nobody(fetcher, server, net):
    events = []
    globalLogPublisher.addObserver(events.append)
    net.hosts["other.test"] = ["127.0.0.1"]
    server.answers = [
        redirect("/same"),
        redirect(server.url(host="other.test")),
        answer(b"x", status="404 Not Found"),
        answer(b"x"),
    ]
    url = server.url().replace("//", "//juliet:c%61pulet@")
    try:
        error = await failure_of(fetcher().fetch(url), FetchFailed)
        got = await fetcher().fetch(url)
    finally:
        globalLogPublisher.removeObserver(events.append)
    sent = [connection.headers.get("authorization") for connection in server.connections]
    basic = "Basic anVsaWV0OmNhcHVsZXQ="
    assert sent == [basic, basic, None, basic]
    told = f"{got!r} {error!r} {error} {error.detail} {error.text} {events!r}"
    assert not {word for word in ("juliet", "apulet", "anVsaWV0") if word in told}


# --- TLS


def make_certificate(host):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
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
    server = HostileServer(net, tls=certificate.options())
    net.hosts["files.test"] = net.hosts["wrong.test"] = ["127.0.0.1"]
    yield server
    await end(server)


def tls_url(server, host="files.test"):
    return f"https://{host}:{server.port}/file.bin"


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
async def test_never_from_https_down_to_http(fetcher, tls_server, server, certificate):
    tls_server.answers = [redirect(server.url())]
    roots = BrowserLikePolicyForHTTPS(trustRoot=certificate)
    error = await failure_of(fetcher(tls_policy=roots).fetch(tls_url(tls_server)), Forbidden)
    assert error.text == "a redirect from https to http is not allowed"
    assert server.connections == []


@step
async def test_a_server_that_speaks_no_tls(fetcher, server):
    fetching = fetcher().fetch(server.url().replace("http:", "https:"))
    connection = await first_connection(server)
    connection.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    error = await failure_of(fetching, FetchFailed)
    assert error.text == "no secure connection to the server"


def first_connection(server):
    """Fires with the next connection as soon as it sends a byte."""
    arrived = Deferred()
    build = server.buildProtocol

    def building(address):
        connection = build(address)
        connection.dataReceived = lambda data: arrived.called or arrived.callback(connection)
        return connection

    server.buildProtocol = building
    return arrived


@step
async def test_a_name_that_no_certificate_can_have(fetcher, net):
    net.hosts["a_b.test"] = ["127.0.0.1"]
    error = await failure_of(fetcher().fetch("https://a_b.test/"), FetchFailed)
    assert error.text in {"no secure connection to the server", "the server could not be reached"}


# --- time


async def wait_and_fail(fetching, clock, seconds, connection=None):
    ends = ends_of(fetching)
    clock.advance(seconds - 0.5)
    assert not ends
    clock.advance(0.5)
    error = await failure_of(fetching, FetchFailed)
    assert error.text == "timed out"
    if connection is not None:
        await connection.lost


@step
async def test_a_server_that_never_answers_times_out(fetcher, server, clock):
    fetching = fetcher(stall_timeout=7).fetch(server.url())
    connection = await server.arrivals.get()
    await wait_and_fail(fetching, clock, 7, connection)


@step
async def test_a_name_that_is_never_resolved_times_out(fetcher, net, clock):
    net.hosts["slow.test"] = None
    fetching = fetcher(stall_timeout=7).fetch("http://slow.test/")
    await wait_and_fail(fetching, clock, 7)


@step
async def test_a_connection_that_is_never_made_times_out(fetcher, net, clock, monkeypatch):
    # An address whose packets get lost, as far as a test can have one.
    monkeypatch.setattr(net, "_reactor", Silent(net._reactor))
    net.hosts["lost.test"] = ["127.0.0.1"]
    fetching = fetcher(stall_timeout=7).fetch("http://lost.test/")
    await wait_and_fail(fetching, clock, 7)


class Silent:
    """A reactor whose connections are never made."""

    def __init__(self, reactor):
        self._reactor = reactor

    def __getattr__(self, name):
        return getattr(self._reactor, name)

    def connectTCP(self, host, port, factory, **kwargs):
        class Connector:
            def stopConnecting(self):
                pass

        factory.doStart()
        factory.startedConnecting(Connector())


@step
async def test_every_byte_puts_the_stall_off(fetcher, server, clock, bodies, folder):
    fetching = fetcher(stall_timeout=7).fetch(server.url())
    connection = await server.arrivals.get()
    received = bodies.next()
    connection.write(answer(b"0", length=9))
    await received
    for _ in range(5):
        clock.advance(6)
        received = bodies.next()
        connection.write(b"x")
        await received
    await wait_and_fail(fetching, clock, 7, connection)
    assert names(folder) == []


@step
async def test_a_trickle_ends_at_the_limit_for_the_whole(fetcher, server, clock, bodies, folder):
    fetching = fetcher(stall_timeout=7, timeout=20).fetch(server.url())
    connection = await server.arrivals.get()
    received = bodies.next()
    connection.write(answer(b"0", length=9))
    await received
    for _ in range(3):
        clock.advance(6)
        received = bodies.next()
        connection.write(b"x")
        await received
    await wait_and_fail(fetching, clock, 2, connection)
    assert names(folder) == []


@step
async def test_redirects_do_not_put_the_limit_for_the_whole_off(fetcher, server, clock):
    fetching = fetcher(stall_timeout=7, timeout=10).fetch(server.url())
    connection = await server.arrivals.get()
    clock.advance(6)
    connection.write(redirect("/"))
    connection = await server.arrivals.get()
    await wait_and_fail(fetching, clock, 4, connection)


@step
async def test_a_slow_disk_pauses_the_server_and_is_no_stall(
    *, fetcher, server, clock, bodies, gate, monkeypatch
):
    size = 24 * 1024 * 1024
    pieces = []
    write = Landing.write
    monkeypatch.setattr(
        Landing, "write", lambda self, data: (pieces.append(len(data)), write(self, data))
    )
    gated = gate(Landing, "write")
    server.answers = [answer(bytes(size))]
    fetching = fetcher(stall_timeout=7).fetch(server.url())
    ends = ends_of(fetching)
    await gated.entered
    await bodies.paused
    clock.advance(100)
    assert not ends
    gated.open()
    got = await fetching
    assert got.size == size
    assert sum(pieces) == size
    assert min(pieces[:-1]) >= 256 * 1024
    assert max(pieces) <= 1024 * 1024
    assert bodies.resumes


@step
async def test_after_a_pause_a_stall_counts_again(fetcher, server, clock, bodies, gate):
    gated = gate(Landing, "write")
    fetching = fetcher(stall_timeout=7).fetch(server.url())
    connection = await server.arrivals.get()
    connection.write(answer(bytes(2_000_000), length=2_000_001))
    await gated.entered
    await bodies.paused
    clock.advance(100)
    received = bodies.next()
    gated.open()
    await received
    clock.advance(600 - 100 - 1)
    await failure_of(fetching, FetchFailed)


@step
async def test_a_slow_disk_counts_for_the_limit_of_the_whole(fetcher, server, clock, gate, folder):
    gated = gate(Landing, "write")
    server.answers = [answer(b"x" * 300_000, length=300_001)]
    fetching = fetcher(timeout=20).fetch(server.url())
    ends = ends_of(fetching)
    await gated.entered
    clock.advance(20)
    await server.connections[0].lost
    assert not ends  # the thread still has the file
    gated.open()
    error = await failure_of(fetching, FetchFailed)
    assert error.text == "timed out"
    assert names(folder) == []


# --- the disk


@step
async def test_only_threads_touch_the_disk(fetcher, server, monkeypatch):
    seen = {}

    def spy(name):
        real = getattr(os, name)

        def spying(*args, **kwargs):
            seen.setdefault(name, set()).add(threading.current_thread())
            return real(*args, **kwargs)

        monkeypatch.setattr(os, name, spying)

    server.answers = [answer(b"x" * 600_000), answer(b"short", length=1_000_000)]
    ours = fetcher()
    for name in ("open", "write", "fsync", "link", "unlink"):
        spy(name)
    await ours.fetch(server.url())
    fetching = ours.fetch(server.url())
    await server.arrivals.get()
    (await server.arrivals.get()).close()
    await failure_of(fetching, FetchFailed)
    assert set(seen) >= {"open", "write", "fsync", "link"}
    assert threading.main_thread() not in set.union(*seen.values())


@step
async def test_memory_does_not_grow_with_the_file(fetcher, server):
    size = 32 * 1024 * 1024
    block = bytes(64 * 1024)

    class Producer:
        left = size // len(block)

        def __init__(self, transport):
            self.transport = transport

        def resumeProducing(self):
            self.transport.write(block)
            self.left -= 1
            if not self.left:
                self.transport.unregisterProducer()

        def stopProducing(self):
            pass

    def reply(connection):
        connection.write(answer(length=size))
        connection.transport.registerProducer(Producer(connection.transport), False)

    server.answers = [reply]
    ours = fetcher()
    tracemalloc.start()
    try:
        got = await ours.fetch(server.url())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert got.size == size
    assert peak < 6 * 1024 * 1024


@pytest.mark.parametrize("code", ["ENOSPC", "EDQUOT"])
@pytest.mark.parametrize("name", ["write", "fsync", "link"])
@step
async def test_no_room(*, fetcher, server, folder, monkeypatch, name, code):
    def failing(*args, **kwargs):
        raise OSError(getattr(errno, code), "full")

    server.answers = [answer(b"x" * 600_000)]
    if name == "write":
        real = os.write  # the reactor wakes itself with single bytes
        monkeypatch.setattr(
            os, name, lambda fd, data: (failing if len(data) > 99 else real)(fd, data)
        )
    else:
        monkeypatch.setattr(os, name, failing)
    error = await failure_of(fetcher().fetch(server.url()), NoRoom)
    assert error.condition == "resource-constraint"
    monkeypatch.undo()
    assert names(folder) == []


@step
async def test_no_descriptor_left_for_a_connection(fetcher, server, net, monkeypatch):
    from twisted.internet import tcp  # it installs a reactor

    def failing(*args):
        raise OSError(errno.EMFILE, "Too many open files")

    ours = fetcher()
    url = server.url()
    monkeypatch.setattr(tcp.Client, "createInternetSocket", failing)
    await failure_of(ours.fetch(url), NoRoom)


@step
async def test_other_trouble_with_the_disk_is_told_as_it_is(fetcher, server, folder, monkeypatch):
    def failing(*args, **kwargs):
        raise OSError(errno.EROFS, "Read-only file system")

    server.answers = [answer(b"x")]
    monkeypatch.setattr(os, "link", failing)
    error = await failure_of(fetcher().fetch(server.url()), OSError)
    assert error.errno == errno.EROFS
    assert names(folder) == []


@step
async def test_a_file_that_cannot_be_removed_is_logged_and_the_error_stays(
    fetcher, server, monkeypatch
):
    def failing(*args, **kwargs):
        raise OSError(errno.EIO, "broken")

    events = []
    server.answers = [then_close(answer(b"x", length=2))]
    monkeypatch.setattr(Landing, "discard", failing)
    globalLogPublisher.addObserver(events.append)
    try:
        await failure_of(fetcher().fetch(server.url()), FetchFailed)
    finally:
        globalLogPublisher.removeObserver(events.append)
    assert [event["log_failure"].value.errno for event in events if "log_failure" in event] == [
        errno.EIO
    ]


@step
async def test_a_bug_is_told_as_it_is(fetcher, server, folder, monkeypatch):
    def failing(*args, **kwargs):
        raise ZeroDivisionError

    server.answers = [answer(b"x")]
    monkeypatch.setattr(fetch, "file_name", failing)
    await failure_of(fetcher().fetch(server.url()), ZeroDivisionError)
    assert names(folder) == []


def test_the_folder_must_be_there(net, tmp_path):
    with pytest.raises(NotADirectoryError, match="existing folder"):
        Fetcher(net, FetchPolicy(), tmp_path / "missing")


def test_a_relative_folder_stays_where_it_was(net, folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    ours = Fetcher(net, FetchPolicy(), "downloads")
    (folder / f".oob-{0:032x}.part").write_bytes(b"left")
    monkeypatch.chdir("/")
    assert ours.remove_leftovers() == 1


@step
async def test_leftovers_are_not_the_transfers_of_now(fetcher, server, folder, bodies):
    ours = fetcher()
    (folder / f".oob-{0:032x}.part").write_bytes(b"left")
    fetching = ours.fetch(server.url())
    connection = await server.arrivals.get()
    received = bodies.next()
    connection.write(answer(b"x", length=2))
    await received
    assert ours.remove_leftovers() == 1
    connection.write(b"y")
    assert (await fetching).path.read_bytes() == b"xy"


# --- cancellation


async def cancel(fetching, times=1):
    for _ in range(times):
        fetching.cancel()
    await failure_of(fetching, CancelledError)


@step
async def test_cancelled_while_resolving(fetcher, net):
    net.hosts["slow.test"] = None
    await cancel(fetcher().fetch("http://slow.test/"))


@step
async def test_cancelled_while_connecting(fetcher, net, server):
    fetching = fetcher().fetch(server.url())
    connecting = Deferred()
    net.on_try = lambda: net.callLater(0, connecting.callback, None)
    await connecting
    await cancel(fetching)


@step
async def test_cancelled_while_waiting_for_the_answer(fetcher, server):
    fetching = fetcher().fetch(server.url())
    connection = await server.arrivals.get()
    await cancel(fetching, 2)
    await connection.lost


@step
async def test_cancelled_within_the_file(fetcher, server, folder, bodies):
    fetching = fetcher().fetch(server.url())
    connection = await server.arrivals.get()
    received = bodies.next()
    connection.write(answer(b"x", length=2))
    await received
    await cancel(fetching)
    await connection.lost
    assert names(folder) == []


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("owner", ["open", "write", "fsync", "link", "_sync_directory", "publish"])
@step
async def test_cancelled_while_a_thread_has_the_file(
    *, fetcher, server, folder, gate, owner, times
):
    places = {"open": Landing, "write": Landing, "publish": Landing, "_sync_directory": landing}
    gated = gate(places.get(owner, os), owner)
    size = 300_001 if owner in {"open", "write"} else 300_000
    server.answers = [answer(b"x" * 300_000, length=size)]
    fetching = fetcher().fetch(server.url())
    ends = ends_of(fetching)
    await gated.entered
    for _ in range(times):
        fetching.cancel()
    await server.connections[0].lost  # at once, not when the thread is done
    assert not ends
    gated.open()
    await failure_of(fetching, CancelledError)
    assert names(folder) == []


@step
async def test_cancelled_after_the_end_nothing_happens(fetcher, server, folder):
    server.answers = [answer(b"x")]
    fetching = fetcher().fetch(server.url())
    got = await fetching
    fetching.cancel()
    assert got.path.exists()


# --- nothing is left


@step
async def test_no_connection_and_no_call_is_left(fetcher, server, net):
    before = set(net.getDelayedCalls())
    server.answers = [
        redirect("/x"),
        answer(b"x"),
        answer(status="404 No"),
        answer(length=10**12),
        then_close(answer(b"short", length=6)),
    ]
    await fetcher().fetch(server.url())
    for _ in range(3):
        await failure_of(fetcher().fetch(server.url()))
    for connection in server.connections:
        await connection.lost
    assert set(net.getDelayedCalls()) <= before


@step
async def test_many_at_once_keep_apart(fetcher, server, folder):
    ours = fetcher()
    contents = [bytes([number]) * (100_000 + number) for number in range(20)]
    server.answers = [answer(content) for content in contents]
    waiting = [ours.fetch(server.url()) for _ in contents]
    got = [await fetching for fetching in waiting]
    assert sorted(file.path.read_bytes() for file in got) == sorted(contents)
    assert len(names(folder)) == len(contents)

"""An account on a server: nothing secret before TLS, the right certificate, and where it is."""

from __future__ import annotations

from base64 import b64decode, b64encode
from datetime import datetime, timedelta, timezone
from itertools import count

import pytest
import pytest_twisted
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from scramp import ScramMechanism
from twisted.internet import ssl
from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.error import ConnectionRefusedError as RefusedError
from twisted.internet.protocol import Factory, Protocol
from twisted.names import client as dns_client
from twisted.names import common, dns, error
from twisted.names.server import DNSServerFactory
from twisted.python.failure import Failure
from twisted.words.protocols.jabber import xmlstream
from twisted.words.protocols.jabber.jid import JID
from twisted.words.xish.xmlstream import STREAM_CONNECTED_EVENT

from tests.support.streams import outcome
from twisted_oob.errors import NoService, Unencrypted
from twisted_oob.xmpp import account
from twisted_oob.xmpp.account import client_endpoint, client_factory, in_order
from twisted_oob.xmpp.failures import explain

DOMAIN = "home.example"
ME = JID(f"me@{DOMAIN}/desk")
PASSWORD = "hunter2"
NS_SASL = "urn:ietf:params:xml:ns:xmpp-sasl"
STARTTLS = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
BIND = "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>"
SESSION = "<session xmlns='urn:ietf:params:xml:ns:xmpp-session'>{}</session>"
SCRAM = ("SCRAM-SHA-1", "SCRAM-SHA-256", "PLAIN")


class Authority:
    """Signs certificates; ``file`` holds its own."""

    def __init__(self, folder):
        self._serial = count()
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Tests")])
        own = self._sign(self._key, x509.BasicConstraints(True, None))
        self.file = folder / "ca.pem"
        self.file.write_bytes(own.public_bytes(Encoding.PEM))

    def issue(self, domain, *, expired=False, self_signed=False):
        """Make a certificate for a domain; gives a server's options, and its own file."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.BasicConstraints(False, None)
        if domain is not None:
            names = x509.SubjectAlternativeName([x509.DNSName(domain)])
        signed = self._sign(key, names, expired=expired, signer=key if self_signed else None)
        pem = signed.public_bytes(Encoding.PEM)
        path = self._folder / f"{next(self._serial)}.pem"
        path.write_bytes(pem)
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return ssl.PrivateCertificate.loadPEM(secret + pem).options(), path

    def _sign(self, key, extension, *, expired=False, signer=None):
        now = datetime.now(timezone.utc)
        name = self._name if key is self._key else x509.Name([])
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name if signer is not None else self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=2))
            .not_valid_after(now + timedelta(days=-1 if expired else 1))
            .add_extension(extension, critical=True)
        )
        return builder.sign(signer or self._key, SHA256())


class Server:
    """An XMPP server on loopback, as small as can be. What it heard is in ``clear`` and ``safe``.

    ``first``, ``bind``: its features outside TLS and after authentication. ``bound``: what it
    answers to the binding of a resource. ``versioned``: whether it is XMPP 1.0 inside TLS, too.
    """

    def __init__(self, reactor, tls):
        self._reactor = reactor
        self._tls = tls
        self.clear, self.safe = b"", b""
        self.first, self.bind, self.mechanisms = STARTTLS, BIND, SCRAM
        self.password = PASSWORD
        self.bound = f"<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>{ME.full()}</jid></bind>"
        self.bound_type = "result"
        self.proceed = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
        self.header_from = DOMAIN
        self.versioned = True
        self.connections = []

    async def start(self):
        factory = xmlstream.XmlStreamServerFactory(lambda: _Listener(self))
        factory.addBootstrap(STREAM_CONNECTED_EVENT, self.connections.append)
        endpoint = TCP4ServerEndpoint(self._reactor, 0, interface="127.0.0.1")
        self._port = await endpoint.listen(factory)
        self.port = self._port.getHost().port

    async def stop(self):
        await self._port.stopListening()
        for xs in self.connections:
            xs.transport.abortConnection()


class _Listener(xmlstream.ListenAuthenticator):
    def __init__(self, server):
        self.server = server
        self.features = server.first

    def connectionMade(self):
        xs = self.xmlstream
        xs.rawDataInFn = self.heard_clear
        for name in ("starttls", "auth", "response", "iq"):
            xs.addObserver(f"/{name}", getattr(self, name))

    def heard_clear(self, data):
        self.server.clear += data

    def heard_safe(self, data):
        self.server.safe += data

    def streamStarted(self, rootElement):
        super().streamStarted(rootElement)
        self.xmlstream.thisEntity = JID(self.server.header_from)
        if self.server.safe and not self.server.versioned:
            self.xmlstream.version = (0, 0)
        self.xmlstream.sendHeader()
        self.xmlstream.send(f"<stream:features>{self.features}</stream:features>")

    def starttls(self, _):
        xs = self.xmlstream
        xs.send(self.server.proceed)
        xs.reset()
        xs.rawDataInFn = self.heard_safe
        xs.transport.startTLS(self.server._tls)
        offered = "".join(f"<mechanism>{name}</mechanism>" for name in self.server.mechanisms)
        self.features = f"<mechanisms xmlns='{NS_SASL}'>{offered}</mechanisms>"

    def auth(self, element):
        if element["mechanism"] == "PLAIN":
            return self.success("")
        mechanism = ScramMechanism(element["mechanism"])
        info = mechanism.make_auth_info(self.server.password)
        self.scram = mechanism.make_server(lambda _user: info)
        self.scram.set_client_first(decoded(element))
        self.say("challenge", encoded(self.scram.get_server_first()))
        return None

    def response(self, element):
        try:
            self.scram.set_client_final(decoded(element))
        except Exception:
            self.say("failure", "<not-authorized/>")
        else:
            self.success(encoded(self.scram.get_server_final()))

    def success(self, data):
        self.say("success", data)
        self.features = self.server.bind
        self.xmlstream.reset()

    def say(self, name, content):
        self.xmlstream.send(f"<{name} xmlns='{NS_SASL}'>{content}</{name}>")

    def iq(self, iq):
        content = self.server.bound if iq.firstChildElement().name == "bind" else ""
        kind = self.server.bound_type if content else "result"
        self.xmlstream.send(f"<iq type='{kind}' id='{iq['id']}'>{content}</iq>")


def decoded(element):
    return b64decode(str(element)).decode()


def encoded(text):
    return b64encode(text.encode()).decode()


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest_twisted.async_yield_fixture
async def server(authority):
    from twisted.internet import reactor

    made = Server(reactor, authority.issue(DOMAIN)[0])
    await made.start()
    yield made
    await made.stop()


async def log_in(server, factory):
    """Connect; gives the stream once it is ready, or else a Failure."""
    from twisted.internet import reactor

    ended = Deferred()

    def end(result):
        if not ended.called:
            ended.callback(result if isinstance(result, Failure) else [result])

    for event in (
        xmlstream.STREAM_AUTHD_EVENT,
        xmlstream.INIT_FAILED_EVENT,
        xmlstream.STREAM_ERROR_EVENT,
        xmlstream.STREAM_END_EVENT,
    ):
        factory.addBootstrap(event, end)
    xs = await TCP4ClientEndpoint(reactor, "127.0.0.1", server.port).connect(factory)
    try:
        return (await ended)[0]
    except Exception:
        return Failure()
    finally:
        xs.transport.abortConnection()


def nothing_secret(heard):
    """Whether neither a password nor any try to authenticate is in what a server heard."""
    return not any(
        word in heard for word in (b"<auth", b"hunter2", b"aHVudGVyM", b"bWU", b"SCRAM", b"me@")
    )


@pytest.mark.parametrize("mechanisms", [SCRAM, ("SCRAM-SHA-1",), ("PLAIN",)])
@pytest_twisted.ensureDeferred
async def test_a_stream_is_logged_in_and_bound(server, authority, mechanisms):
    server.mechanisms = mechanisms
    server.bound = server.bound.replace("desk", "given-by-the-server")

    xs = await log_in(server, client_factory(ME, PASSWORD, ca_file=authority.file))

    assert xs.authenticator.jid == JID(f"me@{DOMAIN}/given-by-the-server")
    best = "SCRAM-SHA-256" if "SCRAM-SHA-256" in mechanisms else mechanisms[0]
    assert f"mechanism='{best}'".encode() in server.safe
    assert b"<resource>desk</resource>" in server.safe
    assert b"<starttls" in server.clear
    assert nothing_secret(server.clear)
    assert (PASSWORD.encode() in server.safe) is False


@pytest_twisted.ensureDeferred
async def test_each_stream_asks_for_the_resource_that_was_configured(server, authority):
    factory = client_factory(ME, PASSWORD, ca_file=authority.file)
    server.bound = server.bound.replace("me@home.example/desk", "other@home.example/given")
    await log_in(server, factory)
    server.safe = b""

    await log_in(server, factory)

    assert b"<resource>desk</resource>" in server.safe
    assert b"n=me" in b64decode(server.safe.split(b"</auth>")[0].split(b">")[-1])


@pytest.mark.parametrize(
    ("feature", "asked"), [("", True), ("<required/>", True), ("<optional/>", False), (None, False)]
)
@pytest_twisted.ensureDeferred
async def test_a_session_is_asked_for_where_the_server_requires_it(
    server, authority, feature, asked
):
    server.bind = BIND if feature is None else BIND + SESSION.format(feature)
    await log_in(server, client_factory(ME, PASSWORD, ca_file=authority.file))
    assert (b"<session" in server.safe) is asked


@pytest.mark.parametrize(
    "features", ["", f"<mechanisms xmlns='{NS_SASL}'><mechanism>PLAIN</mechanism></mechanisms>"]
)
@pytest_twisted.ensureDeferred
async def test_without_starttls_nothing_is_tried(server, authority, features):
    server.first = features

    failure = await log_in(server, client_factory(ME, PASSWORD, ca_file=authority.file))

    assert failure.check(Unencrypted)
    assert explain(failure).text == "the server does not offer STARTTLS"
    assert explain(failure).permanent
    assert nothing_secret(server.clear)
    assert server.safe == b""


@pytest_twisted.ensureDeferred
async def test_a_server_that_can_not_begin_tls_is_told(server, authority):
    server.proceed = "<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
    failure = await log_in(server, client_factory(ME, PASSWORD, ca_file=authority.file))
    assert explain(failure).text == "the server could not begin TLS"
    assert nothing_secret(server.clear)


@pytest_twisted.ensureDeferred
async def test_what_comes_in_the_clear_behind_proceed_is_not_believed(server, authority):
    offer = f"<mechanisms xmlns='{NS_SASL}'><mechanism>PLAIN</mechanism></mechanisms>"
    server.proceed += f"<stream:features>{offer}</stream:features><success xmlns='{NS_SASL}'/>"

    xs = await log_in(server, client_factory(ME, PASSWORD, ca_file=authority.file))

    assert xs.authenticator.jid == ME
    assert b"mechanism='SCRAM-SHA-256'" in server.safe
    assert nothing_secret(server.clear)


@pytest_twisted.ensureDeferred
async def test_what_was_offered_in_the_clear_does_not_count_inside_tls(server, authority):
    server.first += f"<mechanisms xmlns='{NS_SASL}'><mechanism>PLAIN</mechanism></mechanisms>"
    server.versioned = False  # so that no features follow

    failure = await log_in(server, client_factory(ME, PASSWORD, ca_file=authority.file))

    assert "offers none" in explain(failure).text
    assert nothing_secret(server.safe)


@pytest_twisted.ensureDeferred
async def test_the_domain_of_the_account_counts_not_what_a_server_calls_itself(server, authority):
    server.header_from = "evil.example"
    server._tls = authority.issue("evil.example")[0]

    failure = await log_in(server, client_factory(ME, PASSWORD, ca_file=authority.file))

    assert explain(failure).text == "the server's certificate is for another name"
    assert server.safe == b""


@pytest_twisted.ensureDeferred
async def test_inside_tls_the_domain_is_named_anew(server, authority):
    server.header_from = "other.example"
    await log_in(server, client_factory(ME, PASSWORD, ca_file=authority.file))
    header = server.safe.split(b">")[0]
    assert f"to='{DOMAIN}'".encode() in header


@pytest.mark.parametrize(
    ("domain", "options", "text"),
    [
        ("other.example", {}, "certificate is for another name"),
        (f"xmpp.{DOMAIN}", {}, "certificate is for another name"),
        ("127.0.0.1", {}, "certificate is for no name"),
        ("home.*.example", {}, "certificate is for no name"),
        (None, {}, "certificate is for no name"),
        (DOMAIN, {"expired": True}, "is not trusted, or has expired"),
        (DOMAIN, {"self_signed": True}, "is not trusted, or has expired"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_bad_certificate_ends_it_before_anything_secret_is_said(
    server, authority, domain, options, text
):
    server._tls = authority.issue(domain, **options)[0]

    failure = await log_in(server, client_factory(ME, PASSWORD, ca_file=authority.file))

    assert text in explain(failure).text
    assert explain(failure).permanent
    assert nothing_secret(server.clear)
    assert nothing_secret(server.safe)


@pytest_twisted.ensureDeferred
async def test_by_default_the_platform_decides_whom_to_trust(server):
    failure = await log_in(server, client_factory(ME, PASSWORD))
    assert "is not trusted" in explain(failure).text
    assert server.safe == b""


@pytest_twisted.ensureDeferred
async def test_a_self_signed_certificate_can_be_trusted_by_its_file(server, authority):
    server._tls, file = authority.issue(DOMAIN, self_signed=True)
    xs = await log_in(server, client_factory(ME, PASSWORD, ca_file=file))
    assert xs.authenticator.jid == ME


@pytest_twisted.ensureDeferred
async def test_every_certificate_of_the_file_is_trusted(server, authority, tmp_path):
    other, file = authority.issue(DOMAIN, self_signed=True)
    both = tmp_path / "both.pem"
    both.write_bytes(file.read_bytes() + b"\n# ours\n" + authority.file.read_bytes())
    factory = client_factory(ME, PASSWORD, ca_file=both)
    assert (await log_in(server, factory)).authenticator.jid == ME
    server._tls = other
    assert (await log_in(server, factory)).authenticator.jid == ME


@pytest_twisted.ensureDeferred
async def test_an_international_domain_is_verified_by_its_name_in_dns(server, authority):
    server._tls = authority.issue("xn--bcher-kva.example")[0]
    factory = client_factory(JID("me@Bücher.example"), PASSWORD, ca_file=authority.file)
    xs = await log_in(server, factory)
    assert xs.authenticator.jid == ME


@pytest_twisted.ensureDeferred
async def test_a_wrong_password_is_told_without_it(server, authority):
    server.password = "another"

    failure = await log_in(server, client_factory(ME, PASSWORD, ca_file=authority.file))

    refusal = explain(failure)
    assert refusal.permanent
    assert refusal.text == "the password is wrong, or there is no such account (not-authorized)"
    assert server.safe.count(b"<auth") == 1
    assert PASSWORD.encode() not in server.safe


@pytest_twisted.ensureDeferred
async def test_who_answers_bind_with_no_full_jid_is_refused(server, authority):
    for jid in (
        "",
        "<jid/>",
        f"<jid>{DOMAIN}</jid>",
        "<jid>me@home.example</jid>",
        "<jid>@</jid>",
    ):
        server.bound = f"<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>{jid}</bind>"
        failure = await log_in(server, client_factory(ME, PASSWORD, ca_file=authority.file))
        assert "gave us no full JID" in explain(failure).text


@pytest_twisted.ensureDeferred
async def test_a_refused_resource_is_told(server, authority):
    server.bound_type = "error"
    server.bound = (
        "<error type='wait'><resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
        "</error><bind/>"
    )
    failure = await log_in(server, client_factory(ME, PASSWORD, ca_file=authority.file))
    assert "too much to do" in explain(failure).text
    assert not explain(failure).permanent


def test_no_repr_shows_the_password(authority):
    factory = client_factory(ME, PASSWORD, ca_file=authority.file)
    xs = factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 5222))
    shown = [factory, factory.authenticator, xs, *xs.initializers]
    assert PASSWORD not in " ".join(map(repr, shown)) + " ".join(map(str, shown))


@pytest.mark.parametrize("jid", [DOMAIN, f"me@{'x' * 64}.example"])
def test_what_can_be_no_account_is_refused(jid):
    with pytest.raises(ValueError, match=r"is no account|no certificate can name"):
        client_factory(JID(jid), PASSWORD)


def test_a_file_without_certificates_is_refused(tmp_path):
    file = tmp_path / "ca.pem"
    with pytest.raises(FileNotFoundError):
        client_factory(ME, PASSWORD, ca_file=file)
    for content in (
        b"",
        b"no PEM",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ):
        file.write_bytes(content)
        with pytest.raises(ValueError, match="holds no certificate in PEM format"):
            client_factory(ME, PASSWORD, ca_file=file)


class Zone(common.ResolverBase):
    """What the DNS server knows: ``records`` of the service, or ``failure``."""

    def __init__(self):
        common.ResolverBase.__init__(self)
        self.records = []
        self.failure = None
        self.asked = []

    def _lookup(self, name, cls, type, timeout):  # noqa: A002
        self.asked.append((name.decode(), type))
        if self.failure is not None:
            raise self.failure
        answers = [dns.RRHeader(name, dns.SRV, payload=record) for record in self.records]
        return (answers, [], []) if answers else ([], [], [])


class Names:
    """A DNS server on loopback, and the resolver that asks it."""

    def __init__(self, reactor):
        self.zone = Zone()
        self._protocol = dns.DNSDatagramProtocol(DNSServerFactory(clients=[self.zone]))
        port = reactor.listenUDP(0, self._protocol, interface="127.0.0.1")
        self.resolver = dns_client.Resolver(servers=[("127.0.0.1", port.getHost().port)])

    def stop(self):
        return self._protocol.transport.stopListening()


@pytest_twisted.async_yield_fixture
async def names():
    from twisted.internet import reactor

    made = Names(reactor)
    yield made
    await made.stop()


class Peers(Factory):
    """A server that only counts who connects."""

    def __init__(self):
        self.accepted = []

    def buildProtocol(self, addr):
        protocol = Protocol()
        self.accepted.append(protocol)
        return protocol


@pytest_twisted.async_yield_fixture
async def peers():
    """Two such servers; gives pairs of a port and the connections it accepted."""
    from twisted.internet import reactor

    found, ports = [], []
    for _ in range(2):
        factory = Peers()
        endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        ports.append(await endpoint.listen(factory))
        found.append(ports[-1].getHost().port)
    yield found
    for port in ports:
        await port.stopListening()


async def port_reached(endpoint):
    """Connect; gives the port that answered."""
    protocol = await endpoint.connect(Factory.forProtocol(Protocol))
    peer = protocol.transport.getPeer()
    protocol.transport.abortConnection()
    return peer.port


@pytest_twisted.ensureDeferred
async def test_servers_are_tried_in_the_order_of_dns(names, peers):
    from twisted.internet import reactor

    endpoint = client_endpoint(reactor, DOMAIN, resolver=names.resolver)
    names.zone.records = [
        dns.Record_SRV(20, 0, peers[1], b"localhost"),
        dns.Record_SRV(10, 0, peers[0], b"localhost"),
    ]
    assert await port_reached(endpoint) == peers[0]
    names.zone.records.append(dns.Record_SRV(5, 0, 1, b"localhost"))
    names.zone.records.append(dns.Record_SRV(6, 0, peers[1], b"no-such-host.invalid"))
    assert await port_reached(endpoint) == peers[0], "the next where one is refused or unknown"
    names.zone.records = [dns.Record_SRV(10, 0, peers[1], b"localhost")]
    assert await port_reached(endpoint) == peers[1], "DNS is asked anew"
    assert set(names.zone.asked) == {(f"_xmpp-client._tcp.{DOMAIN}", dns.SRV)}


@pytest_twisted.ensureDeferred
async def test_where_all_servers_fail_the_last_failure_is_told(names):
    from twisted.internet import reactor

    names.zone.records = [dns.Record_SRV(1, 0, 1, b"localhost")]
    with pytest.raises(RefusedError):
        await client_endpoint(reactor, DOMAIN, resolver=names.resolver).connect(Factory())


@pytest_twisted.ensureDeferred
async def test_a_domain_can_say_that_it_has_no_service(names):
    from twisted.internet import reactor

    names.zone.records = [dns.Record_SRV(0, 0, 0, b".")]
    with pytest.raises(NoService, match=r"home\.example has no XMPP service") as caught:
        await client_endpoint(reactor, DOMAIN, resolver=names.resolver).connect(Factory())
    assert explain(Failure(caught.value)).permanent


class Recorded:
    """Stands for HostnameEndpoint where the port is a fixed one."""

    def __init__(self, reactor, host, port):
        self.target = (host, port)

    async def connect(self, factory):
        return self.target


@pytest.mark.parametrize("failure", [None, error.DomainError(), error.DNSServerError()])
@pytest_twisted.ensureDeferred
async def test_without_records_the_domain_itself_is_the_server(names, monkeypatch, failure):
    from twisted.internet import reactor

    names.zone.failure = failure
    monkeypatch.setattr(account, "HostnameEndpoint", Recorded)
    endpoint = client_endpoint(reactor, DOMAIN, resolver=names.resolver)
    assert await endpoint.connect(Factory()) == (DOMAIN, 5222)
    assert names.zone.asked


@pytest_twisted.ensureDeferred
async def test_an_international_domain_is_asked_for_in_ascii(names, monkeypatch):
    from twisted.internet import reactor

    monkeypatch.setattr(account, "HostnameEndpoint", Recorded)
    endpoint = client_endpoint(reactor, "bücher.example", resolver=names.resolver)
    assert await endpoint.connect(Factory()) == ("bücher.example", 5222)
    assert names.zone.asked[0][0] == "_xmpp-client._tcp.xn--bcher-kva.example"


@pytest.mark.parametrize(
    ("domain", "given", "target"),
    [
        (DOMAIN, {"host": "xmpp.example"}, ("xmpp.example", 5222)),
        (DOMAIN, {"host": "xmpp.example", "port": 15222}, ("xmpp.example", 15222)),
        (DOMAIN, {"port": 15222}, (DOMAIN, 15222)),
        ("127.0.0.1", {}, ("127.0.0.1", 5222)),
    ],
)
def test_a_given_host_or_address_is_not_looked_up(monkeypatch, domain, given, target):
    monkeypatch.setattr(account, "HostnameEndpoint", Recorded)
    assert client_endpoint(None, domain, resolver=None, **given).target == target


@pytest_twisted.ensureDeferred
async def test_a_given_host_is_connected_to(peers):
    from twisted.internet import reactor

    endpoint = client_endpoint(reactor, DOMAIN, host="localhost", port=peers[0])
    assert await port_reached(endpoint) == peers[0]


def test_an_attempt_can_be_cancelled_during_the_lookup(monkeypatch):
    class Silent:
        def lookupService(self, name, timeout):
            return Deferred()

    monkeypatch.setattr(account, "HostnameEndpoint", None)
    attempt = client_endpoint(None, DOMAIN, resolver=Silent()).connect(Factory())
    attempt.cancel()
    assert isinstance(outcome(attempt), CancelledError)


def test_among_equal_priorities_weight_decides_by_chance():
    heavy, light, none = (dns.Record_SRV(1, weight, 1, b"x") for weight in (3, 1, 0))
    last = dns.Record_SRV(2, 9, 1, b"x")
    bounds = []

    def order(*draws):
        left = list(draws)

        def draw(bound):
            bounds.append(bound)
            return left.pop(0)

        return in_order([last, heavy, light, none], draw)

    assert order(0, 0, 0, 0) == [none, light, heavy, last]
    assert bounds == [5, 5, 4, 10]
    assert order(1, 3, 0, 9) == [light, heavy, none, last]
    assert order(4, 1, 0, 0) == [heavy, light, none, last]

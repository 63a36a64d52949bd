"""Whom a certificate is for, asked in the handshake."""

from __future__ import annotations

import weakref
from ipaddress import ip_address

import pytest
from cryptography import x509
from OpenSSL import SSL
from service_identity import CertificateError

from tests.support.certificates import Authority, srv_id, utf8_dns_name, xmpp_address
from tests.support.handshakes import shake_hands
from twisted_oob._tls import (
    OtherHost,
    ServiceTLS,
    ascii_host,
    is_address,
    read_certificates,
    trust_only,
    trust_platform,
)

HOST = "home.example"


DNS, IP = x509.DNSName, lambda text: x509.IPAddress(ip_address(text))


@pytest.mark.parametrize(
    ("names", "host", "error"),
    [
        ([DNS(HOST)], HOST, None),
        ([DNS(HOST)], "HOME.example", None),
        ([DNS("other.example"), DNS(HOST)], HOST, None),
        ([DNS("*.home.example")], f"xmpp.{HOST}", None),
        # Hosts that DNS and certificates can have, although IDNA 2008 can't.
        ([DNS("a_b.example")], "a_b.example", None),
        ([DNS("_a.example")], "_a.example", None),
        ([DNS("a---b.example")], "a---b.example", None),
        ([DNS("ab--c.example")], "ab--c.example", None),
        ([DNS("*.home.example")], f"a_b.{HOST}", None),
        ([DNS("*.home.example")], f"ab--c.{HOST}", None),
        ([DNS("*.a_b.example")], "c.a_b.example", None),
        # An A-label is a label like others, also under a wildcard (RFC 9525 section 6.3).
        ([DNS("xn--bcher-kva.example")], "bücher.example", None),
        ([DNS("xn--bcher-kva.a_b.example")], "bücher.a_b.example", None),
        ([DNS("*.home.example")], f"xn--bcher-kva.{HOST}", None),
        ([DNS("*.xn--bcher-kva.example")], "a.bücher.example", None),
        # A final dot is no part of a name, whoever wrote it.
        ([DNS(HOST)], f"{HOST}.", None),
        ([DNS(f"{HOST}.")], HOST, None),
        ([DNS("*.home.example")], f"a_b.{HOST}.", None),
        ([DNS("*.home.example.")], f"xmpp.{HOST}", None),
        ([IP("192.0.2.1")], "192.0.2.1.", None),
        ([IP("192.0.2.1")], "192.0.2.1", None),
        ([IP("2001:db8::1")], "2001:db8::1", None),
        ([DNS("other.example")], HOST, OtherHost),
        ([DNS(f"xmpp.{HOST}")], HOST, OtherHost),
        ([DNS("*.home.example")], HOST, OtherHost),
        ([DNS("*.home.example")], f"a.b.{HOST}", OtherHost),
        ([DNS("*.home.example")], f"a_b.{HOST}.example", OtherHost),
        ([DNS("a-b.example")], "a_b.example", OtherHost),
        ([utf8_dns_name("bücher.example"), DNS("other.example")], "bücher.example", OtherHost),
        ([utf8_dns_name(f"\N{KELVIN SIGN}.{HOST}"), DNS("other.example")], f"k.{HOST}", OtherHost),
        ([IP("192.0.2.1")], HOST, OtherHost),
        ([IP("192.0.2.2")], "192.0.2.1", OtherHost),
        ([DNS(HOST)], "192.0.2.1", OtherHost),
        # What nobody can have does no harm beside a good name.
        ([DNS("home.*.example"), DNS(HOST)], HOST, None),
        ([x509.UniformResourceIdentifier("https://home.example:8080/a:b"), DNS(HOST)], HOST, None),
        ([x509.UniformResourceIdentifier("xmpp:home.example")], HOST, CertificateError),
        ([x509.RFC822Name("me@home.example")], HOST, CertificateError),
        ([srv_id(f"_xmpp-client.{HOST}")], HOST, CertificateError),
        ([xmpp_address(HOST)], HOST, CertificateError),
        ([DNS("x*.home.example")], f"xy.{HOST}", CertificateError),
        ([DNS("xn--*.home.example")], f"xn--bcher-kva.{HOST}", CertificateError),
        ([DNS("*.*.example")], f"a.{HOST}", CertificateError),
        ([DNS("*")], "example", CertificateError),
        ([DNS("*.")], "example", CertificateError),
        ([DNS(f"{HOST}..")], HOST, CertificateError),
        ([DNS(f"{HOST}\0.other.example")], HOST, CertificateError),
        ([DNS(f" {HOST}")], HOST, CertificateError),
        # Twisted's own check lets these pass.
        ([], HOST, CertificateError),
        ([], "192.0.2.1", CertificateError),
        ([DNS("192.0.2.1")], HOST, CertificateError),
        ([DNS("home.*.example")], HOST, CertificateError),
        ([DNS("*.example")], HOST, CertificateError),
    ],
)
def test_a_certificate_is_only_for_what_it_names(certificates, names, host, error):
    # The common name is the host, and counts for nothing.
    ended = handshake(certificates, certificates.issue(host[:64], names=names), host)
    assert isinstance(ended, tuple if error is None else error)


class Failed:
    """Stands for the TLSMemoryBIOProtocol of a handshake."""

    def __init__(self):
        self.reasons = []

    def failVerification(self, reason):
        self.reasons.append(reason)


def handshake(certificates, file, host, **options):
    """Shake hands as a client that verifies; gives both ends, or the reason why it refused."""
    protocol = Failed()
    tls = ServiceTLS(host, trust_only(certificates.file), **options)
    try:
        return shake_hands(file, client=tls.clientConnectionForTLS(protocol))
    except SSL.Error as error:
        return protocol.reasons[0].value if protocol.reasons else error


XMPP = ("_xmpp-client",)
BOTH = ("_xmpp-client", "_xmpps-client")


@pytest.mark.parametrize(
    ("names", "services", "host", "error"),
    [
        ([srv_id(f"_xmpp-client.{HOST}")], XMPP, HOST, None),
        ([srv_id(f"_XMPP-Client.{HOST.upper()}")], XMPP, HOST, None),
        ([srv_id("_xmpp-client.xn--bcher-kva.example")], XMPP, "bücher.example", None),
        ([srv_id(f"_xmpp-server.{HOST}"), srv_id(f"_xmpp-client.{HOST}")], XMPP, HOST, None),
        ([srv_id(f"_xmpps-client.{HOST}")], BOTH, HOST, None),
        ([srv_id(f"_xmpp-client.{HOST}")], BOTH, HOST, None),
        ([srv_id(f"_xmpp-client.{'a.' * 60}{HOST}")], XMPP, f"{'a.' * 60}{HOST}", None),
        ([xmpp_address(HOST)], XMPP, HOST, None),
        ([xmpp_address("bücher.example")], XMPP, "bücher.example", None),
        # The other kinds of names count as before.
        ([DNS(HOST), srv_id("_xmpp-client.other.example")], XMPP, HOST, None),
        ([IP("192.0.2.1")], XMPP, "192.0.2.1", None),
        ([srv_id("_xmpp-client.other.example")], XMPP, HOST, OtherHost),
        ([srv_id(f"_xmpp-client.sub.{HOST}")], XMPP, HOST, OtherHost),
        ([srv_id(f"_xmpp-client.{HOST}")], XMPP, f"sub.{HOST}", OtherHost),
        ([srv_id(f"_xmpp-server.{HOST}")], BOTH, HOST, OtherHost),
        ([srv_id(f"_xmpps-client.{HOST}")], XMPP, HOST, OtherHost),
        ([srv_id(f"_xmpp-client.{HOST}")], XMPP, "192.0.2.1", OtherHost),
        ([xmpp_address("other.example")], XMPP, HOST, OtherHost),
        # An account's address is not its server's, and a wildcard no address.
        ([xmpp_address(f"me@{HOST}")], XMPP, HOST, CertificateError),
        ([xmpp_address("*.example")], XMPP, HOST, CertificateError),
        ([srv_id(f"_xmpp-client.*.{HOST}")], XMPP, f"sub.{HOST}", CertificateError),
        ([srv_id(HOST)], XMPP, HOST, CertificateError),
        ([srv_id("")], XMPP, HOST, CertificateError),
        (
            [x509.OtherName(x509.ObjectIdentifier("1.2.3"), b"\x0c\x01a")],
            XMPP,
            HOST,
            CertificateError,
        ),
        # Not the kind of string that RFC 4985 and RFC 6120 want.
        *(
            (
                [x509.OtherName(x509.ObjectIdentifier(f"1.3.6.1.5.5.7.8.{kind}"), der)],
                XMPP,
                HOST,
                CertificateError,
            )
            for kind in (5, 7)
            for der in (b"\x05\x00", b"\x02\x01\x05", b"\x0c\x00", b"\x0c\x01\xff", b"\x16\x01\xff")
        ),
    ],
)
def test_a_service_may_be_named_alone(certificates, names, services, host, error):
    file = certificates.issue(HOST, names=names)
    ended = handshake(certificates, file, host, services=services)
    assert isinstance(ended, tuple if error is None else error)


@pytest.mark.parametrize("options", [{"expired": True}, {"self_signed": True}])
def test_who_signed_it_is_verified_as_ever(certificates, options):
    file = certificates.issue(HOST, **options)
    assert isinstance(handshake(certificates, file, HOST), SSL.Error)


def test_the_name_is_sent_and_the_protocol_offered(certificates):
    file = certificates.issue("xn--bcher-kva.example")
    options = {"services": XMPP, "protocols": [b"xmpp-client"]}
    offered = []
    _, server = shake_hands(
        file,
        client=ServiceTLS(
            "bücher.example", trust_only(certificates.file), **options
        ).clientConnectionForTLS(Failed()),
        choose=lambda _, names: offered.extend(names) or names[0],
    )
    assert server.get_servername() == b"xn--bcher-kva.example"
    assert server.get_alpn_proto_negotiated() == b"xmpp-client"
    assert offered == [b"xmpp-client"]


@pytest.mark.parametrize(
    ("host", "sent"),
    [
        ("a_b.example.", b"a_b.example"),
        ("AB--C.Example", b"ab--c.example"),
        ("bücher.example.", b"xn--bcher-kva.example"),
        ("192.0.2.1", None),
        ("192.0.2.1.", None),
        ("2001:db8::1", None),
    ],
)
def test_the_name_is_sent_without_a_final_dot_and_an_address_is_not(certificates, host, sent):
    file = certificates.issue("x", names=[ascii_host(host)])
    _, server = handshake(certificates, file, host)
    assert server.get_servername() == sent


def test_connections_to_different_hosts_share_a_context(certificates):
    context = trust_only(certificates.file)
    good, bad = Failed(), Failed()
    other = ServiceTLS("other.example", context, protocols=[b"x"]).clientConnectionForTLS(bad)
    one = ServiceTLS(HOST, context).clientConnectionForTLS(good)
    assert one.get_context() is other.get_context() is context
    _, server = shake_hands(certificates.issue(HOST), client=one)
    assert server.get_servername() == HOST.encode()
    with pytest.raises(SSL.Error):
        shake_hands(certificates.issue(HOST), client=other)
    assert [str(reason.value) for reason in bad.reasons] == [
        "it is not for other.example, but for home.example"
    ]
    assert good.reasons == []


def test_an_error_tells_a_few_names_of_the_certificate(certificates):
    names = [f"{letter}.example" for letter in "abcde"]
    error = handshake(certificates, certificates.issue("x", names=names), HOST)
    assert str(error) == (
        f"it is not for {HOST}, but for a.example, b.example, c.example and 2 more"
    )


def test_no_session_is_kept(certificates):
    for context in (trust_only(certificates.file), trust_platform()):
        assert context.get_session_cache_mode() == SSL.SESS_CACHE_OFF


def test_a_connection_does_not_keep_its_protocol_alive(certificates):
    protocol = Failed()
    left = weakref.ref(protocol)
    tls = ServiceTLS(HOST, trust_platform())
    connection = tls.clientConnectionForTLS(protocol)
    del protocol
    assert left() is None
    with pytest.raises(SSL.Error):
        shake_hands(certificates.issue("other.example"), client=connection)


@pytest.mark.parametrize(
    "host",
    [
        "x" * 64 + ".example",
        ".".join(["x" * 49] * 6),
        "",
        ".",
        "a..example",
        "example..",
        "a b.example",
        "a*.example",
        "a/b.example",
        "ü" * 64 + ".example",
        "\N{BLACK HEART SUIT}.example",
    ],
)
def test_a_host_that_dns_can_not_have_is_an_error(host):
    with pytest.raises(ValueError, match=r"host|label|Codepoint|Unassigned|long"):
        ServiceTLS(host, trust_platform())


def test_a_lack_of_roots_is_told_of_who_signed_it_alone(certificates, tmp_path):
    stranger = Authority(tmp_path)
    for file, told in [
        (stranger.issue(HOST), "install some"),
        (certificates.issue(HOST, self_signed=True), "install some"),
        (certificates.issue(HOST, expired=True), None),
        (certificates.issue("other.example"), "it is not for home.example, but for other.example"),
    ]:
        error = handshake(certificates, file, HOST, no_roots="install some")
        if told is None:
            assert isinstance(error, SSL.Error)
        else:
            assert str(error) == told


def test_an_empty_file_of_the_platforms_roots_trusts_nobody(certificates, monkeypatch):
    def empty(_context):
        raise SSL.Error([("x509", "", "no certificate or crl found")])

    monkeypatch.setattr(SSL.Context, "set_default_verify_paths", empty)
    tls = ServiceTLS(HOST, trust_platform(read_certificates(certificates.file)))
    shake_hands(certificates.issue(HOST), client=tls.clientConnectionForTLS(Failed()))
    tls = ServiceTLS(HOST, trust_platform())
    with pytest.raises(SSL.Error):
        shake_hands(certificates.issue(HOST), client=tls.clientConnectionForTLS(Failed()))


def test_all_certificates_of_a_file_are_read(certificates, tmp_path):
    other = Authority(tmp_path)
    both = tmp_path / "both.pem"
    both.write_bytes(other.file.read_bytes() + b"\n# ours\n" + certificates.file.read_bytes())
    assert len(read_certificates(both)) == 2


@pytest.mark.parametrize(
    ("host", "answer"),
    [
        ("192.0.2.1", True),
        ("2001:db8::1", True),
        ("::1", True),
        (HOST, False),
        ("192.0.2", False),
        ("192.0.2.1.example", False),
        ("", False),
    ],
)
def test_addresses_are_told_from_names(host, answer):
    assert is_address(host) is answer

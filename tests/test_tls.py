"""Whom a certificate is for, asked after the handshake and in it."""

from __future__ import annotations

import weakref
from ipaddress import ip_address

import pytest
from cryptography import x509
from OpenSSL import SSL
from service_identity import CertificateError, VerificationError
from twisted.internet.ssl import platformTrust

from tests.support.certificates import Authority, srv_id, xmpp_address
from tests.support.handshakes import shake_hands
from twisted_oob._tls import ServiceTLS, is_address, read_certificates, trust_only, verify_name

HOST = "home.example"


DNS, IP = x509.DNSName, lambda text: x509.IPAddress(ip_address(text))


@pytest.mark.parametrize(
    ("names", "host", "error"),
    [
        ([DNS(HOST)], HOST, None),
        ([DNS(HOST)], "HOME.example", None),
        ([DNS("other.example"), DNS(HOST)], HOST, None),
        ([DNS("*.home.example")], f"xmpp.{HOST}", None),
        ([IP("192.0.2.1")], "192.0.2.1", None),
        ([IP("2001:db8::1")], "2001:db8::1", None),
        ([DNS("other.example")], HOST, VerificationError),
        ([DNS(f"xmpp.{HOST}")], HOST, VerificationError),
        ([DNS("*.home.example")], HOST, VerificationError),
        ([IP("192.0.2.1")], HOST, VerificationError),
        ([IP("192.0.2.2")], "192.0.2.1", VerificationError),
        ([DNS(HOST)], "192.0.2.1", VerificationError),
        # What nobody can have does no harm beside a good name.
        ([DNS("home.*.example"), DNS(HOST)], HOST, None),
        ([x509.UniformResourceIdentifier("https://home.example:8080/a:b"), DNS(HOST)], HOST, None),
        ([x509.UniformResourceIdentifier("xmpp:home.example")], HOST, CertificateError),
        ([x509.RFC822Name("me@home.example")], HOST, CertificateError),
        ([srv_id(f"_xmpp-client.{HOST}")], HOST, CertificateError),
        ([xmpp_address(HOST)], HOST, CertificateError),
        # Twisted's own check lets these pass.
        ([], HOST, CertificateError),
        ([], "192.0.2.1", CertificateError),
        ([DNS("192.0.2.1")], HOST, CertificateError),
        ([DNS("home.*.example")], HOST, CertificateError),
        ([DNS("*.example")], HOST, CertificateError),
    ],
)
def test_a_certificate_is_only_for_what_it_names(certificates, names, host, error):
    file = certificates.issue(HOST, names=names)
    connection, _ = shake_hands(file)
    if error is None:
        verify_name(connection, host)
    else:
        with pytest.raises(error):
            verify_name(connection, host)
    ended = handshake(certificates, file, host)
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
        ([srv_id("_xmpp-client.other.example")], XMPP, HOST, VerificationError),
        ([srv_id(f"_xmpp-client.sub.{HOST}")], XMPP, HOST, VerificationError),
        ([srv_id(f"_xmpp-client.{HOST}")], XMPP, f"sub.{HOST}", VerificationError),
        ([srv_id(f"_xmpp-server.{HOST}")], BOTH, HOST, VerificationError),
        ([srv_id(f"_xmpps-client.{HOST}")], XMPP, HOST, VerificationError),
        ([srv_id(f"_xmpp-client.{HOST}")], XMPP, "192.0.2.1", VerificationError),
        ([xmpp_address("other.example")], XMPP, HOST, VerificationError),
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
    connection, _ = shake_hands(file)
    if error is None:
        verify_name(connection, host, services=services)
    else:
        with pytest.raises(error):
            verify_name(connection, host, services=services)
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


def test_an_address_is_not_sent_as_a_name(certificates):
    _, server = handshake(certificates, certificates.issue(HOST, names=["192.0.2.1"]), "192.0.2.1")
    assert server.get_servername() is None


def test_a_connection_does_not_keep_its_protocol_alive(certificates):
    protocol = Failed()
    left = weakref.ref(protocol)
    tls = ServiceTLS(HOST, platformTrust())
    connection = tls.clientConnectionForTLS(protocol)
    del protocol
    assert left() is None
    with pytest.raises(SSL.Error):
        shake_hands(certificates.issue("other.example"), client=connection)


def test_a_host_that_no_certificate_can_name_is_an_error():
    with pytest.raises(ValueError, match="long"):
        ServiceTLS("x" * 64 + ".example", platformTrust())


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

"""Channel bindings of a TLS connection, and which of them a server knows."""

from __future__ import annotations

import hashlib

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL

from tests.support.certificates import Authority
from tests.support.handshakes import shake_hands
from twisted_oob.xmpp.channel_binding import bindings, known_types

from wokkel.generic import parseXml  # isort: skip

HOST = "home.example"
UNTIL_1_2 = {"version": SSL.TLS1_2_VERSION}


def test_both_ends_of_tls_1_3_export_the_same(certificates):
    file = certificates.issue(HOST)
    client, server = shake_hands(file)
    found = bindings(client)
    assert list(found) == ["tls-exporter", "tls-server-end-point"]
    exported = server.export_keying_material(b"EXPORTER-Channel-Binding", 32, b"")
    assert found["tls-exporter"] == exported
    assert len(exported) == 32
    assert bindings(shake_hands(file)[0])["tls-exporter"] != exported, "each connection has its own"


def test_until_tls_1_2_the_first_finished_message_is_unique(certificates):
    client, server = shake_hands(certificates.issue(HOST), **UNTIL_1_2)
    found = bindings(client)
    assert list(found) == ["tls-unique", "tls-server-end-point"]
    assert found["tls-unique"] == server.get_peer_finished()


@pytest.fixture(scope="module")
def rsa_authority(tmp_path_factory):
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return Authority(tmp_path_factory.mktemp("rsa"), key=key)


@pytest.mark.parametrize(
    ("algorithm", "used"),
    [
        (hashes.SHA256, "sha256"),
        (hashes.SHA384, "sha384"),
        (hashes.SHA512, "sha512"),
        (hashes.SHA224, "sha224"),
        (hashes.SHA3_256, "sha3_256"),
    ],
)
@pytest.mark.parametrize("options", [{}, UNTIL_1_2], ids=["TLS 1.3", "TLS 1.2"])
def test_the_end_point_is_the_hash_that_the_certificate_is_signed_with(
    certificates, algorithm, used, options
):
    file = certificates.issue(HOST, algorithm=algorithm)
    der = x509.load_pem_x509_certificate(file.read_bytes()).public_bytes(Encoding.DER)
    client, _ = shake_hands(file, **options)
    assert bindings(client)["tls-server-end-point"] == hashlib.new(used, der).digest()


class Signed:
    """A certificate that nobody makes today, and so cryptography does not either."""

    def __init__(self, certificate, algorithm):
        self._certificate = certificate
        self.signature_hash_algorithm = algorithm
        self.signature_algorithm_oid = certificate.signature_algorithm_oid

    def to_cryptography(self):
        return self

    def fingerprint(self, algorithm):
        return self._certificate.fingerprint(algorithm)

    def get_peer_certificate(self):
        return self

    def get_protocol_version_name(self):
        return "TLSv1.2"

    def get_finished(self):
        return None


@pytest.mark.parametrize("algorithm", [hashes.MD5(), hashes.SHA1()], ids=lambda each: each.name)
def test_a_broken_hash_is_replaced(certificates, algorithm):
    pem = certificates.issue(HOST).read_bytes()
    certificate = x509.load_pem_x509_certificate(pem)
    der = certificate.public_bytes(Encoding.DER)
    expected = {"tls-server-end-point": hashlib.sha256(der).digest()}
    assert bindings(Signed(certificate, algorithm)) == expected


def test_where_the_end_point_is_not_defined_it_is_left_out(tmp_path, rsa_authority):
    pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=32)
    eddsa = Authority(tmp_path, key=ed25519.Ed25519PrivateKey.generate())
    for file in (
        rsa_authority.issue(HOST, rsa_padding=pss),
        eddsa.issue(HOST, algorithm=None),
    ):
        assert list(bindings(shake_hands(file)[0])) == ["tls-exporter"]
    assert "tls-server-end-point" in bindings(shake_hands(rsa_authority.issue(HOST))[0])


@pytest.mark.parametrize(
    ("children", "types"),
    [
        ("<channel-binding type='tls-exporter'/>", {"tls-exporter"}),
        (
            "<channel-binding type='tls-server-end-point'/><channel-binding type='tls-exporter'/>",
            {"tls-server-end-point", "tls-exporter"},
        ),
        ("<channel-binding type='x-new'/><channel-binding xmlns='else' type='z'/>", {"x-new"}),
        ("", set()),
    ],
)
def test_what_a_server_announces_counts(children, types):
    name = "sasl-channel-binding"
    feature = parseXml(f"<{name} xmlns='urn:xmpp:sasl-cb:0'>{children}</{name}>".encode())
    assert known_types({(feature.uri, feature.name): feature}) == (types, True)


def test_a_server_that_announces_nothing_knows_the_defaults():
    assert known_types({}) == ({"tls-unique", "tls-exporter"}, False)

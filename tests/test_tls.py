"""The certificates of a file, and whom one is for, asked again after the handshake."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from cryptography import x509
from OpenSSL import SSL
from service_identity import CertificateError, VerificationError

from tests.support.certificates import Authority, server_options
from twisted_oob._tls import is_address, read_certificates, verify_name

HOST = "home.example"


def shaken(file):
    """Give a client's pyOpenSSL Connection after its handshake with a server, all in memory."""
    client = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None)
    server = SSL.Connection(server_options(file).getContext(), None)
    client.set_connect_state()
    server.set_accept_state()
    for _ in range(4):
        for one, other in ((client, server), (server, client)):
            try:
                one.do_handshake()
            except SSL.WantReadError:
                pass
            try:
                other.bio_write(one.bio_read(1 << 16))
            except SSL.WantReadError:
                pass
    return client


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
        # Twisted's own check lets these pass.
        ([], HOST, CertificateError),
        ([], "192.0.2.1", CertificateError),
        ([DNS("192.0.2.1")], HOST, CertificateError),
        ([DNS("home.*.example")], HOST, CertificateError),
        ([DNS("*.example")], HOST, CertificateError),
    ],
)
def test_a_certificate_is_only_for_what_it_names(certificates, names, host, error):
    connection = shaken(certificates.issue(HOST, names=names))
    if error is None:
        verify_name(connection, host)
    else:
        with pytest.raises(error):
            verify_name(connection, host)


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


@pytest.mark.parametrize("as_text", [True, False])
def test_every_certificate_of_a_file_is_read(tmp_path, certificates, as_text):
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other", "Another CA")
    file = tmp_path / "both.pem"
    file.write_bytes(b"A comment\n" + certificates.file.read_bytes() + other.file.read_bytes())
    found = read_certificates(str(file) if as_text else file)
    assert [one.dumpPEM() for one in found] == [
        certificates.file.read_bytes(),
        other.file.read_bytes(),
    ]


@pytest.mark.parametrize("content", [b"", b"\0\xff", b"-----BEGIN CERTIFICATE-----\n"])
def test_a_file_without_certificates_is_named(tmp_path, content):
    file = tmp_path / "none.pem"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"none\.pem contains no certificate in PEM format"):
        read_certificates(file)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="gone"):
        read_certificates(tmp_path / "gone")

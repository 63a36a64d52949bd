"""A certificate authority for tests, and what it signs."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from itertools import count

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from twisted.internet.ssl import DefaultOpenSSLContextFactory

_DAY = timedelta(days=1)


class Authority:
    """Signs certificates, and writes its own to ``ca.pem`` in the folder."""

    def __init__(self, folder, name="A CA for tests", *, key=None):
        self._folder = folder
        self._serial = count()
        self._key = key or ec.generate_private_key(ec.SECP256R1())
        self._name = _named(name)
        builder = _builder(self._name, self._key, self._name, self._key)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        builder = builder.add_extension(_usage(key_cert_sign=True, crl_sign=True), True)
        self.file = folder / "ca.pem"
        ed25519_key = isinstance(self._key, ed25519.Ed25519PrivateKey)
        self.file.write_bytes(_pem(builder.sign(self._key, None if ed25519_key else SHA256())))

    def issue(
        self, host, *, names=None, expired=False, self_signed=False, algorithm=SHA256, **signing
    ):
        """Make a key and a certificate for a host; gives the file that holds both.

        ``names``: the names and IP addresses that it is for, by default the host, as a name; each
        a str or any kind of name that a certificate can hold. ``algorithm`` and ``signing``: the
        hash, and what else the signature is made with.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        issuer, signer = (_named(host), key) if self_signed else (self._name, self._key)
        builder = _builder(_named(host), key, issuer, signer, expired=expired)
        names = [x509.DNSName(host)] if names is None else names
        alternatives = [_alternative(name) for name in names]
        if alternatives:
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), False)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
        builder = builder.add_extension(_usage(digital_signature=True), True)
        file = self._folder / f"{next(self._serial)}.pem"
        file.touch(mode=0o600)
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        file.write_bytes(secret + _pem(builder.sign(signer, algorithm and algorithm(), **signing)))
        return file


def _builder(name, key, issuer, signer, *, expired=False):
    now = datetime.now(timezone.utc)
    # Strict verifiers want both key identifiers (RFC 5280 sections 4.2.1.1 and 4.2.1.2).
    own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    of_issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + (-_DAY / 2 if expired else _DAY))
        .add_extension(own, False)
        .add_extension(of_issuer, False)
    )


def server_options(file):
    """Give what a server needs for TLS with the key and certificate of a file.

    Not Twisted's CertificateOptions: that fails in 26.10 if a client offers protocols (ALPN).
    """
    return DefaultOpenSSLContextFactory(str(file), str(file))


def utf8_dns_name(name):
    """Give a DNS name as no authority should sign one: not in ASCII."""
    return x509.DNSName._init_without_validation(name)


def srv_id(name):
    """Give an SRV-ID, such as that of ``_xmpp-client.home.example`` (RFC 4985)."""
    return _other_name("1.3.6.1.5.5.7.8.7", 0x16, name)


def xmpp_address(address):
    """Give an XMPP address as a name of a certificate (RFC 6120 section 13.7.1.4)."""
    return _other_name("1.3.6.1.5.5.7.8.5", 0x0C, address)


def _other_name(kind, tag, text):
    value = text.encode()
    size = len(value)
    length = bytes([size]) if size < 128 else bytes([0x81, size])
    return x509.OtherName(x509.ObjectIdentifier(kind), bytes([tag]) + length + value)


def _named(name):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _alternative(name):
    if not isinstance(name, str):
        return name
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(certificate):
    return certificate.public_bytes(Encoding.PEM)


def _usage(**granted):
    usages = (
        *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
        *("key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
    )
    return x509.KeyUsage(**{usage: granted.get(usage, False) for usage in usages})

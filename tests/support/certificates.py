"""A certificate authority for tests, and what it signs."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

_DAY = timedelta(days=1)


class Authority:
    """Signs certificates, and writes its own to ``ca.pem`` in the folder."""

    def __init__(self, folder, name="A CA for tests"):
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(name)
        builder = self._builder(self._name, self._key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        builder = builder.add_extension(_usage(key_cert_sign=True, crl_sign=True), True)
        self.file = folder / "ca.pem"
        self.file.write_bytes(_pem(builder.sign(self._key, SHA256())))

    def issue(self, host):
        """Make a key and a certificate for a host; gives the file that holds both."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(_named(host), key.public_key())
        alternatives = x509.SubjectAlternativeName([x509.DNSName(host)])
        builder = builder.add_extension(alternatives, False)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
        builder = builder.add_extension(_usage(digital_signature=True), True)
        file = self._folder / f"{host}.pem"
        file.touch(mode=0o600)
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        file.write_bytes(secret + _pem(builder.sign(self._key, SHA256())))
        return file

    def _builder(self, name, public_key):
        now = datetime.now(timezone.utc)
        # Strict verifiers want both key identifiers (RFC 5280 sections 4.2.1.1 and 4.2.1.2).
        own = x509.SubjectKeyIdentifier.from_public_key(public_key)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _DAY)
            .not_valid_after(now + _DAY)
            .add_extension(own, False)
            .add_extension(issuer, False)
        )


def _named(name):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _pem(certificate):
    return certificate.public_bytes(Encoding.PEM)


def _usage(**granted):
    usages = (
        *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
        *("key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
    )
    return x509.KeyUsage(**{usage: granted.get(usage, False) for usage in usages})

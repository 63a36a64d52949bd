"""Certificates: those of a file, and a second check of whom one is for (RFC 9525).

Twisted's own check has a hole (seen in 26.10): if service_identity can't read the names in a
certificate, or finds no name at all, it raises CertificateError. Twisted logs that and goes on, so
that such a certificate is good for any host. Whoever starts TLS as a client must call
``verify_name`` after the handshake, before anything else is sent.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificates
from service_identity.pyopenssl import verify_hostname, verify_ip_address
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.ssl import Certificate


def is_address(host: str) -> bool:
    """Tell whether a host is an IP address, and not a name."""
    return isIPAddress(host) or isIPv6Address(host)


def verify_name(connection: Any, host: str) -> None:
    """Verify that the peer's certificate is for a host.

    Args:
        connection: A pyOpenSSL Connection after its handshake.
        host: A name (ASCII, or as service_identity encodes it) or an IP address.

    Raises:
        service_identity.VerificationError: The certificate is for other hosts.
        service_identity.CertificateError: The certificate has no name that could be compared.
    """
    verify = verify_ip_address if is_address(host) else verify_hostname
    verify(connection, host)


def read_certificates(path: str | Path) -> list[Certificate]:
    """Read every certificate of a file; Twisted's ``loadPEM`` reads only the first.

    Args:
        path: A file in PEM format.

    Returns:
        At least one certificate, in the file's order.

    Raises:
        OSError: The file can't be read.
        ValueError: The file contains no certificate.
    """
    pem = Path(path).read_bytes()
    try:
        found = load_pem_x509_certificates(pem)
    except ValueError:
        raise ValueError(f"{path} contains no certificate in PEM format") from None
    return [Certificate.load(each.public_bytes(Encoding.DER)) for each in found]

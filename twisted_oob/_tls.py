"""A second check of whom a certificate is for (RFC 9525).

Twisted's own check has a hole (seen in 26.10): if service_identity can't read the names in a
certificate, or finds no name at all, it raises CertificateError. Twisted logs that and goes on, so
that such a certificate is good for any host. Whoever starts TLS as a client must call
``verify_name`` after the handshake, before anything else is sent.
"""

from __future__ import annotations

from typing import Any

from service_identity.pyopenssl import verify_hostname, verify_ip_address
from twisted.internet.abstract import isIPAddress, isIPv6Address


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

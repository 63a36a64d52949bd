"""Whom a certificate is for, verified once more (RFC 9525).

Twisted 26.10 takes a certificate whose names it can't read, or that has none, as good for any
host: it logs service_identity's CertificateError and goes on with the connection.
"""

from __future__ import annotations

from typing import Any

from service_identity.pyopenssl import verify_hostname, verify_ip_address
from twisted.internet.abstract import isIPAddress, isIPv6Address


def is_address(host: str) -> bool:
    """Whether a host is an IP address, and not a name."""
    return isIPAddress(host) or isIPv6Address(host)


def verify_name(connection: Any, host: str) -> None:
    """Verify the peer's certificate for a host, after the handshake.

    ``connection``: a pyOpenSSL Connection. ``host``: a name in ASCII, or an address.
    Raises service_identity's VerificationError, or its CertificateError where nobody can tell.
    """
    verify = verify_ip_address if is_address(host) else verify_hostname
    verify(connection, host)

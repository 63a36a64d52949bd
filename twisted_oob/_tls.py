"""Whom a certificate is for, and TLS that asks it during the handshake (RFC 9525).

Twisted's own check has two faults for us (seen in 26.10):

- If service_identity can't read the names in a certificate, or finds no name at all, it raises
  CertificateError. Twisted logs that and goes on, so that such a certificate is good for any host.
- It knows only host names and IP addresses. A certificate of an XMPP server may name its domain in
  an SRV-ID alone (RFC 6120 section 13.7.1.2.1), and Twisted would end the handshake.

So there are two ways to use this module. Who starts TLS with Twisted's ``optionsForClientTLS``
calls ``verify_name`` after the handshake, before anything else is sent. Who starts it with
``ServiceTLS`` leaves Twisted's check out: OpenSSL verifies that a trusted authority has signed the
certificate, as ever, and then asks a callback of ours, in the same handshake, whom it is for. If
the certificate is for somebody else or for nobody, the handshake fails before a byte of ours is
sent.

What counts is only what can be compared. A name that no host can have, or that breaks the rules
for wildcards, neither helps a certificate nor harms the good name beside it.
"""

from __future__ import annotations

import weakref
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

import idna
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL
from service_identity import CertificateError, VerificationError
from service_identity.hazmat import (
    DNS_ID,
    SRV_ID,
    CertificatePattern,
    DNSPattern,
    IPAddress_ID,
    IPAddressPattern,
    SRVPattern,
)
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import Certificate, CertificateOptions, trustRootFromCertificates
from twisted.python.failure import Failure
from zope.interface import implementer

# RFC 4985 section 2, RFC 6120 section 13.7.1.4, and the DER tags of their values.
_ON_DNS_SRV: Final = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.7")
_ON_XMPP_ADDRESS: Final = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.5")
_IA5_STRING: Final = 0x16
_UTF8_STRING: Final = 0x0C


def is_address(host: str) -> bool:
    """Tell whether a host is an IP address, and not a name."""
    return isIPAddress(host) or isIPv6Address(host)


def verify_name(connection: Any, host: str, *, services: Collection[str] = ()) -> None:
    """Verify that the peer's certificate is for a host.

    Args:
        connection: A pyOpenSSL Connection after its handshake.
        host: A name (ASCII, or as idna encodes it) or an IP address.
        services: As for ServiceTLS.

    Raises:
        service_identity.VerificationError: The certificate is for other hosts.
        service_identity.CertificateError: The certificate has no name that could be compared.
    """
    certificate = connection.get_peer_certificate()
    if certificate is None:
        raise CertificateError("there is no certificate")
    _verify(certificate.to_cryptography(), host, services)


@implementer(IOpenSSLClientConnectionCreator)
class ServiceTLS:
    """TLS to a service of a domain, which verifies in the handshake that it is the domain's.

    Args:
        host: The domain, a name or an IP address. A name is sent as the server name (SNI).
        trust_root: Whom to trust, as for Twisted's CertificateOptions.
        services: Services such as ``_xmpp-client``. A certificate that names the host only for one
            of these (SRV-ID, RFC 4985), or only as an XMPP address (RFC 6120 section 13.7.1.4), is
            accepted as well as one that names it in general.
        protocols: The names of application protocols to offer (ALPN, RFC 7301).

    Raises:
        ValueError: No certificate can name this host.
    """

    def __init__(
        self,
        host: str,
        trust_root: Any,
        *,
        services: Collection[str] = (),
        protocols: Sequence[bytes] = (),
    ) -> None:
        self._host = host
        self._services = services
        self._protocols = list(protocols)
        # SNI is for names only (RFC 6066 section 3).
        self._server_name = None if is_address(host) else idna.encode(host)
        self._options = CertificateOptions(trustRoot=trust_root)

    def clientConnectionForTLS(self, tls_protocol: Any) -> SSL.Connection:  # noqa: N802
        """Return a Connection for one handshake; IOpenSSLClientConnectionCreator says more."""
        connection = SSL.Connection(self._options.getContext(), None)
        if self._server_name is not None:
            connection.set_tlsext_host_name(self._server_name)
        if self._protocols:
            connection.set_alpn_protos(self._protocols)
        connection.set_verify(
            SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT,
            # Weak, or the two would hold each other until the garbage collector comes.
            partial(self._judge, weakref.ref(tls_protocol)),
        )
        return connection

    def _judge(
        self,
        tls_protocol: Any,
        _connection: Any,
        certificate: Any,
        _error: int,
        depth: int,
        ok: int,
    ) -> bool:
        """Verify one certificate of the chain, after OpenSSL has; the server's own has depth 0."""
        if not ok or depth:
            return bool(ok)
        try:
            _verify(certificate.to_cryptography(), self._host, self._services)
        # Whatever it is, pyOpenSSL must not see it: it would fail in the reactor.
        except Exception:
            protocol = tls_protocol()
            if protocol is not None:
                # OpenSSL says only "certificate verify failed"; this is the reason that we see.
                protocol.failVerification(Failure())
            return False
        return True


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
        found = x509.load_pem_x509_certificates(pem)
    except ValueError:
        raise ValueError(f"{path} contains no certificate in PEM format") from None
    return [Certificate.load(each.public_bytes(Encoding.DER)) for each in found]


def trust_only(path: str | Path) -> Any:
    """Return a trust root of the certificates in a file, and of no others.

    Args:
        path: As for ``read_certificates``, which says what it raises.
    """
    return trustRootFromCertificates(read_certificates(path))


def _verify(certificate: x509.Certificate, host: str, services: Collection[str]) -> None:
    """Verify whom a certificate is for; ``verify_name`` says what this raises."""
    patterns = list(_patterns(certificate, services))
    if not patterns:
        raise CertificateError("the certificate contains no usable name")
    if is_address(host):
        wanted: list[Any] = [IPAddress_ID(host)]
    else:
        wanted = [DNS_ID(host), *(SRV_ID(f"{service}.{host}") for service in services)]
    # One is enough (RFC 6120 section 13.7.2.1).
    if not any(each.verify(pattern) for each in wanted for pattern in patterns):
        raise VerificationError(errors=[each.error_on_mismatch(each) for each in wanted])


def _patterns(
    certificate: x509.Certificate, services: Collection[str]
) -> Iterator[CertificatePattern]:
    """Give the names of a certificate that can be compared."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return
    for name in names:
        # ValueError and IndexError: service_identity's answers to an empty or strange name.
        with suppress(CertificateError, ValueError, IndexError):
            if isinstance(name, x509.DNSName):
                yield DNSPattern.from_bytes(name.value.encode())
            elif isinstance(name, x509.IPAddress):
                yield IPAddressPattern(ip_address(str(name.value)))
            elif isinstance(name, x509.OtherName) and services:
                yield _other_pattern(name)


def _other_pattern(name: x509.OtherName) -> CertificatePattern:
    """Read an SRV-ID or an XMPP address.

    Raises:
        ValueError: It is neither, or no host can have the name in it.
        service_identity.CertificateError: No host can have the name in it.
    """
    if name.type_id == _ON_DNS_SRV:
        return SRVPattern.from_bytes(_der_string(name.value, _IA5_STRING))
    if name.type_id == _ON_XMPP_ADDRESS:
        # A server's own is its domain, perhaps in Unicode. It has no wildcards.
        domain = _der_string(name.value, _UTF8_STRING).decode()
        return DNSPattern.from_bytes(idna.encode(domain))
    raise ValueError("it names no service")


def _der_string(der: bytes, tag: int) -> bytes:
    """Read the contents of a DER string whose tag is known (X.690 section 8.1)."""
    if len(der) > 1 and der[0] == tag:
        # Over 127, the lower bits count the bytes that the length takes.
        start = 2 + (der[1] & 0x7F if der[1] > 0x7F else 0)  # noqa: PLR2004
        length = der[1] if start == 2 else int.from_bytes(der[2:start], "big")  # noqa: PLR2004
        if len(der) == start + length:
            return der[start:]
    raise ValueError("it is no such string")

"""Whom a certificate is for, and TLS that asks it during the handshake (RFC 9525).

Twisted's own check (``optionsForClientTLS``) has three faults for us (seen in 26.10):

- If it can't read the names in a certificate, or finds no name at all, it logs that and goes on,
  so that such a certificate is good for any host.
- It takes only the hosts that IDNA 2008 has: no ``_``, no ``--`` in the third place, no final dot.
  DNS and certificates have all of them.
- It knows only host names and IP addresses. A certificate of an XMPP server may name its domain in
  an SRV-ID alone (RFC 6120 section 13.7.1.2.1), and Twisted would end the handshake.

So ``ServiceTLS`` leaves it out. OpenSSL verifies that a trusted authority has signed the
certificate, as ever, and then asks a callback of ours, in the same handshake, whom it is for. If
the certificate is for somebody else or for nobody, the handshake fails before a byte of ours is
sent, and the reason is the ``connectionLost`` of the protocol inside.

What counts is only what can be compared. A name that no host can have, or that breaks the rules
for wildcards, neither helps a certificate nor harms the good name beside it. A common name never
counts.

The context has the roots, and with them most of the memory: 0.8 MB and 5 ms for those of a usual
machine. So many connections share one. What differs between them (the server name, the protocols,
the callback) is set for each Connection. A context keeps no sessions and takes no session tickets,
as Twisted makes it, so that no server can tell that two connections come from the same client.
"""

from __future__ import annotations

import re
import weakref
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any, Final, TypeAlias

import idna
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL
from service_identity import CertificateError, VerificationError
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import Certificate, CertificateOptions, trustRootFromCertificates
from twisted.python.failure import Failure
from zope.interface import implementer

_LABEL: Final = r"[a-z0-9_-]{1,63}"
# At most 253 characters (RFC 1035 section 2.3.4), of letters, digits and hyphens (RFC 1123 section
# 2.1), and underscores, which some hosts have.
_HOST: Final = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*")
# A wildcard is the whole leftmost label (RFC 9525 section 6.3), and two labels follow it: nobody
# has all the hosts of a top-level domain.
_WILDCARD: Final = re.compile(rf"(?=.{{1,253}}\Z)\*(?:\.{_LABEL}){{2,}}")
_MOST_TOLD: Final = 3

# RFC 4985 section 2, RFC 6120 section 13.7.1.4, and the DER tags of their values.
_ON_DNS_SRV: Final = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.7")
_ON_XMPP_ADDRESS: Final = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.5")
_IA5_STRING: Final = 0x16
_UTF8_STRING: Final = 0x0C

_UNKNOWN_AUTHORITY: Final = frozenset(
    {
        SSL.X509VerificationCodes.ERR_DEPTH_ZERO_SELF_SIGNED_CERT,
        SSL.X509VerificationCodes.ERR_SELF_SIGNED_CERT_IN_CHAIN,
        SSL.X509VerificationCodes.ERR_UNABLE_TO_GET_ISSUER_CERT,
        SSL.X509VerificationCodes.ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
        SSL.X509VerificationCodes.ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE,
    }
)

# A DNS name or a wildcard, an address, or a service and its domain (an SRV-ID).
_Name: TypeAlias = "str | IPv4Address | IPv6Address | tuple[str, str]"


class OtherHost(VerificationError):
    """The certificate is for other hosts.

    Args:
        host: The host that it should be for.
        named: The names in it, at least one.
    """

    def __init__(self, host: str, named: Collection[_Name]) -> None:
        super().__init__(errors=())
        told = sorted(".".join(one) if isinstance(one, tuple) else str(one) for one in named)
        more = len(told) - _MOST_TOLD
        also = f" and {more} more" if more > 0 else ""
        self.args = (f"it is not for {host}, but for {', '.join(told[:_MOST_TOLD])}{also}",)

    def __str__(self) -> str:
        return str(self.args[0])


class NoRoots(CertificateError):
    """Nobody can tell whether to trust the certificate: this machine has no CA roots.

    Its argument says so in one line, and what to do.
    """


def is_address(host: str) -> bool:
    """Tell whether a host is an IP address, and not a name."""
    return isIPAddress(host) or isIPv6Address(host)


def ascii_host(host: str) -> str:
    """Give a host as DNS and certificates have it: in lower case, and without a final dot.

    Args:
        host: A name or an IP address. Labels that are not ASCII become A-labels (RFC 5891).

    Raises:
        ValueError: DNS can't have such a name.
    """
    labels = host.lower().removesuffix(".").split(".")
    name = ".".join(
        label if label.isascii() else idna.encode(label).decode("ascii") for label in labels
    )
    if _HOST.fullmatch(name) is None and not is_address(name):
        raise ValueError(f"no host can have the name {host!r}")
    return name


@implementer(IOpenSSLClientConnectionCreator)
class ServiceTLS:
    """TLS to a service of a domain, which verifies in the handshake that it is the domain's.

    Args:
        host: The domain, a name or an IP address. A name is sent as the server name (SNI), without
            a final dot (RFC 6066 section 3).
        context: Whom to trust: ``trust_platform`` and ``trust_only`` give one. Many may share it.
        services: Services such as ``_xmpp-client``. A certificate that names the host only for one
            of these (SRV-ID, RFC 4985), or only as an XMPP address (RFC 6120 section 13.7.1.4), is
            accepted as well as one that names it in general.
        protocols: The names of application protocols to offer (ALPN, RFC 7301).
        no_roots: One line that says that this machine has no CA roots; None if it has. With such a
            line, a certificate that nobody whom the context trusts has signed fails with NoRoots.

    Raises:
        ValueError: DNS can't have such a host.
    """

    def __init__(
        self,
        host: str,
        context: SSL.Context,
        *,
        services: Collection[str] = (),
        protocols: Sequence[bytes] = (),
        no_roots: str | None = None,
    ) -> None:
        self._host = ascii_host(host)
        self._context = context
        self._services = bool(services)
        self._protocols = list(protocols)
        self._no_roots = no_roots
        self._wanted = frozenset(_wanted(self._host, services))
        # SNI is for names only (RFC 6066 section 3).
        self._server_name = None if is_address(self._host) else self._host.encode("ascii")

    def clientConnectionForTLS(self, tls_protocol: Any) -> SSL.Connection:  # noqa: N802
        """Return a Connection for one handshake; IOpenSSLClientConnectionCreator says more."""
        connection = SSL.Connection(self._context, None)
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
        error: int,
        depth: int,
        ok: int,
    ) -> bool:
        """Verify one certificate of the chain, after OpenSSL has; the server's own has depth 0."""
        try:
            if not ok:
                if self._no_roots is None or error not in _UNKNOWN_AUTHORITY:
                    return False
                raise NoRoots(self._no_roots)
            if depth == 0:
                self._verify(certificate.to_cryptography())
        # Whatever it is, pyOpenSSL must not see it: it would fail in the reactor.
        except Exception:
            protocol = tls_protocol()
            if protocol is not None:
                # OpenSSL says only "certificate verify failed"; this is the reason that we see.
                protocol.failVerification(Failure())
            return False
        return True

    def _verify(self, certificate: x509.Certificate) -> None:
        """Verify whom a certificate is for.

        Raises:
            OtherHost: It is for other hosts.
            service_identity.CertificateError: It has no name that could be compared.
        """
        names = set(_names(certificate, services=self._services))
        if not names:
            raise CertificateError("the certificate contains no usable name")
        # One is enough (RFC 6120 section 13.7.2.1).
        if self._wanted.isdisjoint(names):
            raise OtherHost(self._host, names)


def trust_platform(also: Iterable[Certificate] = ()) -> SSL.Context:
    """Make a context that trusts the platform's authorities.

    Args:
        also: Certificates to trust beside them.
    """
    context = _context(also)
    # An empty file in the place of the roots: nobody is trusted then (see files/roots.py).
    with suppress(SSL.Error):
        context.set_default_verify_paths()
    return context


def trust_only(path: str | Path) -> SSL.Context:
    """Make a context that trusts the certificates in a file, and no others.

    Args:
        path: As for ``read_certificates``, which says what it raises.
    """
    return _context(read_certificates(path))


def _context(trusted: Iterable[Certificate]) -> SSL.Context:
    options = CertificateOptions(trustRoot=trustRootFromCertificates(list(trusted)))
    context: SSL.Context = options.getContext()
    return context


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


def _wanted(host: str, services: Iterable[str]) -> Iterator[_Name]:
    """Give every name that makes a certificate good for a host."""
    if is_address(host):
        yield ip_address(host)
        return
    yield host
    yield f"*.{host.partition('.')[2]}"
    for service in services:
        yield service, host


def _names(certificate: x509.Certificate, *, services: bool) -> Iterator[_Name]:
    """Give the names of a certificate that can be compared; of services only if they are asked."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return
    for name in names:
        with suppress(ValueError):
            if isinstance(name, x509.DNSName):
                yield _read_dns_name(name.value)
            elif isinstance(name, x509.IPAddress):
                yield ip_address(str(name.value))
            elif isinstance(name, x509.OtherName) and services:
                yield _read_other_name(name)


def _read_dns_name(name: str, *, wildcard: bool = True) -> str:
    """Read a DNS name or a wildcard.

    Raises:
        ValueError: No host can have it.
    """
    # Before lower(), which makes a "k" of the Kelvin sign.
    lower = name.lower().removesuffix(".") if name.isascii() else ""
    if is_address(lower) or not (
        _HOST.fullmatch(lower) or (wildcard and _WILDCARD.fullmatch(lower))
    ):
        raise ValueError("no host can have this name")
    return lower


def _read_other_name(name: x509.OtherName) -> _Name:
    """Read an SRV-ID or an XMPP address.

    Raises:
        ValueError: It is neither, or no host can have the name in it.
    """
    if name.type_id == _ON_DNS_SRV:
        service, _, domain = _der_string(name.value, _IA5_STRING).decode("ascii").partition(".")
        if service.startswith("_"):
            return service.lower(), _read_dns_name(domain, wildcard=False)
    if name.type_id == _ON_XMPP_ADDRESS:
        # A server's own is its domain, perhaps in Unicode. It has no wildcards.
        return _read_dns_name(ascii_host(_der_string(name.value, _UTF8_STRING).decode()))
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

"""Whom https downloads trust: the platform's authorities, and an operator's own beside them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import Certificate
from twisted.web.client import BrowserLikePolicyForHTTPS
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface import implementer

from twisted_oob._tls import read_certificates


@implementer(IPolicyForHTTPS)
class AlsoTrusting:
    """Verifies servers as BrowserLikePolicyForHTTPS does, and trusts more certificates.

    Args:
        ca_file: A file of certificates in PEM format, or None for the platform's alone.

    Raises:
        OSError: The file can't be read.
        ValueError: The file contains no certificate.
    """

    def __init__(self, ca_file: str | Path | None) -> None:
        self._platform = BrowserLikePolicyForHTTPS()
        self._certificates = () if ca_file is None else read_certificates(Path(ca_file))

    def creatorForNetloc(self, hostname: bytes, port: int) -> Any:  # noqa: N802  # the interface's
        """Give what begins TLS with a server, and verifies it.

        Raises:
            UnicodeError: No certificate can name the host.
        """
        creator = self._platform.creatorForNetloc(hostname, port)
        return _AlsoTrustingCreator(creator, self._certificates)


@implementer(IOpenSSLClientConnectionCreator)
class _AlsoTrustingCreator:
    # Twisted can combine trust roots, too, but only through methods that it keeps private.

    def __init__(self, creator: Any, certificates: Sequence[Certificate]) -> None:
        self._creator = creator
        self._certificates = certificates

    def clientConnectionForTLS(self, tlsProtocol: Any) -> Any:  # noqa: N802, N803  # as above
        connection = self._creator.clientConnectionForTLS(tlsProtocol)
        # OpenSSL looks into the store when the server's certificate comes, which is later. Each
        # creator has a context of its own, and with it a store.
        store = connection.get_context().get_cert_store()
        for certificate in self._certificates:
            store.add_cert(certificate.original)
        return connection

"""Whom https downloads trust: the platform's authorities, and an operator's own beside them."""

from __future__ import annotations

import os
from functools import cache, cached_property
from pathlib import Path
from typing import Final

from OpenSSL import SSL
from twisted.logger import Logger
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface import implementer

from twisted_oob._tls import ServiceTLS, read_certificates, trust_platform
from twisted_oob.errors import NoRoom
from twisted_oob.files.roots import missing_roots

_log: Final = Logger()


@implementer(IPolicyForHTTPS)
class HttpsTrust:
    """Verifies in the handshake that a certificate is for its server, and whom it is signed by.

    All its connections share one context. So the platform's roots are read once, at the first
    connection: what changes among them later counts after a restart.

    Args:
        ca_file: A file of certificates in PEM format, or None for the platform's alone.

    Raises:
        OSError: The file can't be read.
        ValueError: The file contains no certificate.
    """

    def __init__(self, ca_file: str | Path | None) -> None:
        self._ca_file = ca_file
        self._certificates = () if ca_file is None else tuple(read_certificates(ca_file))

    @cached_property
    def no_roots(self) -> str | None:
        """One line that says that this machine has no CA roots, and what to do; None if it has."""
        return missing_roots(self._ca_file)

    @cached_property
    def _context(self) -> SSL.Context:
        # Without descriptors OpenSSL reads no roots and does not say so. That must not be kept.
        _check_descriptors()
        context = trust_platform(self._certificates)
        _check_descriptors()
        return context

    def creatorForNetloc(self, hostname: bytes, port: int) -> ServiceTLS:  # noqa: N802  # the interface's
        """Give what begins TLS with a server, and verifies it.

        Raises:
            ValueError: DNS can't have such a host.
            NoRoom: The roots could not be read, as file descriptors are used up.
        """
        return ServiceTLS(hostname.decode("ascii"), self._context, no_roots=self.no_roots)

    def warn(self) -> None:
        """Log a warning if the machine has no CA roots: once in a process, however many ask."""
        if self.no_roots is not None:
            warn_once(self.no_roots)


def _check_descriptors() -> None:
    """Check that a file can be opened.

    Raises:
        NoRoom: File descriptors are used up.
    """
    try:
        os.close(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        raise NoRoom("no room for the file now", detail=str(error)) from None


@cache
def warn_once(text: str) -> None:
    """Log a warning, unless this process has logged the same one."""
    _log.warn("{text}", text=text)

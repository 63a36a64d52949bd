"""Where the XMPP server of an account is, and how to get there.

Theory of operation. A domain names its servers in two sets of SRV records: ``_xmpp-client`` for
those that begin in the clear and then start TLS (RFC 6120 section 3.2), ``_xmpps-client`` for
those where TLS begins with the first byte (direct TLS, XEP-0368). Both sets count as one, in the
order of their priorities and weights (RFC 2782). What they say, and what we make of it:

==================================  ===============================================================
records                             where we connect
==================================  ===============================================================
at least one with a target          to the targets, in order, until one answers
none in both sets                   to the domain itself, port 5222, with STARTTLS
a target ``.``, and no other        nowhere: the domain states that it has no service
the same, but one set unreachable   nowhere for now: the other set may have targets
==================================  ===============================================================

A host or port that an operator gives takes the place of all this, and so does a server that
redirects us (``see-other-host``). Whatever way leads to a server, its certificate must be for the
account's domain. So neither forged records nor a forged redirection lead to anybody else.

For direct TLS the certificate is verified here, for STARTTLS only by the stream. If it is not the
domain's, the next target is tried, under the same rules, and the log has a warning. If no other
target answers, this is the failure that is reported.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import idna
from OpenSSL import SSL
from service_identity import CertificateError, VerificationError
from twisted.internet.defer import (
    CancelledError,
    Deferred,
    FirstError,
    ensureDeferred,
    gatherResults,
)
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.error import ConnectError, ConnectionClosed, DNSLookupError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.logger import Logger
from twisted.names import client as dns_client
from twisted.names import dns
from twisted.names.error import AuthoritativeDomainError, DNSNameError, DomainError
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_oob._checks import HIGHEST_PORT
from twisted_oob._tls import is_address
from twisted_oob.errors import NoService, StreamRefused
from twisted_oob.xmpp.direct_tls import DirectTLSEndpoint
from twisted_oob.xmpp.failures import explain
from twisted_oob.xmpp.ports import CLIENT_PORT, DIRECT_TLS_PORT

MOST_REDIRECTS: Final = 5
"""How many redirections in a row are followed (RFC 6120 section 4.9.3.19)."""
SERVICES: Final = ("_xmpp-client", "_xmpps-client")
"""The services of the two sets of SRV records, and of the SRV-IDs that name them."""

RESOLV_CONF: Final = Path("/etc/resolv.conf")
"""Where the platform's name servers are written (resolv.conf(5)); read for each lookup."""
_DNS_TIMEOUTS: Final = (1, 3, 8)
"""Seconds of each try of a lookup."""
# Not their subclasses: Twisted's exception for a name server that fails is one of DomainError's.
_NO_SUCH_NAME: Final = (DNSNameError, DomainError, AuthoritativeDomainError)
# RFC 6120 section 4.9.3.19: a host, or an IPv6 address in brackets, and perhaps a port.
_REDIRECT: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\s:/@\[\]]+))(?::([0-9]{1,5}))?")


class _Record(Protocol):
    """What the order of SRV records depends on."""

    @property
    def priority(self) -> int: ...

    @property
    def weight(self) -> int: ...


_R = TypeVar("_R", bound=_Record)


@dataclass(frozen=True, slots=True)
class _Target:
    """One server that can be tried."""

    host: str
    port: int
    direct_tls: bool
    priority: int = 0
    weight: int = 0


@implementer(IStreamClientEndpoint)
class ServerEndpoint:
    """Connects to the XMPP server of an account.

    If neither a host nor a port is given, each connection looks the servers up anew and tries them
    in the order of their SRV records. An IP address has no records; it is connected to.

    Args:
        reactor: Makes the connections.
        domain: The domain of the account, or its IP address.
        tls: An IOpenSSLClientConnectionCreator for direct TLS; it must verify that the certificate
            is for the domain.
        host: The host to connect to, whatever DNS says. Its default is the domain.
        port: The port to connect to, whatever DNS says. Its default is CLIENT_PORT, or
            DIRECT_TLS_PORT for direct TLS.
        direct_tls: Whether TLS begins with the first byte. Without host and port, only the records
            for direct TLS count. Without such records, it is the domain at DIRECT_TLS_PORT.
        resolver: An IResolver for SRV records. None stands for the platform's name servers.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        domain: str,
        tls: Any,
        *,
        host: str | None = None,
        port: int | None = None,
        direct_tls: bool = False,
        resolver: Any = None,
    ) -> None:
        self._reactor = reactor
        self._domain = domain
        self._tls = tls
        self._host = host
        self._port = port
        self._direct_tls = direct_tls
        self._resolver = resolver
        self._redirect: tuple[str, int | None] | None = None
        self._redirects = 0
        self._last = _at(host or domain, port, direct_tls)

    def connect(self, factory: Any) -> Deferred[Any]:
        """Connect to the first server that answers.

        Args:
            factory: Makes the stream.

        Returns:
            A Deferred that fires with the stream. If no server answers, it fails as the last one
            did, or with a certificate that was refused. It fails with NoService if the domain
            states that it has none.
        """
        return ensureDeferred(self._connect(factory))

    def see_other_host(self, text: str) -> bool:
        """Follow a redirection: the next connection goes there (RFC 6120 section 4.9.3.19).

        If that fails, the one after it goes to the domain's own servers again.

        Args:
            text: The character data of the server's ``<see-other-host/>``.

        Returns:
            Whether it is followed. It is not if it names no host, or after MOST_REDIRECTS in a row.
        """
        place = _read_redirect(text)
        if place is None or self._redirects >= MOST_REDIRECTS:
            return False
        self._redirects += 1
        self._redirect = place
        return True

    def stream_up(self) -> None:
        """Forget the redirections that led to a stream, as it was up long enough to count."""
        self._redirects = 0

    def same_server(self) -> Any:
        """Return an IStreamClientEndpoint of the server that the last connection went to.

        ``connect`` may go to another one that serves the domain, too.
        """
        return self._endpoint(self._last)

    async def _connect(self, factory: Any) -> Any:
        redirect, self._redirect = self._redirect, None
        if redirect is None:
            self._redirects = 0
            return await self._try_each(await self._own_targets(), factory)
        host, port = redirect
        self._log.info("{domain}: redirected to {host}", domain=self._domain, host=host)
        try:
            return await self._try_each(await self._redirect_targets(host, port), factory)
        except CancelledError:
            raise
        except Exception:
            # Whatever is wrong there may be right here, so it is no reason to give up.
            reason = explain(Failure()).text
            raise StreamRefused(
                f"the server redirects to {host}, but: {reason}", permanent=False
            ) from None

    async def _try_each(self, targets: Iterable[_Target], factory: Any) -> Any:
        refused: Exception | None = None
        failed: Exception = NoService(f"{self._domain} has no XMPP service, according to its DNS")
        for target in targets:
            try:
                stream = await self._endpoint(target).connect(factory)
            except (VerificationError, CertificateError, SSL.Error) as error:  # noqa: PERF203
                refused = refused or error
                self._log.warn(
                    "{domain}: {host}, port {port}: {reason}",
                    domain=self._domain,
                    host=target.host,
                    port=target.port,
                    reason=explain(Failure()).text,
                )
            # HostnameEndpoint raises ValueError for a target that is not a host name.
            except (ConnectError, ConnectionClosed, DNSLookupError, ValueError) as error:
                failed = error
            else:
                self._last = target
                return stream
        raise refused or failed

    def _endpoint(self, target: _Target) -> Any:
        endpoint = HostnameEndpoint(self._reactor, target.host, target.port)
        if not target.direct_tls:
            return endpoint
        return DirectTLSEndpoint(endpoint, self._tls, self._reactor)

    async def _own_targets(self) -> list[_Target]:
        # An IP address has no records.
        if self._host is None and self._port is None and not is_address(self._domain):
            return await self._look_up(self._domain)
        return [_at(self._host or self._domain, self._port, self._direct_tls)]

    async def _redirect_targets(self, host: str, port: int | None) -> list[_Target]:
        # A host without a port is to be resolved as a domain is. With a port, nothing says whether
        # TLS begins at once there, so it is assumed to be as at the server that sent us there.
        if port is None and not is_address(host):
            return await self._look_up(host)
        return [_at(host, port, self._last.direct_tls)]

    async def _look_up(self, domain: str) -> list[_Target]:
        """Look the servers of a domain up, in the order to try them.

        Raises:
            StreamRefused: There may be some, but one set of records can't be had.
            NoService: There is none.
        """
        services = SERVICES[1:] if self._direct_tls else SERVICES
        # Side by side: name servers that don't answer take a while.
        lookups = [ensureDeferred(self._records(service, domain)) for service in services]
        try:
            found = await gatherResults(lookups, consumeErrors=True)
        except FirstError as error:
            # Whatever DNS says is a value; so they were cancelled.
            raise CancelledError from error
        targets = [target for records in found for target in records or ()]
        usable = [target for target in targets if target.host]
        if usable:
            return in_order(usable)
        if not targets:
            return [_at(domain, None, self._direct_tls)]
        if None in found:
            raise StreamRefused(
                f"DNS does not tell where the XMPP server of {domain} is: check it, or try later",
                permanent=False,
            )
        if self._direct_tls:
            raise NoService(f"{domain} has no XMPP service with direct TLS, according to its DNS")
        raise NoService(f"{domain} has no XMPP service, according to its DNS")

    async def _records(self, service: str, domain: str) -> list[_Target] | None:
        """Look one set of records up; None if DNS tells neither them nor that there are none."""
        # Not one that reads the file itself: it would do so each minute, for ever.
        resolver = self._resolver or dns_client.Resolver(
            servers=name_servers(RESOLV_CONF), reactor=self._reactor
        )
        name = f"{service}._tcp.{_a_labels(domain)}"
        try:
            answers, _, _ = await resolver.lookupService(name, timeout=_DNS_TIMEOUTS)
        except CancelledError:
            raise
        except Exception as error:
            self._log.debug("No records of {name}: {error!r}", name=name, error=error)
            return [] if type(error) in _NO_SUCH_NAME else None
        return [
            _Target(
                # The name comes from strangers; what is not ASCII can't be a host name. The target
                # "." has nothing left: it states that there is no service.
                host=answer.payload.target.name.decode("ascii", "replace").rstrip("."),
                port=answer.payload.port,
                direct_tls=service == SERVICES[1],
                priority=answer.payload.priority,
                weight=answer.payload.weight,
            )
            for answer in answers
            if answer.type == dns.SRV
        ]


def name_servers(file: Path) -> list[tuple[str, int]]:
    """Read the name servers of a resolv.conf(5); if there are none, this machine is one."""
    try:
        lines = file.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    words = [line.split() for line in lines]
    found = [(line[1], dns.PORT) for line in words if line[:1] == ["nameserver"] and line[1:]]
    return found or [("127.0.0.1", dns.PORT)]


def in_order(records: Iterable[_R], draw: Callable[[int], int] = secrets.randbelow) -> list[_R]:
    """Put SRV records in the order to try them: by priority, then by chance (RFC 2782).

    Among records of one priority, each is the next with a probability in proportion to its weight.

    Args:
        records: What has a priority and a weight, in any order.
        draw: Returns a random whole number from 0 up to, but not including, its argument.
    """
    ordered = []
    # RFC 2782 puts records of weight 0 first: then only a draw of exactly 0 picks them, so that
    # they have a very small chance while others are left.
    by_priority = sorted(records, key=lambda record: (record.priority, record.weight))
    for _, group in groupby(by_priority, key=lambda record: record.priority):
        left = list(group)
        while left:
            # From 0 to the sum, both included, as RFC 2782 has it. The first record whose running
            # sum reaches the mark is the next.
            mark = draw(sum(record.weight for record in left) + 1)
            position, passed = 0, left[0].weight
            while passed < mark:
                position += 1
                passed += left[position].weight
            ordered.append(left.pop(position))
    return ordered


def _at(host: str, port: int | None, direct_tls: bool) -> _Target:
    return _Target(
        _a_labels(host), port or (DIRECT_TLS_PORT if direct_tls else CLIENT_PORT), direct_tls
    )


def _a_labels(host: str) -> str:
    """Give a host as DNS has it; what is no name stays as it is, for others to complain of.

    Twisted and Python would encode it by IDNA 2003, where ``faß.example`` is ``fass.example``. By
    IDNA 2008, as the certificate is compared, it is a domain of its own (see jid_parts.py).
    """
    try:
        return host if host.isascii() else idna.encode(host).decode("ascii")
    except idna.IDNAError:
        return host


def _read_redirect(text: str) -> tuple[str, int | None] | None:
    """Read where a server redirects to: a host and perhaps a port; None if it is no such thing."""
    match = _REDIRECT.fullmatch(text.strip())
    if match is None:
        return None
    bracketed, name, digits = match.groups()
    port = None if digits is None else int(digits)
    if port is not None and not 0 < port <= HIGHEST_PORT:
        return None
    if bracketed is not None:
        return (bracketed, port) if is_address(bracketed) and ":" in bracketed else None
    try:
        ascii_name = name.encode("idna")
    except UnicodeError:
        return None
    return (name, port) if re.fullmatch(rb"[A-Za-z0-9._-]+", ascii_name) else None

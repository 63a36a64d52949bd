"""The way to an account on a real server: where it is, and a stream that is safe to log in on."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificates
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.ssl import Certificate, optionsForClientTLS, trustRootFromCertificates
from twisted.logger import Logger
from twisted.names import client as dns_client
from twisted.names import dns
from twisted.words.protocols.jabber import client
from twisted.words.protocols.jabber.ijabber import IInitiatingInitializer
from twisted.words.protocols.jabber.jid import JID
from twisted.words.protocols.jabber.xmlstream import (
    ConnectAuthenticator,
    TLSInitiatingInitializer,
    XmlStreamFactory,
)
from twisted.words.xish import domish
from zope.interface import implementer

from twisted_oob._tls import is_address, verify_name
from twisted_oob.errors import NoService, StreamRefused, Unencrypted
from twisted_oob.xmpp.jid import parse_jid
from twisted_oob.xmpp.scram import SaslInitializer

PORT: Final = 5222
"""Of a server for its clients, where neither DNS nor an operator says otherwise."""

_SERVICE: Final = "_xmpp-client._tcp."
_DNS_TIMEOUTS: Final = (1, 3, 8)  # seconds that each try of a lookup may take


def client_factory(jid: JID, password: str, *, ca_file: Path | None = None) -> XmlStreamFactory:
    """Make XML streams that are logged in to an account (RFC 6120).

    Each takes STARTTLS, verifies that the certificate is for the JID's domain, whatever host it
    is connected to (section 13.7), authenticates and binds a resource. Before that, nothing about
    the account is sent but its domain. A failure is dispatched as INIT_FAILED_EVENT or, where the
    certificate is refused, as the reason of STREAM_END_EVENT; ``failures.explain`` reads both.

    ``jid``: the account's; its resource, if any, is asked for.
    ``ca_file``: certificates in PEM format, of authorities or the server's own if self-signed,
    to verify with; None for those that the platform trusts.

    Raises an OSError where that file can't be read, a ValueError where it holds no certificate,
    or the JID is no account's or has a domain that no certificate can name.
    """
    if not jid.user:
        raise ValueError(f"{jid.full()!r} is no account: a name and an '@' are missing")
    trusted = None if ca_file is None else _read_certificates(ca_file)
    try:
        tls = optionsForClientTLS(jid.host, trustRoot=trusted)
    except UnicodeError:  # idna's errors are among these
        raise ValueError(f"no certificate can name the domain {jid.host!r}") from None
    return XmlStreamFactory(_AccountAuthenticator(jid, password, tls))


def client_endpoint(
    reactor: Any,
    domain: str,
    *,
    host: str | None = None,
    port: int | None = None,
    resolver: Any = None,
) -> Any:
    """Give the endpoint, an IStreamClientEndpoint, of a domain's XMPP server for clients.

    Without ``host``, each connection asks DNS anew and tries what it names in its order
    (RFC 6120 section 3.2.1, RFC 2782), or else, if it names nothing, the domain itself.
    It fails with NoService where DNS says that there is none.

    ``host``, ``port``: where to connect whatever DNS says; the port is 5222 by default.
    ``resolver``: an IResolver for SRV records; None for the platform's name servers.
    """
    if host is None and port is None and not is_address(domain):
        return _ServiceEndpoint(reactor, domain, resolver)
    return HostnameEndpoint(reactor, host or domain, port or PORT)


class _AccountAuthenticator(ConnectAuthenticator):
    """What every stream of an account goes through, in this order.

    ``jid``: once a resource is bound, the full JID that the server gave.
    """

    namespace = "jabber:client"

    def __init__(self, account: JID, password: str, tls: Any) -> None:
        ConnectAuthenticator.__init__(self, account.host)
        self.jid = self._account = account
        self._password = password
        self._tls = tls

    def associateWithStream(self, xs: Any) -> None:
        """Prepare the negotiation of a new stream, as that of the first."""
        ConnectAuthenticator.associateWithStream(self, xs)
        self.jid = self._account
        user = str(self._account.user)
        xs.initializers = [
            client.CheckVersionInitializer(xs),
            _StartTLS(xs, required=True, configurationForTLS=self._tls),  # type: ignore[no-untyped-call]
            _VerifyName(xs, self._account.host),
            SaslInitializer(xs, user, self._password),
            _Bind(xs, required=True),  # type: ignore[no-untyped-call]
            _Session(xs),  # type: ignore[no-untyped-call]
        ]


class _StartTLS(TLSInitiatingInitializer):
    def initialize(self) -> Any:
        if self.feature not in self.xmlstream.features:
            raise Unencrypted("the server does not offer STARTTLS")
        return TLSInitiatingInitializer.initialize(self)

    def onProceed(self, obj: domish.Element) -> None:
        # What was said in the clear counts no more (RFC 6120 section 5.4.3.3).
        self.xmlstream.features = {}
        self.xmlstream.otherEntity = JID(self.xmlstream.authenticator.otherHost)
        TLSInitiatingInitializer.onProceed(self, obj)


@implementer(IInitiatingInitializer)
class _VerifyName:
    """Verifies once more whom the certificate is for, now that it is here (see _tls.py)."""

    def __init__(self, xs: Any, domain: str) -> None:
        self.xmlstream = xs
        self._domain = domain

    def initialize(self) -> None:
        verify_name(self.xmlstream.transport.getHandle(), self._domain)


class _Bind(client.BindInitializer):
    def onBind(self, iq: domish.Element) -> None:
        bound = [str(jid) for bind in iq.elements() for jid in bind.elements(bind.uri, "jid")]
        try:
            jid = parse_jid(bound[0])
        except (IndexError, ValueError):
            jid = None
        if jid is None or not jid.resource:
            raise StreamRefused("the server gave us no full JID (RFC 6120 section 7.6)")
        self.xmlstream.authenticator.jid = jid


class _Session(client.SessionInitializer):
    """Asks for what RFC 3921 section 3 wanted, of old servers alone: others call it optional."""

    def start(self) -> Any:
        feature = self.xmlstream.features[self.feature]
        if any(feature.elements(feature.uri, "optional")):
            return None
        return client.SessionInitializer.start(self)


@implementer(IStreamClientEndpoint)
class _ServiceEndpoint:
    """The servers that DNS names for a domain."""

    _log = Logger()

    def __init__(self, reactor: Any, domain: str, resolver: Any) -> None:
        self._reactor = reactor
        self._domain = domain
        self._resolver = resolver

    def connect(self, factory: Any) -> Deferred[Any]:
        return ensureDeferred(self._connect(factory))

    async def _connect(self, factory: Any) -> Any:
        failed: Exception = NoService(f"{self._domain} has no XMPP service, says its DNS")
        for host, port in await self._targets():
            try:
                return await HostnameEndpoint(self._reactor, host, port).connect(factory)
            # A ValueError is of a target that is no host name.
            except (ConnectError, DNSLookupError, ValueError) as error:  # noqa: PERF203
                failed = error
        raise failed

    async def _targets(self) -> list[tuple[str, int]]:
        """Look the servers up; none where DNS says that there is no service."""
        if self._resolver is None:
            self._resolver = dns_client.Resolver("/etc/resolv.conf", reactor=self._reactor)
        name = _SERVICE + self._domain
        try:
            answers, _, _ = await self._resolver.lookupService(name, timeout=_DNS_TIMEOUTS)
        except CancelledError:
            raise
        except Exception as error:
            # Each resolver has its own exceptions, and most mean that there is no such name.
            self._log.debug("No answer for {name}: {error!r}", name=name, error=error)
            answers = ()
        records = [answer.payload for answer in answers if answer.type == dns.SRV]
        if not records:
            return [(self._domain, PORT)]
        return [
            (target, record.port)
            for record in in_order(records)
            if (target := record.target.name.decode("ascii", "replace").rstrip("."))
        ]


def in_order(
    records: Iterable[dns.Record_SRV], draw: Callable[[int], int] = secrets.randbelow
) -> list[dns.Record_SRV]:
    """Put SRV records in the order to try them (RFC 2782): priority, then chance by weight.

    ``draw``: gives a random whole number from 0 to below its argument.
    """
    ordered = []
    # Within a priority, those of no weight stand first: chance finds them last.
    by_priority = sorted(records, key=lambda record: (record.priority, record.weight))
    for _, group in groupby(by_priority, key=lambda record: record.priority):
        left = list(group)
        while left:
            mark = draw(sum(record.weight for record in left) + 1)
            position, passed = 0, left[0].weight
            while passed < mark:
                position += 1
                passed += left[position].weight
            ordered.append(left.pop(position))
    return ordered


def _read_certificates(path: Path) -> Any:
    pem = path.read_bytes()
    try:
        found = load_pem_x509_certificates(pem)
    except ValueError:
        raise ValueError(f"{path} holds no certificate in PEM format") from None
    return trustRootFromCertificates(
        [Certificate.load(certificate.public_bytes(Encoding.DER)) for certificate in found]
    )

"""The way to an account on a real server: how to find it, and a stream that is safe to log in on.

``client_endpoint`` finds the server of a domain, and ``client_factory`` makes the streams. A stream
is negotiated in this order (RFC 6120 sections 4.3, 5 to 7), and nothing secret is sent before the
certificate is verified:

1. STARTTLS. TLS itself verifies that a trusted authority has signed the certificate, and for whom.
2. Verify once more whom the certificate is for, as Twisted's own check has a hole (see _tls.py).
3. SASL: we prove that we know the password, and the server proves that it does (see scram.py).
4. Bind a resource: the server tells us our full JID.
5. Request a session, which only old servers require.

Twisted calls each of these steps an initializer. After steps 1 and 3 the stream begins anew.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.ssl import optionsForClientTLS, trustRootFromCertificates
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

from twisted_oob._tls import is_address, read_certificates, verify_name
from twisted_oob.errors import NoService, StreamRefused, Unencrypted
from twisted_oob.xmpp.jid import parse_jid
from twisted_oob.xmpp.scram import SaslInitializer

PORT: Final = 5222
"""The port of a server for its clients, unless DNS or an operator says otherwise."""

_SERVICE: Final = "_xmpp-client._tcp."
_DNS_TIMEOUTS: Final = (1, 3, 8)
"""Seconds of each try of a lookup."""


def client_factory(jid: JID, password: str, *, ca_file: Path | None = None) -> XmlStreamFactory:
    """Return a factory of XML streams that log in to an account (RFC 6120).

    The certificate must be for the JID's domain, whatever host the stream is connected to
    (section 13.7.2). Inside TLS, authentication is the first thing that names the account; until
    then only its domain is sent.

    A failure is dispatched as INIT_FAILED_EVENT or, if the certificate fails verification, as the
    reason of STREAM_END_EVENT. ``failures.explain`` reads both.

    Args:
        jid: The account. If it has a resource, the server is asked for that one.
        password: The account's password.
        ca_file: A file of certificates in PEM format to trust: of authorities, or the server's own
            if it is self-signed. None stands for the authorities that the platform trusts.

    Raises:
        OSError: The file can't be read.
        ValueError: The file contains no certificate, the JID has no localpart, or no certificate
            can name its domain.
    """
    if not jid.user:
        raise ValueError(f"{jid.full()!r} is not an account: it needs a name and '@' at the start")
    trusted = None if ca_file is None else trustRootFromCertificates(read_certificates(ca_file))
    try:
        tls = optionsForClientTLS(jid.host, trustRoot=trusted)
    except UnicodeError:  # idna's errors are among these
        raise ValueError(f"no certificate can name the domain {jid.host!r}: check it") from None
    return XmlStreamFactory(_AccountAuthenticator(jid, password, tls))


def client_endpoint(
    reactor: Any,
    domain: str,
    *,
    host: str | None = None,
    port: int | None = None,
    resolver: Any = None,
) -> Any:
    """Return the endpoint of a domain's XMPP server for clients.

    If neither host nor port is given, each connection looks the servers up anew and tries them in
    the order of their SRV records (RFC 6120 section 3.2.1, RFC 2782). If there are no records, the
    domain itself is the server. If the records state that there is no service, the connection
    fails with NoService.

    Args:
        reactor: Makes the connections.
        domain: The domain of the account.
        host: The host to connect to, whatever DNS says. Its default is the domain.
        port: The port to connect to, whatever DNS says. Its default is 5222.
        resolver: An IResolver for SRV records. None stands for the platform's name servers.

    Returns:
        An IStreamClientEndpoint.
    """
    # An IP address has no records.
    if host is None and port is None and not is_address(domain):
        return _ServiceEndpoint(reactor, domain, resolver)
    return HostnameEndpoint(reactor, host or domain, port or PORT)


class _AccountAuthenticator(ConnectAuthenticator):
    """Gives every stream of an account its initializers. Streams follow each other, one at a time.

    Attributes:
        jid: The configured JID; once a resource is bound, the full JID that the server chose.
    """

    namespace = "jabber:client"

    def __init__(self, account: JID, password: str, tls: Any) -> None:
        ConnectAuthenticator.__init__(self, account.host)
        self.jid = self._account = account
        self._password = password
        self._tls = tls

    def associateWithStream(self, xs: Any) -> None:
        """Prepare the negotiation of a new stream."""
        ConnectAuthenticator.associateWithStream(self, xs)
        # Not what the last stream was given: a server may have chosen another resource then.
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
    """Starts TLS, or ends the negotiation."""

    def initialize(self) -> Any:
        # Twisted would say FeatureNotAdvertized, as for any other feature. An attacker in the
        # middle can remove the offer (RFC 7457 section 2.1), so nothing goes on without it.
        if self.feature not in self.xmlstream.features:
            raise Unencrypted("the server does not offer STARTTLS")
        return TLSInitiatingInitializer.initialize(self)

    def onProceed(self, obj: domish.Element) -> None:
        # Whatever came in the clear may be forged, and counts no more (RFC 6120
        # section 5.4.3.3): neither the features nor the name that the server gave itself.
        self.xmlstream.features = {}
        self.xmlstream.otherEntity = JID(self.xmlstream.authenticator.otherHost)
        TLSInitiatingInitializer.onProceed(self, obj)


@implementer(IInitiatingInitializer)
class _VerifyName:
    """Verifies once more whom the certificate is for (see _tls.py)."""

    def __init__(self, xs: Any, domain: str) -> None:
        self.xmlstream = xs
        self._domain = domain

    def initialize(self) -> None:
        verify_name(self.xmlstream.transport.getHandle(), self._domain)


class _Bind(client.BindInitializer):
    """Binds a resource (RFC 6120 section 7), and insists on a full JID."""

    def onBind(self, iq: domish.Element) -> None:
        bound = [str(jid) for bind in iq.elements() for jid in bind.elements(bind.uri, "jid")]
        try:
            jid = parse_jid(bound[0])
        except (IndexError, ValueError):
            jid = None
        if jid is None or not jid.resource:
            # Twisted would go on with whatever is there, as if we had no address.
            raise StreamRefused("the server gave us no full JID (RFC 6120 section 7.6)")
        self.xmlstream.authenticator.jid = jid


class _Session(client.SessionInitializer):
    """Requests a session (RFC 3921 section 3), unless the server calls that optional.

    RFC 6121 has no sessions. Today's servers still offer them, for old clients, and mark them as
    optional.
    """

    def start(self) -> Any:
        feature = self.xmlstream.features[self.feature]
        if any(feature.elements(feature.uri, "optional")):
            return None
        return client.SessionInitializer.start(self)


@implementer(IStreamClientEndpoint)
class _ServiceEndpoint:
    """Connects to one of the servers that DNS names for a domain."""

    _log = Logger()

    def __init__(self, reactor: Any, domain: str, resolver: Any) -> None:
        self._reactor = reactor
        self._domain = domain
        self._resolver = resolver

    def connect(self, factory: Any) -> Deferred[Any]:
        return ensureDeferred(self._connect(factory))

    async def _connect(self, factory: Any) -> Any:
        failed: Exception = NoService(f"{self._domain} has no XMPP service, according to its DNS")
        for host, port in await self._targets():
            try:
                return await HostnameEndpoint(self._reactor, host, port).connect(factory)
            # HostnameEndpoint raises ValueError for a target that is not a host name.
            except (ConnectError, DNSLookupError, ValueError) as error:  # noqa: PERF203
                failed = error
        raise failed

    async def _targets(self) -> list[tuple[str, int]]:
        """Look the servers up, in the order to try them.

        The list is empty if DNS states that there is no service: then the only record has the
        target ``.`` (RFC 2782, RFC 6120 section 3.2.1).
        """
        if self._resolver is None:
            self._resolver = dns_client.Resolver("/etc/resolv.conf", reactor=self._reactor)
        name = _SERVICE + self._domain
        try:
            answers, _, _ = await self._resolver.lookupService(name, timeout=_DNS_TIMEOUTS)
        except CancelledError:
            raise
        except Exception as error:
            # Each resolver has exceptions of its own, and most of them mean that there is no such
            # name. If DNS is down instead, connecting to the domain fails as well.
            self._log.debug("No answer for {name}: {error!r}", name=name, error=error)
            answers = ()
        records = [answer.payload for answer in answers if answer.type == dns.SRV]
        if not records:
            return [(self._domain, PORT)]
        return [
            (target, record.port)
            for record in in_order(records)
            # The name comes from strangers; what is not ASCII can't be a host name.
            if (target := record.target.name.decode("ascii", "replace").rstrip("."))
        ]


def in_order(
    records: Iterable[dns.Record_SRV], draw: Callable[[int], int] = secrets.randbelow
) -> list[dns.Record_SRV]:
    """Put SRV records in the order to try them: by priority, then by chance (RFC 2782).

    Among records of one priority, each is the next with a probability in proportion to its weight.

    Args:
        records: SRV records, in any order.
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

"""The way to an account on a real server: how to find it, and a stream that is safe to log in on.

``client_endpoint`` finds the server of a domain (see locate.py), and ``client_factory`` makes the
streams. A stream is negotiated in this order (RFC 6120 sections 4.3, 5 to 7):

1. STARTTLS, unless TLS began with the connection. The handshake fails unless a trusted authority
   has signed the certificate, and it is for the account's domain (see _tls.py). Nothing but the
   domain is sent before.
2. SASL: we prove that we know the password, and the server proves that it does (see sasl.py).
3. Bind a resource: the server tells us our full JID.
4. Request a session, which only old servers require.

Twisted calls each of these steps an initializer. After steps 1 and 2 the stream begins anew.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from twisted.internet.interfaces import ISSLTransport
from twisted.words.protocols.jabber import client
from twisted.words.protocols.jabber.jid import JID
from twisted.words.protocols.jabber.xmlstream import (
    ConnectAuthenticator,
    TLSInitiatingInitializer,
    XmlStreamFactory,
)
from twisted.words.xish import domish

from twisted_oob._tls import ServiceTLS, trust_only, trust_platform
from twisted_oob.errors import StreamRefused, Unencrypted
from twisted_oob.xmpp.jid import parse_jid
from twisted_oob.xmpp.locate import SERVICES, ServerEndpoint
from twisted_oob.xmpp.sasl import SaslInitializer

__all__ = ["client_endpoint", "client_factory"]

_ALPN: Final = b"xmpp-client"


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
    tls = _tls_to(jid.host, ca_file, services=SERVICES[:1])
    return XmlStreamFactory(_AccountAuthenticator(jid, password, tls))


def client_endpoint(
    reactor: Any,
    domain: str,
    *,
    host: str | None = None,
    port: int | None = None,
    direct_tls: bool = False,
    ca_file: Path | None = None,
    resolver: Any = None,
) -> ServerEndpoint:
    """Return the endpoint of a domain's XMPP server for clients.

    Args:
        reactor: Makes the connections.
        domain: The domain of the account.
        host: As for ServerEndpoint.
        port: As for ServerEndpoint.
        direct_tls: As for ServerEndpoint.
        ca_file: As for ``client_factory``: DNS may lead to a server where TLS begins at once.
        resolver: As for ServerEndpoint.

    Raises:
        OSError: The file can't be read.
        ValueError: The file contains no certificate, or no certificate can name the domain.
    """
    tls = _tls_to(domain, ca_file, services=SERVICES, protocols=(_ALPN,))
    return ServerEndpoint(
        reactor, domain, tls, host=host, port=port, direct_tls=direct_tls, resolver=resolver
    )


def _tls_to(domain: str, ca_file: Path | None, **options: Any) -> ServiceTLS:
    context = trust_platform() if ca_file is None else trust_only(ca_file)
    try:
        return ServiceTLS(domain, context, **options)
    except ValueError:
        raise ValueError(f"no certificate can name the domain {domain!r}: check it") from None


class _AccountAuthenticator(ConnectAuthenticator):
    """Gives every stream of an account its initializers. Streams follow each other, one at a time.

    Attributes:
        jid: The configured JID; once a resource is bound, the full JID that the server chose.
        password: What the next stream logs in with.
    """

    namespace = "jabber:client"

    def __init__(self, account: JID, password: str, tls: Any) -> None:
        ConnectAuthenticator.__init__(self, account.host)
        self.jid = self._account = account
        self.password = password
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
            SaslInitializer(xs, user, self.password),
            _Bind(xs, required=True),  # type: ignore[no-untyped-call]
            _Session(xs),  # type: ignore[no-untyped-call]
        ]


class _StartTLS(TLSInitiatingInitializer):
    """Starts TLS, or ends the negotiation."""

    def initialize(self) -> Any:
        if ISSLTransport.providedBy(self.xmlstream.transport):
            # Direct TLS, where STARTTLS must not be used (XEP-0368 section 3).
            return None
        # Twisted would say FeatureNotAdvertized, as for any other feature. An attacker in the
        # middle can remove the offer (RFC 7457 section 2.1), so nothing goes on without it.
        if self.feature not in self.xmlstream.features:
            raise Unencrypted("the server does not offer STARTTLS")
        return TLSInitiatingInitializer.initialize(self)

    def onProceed(self, obj: domish.Element) -> None:
        # Whatever came in the clear may be forged, and counts no more (RFC 6120
        # section 5.4.3.3): neither the features nor the name that the server gave itself.
        self.xmlstream.features = {}
        self.xmlstream.otherEntity = parse_jid(self.xmlstream.authenticator.otherHost)
        TLSInitiatingInitializer.onProceed(self, obj)


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

"""TLS from the first byte of a connection, instead of STARTTLS (XEP-0368).

Twisted calls a TLS endpoint's protocol connected when TCP is, and what goes wrong in the handshake
is then the end of a stream that never was. Here it is a failed attempt, so that the next server can
be tried: a gate stands in for the stream until the handshake is over and the certificate verified.
TLS is started as STARTTLS starts it, so the stream can't tell the two apart.
"""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.defer import Deferred, TimeoutError, ensureDeferred  # noqa: A004
from twisted.internet.error import TimeoutError as ConnectionTimeoutError
from twisted.internet.interfaces import IHandshakeListener, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

HANDSHAKE_LIMIT: Final = 15.0
"""Seconds from the connection to the end of the handshake."""


@implementer(IStreamClientEndpoint)
class DirectTLSEndpoint:
    """Begins TLS on every connection of another endpoint.

    Args:
        endpoint: An IStreamClientEndpoint of TCP.
        tls: An IOpenSSLClientConnectionCreator that verifies the certificate in the handshake.
        reactor: Limits the time of the handshake.
    """

    def __init__(self, endpoint: Any, tls: Any, reactor: Any) -> None:
        self._endpoint = endpoint
        self._tls = tls
        self._reactor = reactor

    def connect(self, factory: Any) -> Deferred[Any]:
        """Connect.

        Args:
            factory: Makes the protocol, once the handshake is over.

        Returns:
            A Deferred that fires with the protocol. It fails as the endpoint does, with what the
            certificate is refused for, with SSL.Error, ConnectionClosed, or TimeoutError after
            HANDSHAKE_LIMIT.
        """
        return ensureDeferred(self._connect(factory))

    async def _connect(self, factory: Any) -> Any:
        gate = await self._endpoint.connect(_GateFactory(factory, self._tls))
        gate.open.addTimeout(HANDSHAKE_LIMIT, self._reactor)
        try:
            await gate.open
        except TimeoutError:
            gate.transport.abortConnection()
            raise ConnectionTimeoutError("the TLS handshake took too long") from None
        except BaseException:
            gate.transport.abortConnection()
            raise
        return gate.let_in(factory)


class _GateFactory(Factory):
    """Makes gates. A factory counts its connections, so the real one is told of each."""

    noisy = False

    def __init__(self, factory: Any, tls: Any) -> None:
        self._factory = factory
        self._tls = tls

    def doStart(self) -> None:  # noqa: N802  # the interface's
        self._factory.doStart()

    def doStop(self) -> None:  # noqa: N802  # the interface's
        self._factory.doStop()

    def buildProtocol(self, addr: Any) -> Protocol:
        return _Gate(self._tls, addr)


@implementer(IHandshakeListener)
class _Gate(Protocol):
    """Stands in for the stream until the handshake is over, and passes everything on to it then."""

    transport: Any

    def __init__(self, tls: Any, address: Any) -> None:
        self.open: Deferred[None] = Deferred()
        self._tls = tls
        self._address = address
        self._inside: Any = None

    def connectionMade(self) -> None:
        self.transport.startTLS(self._tls)

    def handshakeCompleted(self) -> None:  # noqa: N802  # the interface's
        if not self.open.called:
            self.open.callback(None)

    def let_in(self, factory: Any) -> Any:
        """Build the real protocol."""
        self._inside = factory.buildProtocol(self._address)
        self._inside.makeConnection(self.transport)
        return self._inside

    def dataReceived(self, data: bytes) -> None:
        if self._inside is not None:
            self._inside.dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._inside is not None:
            self._inside.connectionLost(reason)
        elif not self.open.called:
            self.open.errback(reason)

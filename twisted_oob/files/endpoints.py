"""Connections to judged addresses only: endpoints for an Agent that fetches strangers' URLs.

A host's name is resolved once, every address it has must pass the policy, and the sockets are
given exactly those literals. What the name resolves to a moment later (DNS rebinding) does not
matter, and a literal address takes the same way, however it is spelled (``2130706433``).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import Any, Final

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import (
    HostnameEndpoint,
    TCP4ClientEndpoint,
    TCP6ClientEndpoint,
    wrapClientTLS,
)
from twisted.internet.interfaces import (
    IHandshakeListener,
    IHostnameResolver,
    IReactorPluggableNameResolver,
    IResolutionReceiver,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.web.client import (
    URI,
)
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from twisted_oob._tls import verify_name
from twisted_oob.errors import FetchFailed
from twisted_oob.files.failures import NO_TLS
from twisted_oob.files.policy import FetchPolicy

_IPV4: Final = 4


@implementer(IAgentEndpointFactory)
class JudgedEndpoints:
    """The endpoints of one transfer, and the connections they made.

    ``tls_policy``: an IPolicyForHTTPS, how servers are verified.
    ``heard``: called with the number of bytes a connection received (0 when it is made or its
        host resolved); what it returns False for goes no further.
    """

    def __init__(
        self,
        reactor: Any,
        policy: FetchPolicy,
        tls_policy: Any,
        heard: Callable[[int], bool],
    ) -> None:
        self.heard = heard
        self._reactor = reactor
        self._policy = policy
        self._tls_policy = tls_policy
        self._open: set[_Wire] = set()
        self._waiters: list[Deferred[None]] = []

    def endpointForURI(self, uri: URI) -> Any:  # noqa: N802  # the interface's
        """Give the endpoint for http, or for https verified against the URL's own host."""
        endpoint: Any = _JudgedEndpoint(self, uri.host.decode("ascii"), uri.port)
        if uri.scheme == b"http":
            return endpoint
        try:
            creator = self._tls_policy.creatorForNetloc(uri.host, uri.port)
        except UnicodeError:
            raise FetchFailed(NO_TLS, detail=f"no certificate can name {uri.host!r}") from None
        return _VerifiedEndpoint(wrapClientTLS(creator, endpoint), uri.host.decode("ascii"))

    async def connect(self, host: str, port: int, factory: Any) -> Any:
        """Resolve a host, judge all it resolves to, and connect to one of exactly those.

        The result is the factory's protocol. Forbidden where one address is not allowed.
        """
        addresses = await _resolve(self._reactor, host, port)
        if not addresses:
            raise FetchFailed("the host was not found", detail=f"no address for {host!r}")
        for address in addresses:
            self._policy.check_address(address.host)
        self.heard(0)
        endpoint = _endpoint(self._reactor, addresses, port, self._policy.stall_timeout)
        wire = await endpoint.connect(_WireFactory(self, factory))
        return wire.wrappedProtocol

    def hang_up(self) -> Deferred[None]:
        """Abort every connection; the Deferred fires when all are gone.

        A polite TLS goodbye would wait for the server's own, maybe for ever.
        """
        for wire in tuple(self._open):
            wire.abort()
        if not self._open:
            return succeed(None)
        waiter: Deferred[None] = Deferred()
        self._waiters.append(waiter)
        return waiter

    def opened(self, wire: _Wire) -> None:
        """Note a connection."""
        self._open.add(wire)
        self.heard(0)

    def closed(self, wire: _Wire) -> None:
        """Note that a connection is gone."""
        self._open.discard(wire)
        if not self._open:
            waiters, self._waiters = self._waiters, []
            for waiter in waiters:
                waiter.callback(None)


@implementer(IStreamClientEndpoint)
class _JudgedEndpoint:
    def __init__(self, endpoints: JudgedEndpoints, host: str, port: int) -> None:
        self._endpoints = endpoints
        self._host = host
        self._port = port

    def connect(self, factory: Any) -> Deferred[Any]:
        return Deferred.fromCoroutine(self._endpoints.connect(self._host, self._port, factory))


@implementer(IStreamClientEndpoint)
class _VerifiedEndpoint:
    """TLS to a server whose name is verified once more before a byte of the request goes out."""

    def __init__(self, endpoint: Any, host: str) -> None:
        self._endpoint = endpoint
        self._host = host

    def connect(self, factory: Any) -> Deferred[Any]:
        return Deferred.fromCoroutine(self._connect(factory))

    async def _connect(self, factory: Any) -> Any:
        gates = Factory.forProtocol(_Gate)
        gates.noisy = False
        gate = await self._endpoint.connect(gates)
        await gate.open
        verify_name(gate.transport.getHandle(), self._host)
        return gate.let_in(factory)


@implementer(IHandshakeListener)
class _Gate(Protocol):
    """Keeps the real protocol out until the handshake is over."""

    transport: Any

    def __init__(self) -> None:
        self.open: Deferred[None] = Deferred()
        self._inside: Any = None

    def handshakeCompleted(self) -> None:  # noqa: N802  # the interface's
        self.open.callback(None)

    def let_in(self, factory: Any) -> Any:
        self._inside = factory.buildProtocol(self.transport.getPeer())
        self._inside.makeConnection(self.transport)
        return self._inside

    def dataReceived(self, data: bytes) -> None:
        if self._inside is None:
            # A server that talks before it was asked speaks no HTTP.
            self.transport.abortConnection()
        else:
            self._inside.dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._inside is not None:
            self._inside.connectionLost(reason)
        elif not self.open.called:
            self.open.errback(reason)


class _Wire(ProtocolWrapper):
    """A connection below TLS, where every byte the server sends can be noticed.

    A pause during the delivery of bytes is put off to its end: Twisted's client pauses after the
    headers until somebody takes the body, which for a small file comes and goes with them.
    """

    factory: _WireFactory
    transport: Any
    _delivering = False
    _paused = False

    def makeConnection(self, transport: Any) -> None:
        self.factory.endpoints.opened(self)
        super().makeConnection(transport)  # type: ignore[no-untyped-call]

    def dataReceived(self, data: bytes) -> None:
        if not self.factory.endpoints.heard(len(data)):
            return
        self._delivering = True
        try:
            super().dataReceived(data)  # type: ignore[no-untyped-call]
        finally:
            self._delivering = False
            if self._paused:
                self.transport.pauseProducing()

    def pauseProducing(self) -> None:
        self._paused = True
        if not self._delivering:
            self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        self._paused = False
        self.transport.resumeProducing()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        super().connectionLost(reason)  # type: ignore[no-untyped-call]
        self.factory.endpoints.closed(self)

    def loseConnection(self) -> None:  # noqa: N802  # the interface's
        self.abort()

    def abort(self) -> None:
        self.transport.abortConnection()


class _WireFactory(WrappingFactory):
    protocol = _Wire
    noisy = False

    def __init__(self, endpoints: JudgedEndpoints, factory: Any) -> None:
        super().__init__(factory)  # type: ignore[no-untyped-call]
        factory.noisy = False  # two lines in the log for each connection
        self.endpoints = endpoints


def _endpoint(
    reactor: Any, addresses: Sequence[IPv4Address | IPv6Address], port: int, timeout: float
) -> Any:
    """Give the endpoint for all the addresses of a host."""
    first = addresses[0]
    if len(addresses) > 1:
        return HostnameEndpoint(_Known(reactor, addresses), first.host, port, timeout=timeout)
    # HostnameEndpoint can do it too, but takes as long as all the rest of a small transfer.
    one = TCP4ClientEndpoint if isinstance(first, IPv4Address) else TCP6ClientEndpoint
    return one(reactor, first.host, port, timeout=timeout)


@implementer(IReactorPluggableNameResolver, IHostnameResolver)
class _Known:
    """A reactor on which every name has the same few addresses.

    HostnameEndpoint tries them as RFC 8305 wants it (happy eyeballs), and can ask for no others.
    """

    def __init__(self, reactor: Any, addresses: Sequence[IPv4Address | IPv6Address]) -> None:
        self._reactor = reactor
        self._addresses = addresses

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    @property
    def nameResolver(self) -> _Known:  # noqa: N802  # the interface's
        return self

    def resolveHostName(self, receiver: Any, *_args: object, **_options: object) -> None:
        for address in self._addresses:
            receiver.addressResolved(address)
        receiver.resolutionComplete()


@implementer(IResolutionReceiver)
class _Addresses:
    def __init__(self) -> None:
        self.complete: Deferred[list[IPv4Address | IPv6Address]] = Deferred()
        self._addresses: list[IPv4Address | IPv6Address] = []

    def resolutionBegan(self, resolution: object) -> None:  # noqa: N802
        pass

    def addressResolved(self, address: Any) -> None:
        self._addresses.append(address)

    def resolutionComplete(self) -> None:  # noqa: N802
        self.complete.callback(self._addresses)


def _resolve(reactor: Any, host: str, port: int) -> Deferred[list[IPv4Address | IPv6Address]]:
    """Resolve a name to all its addresses; an empty list where it has none.

    getaddrinfo can't be stopped: after a cancellation its result is ignored. It also knows other
    spellings of an address (``2130706433``), and is not asked only for the usual one.
    """
    with contextlib.suppress(ValueError):
        kind = IPv4Address if ip_address(host).version == _IPV4 else IPv6Address
        return succeed([kind("TCP", host, port)])
    receiver = _Addresses()
    reactor.nameResolver.resolveHostName(receiver, host, portNumber=port)
    return receiver.complete

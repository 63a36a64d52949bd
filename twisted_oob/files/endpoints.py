"""Connections to judged addresses only: endpoints for an Agent that fetches strangers' URLs.

What happens when the Agent asks for a connection:

1. The host is resolved, once. A literal address needs no resolver, but takes the same way, so that
   it is judged in the same place. getaddrinfo knows more spellings of an address than the usual
   one (``2130706433``, ``0x7f.1``, ``127.1``), and gives back the usual one, which is judged.
2. The policy judges every address of the host. One that is forbidden forbids the host: otherwise
   the answer would depend on which address happens to be tried first.
3. The sockets get exactly those addresses, never the name. So it does not matter what the name
   resolves to a moment later (DNS rebinding).
4. With https, the TLS policy verifies in the handshake that the certificate is for the URL's host,
   before a byte of the request goes out.

Each redirect asks for a new connection, so all of this happens again for each hop.
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
    IHostnameResolver,
    IReactorPluggableNameResolver,
    IResolutionReceiver,
    IStreamClientEndpoint,
)
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.web.client import URI
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from twisted_oob.errors import FetchFailed
from twisted_oob.files.failures import NO_TLS
from twisted_oob.files.policy import FetchPolicy

_IPV4: Final = 4


@implementer(IAgentEndpointFactory)
class JudgedEndpoints:
    """The endpoints of one transfer, and the connections they made.

    Args:
        reactor: Makes connections (IReactorTCP) and resolves names (IReactorPluggableNameResolver).
        policy: Judges the addresses. Its ``stall_timeout`` also limits each attempt to connect.
        tls_policy: An IPolicyForHTTPS that verifies servers.
        heard: Called with the number of bytes that a connection received; 0 when it is made, or
            when its host is resolved. If it returns False, the bytes go no further.
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
        self._open: set[Connection] = set()
        self._waiters: list[Deferred[None]] = []

    def endpointForURI(self, uri: URI) -> Any:  # noqa: N802  # the interface's
        """Give the endpoint for an http URL, or for an https URL whose host is verified.

        Raises:
            FetchFailed: The TLS policy does not take such a host.
        """
        endpoint: Any = _JudgedEndpoint(self, uri.host.decode("ascii"), uri.port)
        if uri.scheme == b"http":
            return endpoint
        try:
            creator = self._tls_policy.creatorForNetloc(uri.host, uri.port)
        except ValueError as error:
            raise FetchFailed(NO_TLS, detail=f"the TLS policy: {error}") from error
        return wrapClientTLS(creator, endpoint)

    async def connect(self, host: str, port: int, factory: Any) -> Any:
        """Resolve a host, judge all its addresses, and connect to one of exactly those.

        Args:
            host: A name in ASCII, or an address without brackets.
            port: The TCP port.
            factory: Builds the protocol.

        Returns:
            The protocol.

        Raises:
            Forbidden: One of the addresses is not allowed.
            FetchFailed: The host has no address.
        """
        addresses = await _resolve(self._reactor, host, port)
        if not addresses:
            raise FetchFailed("the host was not found", detail=f"no address for {host!r}")
        for address in addresses:
            self._policy.check_address(address.host)
        self.heard(0)
        endpoint = _endpoint(self._reactor, addresses, port, self._policy.stall_timeout)
        connection = await endpoint.connect(ConnectionFactory(self, factory))
        return connection.wrappedProtocol

    def hang_up(self) -> Deferred[None]:
        """Abort every connection; the Deferred fires when all are gone.

        Aborts, because a TLS connection that closes properly waits for the server's close_notify,
        which a hostile server never sends.
        """
        for connection in tuple(self._open):
            connection.abort()
        if not self._open:
            return succeed(None)
        waiter: Deferred[None] = Deferred()
        self._waiters.append(waiter)
        return waiter

    def opened(self, connection: Connection) -> None:
        """Note that a connection is made."""
        self._open.add(connection)
        self.heard(0)

    def closed(self, connection: Connection) -> None:
        """Note that a connection is gone."""
        self._open.discard(connection)
        if not self._open:
            waiters, self._waiters = self._waiters, []
            for waiter in waiters:
                waiter.callback(None)


@implementer(IStreamClientEndpoint)
class _JudgedEndpoint:
    """One host and port. JudgedEndpoints does the work when the Agent asks for a connection."""

    def __init__(self, endpoints: JudgedEndpoints, host: str, port: int) -> None:
        self._endpoints = endpoints
        self._host = host
        self._port = port

    def connect(self, factory: Any) -> Deferred[Any]:
        return Deferred.fromCoroutine(self._endpoints.connect(self._host, self._port, factory))


class Connection(ProtocolWrapper):
    """A TCP connection, below TLS, where every byte that the server sends can be counted.

    A pause during the delivery of bytes is put off until the delivery ends. Twisted's client pauses
    after the headers until somebody wants the body. Here somebody does at once, so that pause is
    over before the delivery is. Passed on, it would only make the reactor stop and start watching
    the socket: two system calls for nothing, which a small file notices.
    """

    factory: ConnectionFactory
    transport: Any
    _delivering = False
    _paused = False

    def makeConnection(self, transport: Any) -> None:
        """Note the connection before anybody can lose it."""
        self.factory.endpoints.opened(self)
        super().makeConnection(transport)  # type: ignore[no-untyped-call]

    def dataReceived(self, data: bytes) -> None:
        """Count the bytes and pass them on, unless they are too many."""
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
        """Pause the server, but not before the bytes at hand are delivered."""
        self._paused = True
        if not self._delivering:
            self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """Undo a pause, also one that is put off."""
        self._paused = False
        self.transport.resumeProducing()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """Pass it on first: who waits for the end of connections waits for their protocols, too."""
        super().connectionLost(reason)  # type: ignore[no-untyped-call]
        self.factory.endpoints.closed(self)

    def loseConnection(self) -> None:  # the interface's
        """Abort: nothing of ours is left to send, and the server may never close its side."""
        self.abort()

    def abort(self) -> None:
        """Close the connection at once; what is not sent yet is lost."""
        self.transport.abortConnection()


class ConnectionFactory(WrappingFactory):
    """Wraps what a factory builds into Connections."""

    protocol = Connection
    noisy = False

    def __init__(self, endpoints: JudgedEndpoints, factory: Any) -> None:
        super().__init__(factory)  # type: ignore[no-untyped-call]
        factory.noisy = False  # two lines in the log for each connection
        self.endpoints = endpoints


def _endpoint(
    reactor: Any, addresses: Sequence[IPv4Address | IPv6Address], port: int, timeout: float
) -> Any:
    """Give the endpoint for all the addresses of a host.

    Args:
        reactor: Makes the connections.
        addresses: At least one.
        port: The TCP port.
        timeout: Seconds for each attempt.
    """
    first = addresses[0]
    if len(addresses) > 1:
        return HostnameEndpoint(_Known(reactor, addresses), first.host, port, timeout=timeout)
    # HostnameEndpoint could do this, too, but takes as long as all the rest of a small transfer.
    one = TCP4ClientEndpoint if isinstance(first, IPv4Address) else TCP6ClientEndpoint
    return one(reactor, first.host, port, timeout=timeout)


@implementer(IReactorPluggableNameResolver, IHostnameResolver)
class _Known:
    """A reactor on which every name has the same few addresses.

    HostnameEndpoint tries several addresses one after the other (RFC 8305, happy eyeballs), but
    insists on resolving the name by itself. Here it can only find what was judged.
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
    """Collects what a resolver finds."""

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
    """Resolve a host to all its addresses; to an empty list if it has none.

    A literal address in its usual spelling is not asked for, as getaddrinfo would cost a thread.
    Other spellings are for getaddrinfo to read: what it makes of them is what would be connected
    to. A running getaddrinfo can't be stopped. After a cancellation its result is ignored.
    """
    with contextlib.suppress(ValueError):
        kind = IPv4Address if ip_address(host).version == _IPV4 else IPv6Address
        return succeed([kind("TCP", host, port)])
    receiver = _Addresses()
    reactor.nameResolver.resolveHostName(receiver, host, portNumber=port)
    return receiver.complete

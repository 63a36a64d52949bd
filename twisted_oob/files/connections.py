"""Connections to judged addresses only, for HTTP with strangers' servers.

What happens for each connection:

1. The host is looked up, once (``resolving.py``).
2. The policy judges every address of the host. One that is forbidden forbids the host: otherwise
   the answer would depend on which address happens to be tried first. This machine's own addresses
   are found out here and now, IPv4 addresses that are hidden in IPv6 among them. A name can have
   thousands of addresses, and costs its owner nothing: so others get their turn in between, and the
   pace demands its rests.
3. The sockets get exactly those addresses, never the name. So it does not matter what the name
   resolves to a moment later (DNS rebinding).
4. With https, TLS runs above the connection, begun by what the TLS policy gives for the host.

Each redirect asks for a new connection, so all of this happens again for each hop.

A connection, and what is above it::

    socket -> Connection (counts, paces, pauses) [-> TLS] -> the protocol, which speaks HTTP
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionAborted
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.protocols.policies import ProtocolWrapper
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure

from twisted_oob.errors import FetchFailed
from twisted_oob.files.addresses import is_global, leads_to
from twisted_oob.files.failures import NO_TLS, causes, no_room
from twisted_oob.files.happy_eyeballs import connect_to_one
from twisted_oob.files.own_addresses import is_own
from twisted_oob.files.pace import Pace
from twisted_oob.files.policy import FetchPolicy
from twisted_oob.files.resolving import resolve
from twisted_oob.files.urls import Target

# Seconds of a rest after which we say that there is something to hope for, and go on resting.
_REST_AT_ONCE: Final = 0.1
# Addresses of a host that are judged without a rest. It takes some 2 ms.
_JUDGED_AT_ONCE: Final = 100


class JudgedConnections:
    """The connections of one transfer.

    Args:
        reactor: Makes connections (IReactorTCP), looks names up (IReactorFromThreads) and tells the
            time (IReactorTime).
        policy: Judges the addresses. Its ``stall_timeout`` also limits each attempt to connect.
        tls_policy: An IPolicyForHTTPS that verifies servers.
        heard: Called with the number of bytes that a connection received; 0 when it is made, when
            its host is resolved, or while it rests. If it returns False, the bytes go no further.
        pace: Tells when to rest, for what tiny pieces and many addresses cost. None if they are not
            counted.

    Attributes:
        heard: The same.
        pace: The same.
        reactor: The same.
    """

    def __init__(
        self,
        reactor: Any,
        policy: FetchPolicy,
        tls_policy: Any,
        heard: Callable[[int], bool],
        *,
        pace: Pace | None = None,
    ) -> None:
        self.reactor = reactor
        self.heard = heard
        self.pace = pace
        self._policy = policy
        self._tls_policy = tls_policy
        self._open: set[Connection] = set()
        self._waiters: list[Deferred[None]] = []

    async def connect(self, target: Target, protocol: Callable[[], Protocol]) -> Any:
        """Look the target's host up, judge all its addresses, and connect to one of exactly those.

        Args:
            target: An http or https URL.
            protocol: Builds the protocol.

        Returns:
            The protocol, connected. With https, the handshake is still to come. If it fails, the
            protocol loses its connection for that reason.

        Raises:
            Forbidden: One of the addresses is not allowed.
            FetchFailed: The host has no address, or the TLS policy takes no such host.
            NoRoom: File descriptors or threads are used up.
            ConnectError: No address takes the connection.
        """
        tls: Any = None
        if target.scheme == "https":
            factory: Any = Factory.forProtocol(protocol)
            tls = TLSMemoryBIOFactory(self._creator(target), True, factory)
        addresses = await resolve(self.reactor, target.host, target.port)
        await self._judge(addresses)
        self.heard(0)

        def build(connected: Callable[[Any], None]) -> Connection:
            above = protocol() if tls is None else tls.buildProtocol(None)
            return Connection(self, above, connected)

        connection = await connect_to_one(
            self.reactor, addresses, target.port, build, self._policy.stall_timeout
        )
        above = connection.wrappedProtocol
        return above if tls is None else above.wrappedProtocol

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

    def opened(self, connection: Connection) -> bool:
        """Note that a connection is made.

        Returns:
            False if the transfer ends, as it is too late.
        """
        self._open.add(connection)
        return self.heard(0)

    def closed(self, connection: Connection) -> None:
        """Note that a connection is gone."""
        self._open.discard(connection)
        if not self._open:
            waiters, self._waiters = self._waiters, []
            for waiter in waiters:
                waiter.callback(None)

    def _creator(self, target: Target) -> Any:
        """Ask the TLS policy for what begins TLS with a target's host.

        Raises:
            FetchFailed: It takes no such host, such as a name that no certificate can have.
        """
        # Neither the server name (RFC 6066 section 3) nor names in certificates have a final dot.
        host = target.host.removesuffix(".").encode("ascii")
        try:
            return self._tls_policy.creatorForNetloc(host, target.port)
        except ValueError as error:  # UnicodeError, too
            detail = f"the TLS policy takes no host {host!r}: {causes(error)}"
            raise FetchFailed(NO_TLS, detail=detail) from None

    async def _judge(self, addresses: Sequence[IPv4Address | IPv6Address]) -> None:
        """Let the policy judge all addresses of a host.

        Raises:
            Forbidden: One of them is not allowed.
            NoRoom: File descriptors are used up.
        """
        for number, address in enumerate(addresses):
            if number and not number % _JUDGED_AT_ONCE:
                await self._rest_after_judging(_JUDGED_AT_ONCE)
            try:
                own = any(map(_is_own_and_global, leads_to(address)))
            except OSError as error:
                raise no_room(str(error)) from None
            self._policy.check_address(str(address), own=own)

    async def _rest_after_judging(self, count: int) -> None:
        seconds = 0.0
        if self.pace is not None:
            self.pace.addresses(count)
            seconds = self.pace.pause()
        await deferLater(self.reactor, seconds)
        # That we did not ask is no silence of the server.
        self.heard(0)


def _is_own_and_global(address: IPv4Address | IPv6Address) -> bool:
    # If it is not global, only an allowed network lets it in anyway. So nobody needs to be asked.
    return is_global(address) and is_own(address)


class Connection(ProtocolWrapper):
    """A TCP connection, below TLS, where every byte that the server sends can be counted.

    A pause during the delivery of bytes is put off until the delivery ends. Who speaks HTTP may
    pause after the headers until somebody wants the body. Here somebody does at once, so that pause
    is over before the delivery is. Passed on, it would only make the reactor stop and start
    watching the socket: two system calls for nothing, which a small file notices.

    The socket is paused as long as those above have paused, or the pace demands a rest.

    Unlike other ProtocolWrappers it has no factory, which would only keep a list, and does not copy
    the transport's interfaces, which nobody above asks for.

    Args:
        connections: The transfer's.
        above: The protocol above, or TLS.
        connected: Called with the Connection when those above are connected, or with a Failure if
            they could not begin.
    """

    transport: Any
    wrappedProtocol: Any  # noqa: N815  # the base's
    _delivering = False
    _paused = False
    _rest: Any = None

    def __init__(
        self, connections: JudgedConnections, above: Any, connected: Callable[[Any], None]
    ) -> None:
        self.wrappedProtocol = above
        self._connections = connections
        self._connected = connected

    def makeConnection(self, transport: Any) -> None:
        """Note the connection before anybody can lose it."""
        Protocol.makeConnection(self, transport)
        if not self._connections.opened(self):
            # It came too late. The transfer ends and has aborted it, and nobody above needs it.
            self.wrappedProtocol = Protocol()
            self._connected(Failure(ConnectionAborted()))
            return
        try:
            self.wrappedProtocol.makeConnection(self)
        except Exception:
            # What a tls_policy gave could not begin. Nobody above can be told of the end.
            self.wrappedProtocol = Protocol()
            self.abort()
            self._connected(Failure())
        else:
            self._connected(self)

    def dataReceived(self, data: bytes) -> None:
        """Count the bytes and pass them on, unless they are too many."""
        if not self._connections.heard(len(data)):
            return
        self._delivering = True
        try:
            self.wrappedProtocol.dataReceived(data)
        finally:
            self._delivering = False
            self._rest_after(data)
            if self._paused or self._rest is not None:
                self.transport.pauseProducing()

    def pauseProducing(self) -> None:
        """Pause the server, but not before the bytes at hand are delivered."""
        self._paused = True
        if not self._delivering:
            self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """Undo a pause, also one that is put off."""
        self._paused = False
        if self._rest is None:
            self.transport.resumeProducing()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """Pass it on first: who waits for the end of connections waits for their protocols, too."""
        self._stop_resting()
        above, self.wrappedProtocol = self.wrappedProtocol, None  # no cycle is left
        try:
            above.connectionLost(reason)
        finally:
            self._connections.closed(self)

    def loseConnection(self) -> None:  # the interface's
        """Abort: nothing of ours is left to send, and the server may never close its side."""
        self.abort()

    def abort(self) -> None:
        """Close the connection at once; what is not sent yet is lost."""
        self._stop_resting()
        self.transport.abortConnection()

    def _rest_after(self, data: bytes) -> None:
        """Begin a rest, if the pace demands one."""
        pace = self._connections.pace
        if pace is None or self.wrappedProtocol is None:
            return
        pace.read(len(data))
        if self._rest is None and (seconds := pace.pause()):
            self._rest_until(self._connections.reactor.seconds() + seconds)

    def _rest_until(self, end: float) -> None:
        reactor = self._connections.reactor
        left = min(end - reactor.seconds(), _REST_AT_ONCE)
        self._rest = reactor.callLater(max(0.0, left), self._rested, end)

    def _rested(self, end: float) -> None:
        # That we did not listen is no silence of the server.
        self._connections.heard(0)
        if self._connections.reactor.seconds() < end:
            self._rest_until(end)
            return
        self._rest = None
        if not self._paused:
            self.transport.resumeProducing()

    def _stop_resting(self) -> None:
        rest, self._rest = self._rest, None
        if rest is not None:
            rest.cancel()

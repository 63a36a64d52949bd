"""Connecting to one of the addresses of a host (RFC 8305, happy eyeballs).

The addresses are tried one after the other. The next attempt begins when the one before has failed,
or after 250 ms without a result. The first one that succeeds ends all others. A name can have
thousands of addresses, and it is a stranger's: so at most 8 are tried, each for at most 10 seconds.

=========  ====================================  ==================================================
state      waits for                             leads to
=========  ====================================  ==================================================
racing     the running attempts, and the pause   connected; failed, if none runs and none is left,
           before the next one                   or the descriptors are used up; cancelled
connected  the protocol's ``connectionMade``     (the result)
=========  ====================================  ==================================================

In every other state than *racing*, no attempt runs and no pause is left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv6Address
from itertools import chain, zip_longest
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.error import getConnectError
from twisted.internet.protocol import ClientFactory
from twisted.python.failure import Failure

from twisted_oob.errors import NO_ROOM

MOST_TRIED: Final = 8
LONGEST_ATTEMPT: Final = 10.0
"""Seconds."""
# Section 8: the recommended "Connection Attempt Delay", in seconds.
_PAUSE: Final = 0.25


def connect_to_one(
    reactor: Any,
    addresses: Iterable[IPv4Address | IPv6Address],
    port: int,
    build: Callable[[Callable[[Any], None]], Any],
    timeout: float,
) -> Deferred[Any]:
    """Connect to the first of these addresses that takes the connection.

    Args:
        reactor: Makes connections (IReactorTCP) and tells the time (IReactorTime).
        addresses: At least one, in the order in which the system would try them.
        port: The TCP port.
        build: Builds the protocol. It gets a function, which the protocol calls with the result
            when it is connected: with itself, or with a Failure.
        timeout: Seconds for each attempt. More than 10 are 10.

    Returns:
        A Deferred with the result. It fails with a ConnectError if no address takes the
        connection. ``cancel()`` ends all attempts.
    """
    race = _Race(reactor, order(addresses), port, build, min(timeout, LONGEST_ATTEMPT))
    race.go_on()
    return race.result


def order(addresses: Iterable[IPv4Address | IPv6Address]) -> list[IPv4Address | IPv6Address]:
    """Give the addresses to try, in this order.

    The families take turns, beginning with that of the first address (section 4): if one family is
    broken here, every second attempt still gets through.
    """
    families: dict[int, list[IPv4Address | IPv6Address]] = {}
    for address in addresses:
        families.setdefault(address.version, []).append(address)
    turns = chain.from_iterable(zip_longest(*families.values()))
    return [address for address in turns if address is not None][:MOST_TRIED]


class _Race:
    """The attempts to connect to one host; the states are those of the module's docstring."""

    def __init__(
        self,
        reactor: Any,
        addresses: list[IPv4Address | IPv6Address],
        port: int,
        build: Callable[[Callable[[Any], None]], Any],
        timeout: float,
    ) -> None:
        self.result: Deferred[Any] = Deferred(lambda _: self._stop())
        self._reactor = reactor
        self._left = addresses[::-1]
        self._port = port
        self._build = build
        self._timeout = timeout
        self._racing = True
        self._running: set[_Attempt] = set()
        self._first_failure: Failure | None = None
        self._pause: Any = None

    def go_on(self) -> None:
        """Begin the next attempt."""
        self._stop_pause()
        address = str(self._left.pop())
        if self._left:
            self._pause = self._reactor.callLater(_PAUSE, self._pause_is_over)
        attempt = _Attempt(self)
        self._running.add(attempt)
        try:
            self._reactor.connectTCP(address, self._port, attempt, timeout=self._timeout)
        except OSError as error:  # an IPv6 address, which Twisted parses by getaddrinfo
            self.failed(attempt, Failure(getConnectError(error)))

    def failed(self, attempt: _Attempt, reason: Failure) -> None:
        """Begin the next attempt at once, or fail when all have failed.

        Without descriptors it fails at once: the next attempt would fail likewise, and so would
        whoever opens the file.
        """
        if not self._racing:
            return
        self._running.discard(attempt)
        if getattr(reason.value, "osError", None) in NO_ROOM:
            self._stop()
            self.result.errback(reason)
            return
        self._first_failure = self._first_failure or reason
        if self._left:
            self.go_on()
        elif not self._running:
            self._racing = False
            self.result.errback(self._first_failure)

    def won(self, attempt: _Attempt) -> Any:
        """Stop the others, and build the protocol; None if another attempt was faster."""
        if not self._racing:
            return None
        self._running.discard(attempt)
        self._stop()
        return self._build(self._connected)

    def _connected(self, result: Any) -> None:
        if not self.result.called:  # cancelled just now
            self.result.callback(result)

    def _pause_is_over(self) -> None:
        self._pause = None
        self.go_on()

    def _stop(self) -> None:
        self._racing = False
        self._stop_pause()
        running, self._running = self._running, set()
        for attempt in running:
            attempt.connector.stopConnecting()

    def _stop_pause(self) -> None:
        pause, self._pause = self._pause, None
        if pause is not None:
            pause.cancel()


class _Attempt(ClientFactory):
    """One address; a race does the work."""

    noisy = False
    connector: Any

    def __init__(self, race: _Race) -> None:
        self._race = race

    def startedConnecting(self, connector: Any) -> None:  # noqa: N802
        self.connector = connector

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:  # noqa: N802
        self._race.failed(self, reason)

    def buildProtocol(self, addr: Any) -> Any:
        return self._race.won(self)

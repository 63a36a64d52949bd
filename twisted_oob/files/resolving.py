"""Looking names up on threads of our own.

getaddrinfo blocks, for half a minute if the servers of a name don't answer, and can't be stopped.
If such lookups ran in the reactor's threads, they would keep the disk waiting. So they have threads
of their own, for the whole process:

- At most 128 (``Threads``). A lookup that finds all of them busy waits for one, at most 10 seconds,
  and can be taken back.
- A lookup that nobody wants any more keeps its thread until getaddrinfo returns. Its result is
  dropped.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, Final, TypeAlias

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IResolutionReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_oob.errors import NO_ROOM, FetchFailed, NoRoom
from twisted_oob.files.failures import no_room
from twisted_oob.files.workers import Threads

_Addresses: TypeAlias = "list[IPv4Address | IPv6Address]"

_MOST_THREADS: Final = 128
# Seconds.
_LONGEST_WAIT: Final = 10.0
_IDLE: Final = 60.0
# What Twisted's own resolver is called, which uses getaddrinfo in the reactor's threads.
_TWISTEDS: Final = "GAIResolver"


def resolve(reactor: Any, host: str, port: int) -> Deferred[_Addresses]:
    """Look a host up.

    A literal address in its usual spelling is its own answer. getaddrinfo knows other spellings
    (``2130706433``, ``0x7f.1``): what it makes of them is what counts.

    Args:
        reactor: Gets the result (IReactorFromThreads, IReactorTime). If somebody has installed a
            resolver on it (IReactorPluggableNameResolver), that one is asked.
        host: A name in ASCII, or an address without brackets.
        port: The TCP port.

    Returns:
        A Deferred with all addresses of the host, at least one, in the order in which they should
        be tried. It fails with FetchFailed if the host has no address, and with NoRoom if
        descriptors or threads are used up. ``cancel()`` takes back a lookup that still waits for
        a thread.
    """
    with contextlib.suppress(ValueError):
        return succeed([ip_address(host)])
    resolver = getattr(reactor, "nameResolver", None)
    if resolver is not None and type(resolver).__name__ != _TWISTEDS:
        # Twisted's own resolver, which may be below the installed one, would not say it.
        if (used_up := _used_up()) is not None:
            return fail(used_up)
        receiver = _Receiver(host)
        resolver.resolveHostName(receiver, host, portNumber=port)
        return receiver.complete
    lookup = _Lookup(reactor, host, port)
    try:
        if not _threads.start(lookup):
            lookup.must_wait()
    except NoRoom:
        return fail(Failure())
    return lookup.ended


class _Lookup:
    """One call of getaddrinfo.

    Attributes:
        ended: The Deferred that ``resolve`` gives.
    """

    def __init__(self, reactor: Any, host: str, port: int) -> None:
        self._reactor = reactor
        self._host = host
        self._port = port
        self._limit: Any = None
        self.ended: Deferred[_Addresses] = Deferred(lambda _: self._take_back())

    def must_wait(self) -> None:
        """Limit the wait for a thread."""
        self._limit = self._reactor.callLater(_LONGEST_WAIT, self._waited_too_long)

    def run(self) -> None:
        """Call getaddrinfo, in a thread."""
        outcome = _look_up(self._host, self._port)
        # If the reactor has stopped, this stays in its queue for ever.
        self._reactor.callFromThread(self._end, outcome)

    def _end(self, outcome: _Addresses | Exception) -> None:
        self._stop_limit()
        if self.ended.called:
            return
        if isinstance(outcome, Exception):
            self.ended.errback(outcome)
        else:
            self.ended.callback(outcome)

    def _take_back(self) -> None:
        _threads.take_back(self)
        self._stop_limit()

    def _waited_too_long(self) -> None:
        self._limit = None
        if _threads.take_back(self):
            self.ended.errback(no_room(f"{_MOST_THREADS} lookups of names are under way"))

    def _stop_limit(self) -> None:
        limit, self._limit = self._limit, None
        if limit is not None:
            limit.cancel()


_threads: Final = Threads(_MOST_THREADS, "twisted_oob lookup", idle=_IDLE)


def _look_up(host: str, port: int) -> _Addresses | Exception:
    """Call getaddrinfo.

    Returns:
        At least one address, or what to fail with.
    """
    # Without descriptors getaddrinfo can't read its files and can't ask anybody. What it says then
    # depends on what it could do before, and is "not found" more often than not.
    used_up = _used_up()
    if used_up is not None:
        return used_up
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return _known(host, [address[0] for *_, address in found])
    except FetchFailed as error:
        return error
    except MemoryError as error:
        return no_room(repr(error))
    except BaseException as error:  # in a thread, where nobody else would see it
        if getattr(error, "errno", None) in (*NO_ROOM, errno.ENOMEM, socket.EAI_MEMORY):
            return no_room(str(error))
        return _used_up() or _not_found(f"{host!r}: {type(error).__name__}: {error}")


def _used_up() -> NoRoom | None:
    """Give what to fail with if no socket can be made."""
    try:
        socket.socket().close()
    except OSError as error:
        if error.errno in NO_ROOM:
            return no_room(str(error))
    return None


def _known(host: str, texts: list[Any]) -> _Addresses:
    """Read the addresses that a resolver found, each once.

    Raises:
        FetchFailed: There are none.
    """
    addresses = list(map(ip_address, dict.fromkeys(texts)))
    if not addresses:
        raise _not_found(f"no address for {host!r}")
    return addresses


def _not_found(detail: str) -> FetchFailed:
    return FetchFailed("the host was not found", detail=detail)


@implementer(IResolutionReceiver)
class _Receiver:
    """Collects what an installed resolver finds."""

    def __init__(self, host: str) -> None:
        self.complete: Deferred[_Addresses] = Deferred()
        self._host = host
        self._texts: list[str] = []

    def resolutionBegan(self, resolution: object) -> None:  # noqa: N802
        pass

    def addressResolved(self, address: Any) -> None:
        self._texts.append(address.host)

    def resolutionComplete(self) -> None:  # noqa: N802
        if self.complete.called:
            return  # cancelled
        try:
            addresses = _known(self._host, self._texts)
        except (FetchFailed, ValueError):
            self.complete.errback(Failure())
        else:
            self.complete.callback(addresses)

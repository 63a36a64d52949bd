"""Whether a server still answers, asked on a second connection.

A stream may be silent because there is nothing to say, or because the server hangs. The operating
system acknowledges in both cases. A server that lives answers the header of a stream at once
(RFC 6120 section 4.3.1), or closes a connection that it doesn't want; one that hangs does neither.
"""

from __future__ import annotations

from typing import Any, Final
from xml.sax.saxutils import quoteattr

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.protocol import Factory, Protocol

LIMIT: Final = 20.0
"""Seconds for a connection and the first byte on it."""

_HEADER: Final = (
    "<stream:stream xmlns:stream='http://etherx.jabber.org/streams' xmlns={namespace} to={to}"
    " version='1.0'>"
)


def server_answers(endpoint: Any, namespace: str, domain: str, *, clock: Any) -> Deferred[bool]:
    """Open a second connection, begin a stream on it, and see whether the server does anything.

    Args:
        endpoint: The IStreamClientEndpoint of the server.
        namespace: The default namespace of the stream, such as ``jabber:client``.
        domain: The stream's ``to``.
        clock: Tells the time and runs the timer, IReactorTime.

    Returns:
        A Deferred that fires with whether a byte came within LIMIT seconds, or the server closed
        the connection. It fires with False, too, if there is no connection, and if it is cancelled.
    """
    header = _HEADER.format(namespace=quoteattr(namespace), to=quoteattr(domain))
    asked: Deferred[None] = ensureDeferred(_ask(endpoint, header.encode()))
    asked.addTimeout(LIMIT, clock)
    return asked.addCallbacks(lambda _: True, lambda _: False)


async def _ask(endpoint: Any, header: bytes) -> None:
    factory = Factory.forProtocol(_Question)
    factory.noisy = False
    question = await endpoint.connect(factory)
    question.transport.write(header)
    try:
        await question.answered
    finally:
        # A TLS transport whose connection is gone has nothing left to abort, and fails.
        if question.connected:
            question.transport.abortConnection()


class _Question(Protocol):
    """Fires ``answered`` at the first sign of life."""

    def __init__(self) -> None:
        self.answered: Deferred[None] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self._answer()

    def connectionLost(self, reason: Any = None) -> None:
        self.connected = 0
        self._answer()

    def _answer(self) -> None:
        if not self.answered.called:
            self.answered.callback(None)

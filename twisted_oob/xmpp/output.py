"""OutputLimit: back-pressure for an XML stream, so that its peer can't make our memory grow.

Theory of operation
===================

Each stanza that comes may cause one that goes. If the peer sends and does not read, what we answer
waits in the transport, without a limit. Twisted tells a producer that is registered with the
transport when more than its buffer (64 KiB) waits to be written, and again when all of it is
written. We are that producer: while output waits, nothing is read. Then the peer can't make us
write more, TCP lets it feel that, and the stream goes on when it has read.

========  ==================================  =======================
state     how it is entered                   what happens to input
========  ==================================  =======================
flowing   made; all output is written         read
blocked   more than the buffer waits          left with the system
released  ``release()``                       read
========  ==================================  =======================

Stanzas that others cause, such as those that a router passes on, don't stop by that. Who sends them
must look at ``blocked``.

**A transport that has a producer does not close.** Its ``loseConnection`` waits until the producer
is unregistered; over TLS always, over TCP if the limit is blocked. So ``release()`` comes before
each ``loseConnection``. ``abortConnection`` waits for nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer


@implementer(IPushProducer)
class OutputLimit:
    """Stops reading from a transport while too much waits to be written to it.

    Args:
        transport: A connected transport, an IConsumer such as Twisted's TCP and TLS transports.
        on_change: Called without arguments when ``blocked`` has changed.

    Attributes:
        blocked: Whether more than the transport's buffer waits, so that nothing is read.
    """

    def __init__(self, transport: Any, on_change: Callable[[], object] = lambda: None) -> None:
        self.blocked = False
        self._transport = transport
        self._on_change = on_change
        self._released = False
        transport.registerProducer(self, True)

    def release(self) -> None:
        """Limit nothing any more, so that the transport can be closed.

        ``on_change`` is not called. A second call does nothing.
        """
        if self._released:
            return
        self._released = True
        if self.blocked:
            self.blocked = False
            self._transport.resumeProducing()
        self._transport.unregisterProducer()

    def pauseProducing(self) -> None:
        """Stop reading: the transport says that too much waits."""
        if not self.blocked:
            self.blocked = True
            self._transport.pauseProducing()
            self._on_change()

    def resumeProducing(self) -> None:
        """Read again: the transport says that all is written."""
        if self.blocked:
            self.blocked = False
            self._transport.resumeProducing()
            self._on_change()

    def stopProducing(self) -> None:
        """Do nothing: the transport is gone."""

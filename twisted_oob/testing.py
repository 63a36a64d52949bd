"""Tests of an application's own ``on_offer`` and ``send_url``: XMPP in memory, with no network.

A ``MemoryServer`` connects ``StreamEnd``s. Each is a real stream manager with a real XmlStream, so
what one end gets has been written as XML by another. A ``Peer`` is an end that the test plays::

    server = MemoryServer()
    end = server.client("me@example.org/laptop")
    handler = OOBHandler(on_offer, reactor=server.clock)
    handler.setHandlerParent(end)
    peer = Peer(end, "juliet@example.com/balcony")
    assert result_of(peer.offer("https://files.example/a.png")) is None

Stanzas are delivered at once, in the order they were sent in. When a call that sends one returns,
such as ``send_url``, ``peer.offer`` or ``clock.advance``, then it, its answer and all that followed
have been delivered. So Deferreds fire without a reactor, and nothing needs pumping. As on a
network, no end gets a stanza while it handles another: what is sent meanwhile waits in a queue.

Importing this module installs no reactor.
"""

from __future__ import annotations

import sys
from collections import deque
from typing import Any, Final, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.words.protocols.jabber.jid import JID

from twisted_oob._file_info import FileInfo
from twisted_oob.errors import ErrorCondition
from twisted_oob.protocol.handler import OOBHandler
from twisted_oob.protocol.messages import OOBMessage
from twisted_oob.protocol.offers import Offer
from twisted_oob.xmpp.jid import parse_jid
from twisted_oob.xmpp.memory import ClientEnd, ComponentEnd, MemoryServer, StreamEnd

__all__ = ["ClientEnd", "ComponentEnd", "MemoryServer", "Peer", "StreamEnd", "result_of"]

T = TypeVar("T")

_MOST_SHOWN: Final = 5


def result_of(deferred: Deferred[T]) -> T:
    """Give the result of a Deferred that has fired, in any test framework.

    Raises:
        AssertionError: It has not fired yet.
        Exception: What it failed with, if it failed.
    """
    fired: list[Any] = []
    deferred.addBoth(fired.append)
    if not fired:
        raise AssertionError(f"the Deferred has not fired yet: {deferred!r}")
    if isinstance(fired[0], Failure):
        fired[0].raiseException()
    result: T = fired[0]
    return result


class Peer:
    """The test, in the place of one whom the application talks to.

    It connects an end of its own to the application's server, with an OOBHandler. Nothing is
    answered before the test answers it.

    Args:
        application: The application's end.
        jid: The peer's address: the full JID of a client, or the domain of a component.

    Raises:
        ValueError: The JID is neither, or is connected.

    Attributes:
        jid: Its address.
        end: Its own end: ``peer.end.lose()`` disconnects it, ``peer.end.send(stanza)`` sends any.
        oob: Its OOBHandler, for all that ``offer`` can't: ``peer.oob.send_message(end.jid, url)``.
    """

    def __init__(self, application: StreamEnd, jid: JID | str) -> None:
        server = application.server
        self.jid = parse_jid(jid)
        self.end = (server.client if self.jid.user else server.component)(self.jid)
        self._application = application
        self._offers: deque[Offer] = deque()
        self._messages: deque[OOBMessage] = deque()
        self.oob = OOBHandler(
            self._offers.append,
            self._messages.append,
            timeout=None,
            answer_timeout=None,
            max_open_offers=sys.maxsize,
            reactor=server.clock,
        )
        self.oob.setHandlerParent(self.end)

    def offer(
        self, url: str, desc: str | None = None, *, info: FileInfo | None = None
    ) -> Deferred[ErrorCondition | None]:
        """Offer a URL to the application.

        Args:
            url: As for ``send_url``. What gives no URI, let the application's end ``receive``.
            desc: What it is, for people.
            info: What is known of the file, which the application gets as ``offer.info``.

        Returns:
            The answer, as ``send_url`` gives it: a Deferred of None or an ErrorCondition. It never
            fires if the application loses its stream.
        """
        return self.oob.send_url(self._application.jid, url, desc, info=info)

    def next_offer(self) -> Offer:
        """Give the first offer to this peer that this method has not given yet.

        Answer it with ``reply_success()`` or ``reply_failure(condition)``, at any time or never.

        Raises:
            AssertionError: There is no such offer. The text shows what was sent instead.
        """
        return self._next(self._offers, "offer")

    def next_message(self) -> OOBMessage:
        """Give the first message with a URL to this peer, likewise."""
        return self._next(self._messages, "message with a URL")

    def _next(self, came: deque[T], what: str) -> T:
        self.end.server.check()
        if came:
            return came.popleft()
        sent = self._application.history
        lines = [f"no other {what} came to {self.jid.full()}"]
        lines += [f"{self._application} has sent {len(sent)} stanzas; the last of them:"]
        lines += [f"  {stanza.toXml()}" for stanza in sent[-_MOST_SHOWN:]] or ["  (nothing)"]
        if self._application.xmlstream is None:
            lines += ["It has no stream now: open() one."]
        raise AssertionError("\n".join(lines))

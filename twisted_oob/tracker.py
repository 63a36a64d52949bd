"""Requests we sent: ids, whose answer counts, deadlines.

Wokkel's own ``request()`` takes an answer from anyone and its ids can be guessed (``H_0``,
``H_1``, ...), so that any stranger can answer for the peer. Here ids are random, and an answer
counts only from the entity that was asked (RFC 6120 section 8.1.2.1).
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.words.protocols.jabber.jid import JID
from twisted.words.protocols.jabber.xmlstream import TimeoutError as IQTimeoutError

from twisted_oob.errors import error_from_stanza
from twisted_oob.stanza import parse_jid
from twisted_oob.xmlguard import parse_promptly

if TYPE_CHECKING:
    from twisted.words.xish import domish

    from twisted_oob.deadlines import DeadlineQueue


class BoundStream:
    """An initialized XML stream, and who we are on it.

    ``xmlstream``: what a handler is given by its ``manager``.
    ``me``: what was bound for a client, the domain of a component; None where nothing tells.
    """

    def __init__(self, xmlstream: Any, manager: Any) -> None:
        self.xmlstream = xmlstream
        # Wokkel's InternalComponent has several domains and no stream that would name one.
        domains = getattr(manager, "domains", None)
        authenticator = getattr(xmlstream, "authenticator", None)
        jid = getattr(authenticator, "jid", None) or getattr(xmlstream, "thisEntity", None)
        self.me: JID | None = parse_jid(min(domains)) if domains else jid
        parse_promptly(xmlstream)

    def send(self, stanza: domish.Element) -> None:
        """Send a stanza; a component's gets its ``from``, as no server adds it (XEP-0114)."""
        me = self.me
        if me is not None and me.user is None and not stanza.hasAttribute("from"):
            stanza["from"] = me.full()
        self.xmlstream.send(stanza)


def new_id() -> str:
    """Make a stanza id that nobody can guess (96 random bits)."""
    return secrets.token_urlsafe(12)


class _Request:
    """One request, from the moment it was asked for to its answer."""

    __slots__ = ("deferred", "id", "recipient", "sender", "stanza", "timed", "tracker")

    def __init__(
        self,
        tracker: RequestTracker,
        stanza: domish.Element,
        recipient: JID | None,
        sender: JID | None,
    ) -> None:
        self.tracker = tracker
        self.id = new_id()
        self.recipient = recipient
        self.sender = sender
        # None once it was sent: nothing of it need stay in memory then.
        self.stanza: domish.Element | None = stanza
        # None once it is settled.
        self.deferred: Deferred[domish.Element] | None = Deferred(self._cancelled)
        self.timed = False

    @property
    def settled(self) -> bool:
        return self.deferred is None

    def expire(self) -> None:
        self.tracker.settle(self).errback(IQTimeoutError("no answer to the IQ in time"))

    def _cancelled(self, _deferred: Deferred[domish.Element]) -> None:
        self.tracker.settle(self)


class RequestTracker:
    """Sends IQ requests and gives each its answer.

    A request made while there is no stream waits for one; it is then either sent or
    failed, never both. ``deadlines``: where the requests' timeouts are kept.
    """

    _log = Logger()

    def __init__(self, deadlines: DeadlineQueue) -> None:
        self._deadlines = deadlines
        self._requests: dict[str, _Request] = {}
        self._stream: BoundStream | None = None

    def request(
        self,
        stanza: domish.Element,
        recipient: JID | None,
        *,
        sender: JID | None = None,
        timeout: float | None = None,
    ) -> Deferred[domish.Element]:
        """Send an IQ of type get or set, now or with the next stream.

        ``stanza``: the IQ with its payload; id, to and from are set here.
        ``recipient``: who is asked; None for our own server. ``sender``: None for ourselves.
        ``timeout``: seconds from now until it fails, None for never.

        Fires with the IQ result. Fails with the StanzaError that the peer answered,
        with TimeoutError, with CancelledError, or with the reason that the stream was lost for.
        """
        request = _Request(self, stanza, recipient, sender)
        stanza["id"] = request.id
        if recipient is not None:
            stanza["to"] = recipient.full()
        if sender is not None:
            stanza["from"] = sender.full()
        deferred = request.deferred
        assert deferred is not None  # noqa: S101  (it is new)
        self._requests[request.id] = request
        if timeout is not None:
            request.timed = True
            self._deadlines.add(request, timeout)
        if self._stream is not None:
            self._send(self._stream, request)
        return deferred

    def stream_opened(self, stream: BoundStream) -> None:
        """Send what has been waiting, in order, and from now on all there is."""
        self._stream = stream
        for request in list(self._requests.values()):
            if request.stanza is not None and not request.settled and self._stream is stream:
                self._send(stream, request)

    def stream_lost(self, reason: Failure) -> None:
        """Fail every request that was sent; those still waiting go on waiting."""
        self._stream = None
        for request in list(self._requests.values()):
            if request.stanza is None and not request.settled:
                self.settle(request).errback(reason)

    def take_answer(self, iq: domish.Element) -> bool:
        """Settle the request that this IQ result or error answers; False where it answers none.

        An answer from anyone but the one who was asked is none.
        """
        request = self._requests.get(iq.getAttribute("id"))
        if request is None or request.stanza is not None:
            return False
        if not self._comes_from_asked(iq.getAttribute("from"), request):
            self._log.warn(
                "Ignored an answer from {sender}: {recipient} was asked",
                sender=iq.getAttribute("from"),
                recipient=request.recipient,
            )
            return False
        deferred = self.settle(request)
        if iq.getAttribute("type") == "error":
            deferred.errback(error_from_stanza(iq))
        else:
            deferred.callback(iq)
        return True

    def settle(self, request: _Request) -> Deferred[domish.Element]:
        """Forget the request; gives the Deferred that is now to be fired."""
        deferred = request.deferred
        assert deferred is not None  # noqa: S101  (nothing is settled twice)
        request.deferred = request.stanza = None
        del self._requests[request.id]
        if request.timed:
            self._deadlines.settle()
        return deferred

    def _send(self, stream: BoundStream, request: _Request) -> None:
        stanza, request.stanza = request.stanza, None
        assert stanza is not None  # noqa: S101  (nothing is sent twice)
        try:
            stream.send(stanza)
        except Exception:
            if not request.settled:
                self.settle(request).errback(Failure())

    def _comes_from_asked(self, sender: str | None, request: _Request) -> bool:
        asked = request.recipient
        if sender is not None and asked is not None and sender == asked.full():
            return True
        me = request.sender or (self._stream.me if self._stream is not None else None)
        # Our server may answer for our own account under any of our names, or none at all.
        own = asked is None or (me is not None and asked == me.userhostJID())
        if sender is None:
            return own
        try:
            answerer = parse_jid(sender)
        except ValueError:
            return False
        if answerer == asked:
            return True
        return own and me is not None and answerer in (me, me.userhostJID(), JID(me.host))

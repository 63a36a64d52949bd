"""Requests we sent: ids, whose answer counts, deadlines.

Wokkel's own ``request()`` takes an answer from anyone and its ids can be guessed (``H_0``,
``H_1``, ...), so that any stranger can answer for the peer. Here ids are random, and an answer
counts only from the entity that was asked (RFC 6120 section 8.1.2.1).
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Container, Mapping
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import AlreadyCalledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.words.protocols.jabber.error import StanzaError
from twisted.words.protocols.jabber.xmlstream import TimeoutError as IQTimeoutError

from twisted_oob.errors import error_from_stanza
from twisted_oob.xmpp.jid import normalized_jid, parse_jid, shown

if TYPE_CHECKING:
    from twisted.words.protocols.jabber.jid import JID
    from twisted.words.xish import domish

    from twisted_oob.xmpp.deadlines import Deadline, DeadlineQueue
    from twisted_oob.xmpp.stanza import Payload
    from twisted_oob.xmpp.stream import BoundStream


_ID_DIGITS: Final = 24
_ids: list[str] = []
# Two processes must not have the same ids.
os.register_at_fork(after_in_child=_ids.clear)


def new_id() -> str:
    """Make a stanza id that nobody can guess (96 random bits)."""
    if not _ids:
        # To ask the system for them one by one costs more than the rest of a request's bookkeeping.
        digits = secrets.token_hex(_ID_DIGITS * 128)
        _ids.extend([digits[i : i + _ID_DIGITS] for i in range(0, len(digits), _ID_DIGITS)])
    return _ids.pop()


class _Request:
    """One request: what it takes to send it, and to know its answer."""

    __slots__ = (
        "_tracker",
        "deadline",
        "deferred",
        "from_",
        "id",
        "kind",
        "on_error",
        "payload",
        "to",
    )

    def __init__(
        self,
        tracker: RequestTracker,
        kind: str,
        to: str | None,
        from_: str | None,
        on_error: Callable[[StanzaError], object] | None,
    ) -> None:
        self._tracker = tracker
        self.kind = kind
        self.id = new_id()
        self.to = to
        self.from_ = from_
        self.on_error = on_error
        self.payload: Payload | None = None  # only as long as it waits for a stream
        self.deadline: Deadline | None = None
        # None once it is settled: otherwise they would keep each other alive, and only the garbage
        # collector would free them.
        self.deferred: Any = Deferred(self._cancelled)

    def expire(self) -> None:
        self._tracker.settle(self).errback(IQTimeoutError("no answer to the IQ in time"))

    def _cancelled(self, _deferred: Deferred[Any]) -> None:
        self._tracker.settle(self)
        self._tracker.deadlines.stop_if_idle()


class RequestTracker:
    """Sends IQ requests and gives each its answer.

    A request made while there is no stream waits for one. One that fails before it is sent is never
    sent.

    Args:
        deadlines: Where the requests' timeouts are kept.
    """

    _log = Logger()

    def __init__(self, deadlines: DeadlineQueue) -> None:
        self.deadlines = deadlines
        self._requests: dict[str | None, _Request] = {}
        self._stream: BoundStream | None = None

    @property
    def ids(self) -> Container[str | None]:
        """The ids of all requests without an answer, as they come and go."""
        return self._requests

    def request(
        self,
        kind: str,
        payload: Payload,
        recipient: JID | str | None,
        *,
        sender: JID | str | None = None,
        timeout: float | None = None,
        on_error: Callable[[StanzaError], object] | None = None,
    ) -> Deferred[Any]:
        """Send an IQ, now or with the next stream.

        Args:
            kind: ``'get'`` or ``'set'``.
            payload: Its child.
            recipient: Who is asked; None for our own server.
            sender: Our address to send from; None for the stream's.
            timeout: Seconds from now until it fails; None for never.
            on_error: Makes the result out of the StanzaError that a peer answered; None to fail
                with that error.

        Returns:
            A Deferred. It fires with the result of a get, an element (None if that is empty), or
            with None for the result of a set. It fails with TimeoutError, with CancelledError, or
            with the reason that the stream was lost for.

        Raises:
            ValueError: An address is not a valid JID. Nothing is sent.
        """
        to = None if recipient is None else normalized_jid(recipient)
        from_ = None if sender is None else normalized_jid(sender)
        request = _Request(self, kind, to, from_, on_error)
        deferred: Deferred[Any] = request.deferred
        self._requests[request.id] = request
        if timeout is not None:
            request.deadline = self.deadlines.add(request, timeout)
        if self._stream is None:
            request.payload = payload
            return deferred
        try:
            self._stream.send_iq(kind, request.id, to, from_, payload)
        except Exception:
            self._not_sent(request)
        return deferred

    def stream_opened(self, stream: BoundStream) -> None:
        """Send waiting requests, in order. Later ones are sent at once."""
        self._stream = stream
        for request in list(self._requests.values()):
            payload, request.payload = request.payload, None
            # One that was settled meanwhile, by what sending another one caused, has no payload.
            if payload is not None:
                try:
                    stream.send_iq(request.kind, request.id, request.to, request.from_, payload)
                except Exception:
                    self._not_sent(request)
            if self._stream is not stream:
                # Sending has lost the stream: those that are left wait for the next.
                break

    def stream_lost(self, reason: Failure) -> None:
        """Fail every request that was sent; those still waiting go on waiting."""
        self._stream = None
        self._fail(reason, waiting=False)

    def fail_waiting(self, error: Exception) -> None:
        """Fail every request that waits for a stream; it is never sent."""
        self._fail(Failure(error), waiting=True)

    def _fail(self, reason: Failure, *, waiting: bool) -> None:
        # Chosen before any is failed: an errback may open the next stream, which sends the others.
        chosen = [
            request
            for request in self._requests.values()
            if (request.payload is not None) is waiting
        ]
        for request in chosen:
            # An errback may have settled others.
            if request.id in self._requests:
                try:
                    self.settle(request).errback(reason)
                except AlreadyCalledError:
                    # The application has fired it itself. The others must fail all the same.
                    self._log.failure("A request was fired by somebody else")
        self.deadlines.stop_if_idle()

    def take_answer(self, iq: domish.Element) -> bool:
        """Settle the request that this IQ result or error answers.

        Returns:
            False if it answers no request, or comes from somebody who was not asked.
        """
        attributes = iq.attributes
        request = self._requests.get(attributes.get("id"))
        if request is None:
            return False
        if not self._comes_from_asked(attributes.get("from"), request):
            if request.payload is None:
                self._log.warn(
                    "Ignored an answer from {sender}: {recipient} was asked",
                    sender=shown(attributes.get("from")),
                    recipient=request.to,
                )
            return False
        result: object = iq if request.kind == "get" and iq.children else None
        if attributes.get("type") == "error":
            error = error_from_stanza(iq)
            # Before it is settled: what on_error raises must not leave it unanswered for ever.
            result = Failure(error) if request.on_error is None else request.on_error(error)
        self.settle(request).callback(result)
        if not self._requests:
            self.deadlines.stop_if_idle()
        return True

    def take_empty_result(self, attributes: Mapping[str, str]) -> bool:
        """Settle the request that an empty IQ result answers.

        Args:
            attributes: All that the result has.

        Returns:
            False if it answers no request, or comes from somebody who was not asked.
        """
        request = self._requests.get(attributes.get("id"))
        if request is None:
            return False
        sender = attributes.get("from")
        # Most write their address as we do, which spares the comparison of JIDs.
        if (sender is None or sender != request.to or request.payload is not None) and (
            not self._comes_from_asked(sender, request)
        ):
            return False
        self.settle(request).callback(None)
        if not self._requests:
            self.deadlines.stop_if_idle()
        return True

    def settle(self, request: _Request) -> Deferred[Any]:
        """Forget a request.

        Returns:
            Its Deferred, which is to be fired. After that, call ``deadlines.stop_if_idle()``.
        """
        del self._requests[request.id]
        request.payload = None
        if request.deadline is not None:
            self.deadlines.cancel(request.deadline)
        deferred: Deferred[Any] = request.deferred
        request.deferred = None
        return deferred

    def _not_sent(self, request: _Request) -> None:
        """Fail a request with the exception that is being handled."""
        # To write it may have lost the stream, which has failed it already.
        if request.id in self._requests:
            self.settle(request).errback()
            self.deadlines.stop_if_idle()

    def _comes_from_asked(self, sender: str | None, request: _Request) -> bool:
        # What waits for a stream can't have an answer.
        if request.payload is not None:
            return False
        asked = request.to
        address = request.from_ or (None if self._stream is None else self._stream.me)
        me = None if address is None else parse_jid(address)
        # Not userhostJID(), which keeps each for ever: a component may have many addresses.
        bare = None if me is None else me.userhost()
        # Our server may answer for our own account under any of our names, or none at all.
        own = asked is None or asked == bare
        if sender is None:
            return own
        try:
            answerer = normalized_jid(sender)
        except ValueError:
            return False
        if answerer == asked:
            return True
        return own and me is not None and answerer in (me.full(), bare, me.host)

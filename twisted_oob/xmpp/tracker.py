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

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.words.protocols.jabber.error import StanzaError
from twisted.words.protocols.jabber.jid import JID
from twisted.words.protocols.jabber.xmlstream import TimeoutError as IQTimeoutError

from twisted_oob.errors import error_from_stanza
from twisted_oob.xmpp.jid import normalized_jid, parse_jid

if TYPE_CHECKING:
    from twisted.python.failure import Failure
    from twisted.words.xish import domish

    from twisted_oob.xmpp.deadlines import Deadline, DeadlineQueue
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


_Refused = Callable[[StanzaError], object]


class _Request(Deferred[Any]):
    """One request: the Deferred of its answer, and what it takes to know that."""

    # Most of these are the same for most requests.
    from_: str | None = None
    payload: str | None = None  # of one that waits for a stream
    refused: _Refused | None = None
    deadline: Deadline | None = None

    def __init__(self, tracker: RequestTracker, kind: str, id_: str, to: str | None) -> None:
        Deferred.__init__(self, _cancelled)
        self.tracker = tracker
        self.kind = kind
        self.id = id_
        self.to = to

    def expire(self) -> None:
        self.tracker.settle(self)
        self.errback(IQTimeoutError("no answer to the IQ in time"))


def _cancelled(request: Deferred[Any]) -> None:
    assert isinstance(request, _Request)  # noqa: S101  (it is nobody else's canceller)
    request.tracker.settle(request)
    request.tracker.deadlines.rest()


class RequestTracker:
    """Sends IQ requests and gives each its answer.

    A request made while there is no stream waits for one; it is then either sent or
    failed, never both. ``deadlines``: where the requests' timeouts are kept.
    """

    _log = Logger()

    def __init__(self, deadlines: DeadlineQueue) -> None:
        self.deadlines = deadlines
        self._requests: dict[str | None, _Request] = {}
        self._stream: BoundStream | None = None

    @property
    def ids(self) -> Container[str | None]:
        """The ids of all requests without an answer, as they come and go."""
        return self._requests.keys()

    def request(
        self,
        kind: str,
        payload: str,
        recipient: JID | str | None,
        *,
        sender: JID | str | None = None,
        timeout: float | None = None,
        refused: _Refused | None = None,
    ) -> Deferred[Any]:
        """Send an IQ, now or with the next stream.

        ``kind``: ``'get'`` or ``'set'``. ``payload``: what it holds, as XML.
        ``recipient``: who is asked; None for our own server. ``sender``: None for ourselves.
        ``timeout``: seconds from now until it fails, None for never.
        ``refused``: makes what it fires with out of the StanzaError that a peer answered; None to
            fail with that.

        Fires with the result of a get, an element, or None where that is empty; with None for the
        result of a set. Fails with TimeoutError, with CancelledError, or with the reason that the
        stream was lost for. Raises a ValueError where an address is none.
        """
        to = None if recipient is None else normalized_jid(recipient)
        from_ = None if sender is None else normalized_jid(sender)
        id_ = new_id()
        request = _Request(self, kind, id_, to)
        if from_ is not None:
            request.from_ = from_
        if refused is not None:
            request.refused = refused
        self._requests[id_] = request
        if timeout is not None:
            request.deadline = self.deadlines.add(request, timeout)
        if self._stream is None:
            request.payload = payload
            return request
        try:
            self._stream.send_iq(kind, id_, to, from_, payload)
        except Exception:
            self._not_sent(request)
        return request

    def stream_opened(self, stream: BoundStream) -> None:
        """Send what has been waiting, in order, and from now on all there is."""
        self._stream = stream
        for request in list(self._requests.values()):
            payload, request.payload = request.payload, None
            if payload is not None:
                try:
                    stream.send_iq(request.kind, request.id, request.to, request.from_, payload)
                except Exception:
                    self._not_sent(request)
            if self._stream is not stream:
                break

    def stream_lost(self, reason: Failure) -> None:
        """Fail every request that was sent; those still waiting go on waiting."""
        self._stream = None
        for request in list(self._requests.values()):
            if request.payload is None and request.id in self._requests:
                self.settle(request)
                request.errback(reason)
        self.deadlines.rest()

    def take_answer(self, iq: domish.Element) -> bool:
        """Settle the request that this IQ result or error answers; False where it answers none.

        An answer from anyone but the one who was asked is none.
        """
        attributes = iq.attributes
        request = self._requests.get(attributes.get("id"))
        if request is None or request.payload is not None:
            return False
        if not self._comes_from_asked(attributes.get("from"), request):
            self._log.warn(
                "Ignored an answer from {sender}: {recipient} was asked",
                sender=attributes.get("from"),
                recipient=request.to,
            )
            return False
        self.settle(request)
        if attributes.get("type") == "error":
            error = error_from_stanza(iq)
            if request.refused is None:
                request.errback(error)
            else:
                request.callback(request.refused(error))
        else:
            request.callback(iq if request.kind == "get" and iq.children else None)
        self.deadlines.rest()
        return True

    def take_empty_result(self, attributes: Mapping[str, str]) -> bool:
        """Settle the request that an IQ result with these attributes, and no more, answers.

        False where it answers none; whose answer counts is as for ``take_answer``.
        """
        request = self._requests.get(attributes.get("id"))
        if request is None or request.payload is not None:
            return False
        sender = attributes.get("from")
        if (sender is None or sender != request.to) and not self._comes_from_asked(sender, request):
            return False
        self.settle(request)
        request.callback(None)
        self.deadlines.rest()
        return True

    def settle(self, request: _Request) -> None:
        """Forget a request; it is then to be fired, and ``deadlines`` to rest."""
        del self._requests[request.id]
        if request.payload is not None:
            request.payload = None  # whoever keeps the Deferred need not keep that
        if request.deadline is not None:
            self.deadlines.settle(request.deadline)

    def _not_sent(self, request: _Request) -> None:
        """Fail a request with the exception that is being handled."""
        if request.id in self._requests:
            self.settle(request)
            request.errback()
            self.deadlines.rest()

    def _comes_from_asked(self, sender: str | None, request: _Request) -> bool:
        asked = None if request.to is None else parse_jid(request.to)
        if request.from_ is not None:
            me: JID | None = parse_jid(request.from_)
        else:
            me = self._stream.me if self._stream is not None else None
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

"""AskingHandler: asks others by IQ on one stream after the other. Only whom it asked may answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure
from wokkel.subprotocols import XMPPHandler

from twisted_oob.errors import StreamRefused
from twisted_oob.xmpp.deadlines import DeadlineQueue
from twisted_oob.xmpp.stream import BoundStream
from twisted_oob.xmpp.tracker import RequestTracker

if TYPE_CHECKING:
    from twisted.words.protocols.jabber.jid import JID

    from twisted_oob.xmpp.deadlines import Clock
    from twisted_oob.xmpp.stanza import Payload

_ANY_IQ: Final = "/iq"
_ANSWERS: Final = frozenset(("result", "error"))


class AskingHandler(XMPPHandler):  # type: ignore[misc]  # Wokkel has no types
    """Sends IQ requests and gives each its answer (RFC 6120 section 8.2.3).

    Ids can't be guessed, and an answer counts only from whom was asked. Without a stream, a request
    waits for the next one.

    Args:
        clock: Tells the time and runs the timer of the requests' timeouts.
    """

    parent: Any
    xmlstream: Any

    def __init__(self, clock: Clock) -> None:
        XMPPHandler.__init__(self)
        self._tracker = RequestTracker(DeadlineQueue(clock))
        self._stream: BoundStream | None = None

    @property
    def me(self) -> JID | None:
        """Our address on the stream that is up: a full JID or a domain; None without a stream."""
        return None if self._stream is None else self._stream.me

    def ask(
        self, kind: str, payload: Payload, recipient: JID | str | None, *, timeout: float | None
    ) -> Deferred[Any]:
        """Send a request.

        Args:
            kind: ``'get'`` or ``'set'``.
            payload: Its child.
            recipient: Who is asked; None for our own server.
            timeout: Seconds until it fails without an answer; None for never.

        Returns:
            A Deferred. It fires with the answer to a get, the whole ``<iq/>`` as an Element, or
            None if that is empty; and with None for the answer to a set. It fails with the
            StanzaError that was answered, with TimeoutError (of Twisted Words), with the reason
            that the stream was lost for, with StreamRefused or with CancelledError.

        Raises:
            ValueError: The recipient is not a JID. Nothing is sent.
        """
        refused = getattr(self.parent, "refused", None)
        if self._stream is None and isinstance(refused, StreamRefused):
            return fail(refused)
        return self._tracker.request(kind, payload, recipient, timeout=timeout)

    def stream_refused(self, error: StreamRefused) -> bool:
        """Fail what waits for a stream: the manager says that there won't be one.

        Returns:
            Whether anything waited, so that the application hears of it.
        """
        return self._tracker.fail_waiting(error)

    def connectionInitialized(self) -> None:
        """Begin to take answers, and send what has been waiting for the stream."""
        self._stream = BoundStream(self.xmlstream, self.parent)
        self.xmlstream.addObserver(_ANY_IQ, self._on_iq)
        self._tracker.stream_opened(self._stream)

    def connectionLost(self, reason: Failure | None) -> None:
        """Fail what was asked on this stream."""
        XMPPHandler.connectionLost(self, reason)
        self._stream = None
        lost = reason if isinstance(reason, Failure) else Failure(ConnectionDone())
        self._tracker.stream_lost(lost)

    # To Twisted, "handled" is an attribute that other handlers set; see OOBHandler.
    def _on_iq(self, iq: Any) -> None:
        if (
            vars(iq).get("handled") is not True
            and iq.attributes.get("type") in _ANSWERS
            and self._tracker.take_answer(iq)
        ):
            iq.handled = True

"""StreamHandler: what all our handlers that outlast a stream know of the one that is up.

Stream managers differ in what they tell, and when:

- Twisted Words shows no stream to a handler that was added while one negotiated.
- A handler may be told twice that a stream is up: another one, told before it in the same round of
  calls, took it off and put it on again. Or it may be told after it was taken off.
- Twisted Words and InternalComponent go through their very list of handlers meanwhile, and would
  leave one out when an earlier one goes.
- Our own managers say if there won't be a stream: by ``refused``, and by ``stream_refused``.

So a subclass hears of each stream once, and of each loss once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure
from wokkel.subprotocols import XMPPHandler

from twisted_oob.errors import StreamRefused
from twisted_oob.xmpp.stream import BoundStream


class StreamHandler(XMPPHandler):  # type: ignore[misc]  # Wokkel has no types
    """A handler that is on one stream after the other, of one manager after the other.

    A subclass overrides ``_stream_opened``, ``_stream_lost`` and ``stream_refused``, and observes
    with ``observe_stream``.

    Attributes:
        bound_stream: The stream that is up; None without one.
    """

    parent: Any
    xmlstream: Any

    _direct = False
    """Whether nobody else on the stream needs to see what we send; see BoundStream."""

    def __init__(self) -> None:
        XMPPHandler.__init__(self)
        self.bound_stream: BoundStream | None = None
        self._disowned = False
        self._observed: list[tuple[str, Callable[..., None]]] = []

    def observe_stream(
        self, query: str, observer: Callable[..., None], priority: float = 0, *args: object
    ) -> None:
        """Observe the stream that is up, until it is lost.

        Args:
            query: What is observed, an XPath query of Twisted Words.
            observer: Called with ``args`` and each element that fits.
            priority: Who has more is called before.
        """
        if self.bound_stream is not None:
            self.bound_stream.xmlstream.addObserver(query, observer, priority, *args)
            self._observed.append((query, observer))

    def stream_refused(self, error: StreamRefused) -> bool:
        """Fail what waits for a stream: the manager says that there won't be one.

        Returns:
            Whether anything waited, so that the application hears of it.
        """
        return False

    def _stream_opened(self, stream: BoundStream) -> None:
        """Begin to use a stream. It is in ``bound_stream`` already."""

    def _stream_lost(self, stream: BoundStream, reason: Failure) -> None:
        """End what belongs to a stream. It is no longer in ``bound_stream``, nor observed."""

    def refusal(self) -> StreamRefused | None:
        """Why there won't be a stream; None if there is one, or may be one."""
        refused = getattr(self.parent, "refused", None)
        return refused if self.bound_stream is None and isinstance(refused, StreamRefused) else None

    def setHandlerParent(self, parent: Any) -> None:
        """Join a stream manager. What waits fails if its stream is refused for good."""
        self._disowned = False
        XMPPHandler.setHandlerParent(self, parent)
        refused = self.refusal()
        if refused is not None:
            self.stream_refused(refused)

    def makeConnection(self, xs: Any) -> None:
        """Know of a stream, unless another handler took us off while its manager told us of it."""
        if not self._disowned:
            XMPPHandler.makeConnection(self, xs)

    def connectionInitialized(self) -> None:
        """Begin to use the stream, unless we do already."""
        self.xmlstream = getattr(self.parent, "xmlstream", self.xmlstream)
        if self.xmlstream is None or (
            self.bound_stream is not None and self.bound_stream.xmlstream is self.xmlstream
        ):
            return
        self.bound_stream = BoundStream(self.xmlstream, self.parent, direct=self._direct)
        self._stream_opened(self.bound_stream)

    def connectionLost(self, reason: Failure | None) -> None:
        """End what belongs to the stream."""
        XMPPHandler.connectionLost(self, reason)
        self._detach(reason if isinstance(reason, Failure) else Failure(ConnectionDone()))

    def disownHandlerParent(self, parent: Any) -> None:
        """Leave a stream manager; to the handler, that is the loss of its stream."""
        handlers = getattr(self.parent, "handlers", None)
        if isinstance(handlers, list):
            # The manager may be going through this very list.
            self.parent.handlers = handlers.copy()
        self._disowned = True
        XMPPHandler.disownHandlerParent(self, parent)
        self.xmlstream = None
        self._detach(Failure(ConnectionDone("the handler was taken from its stream")))

    def _detach(self, reason: Failure) -> None:
        stream, self.bound_stream = self.bound_stream, None
        if stream is not None:
            observed, self._observed = self._observed, []
            for query, observer in observed:
                stream.xmlstream.removeObserver(query, observer)
            self._stream_lost(stream, reason)

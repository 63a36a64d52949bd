"""Waiting for a stream, and what is known of it once it is up, for any stream manager."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from twisted_oob.errors import StreamRefused
from twisted_oob.xmpp.stream import BoundStream
from twisted_oob.xmpp.stream_handler import StreamHandler


class _Watch(StreamHandler):
    """Fires ``ready`` when the stream is up."""

    def __init__(self) -> None:
        StreamHandler.__init__(self)
        self.ready: Deferred[None] = Deferred()

    def _stream_opened(self, stream: BoundStream) -> None:
        if not self.ready.called:
            self.ready.callback(None)

    def stream_refused(self, error: StreamRefused) -> bool:
        if not self.ready.called:
            self.ready.errback(error)
        return True


async def wait_for_stream(manager: Any) -> None:
    """Wait until stanzas may flow on a manager's stream; at once, if they may already.

    Args:
        manager: Any stream manager that takes Wokkel's handlers.

    Raises:
        StreamRefused: The manager says that there won't be a stream.
    """
    watch = _Watch()
    watch.setHandlerParent(manager)
    try:
        await watch.ready
    finally:
        watch.disownHandlerParent(manager)


def local_host(manager: Any) -> str | None:
    """Give the address that our side of a manager's stream has.

    The peer's server sees us at this address, unless something translates addresses in between.

    Args:
        manager: Any stream manager.

    Returns:
        An IP address; None without a stream, or if that is not TCP.
    """
    transport = getattr(getattr(manager, "xmlstream", None), "transport", None)
    tell = getattr(transport, "getHost", None)
    host = None if tell is None else getattr(tell(), "host", None)
    # The zone of a link-local address means something on this machine only (RFC 4007 section 11).
    return host.partition("%")[0] if isinstance(host, str) else None

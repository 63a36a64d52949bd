"""Waiting for a stream, and what is known of it once it is up, for any stream manager."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from wokkel.subprotocols import XMPPHandler

from twisted_oob.errors import StreamRefused


class _Watch(XMPPHandler):  # type: ignore[misc]  # Wokkel has no types
    """Fires ``ready`` when the stream is up."""

    parent: Any

    def __init__(self) -> None:
        XMPPHandler.__init__(self)
        self.ready: Deferred[None] = Deferred()

    def connectionInitialized(self) -> None:
        if not self.ready.called:
            self.ready.callback(None)

    def stream_refused(self, error: StreamRefused) -> bool:
        if not self.ready.called:
            self.ready.errback(error)
        return True

    def disownHandlerParent(self, parent: Any) -> None:
        handlers = getattr(self.parent, "handlers", None)
        if isinstance(handlers, list):
            # The manager may be telling this very list that the stream is up.
            self.parent.handlers = handlers.copy()
        XMPPHandler.disownHandlerParent(self, parent)


async def wait_for_stream(manager: Any) -> None:
    """Wait until stanzas may flow on a manager's stream; at once, if they may already.

    Args:
        manager: Any stream manager that takes Wokkel's handlers.

    Raises:
        StreamRefused: The manager says that there won't be a stream.
    """
    refused = getattr(manager, "refused", None)
    if isinstance(refused, StreamRefused):
        raise refused
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

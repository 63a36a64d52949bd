"""A FileSender in memory, those it sends to, and stand-ins for what is on the network."""

from __future__ import annotations

from twisted.internet.defer import Deferred, fail, succeed

from twisted_oob import FileSender, OOBHandler
from twisted_oob.testing import MemoryServer, Peer
from twisted_oob.xmpp.disco import DiscoveryHandler

ME = "me@home.example/desk"
BOB = "bob@far.example"
URL = "https://files.example/a%20b.png"


class Sending:
    """A FileSender on a stream in memory.

    ``end``: its end of the stream, an account's or that of a component of this domain; ``clock``:
    its time; ``told``: what on_progress was called with.
    """

    def __init__(self, *, timeout=900.0, opened=True, component=None, **options):
        self.server = MemoryServer()
        self.clock = self.server.clock
        connect = self.server.component if component else self.server.client
        self.end = connect(component or ME)
        if not opened:
            self.end.lose()
        self.handler = OOBHandler(timeout=timeout, reactor=self.clock)
        self.handler.setHandlerParent(self.end)
        self.sender = FileSender(self.handler, **options)
        self.told = []

    def send(self, recipient, what=URL, *args, **options):
        return self.sender.send(recipient, what, *args, **options)

    def peer(self, jid, *, takes_iq=True):
        """Connect a peer that tells its features."""
        peer = Peer(self.end, jid)
        DiscoveryHandler("client", "bot", "A peer").setHandlerParent(peer.end)
        if not takes_iq:
            peer.oob.on_offer = None
        return peer

    def on_progress(self, *told):
        self.told.append(told)

    def is_quiet(self):
        """Tell whether no timer runs any more."""
        return not self.clock.getDelayedCalls()


class Service:
    """An upload service, as UploadHandler finds it."""

    def __init__(self, max_size):
        self.max_size = max_size


class Uploads:
    """In the place of an UploadHandler. ``ends``: a URL, an exception, or None for no end.

    ``uploaded``: what was given to ``upload``, with the bytes of the file.
    """

    def __init__(self, ends=URL, *, service=True, max_size=None):
        self.ends = ends
        self.service = Service(max_size) if service else None
        self.uploaded = []
        self.cancelled = 0

    def find_service(self):
        found = self.service
        return fail(found) if isinstance(found, Exception) else succeed(found)

    def upload(self, path, *, name=None, media_type=None, on_progress=None, timeout=None):
        given = {"name": name, "media_type": media_type, "timeout": timeout}
        given |= {"data": path.read(0, path.size), "source": path, "on_progress": on_progress}
        self.uploaded.append(given)
        if on_progress is not None:
            on_progress(path.size, path.size)
        if self.ends is None:
            return Deferred(self._cancelled)
        return fail(self.ends) if isinstance(self.ends, Exception) else succeed(self.ends)

    def _cancelled(self, _deferred):
        self.cancelled += 1

"""converse.js in a headless Chromium, logged in to a server by its websocket.

The page is served by the test's own process, and tells it what a person would see: the page itself
looks at what it shows, and posts that back. What a person does, it is told by the test. Nothing is
loaded from anywhere else.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import string
from pathlib import Path

from twisted.internet import defer
from twisted.internet.defer import DeferredQueue
from twisted.web.pages import notFound
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site
from twisted.web.static import Data, File

from tests.servers.servers import ACCOUNTS, DOMAIN, HTTP_HOST
from tests.support.processes import Program, missing

_PAGE = Path(__file__).with_name("converse.html")
_PACKAGE = "npm install converse.js@14, and OOB_CONVERSE, which says where that is"
_OPTIONS = (
    "--headless",
    "--enable-logging=stderr",
    # It refuses to run as root with a sandbox.
    "--no-sandbox",
    # The server's certificate is signed by the CA of the tests, which no browser knows.
    "--ignore-certificate-errors",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    # A picture is loaded only once it is on the screen.
    "--window-size=1000,4000",
    # No name is looked up: all that it needs is on 127.0.0.1.
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
)
PATIENCE = 30


def find_converse():
    """Give the folder of what converse.js is made of, and where Chromium is, or end the test."""
    dist = Path(os.environ.get("OOB_CONVERSE") or os.devnull) / "dist"
    if not (dist / "converse.min.js").is_file():
        missing("converse.js", _PACKAGE)
    chromium = shutil.which("chromium")
    if chromium is None:
        missing("Chromium", "the Debian package chromium")
    return dist, chromium


class Converse:
    """A page that a user of the server has open, with the chat with one other.

    Args:
        server: A server with a websocket.
        folder: An empty folder, for the browser.
        user: Who logs in.
        other: The bare JID of the other one.
    """

    def __init__(self, reactor, server, folder, user, other):
        dist, self._chromium = find_converse()
        self._reactor = reactor
        self._folder = folder
        self._reports = DeferredQueue()
        self._actions = DeferredQueue()
        self._shown = []
        self._port = None
        self._program = None
        page = string.Template(_PAGE.read_text(encoding="utf-8")).substitute(
            jid=json.dumps(f"{user}@{DOMAIN}"),
            password=json.dumps(ACCOUNTS[user]),
            other=json.dumps(other),
            websocket=json.dumps(f"wss://{HTTP_HOST}:{server.http_port}/xmpp-websocket"),
        )
        root = Resource()
        root.putChild(b"", Data(page.encode(), "text/html; charset=utf-8"))
        root.putChild(b"dist", File(str(dist)))
        root.putChild(b"favicon.ico", notFound())
        root.putChild(b"report", _Reports(self._reports))
        root.putChild(b"action", _Actions(self._actions))
        self._site = Site(root)
        self._site.noisy = False

    async def start(self):
        """Open the page, and wait until it has logged in."""
        self._port = self._reactor.listenTCP(0, self._site, interface=HTTP_HOST)
        url = f"http://{HTTP_HOST}:{self._port.getHost().port}/"
        # What it keeps is below the folder, wherever it wants to put it.
        home = {"HOME": str(self._folder), "XDG_CONFIG_HOME": "", "XDG_CACHE_HOME": ""}
        command = [self._chromium, *_OPTIONS, f"--user-data-dir={self._folder / 'profile'}", url]
        self._program = Program(self._reactor, command, self._folder, environment=home)
        await self._next("ready")

    async def shown(self, last):
        """Wait until a message with this id is shown; give the messages that are, oldest first.

        Each is a dict: ``id``; ``text``, what can be read; ``pictures``, the width of each in
        pixels, 0 if it could not be loaded; ``mentions``, how many things are marked as names;
        ``own``, whether the user wrote it; ``received``, whether it is marked so (XEP-0184);
        ``reply``, whether it is shown as one (XEP-0461).
        """
        return await self.shows(lambda messages: last in [message["id"] for message in messages])

    async def shows(self, enough):
        """Wait until what is shown is enough; give it."""
        while not enough(self._shown):
            self._shown = (await self._next("shown"))["messages"]
        return self._shown

    def write(self, text):
        """Type a message, and send it."""
        self._actions.put({"do": "write", "text": text})

    def share(self, name, media_type, content):
        """Send a file, as if it were dropped on the chat."""
        about = {"name": name, "type": media_type, "bytes": base64.b64encode(content).decode()}
        self._actions.put({"do": "share", **about})

    async def stop(self):
        """Close the browser."""
        if self._program is not None and not self._program.ended.called:
            await self._program.stop()
        if self._port is not None:
            await self._port.stopListening()

    async def _next(self, event):
        while True:
            try:
                report = await self._reports.get().addTimeout(PATIENCE, self._reactor)
            except defer.TimeoutError:
                output = self._program.output
                raise AssertionError(f"no {event!r}; the browser said: {output}") from None
            if report["event"] == event:
                return report


class _Reports(Resource):
    isLeaf = True

    def __init__(self, reports):
        super().__init__()
        self._reports = reports

    def render_POST(self, request):
        self._reports.put(json.load(request.content))
        return b""


class _Actions(Resource):
    """Gives the page one action after the other, each once there is one."""

    isLeaf = True

    def __init__(self, actions):
        super().__init__()
        self._actions = actions

    def render_GET(self, request):
        waiting = self._actions.get()
        request.notifyFinish().addErrback(lambda _: waiting.cancel())
        waiting.addCallbacks(
            lambda action: (request.write(json.dumps(action).encode()), request.finish()),
            lambda failure: failure.trap(defer.CancelledError),
        )
        return NOT_DONE_YET

"""A ChatFrontend in memory, people who write to it, and what it says."""

from __future__ import annotations

from copy import copy
from datetime import datetime, timedelta, timezone
from itertools import count
from pathlib import Path
from typing import ClassVar
from xml.sax.saxutils import escape

from twisted.internet.defer import Deferred, fail, succeed

from tests.support.memory import ENDS
from twisted_oob import ChatFrontend, FetchedFile, OOBResponder
from twisted_oob.files.names import file_name
from twisted_oob.testing import MemoryServer

JULIET = "juliet@example.com/balcony"
ROMEO = "romeo@example.net/orchard"
URL = "https://files.example/a.png"
RECEIPT = "<request xmlns='urn:xmpp:receipts'/>"
REPLY = "<reply xmlns='urn:xmpp:reply:0' to='me@example.org' id='x'/>"
ENCRYPTED = (
    "<encrypted xmlns='eu.siacs.conversations.axolotl'><payload>AAAA</payload></encrypted>"
    "<encryption xmlns='urn:xmpp:eme:0' namespace='eu.siacs.conversations.axolotl'/>"
)

_ids = count(1)


def message(body=None, *children, sender=JULIET, to="me@example.org", kind="chat", id_=None):
    """A message as XML; each has an id of its own unless one is given."""
    attributes = f"from='{sender}' to='{to}' id='{id_ or f'm{next(_ids)}'}'"
    attributes += f" type='{kind}'" if kind else ""
    text = "" if body is None else f"<body>{escape(body)}</body>"
    return f"<message {attributes}>{text}{''.join(children)}</message>"


def x_oob(url=URL):
    return f"<x xmlns='jabber:x:oob'><url>{escape(url)}</url></x>"


def file_message(url=URL, *children, **options):
    """A message with a file as most clients send it: the body is the URL."""
    return message(url, x_oob(url), *children, **options)


def stamp(seconds_ago):
    """When something was first sent, as a server tells it (XEP-0203)."""
    then = datetime.now(timezone.utc) - timedelta(seconds=seconds_ago)
    return f"<delay xmlns='urn:xmpp:delay' stamp='{then:%Y-%m-%dT%H:%M:%SZ}'/>"


class FakeFetcher:
    """In the place of a Fetcher. ``urls``: what was fetched, in order.

    ``outcomes``: by URL, the size of the file, or the error; by default it has 1,234 bytes.
    ``held``: None to give that at once, else the Deferreds of what was asked for.
    """

    def __init__(self, *, held=False):
        self.urls = []
        self.infos = []
        self.outcomes = {}
        self.held = [] if held else None

    def fetch(self, url, *, info=None):
        self.urls.append(url)
        self.infos.append(info)
        if self.held is not None:
            self.held.append(Deferred())
            return self.held[-1]
        outcome = self.outcomes.get(url, 1234)
        if isinstance(outcome, Exception):
            # Each time another one: what is raised holds the frames that it came through.
            return fail(copy(outcome))
        return succeed(stored(url, outcome))

    def remove_leftovers(self):
        return 0


def stored(url, size=1234):
    """A file as a Fetcher gives it."""
    path = Path("/landed") / file_name(None, url.partition("://")[2])
    return FetchedFile(path=path, size=size, sha256="0" * 64, url=url)


class Chat:
    """A responder in memory, on one stream, with a ChatFrontend of the test's.

    ``running``: all that tests have made and not stopped yet.
    """

    running: ClassVar[list[Chat]] = []

    def __init__(
        self, *, texts=None, giver=None, allow_from=("*",), end="client", held=False, **options
    ):
        self.server = MemoryServer()
        self.clock = self.server.clock
        self.end = ENDS[end](self.server)
        self.fetcher = FakeFetcher(held=held)
        self.responder = OOBResponder(
            self.fetcher,
            allow_from=allow_from,
            reactor=self.clock,
            messages=False,
            **options,
        )
        self.responder.attach(self.end)
        self.responder.startService()
        self.running.append(self)
        self.frontend = ChatFrontend(self.responder, texts=texts, giver=giver)
        self.frontend.setHandlerParent(self.end)

    def write(self, body=None, *children, **options):
        """Let somebody write; give what is said then."""
        self.end.receive(message(body, *children, **options))
        return self.said()

    def receive(self, xml):
        """Let anything come in; give what is said then."""
        self.end.receive(xml)
        return self.said()

    def sent(self):
        """Give the messages that were sent since the last look."""
        return [stanza for stanza in self.end.sent() if stanza.name == "message"]

    def said(self):
        """Give the texts that were sent since the last look."""
        return [str(sent.body) for sent in self.sent() if sent.body is not None]


def receipts(stanzas):
    """Give the ids that receipts among stanzas are for."""
    return [
        child["id"]
        for stanza in stanzas
        for child in stanza.elements("urn:xmpp:receipts", "received")
    ]

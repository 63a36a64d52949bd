"""Somebody on an embedded router who writes to a responder, and a room that others join."""

from __future__ import annotations

from urllib.request import urlopen
from xml.sax.saxutils import escape

from twisted.internet.defer import DeferredQueue
from twisted.internet.threads import deferToThread

from tests.support.network import DOMAIN
from tests.support.waiting import in_time
from twisted_oob import url_from_element
from twisted_oob.xmpp.basics import attach_basics

PATIENCE = 10
NS_X_OOB = "jabber:x:oob"
NS_USER = "http://jabber.org/protocol/muc#user"


class Talk:
    """Writes to a responder by the stream of a Sender, and hears what it says.

    ``heard``: a queue of the messages that came.
    """

    def __init__(self, sender, to=DOMAIN):
        self.me = sender.component.xmlstream.thisEntity.full()
        self.to = to
        self._stream = sender.component.xmlstream
        self._count = 0
        self.heard = DeferredQueue()
        self._stream.addObserver("/message", self.heard.put)
        # Whoever asks what this one takes is answered at once.
        attach_basics(sender.component, identity=("client", "pc"), name="talk")

    def write(self, body, more="", kind="chat"):
        self._count += 1
        address = f"type='{kind}' from='{self.me}/desk' to='{self.to}' id='t{self._count}'"
        self._stream.send(f"<message {address}><body>{escape(body)}</body>{more}</message>")

    def share(self, url, body=None, **options):
        """Write as clients do that have uploaded a file."""
        more = f"<x xmlns='{NS_X_OOB}'><url>{escape(url)}</url></x>"
        self.write(url if body is None else body, more, **options)

    async def hand_over(self, url, body=None):
        """Share a file; gives what is said then."""
        self.share(url, body)
        return await self.hear()

    async def hear(self):
        """Wait for the next message; gives its text."""
        return str((await in_time(self.heard.get(), PATIENCE)).body)

    async def ask(self, body):
        self.write(body)
        return await self.hear()

    async def receive(self):
        """Wait for the next message, which has a file; gives its URL."""
        message = await in_time(self.heard.get(), PATIENCE)
        [x] = [child for child in message.elements() if child.uri == NS_X_OOB]
        return url_from_element(x).url


class Room:
    """A service with rooms, by the stream of a Sender; it lets in whoever comes.

    ``heard``: a queue of what was said to its rooms. ``joined`` and ``left``: of occupants.
    """

    def __init__(self, sender):
        self.sender = sender
        self._stream = sender.component.xmlstream
        self.heard, self.joined, self.left = DeferredQueue(), DeferredQueue(), DeferredQueue()
        self._stream.addObserver("/message[@type='groupchat']", self.heard.put)
        self._stream.addObserver("/presence", self._see)

    def _see(self, presence):
        occupant, who = presence["to"], presence["from"]
        if presence.getAttribute("type") == "unavailable":
            self.left.put((occupant, who))
            return
        item = f"<x xmlns='{NS_USER}'><item role='participant'/><status code='110'/></x>"
        self._stream.send(f"<presence from='{occupant}' to='{who}'>{item}</presence>")
        self.joined.put((occupant, who))

    def share(self, url, room, to):
        """Be an occupant who shares a file."""
        x = f"<x xmlns='{NS_X_OOB}'><url>{escape(url)}</url></x>"
        address = f"type='groupchat' from='{room}/alice' to='{to}' id='{abs(hash(url))}'"
        self._stream.send(f"<message {address}><body>{escape(url)}</body>{x}</message>")


def read(url):
    """Read what is at a URL, in a thread."""

    def reading():
        with urlopen(url, timeout=PATIENCE) as answer:
            return answer.read()

    return deferToThread(reading)

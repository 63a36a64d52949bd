"""A room, played by the test: what it sends to its occupants, as strings."""

from __future__ import annotations

from twisted.internet.defer import fail, succeed
from twisted.internet.task import Clock
from twisted.words.protocols.jabber.jid import JID

from tests.support.streams import ClientWire, stanza
from twisted_oob import FetchedFile, OOBResponder
from twisted_oob.errors import FetchFailed
from twisted_oob.transfer.room_frontend import RoomFrontend
from twisted_oob.xmpp.rooms import RoomHandler

ROOM = "plans@rooms.example"
NICK = "oob"
OURS = f"{ROOM}/{NICK}"
NS_USER = "http://jabber.org/protocol/muc#user"
NS_STANZAS = "urn:ietf:params:xml:ns:xmpp-stanzas"


def told(*codes, reason=None, nick=None, inside=""):
    """Write what a room tells of an occupant: status codes, and what its item says."""
    given = "" if nick is None else f" nick='{nick}'"
    said = "" if reason is None else f"<reason>{reason}</reason>"
    statuses = "".join(f"<status code='{code}'/>" for code in codes)
    return (
        f"<x xmlns='{NS_USER}'><item affiliation='none' role='none'{given}>{said}</item>"
        f"{statuses}{inside}</x>"
    )


def refusal(condition, text=None, type_="auth"):
    """Write why a join is refused."""
    said = "" if text is None else f"<text xmlns='{NS_STANZAS}'>{text}</text>"
    return f"<error type='{type_}'><{condition} xmlns='{NS_STANZAS}'/>{said}</error>"


class Room:
    """The room at the other end of a handler's stream, which is not open yet."""

    def __init__(self, handler, clock, wire=ClientWire):
        self.clock = clock
        self.end = wire()
        self.handler = handler
        handler.setHandlerParent(self.end.manager)

    @property
    def is_in(self):
        return self.handler.is_in(JID(ROOM))

    def open(self):
        """Open the stream; gives what is sent at once."""
        self.end.open()
        return self.end.sent()

    def entered(self, **options):
        """Open the stream, and let the room let us in."""
        self.open()
        self.present(**options)
        assert self.is_in
        return self

    def present(self, nick=NICK, codes=("110",), **attributes):
        """Be the room that tells us of an occupant's presence; by default of our own."""
        self.receive("presence", told(*codes), nick, **attributes)

    def gone(self, *codes, nick=NICK, **more):
        """Be the room that tells us that an occupant is gone."""
        self.receive("presence", told(*codes, **more), nick, type="unavailable")

    def refuse(self, join, condition, text=None):
        """Be the room that refuses a join."""
        error = refusal(condition, text)
        self.receive("presence", error, NICK, type="error", id=join.get("id"))

    def say(self, body, nick="alice", more="", **attributes):
        """Be an occupant who says something."""
        attributes = {"type": "groupchat"} | attributes
        self.receive("message", f"<body>{body}</body>{more}", nick, **attributes)

    def receive(self, name, children, nick, **attributes):
        from_ = ROOM if nick is None else f"{ROOM}/{nick}"
        self.end.receive(
            stanza(name, children, **({"from_": from_, "to": self.end.me} | attributes))
        )

    def after(self, seconds):
        """Let time pass; gives what is sent meanwhile."""
        self.clock.advance(seconds)
        return self.end.sent()


class Occupied(Room):
    """A RoomHandler, and the room. ``said``: what was given, with the address of who said it."""

    def __init__(self, *rooms, wire=ClientWire, **options):
        self.said = []
        clock = Clock()
        handler = RoomHandler(
            rooms or [(JID(ROOM), NICK)],
            lambda occupant, message: self.said.append((occupant.full(), str(message.body))),
            reactor=clock,
            **options,
        )
        super().__init__(handler, clock, wire)


class FolderFetcher:
    """In the place of a Fetcher. ``urls``, ``infos``: what was asked for.

    A URL that ends with a number is not fetched: the number is an HTTP status.
    """

    def __init__(self, folder):
        self.folder = folder
        self.urls = []
        self.infos = []
        self.leftovers = 0

    def remove_leftovers(self):
        return self.leftovers

    def fetch(self, url, *, info=None):
        self.urls.append(url)
        self.infos.append(info)
        name = url.rpartition("/")[2]
        if name.isdigit():
            return fail(FetchFailed(f"HTTP status {name}", detail=f"from {url}"))
        return succeed(FetchedFile(path=self.folder / name, size=1200, sha256="0" * 64, url=url))


class Keeping(Room):
    """A RoomFrontend that is started, and the room. ``fetchers``: by the folder's name."""

    def __init__(self, folder, *rooms, wire=ClientWire, start=True, **options):
        self.fetchers = {}
        clock = Clock()
        self.main = FolderFetcher(folder)
        self.responder = OOBResponder(self.main, allow_from=[], reactor=clock, concurrency=1)
        frontend = RoomFrontend(
            self.responder,
            rooms or [(JID(ROOM), NICK)],
            folder=folder,
            make_fetcher=self._fetcher,
            **options,
        )
        super().__init__(frontend, clock, wire)
        if start:
            frontend.start()

    def _fetcher(self, folder):
        assert folder.is_dir()
        return self.fetchers.setdefault(folder.name, FolderFetcher(folder))

    @property
    def urls(self):
        """What was asked for from the room."""
        assert self.main.urls == []
        return self.fetchers[ROOM].urls

    def share(self, url, nick="alice", more="", **attributes):
        """Be an occupant who shares a file; gives what is said then."""
        self.say(url, nick, f"<x xmlns='jabber:x:oob'><url>{url}</url></x>{more}", **attributes)
        return self.end.sent()

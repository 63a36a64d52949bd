"""Rooms of real servers: what people share there is kept, and what puts us out ends."""

from __future__ import annotations

import os
from itertools import count

import pytest
import pytest_twisted
from twisted.logger import formatEvent
from twisted.words.protocols.jabber.error import StanzaError
from twisted.words.protocols.jabber.jid import JID
from twisted.words.xish.domish import Element

from tests.servers.accounts import LOOPBACK
from tests.servers.bots import MODES, Bot
from tests.servers.servers import ACCOUNTS, DOMAIN, SECRET
from tests.support.processes import IN_CI
from tests.support.waiting import in_time, until
from twisted_oob import (
    AccountStream,
    ComponentStream,
    Fetcher,
    FetchPolicy,
    FileShare,
    OOBHandler,
    OOBResponder,
)
from twisted_oob.transfer.room_frontend import RoomFrontend, folder_name
from twisted_oob.xmpp.rooms import RoomHandler
from twisted_oob.xmpp.stanza import Payload

MUC = "http://jabber.org/protocol/muc"
NICK = "keeper"
PAUSE = 0.2
_numbers = count(1)


def account(reactor, server, user):
    """Make a stream of an account."""
    return AccountStream(
        f"{user}@{DOMAIN}/phone",
        ACCOUNTS[user],
        host="127.0.0.1",
        port=server.client_port,
        ca_file=server.ca_file,
        reactor=reactor,
    )


class Person:
    """A person in a room. ``heard``: what others said, and who did. ``gone``: who went."""

    def __init__(self, reactor, server, room, user, nick=None):
        self.room = room
        self.heard = []
        self.gone = []
        self._stream = account(reactor, server, user)
        self.handler = RoomHandler([(room, nick or user)], self._hear, reactor=reactor)
        self.oob = OOBHandler(reactor=reactor)
        for handler in (self.handler, self.oob):
            handler.setHandlerParent(self._stream)

    def _hear(self, occupant, message):
        self.heard.append((occupant.resource, str(message.body)))

    def _see(self, presence):
        sender = JID(presence["from"])
        if sender.userhost() == self.room.full():
            self.gone.append(sender.resource)

    async def start(self):
        self._stream.startService()
        await in_time(self._stream.ready)
        await until(lambda: self.handler.is_in(self.room))
        self._stream.xmlstream.addObserver("/presence[@type='unavailable']", self._see)

    async def share(self, url):
        """Share a file with the room."""
        await self.oob.send_message(self.room, url, message_type="groupchat")

    async def change(self, **item):
        """Change the role or affiliation of somebody."""
        element = Element((MUC + "#admin", "item"))
        for name, value in item.items():
            element[name] = value
        query = Payload(MUC + "#admin", "query", nested=element)
        await self.handler.ask("set", query, self.room, timeout=10)

    async def configure(self, **settings):
        """Change settings of the room."""
        form = Element(("jabber:x:data", "x"))
        form["type"] = "submit"
        for name, value in {"FORM_TYPE": MUC + "#roomconfig", **settings}.items():
            field = form.addElement("field")
            field["var"] = name if name == "FORM_TYPE" else f"muc#roomconfig_{name}"
            field.addElement("value", content=value)
        query = Payload(MUC + "#owner", "query", nested=form)
        await self.handler.ask("set", query, self.room, timeout=10)

    async def stop(self):
        await self._stream.stopService()


class Keeper:
    """A responder that keeps the files of a room. ``bare``: who it is to the room."""

    def __init__(self, reactor, server, mode, room, folder, **options):
        self.folder = folder / folder_name(room, folder)
        self._room = room
        if mode == "client":
            self.bare = f"ours@{DOMAIN}"
            self.stream = account(reactor, server, "ours")
        else:
            self.bare = server.component()
            port = server.component_port
            self.stream = ComponentStream(self.bare, SECRET, port=port, reactor=reactor)
        policy = FetchPolicy(allow_networks=(LOOPBACK,))
        self._responder = OOBResponder(
            Fetcher(reactor, policy, folder), allow_from=[], reactor=reactor, messages=False
        )
        self._responder.attach(self.stream, identity=("client", "bot"))
        self.frontend = RoomFrontend(
            self._responder,
            [(room, NICK)],
            folder=folder,
            make_fetcher=lambda path: Fetcher(reactor, policy, path),
            pause=PAUSE,
            **options,
        )
        self.frontend.setHandlerParent(self.stream)

    @property
    def is_in(self):
        return self.frontend.is_in(self._room)

    def kept(self):
        """Give what has landed, by name."""
        return {path.name: path.read_bytes() for path in self.folder.glob("[!.]*")}

    async def start(self):
        self._responder.startService()
        self.frontend.start()
        self.stream.startService()
        await in_time(self.stream.ready)

    async def joined(self):
        await until(lambda: self.is_in)
        return self

    async def stop(self):
        self.frontend.stop()
        await self._responder.stopService()
        self.frontend.leave()
        await self.stream.stopService()


class Scene:
    """Alice in a room of hers, a keeper that has not started, and files to share."""

    def __init__(self, reactor, server, mode, folder):
        self.room = JID(f"plans{next(_numbers)}@rooms.{DOMAIN}")
        self._folder = folder
        self._landed = folder / "landed"
        self._landed.mkdir()
        self._made_with = reactor, server, mode
        self.alice = Person(reactor, server, self.room, "alice")
        self.files = FileShare("tcp:0:interface=127.0.0.1", reactor=reactor)
        self.keepers = []
        self.people = [self.alice]

    async def start(self):
        self.files.startService()
        await in_time(self.files.ready)
        await self.alice.start()

    def keeper(self, **options):
        """Make a keeper that has not started."""
        keeper = Keeper(*self._made_with, self.room, self._landed, **options)
        self.keepers.append(keeper)
        return keeper

    async def joined(self, **options):
        """Give a keeper that is in the room."""
        keeper = self.keeper(**options)
        await keeper.start()
        return await keeper.joined()

    async def person(self, user, nick=None):
        """Let somebody else come into the room."""
        reactor, server, _mode = self._made_with
        person = Person(reactor, server, self.room, user, nick)
        self.people.append(person)
        await person.start()
        return person

    def file(self, name, size=100_000):
        """Make a file; gives its URL and what is in it."""
        content = os.urandom(size)
        path = self._folder / name
        path.write_bytes(content)
        return self.files.add(path).url, content

    async def stop(self):
        for keeper in self.keepers:
            await keeper.stop()
        for person in self.people:
            await person.stop()
        await self.files.stopService()


@pytest_twisted.async_yield_fixture(params=["client", "component"])
async def scene(request, server, tmp_path):
    from twisted.internet import reactor

    made = Scene(reactor, server, request.param, tmp_path)
    await made.start()
    yield made
    await made.stop()


def lines(log):
    """Give our lines of the log about rooms that we are not in."""
    told = [formatEvent(event) for event in log.ours()]
    return [line for line in told if line.startswith("Not in the room")]


@pytest_twisted.ensureDeferred
async def test_a_file_of_a_room_is_kept_and_what_we_say_of_it_is_no_file(scene):
    keeper = await scene.joined(talk=True)
    url, content = scene.file("plan.bin")
    await scene.alice.share(url)
    await until(lambda: scene.alice.heard)
    assert scene.alice.heard == [(NICK, "stored plan.bin (100 kB)")]
    await scene.alice.share(url.rpartition("/")[0] + "0/gone.bin")
    await until(lambda: len(scene.alice.heard) > 1)
    assert scene.alice.heard[1:] == [(NICK, "could not fetch gone.bin: HTTP status 404")]
    assert keeper.kept() == {"plan.bin": content}


@pytest_twisted.ensureDeferred
async def test_who_is_kicked_comes_back_and_takes_no_history(scene, log):
    keeper = await scene.joined()
    await scene.alice.share(scene.file("first.bin")[0])
    await until(keeper.kept)
    await scene.alice.change(nick=NICK, role="none")
    await until(lambda: lines(log))
    (line,) = lines(log)
    assert line.startswith(f"Not in the room {scene.room.full()}/{NICK}: we were kicked")
    (keeper.folder / "first.bin").unlink()
    await keeper.joined()
    second, content = scene.file("second.bin")
    await scene.alice.share(second)
    await until(keeper.kept)
    assert keeper.kept() == {"second.bin": content}


@IN_CI
@pytest.mark.parametrize("why", ["banned", "members"])
@pytest_twisted.ensureDeferred
async def test_a_room_that_does_not_let_us_in_is_one_line(scene, why, log):
    keeper = scene.keeper()
    tries = []
    if why == "banned":
        await scene.alice.change(jid=keeper.bare, affiliation="outcast")
    else:
        await scene.alice.configure(membersonly="1")
    await keeper.start()
    keeper.stream.xmlstream.addObserver("/presence[@type='error']", tries.append)
    await until(lambda: len(tries) > 1)
    reason = {"banned": "we are banned from it", "members": "only its members may join"}[why]
    (line,) = lines(log)
    assert line.startswith(f"Not in the room {scene.room.full()}/{NICK}: {reason}")
    await scene.alice.change(jid=keeper.bare, affiliation="member")
    await keeper.joined()


@IN_CI
@pytest_twisted.ensureDeferred
async def test_a_nick_that_is_taken_is_one_line_until_it_is_free(scene, log):
    bob = await scene.person("bob", NICK)
    keeper = scene.keeper()
    tries = []
    await keeper.start()
    keeper.stream.xmlstream.addObserver("/presence[@type='error']", tries.append)
    await until(lambda: len(tries) > 1)
    (line,) = lines(log)
    assert f"{NICK}: the nick is taken; choose another one" in line
    bob.handler.leave()
    await keeper.joined()


@IN_CI
@pytest_twisted.ensureDeferred
async def test_a_room_tells_whether_we_are_in_it(scene):
    keeper = await scene.joined()

    def ping():
        occupant = f"{scene.room.full()}/{NICK}"
        return keeper.frontend.ask("get", Payload("urn:xmpp:ping", "ping"), occupant, timeout=10)

    await ping()
    keeper.frontend.leave()
    with pytest.raises(StanzaError) as caught:
        await ping()
    assert caught.value.condition in ("not-acceptable", "item-not-found")


@IN_CI
@pytest_twisted.ensureDeferred
async def test_a_lost_connection_is_a_new_join(scene, log):
    keeper = await scene.joined()
    keeper.stream.xmlstream.transport.abortConnection()
    await until(lambda: not keeper.is_in)
    await keeper.joined()
    url, content = scene.file("plan.bin")
    await scene.alice.share(url)
    await until(keeper.kept)
    assert keeper.kept() == {"plan.bin": content}
    assert lines(log) == []


@IN_CI
@pytest_twisted.ensureDeferred
async def test_a_room_that_nobody_had_is_made_and_open_to_others(scene):
    scene.alice.handler.leave()
    await scene.joined()
    await scene.person("bob")


@pytest_twisted.async_yield_fixture(params=MODES)
async def bot(request, scene, server, tmp_path):
    """The command, as an account or a component, in Alice's room."""
    from twisted.internet import reactor

    words = ("--join", f"{scene.room.full()}/{NICK}", "--talk-in-rooms")
    made = Bot(reactor, server, tmp_path, request.param, *words)
    await made.start()
    yield made
    await made.stop()


@IN_CI
@pytest.mark.parametrize("scene", ["client"], indirect=True)
@pytest_twisted.ensureDeferred
async def test_the_command_keeps_files_of_rooms_and_leaves_as_it_ends(scene, bot):
    room = scene.room.full()
    await bot.process.printed(f"Joined {room}/{NICK}")
    url, content = scene.file("plan.bin")
    await scene.alice.share(url)
    await until(lambda: scene.alice.heard)
    assert scene.alice.heard == [(NICK, "stored plan.bin (100 kB)")]
    assert (bot.landed / room / "plan.bin").read_bytes() == content
    assert bot.files() == {}
    await bot.stop()
    await until(lambda: NICK in scene.alice.gone)
    assert "Not in the room" not in bot.log
    assert "Traceback" not in bot.log

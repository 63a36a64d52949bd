"""FileBot: what is there of it, and that nothing of it ends before what needs it."""

from __future__ import annotations

from urllib.error import URLError

import pytest
import pytest_twisted
from twisted.internet.defer import DeferredQueue, ensureDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError

from tests.support.bots import LISTEN, NICK, ROOM, BotNetwork
from tests.support.hostile_http import answer
from tests.support.memory import ENDS
from tests.support.network import DOMAIN
from tests.support.talks import Talk, read
from tests.support.waiting import in_time
from twisted_oob import ChatFrontend, OOBHandler, UploadHandler
from twisted_oob.testing import MemoryServer
from twisted_oob.transfer.own_server import OwnServer
from twisted_oob.transfer.room_frontend import RoomFrontend
from twisted_oob.xmpp.contacts import Contacts
from twisted_oob.xmpp.jid import parse_jid
from twisted_oob.xmpp.presence import PresenceHandler

STOPPING = "the responder is stopping; try again later"
ROOMS = [(parse_jid(ROOM), NICK)]


@pytest_twisted.async_yield_fixture
async def bots(tmp_path):
    """A BotNetwork that is not started yet; it is stopped after the test."""
    from twisted.internet import reactor

    (tmp_path / "landed").mkdir()
    made = BotNetwork(reactor, tmp_path / "landed")
    yield made
    await in_time(ensureDeferred(made.stop()))


# --- what is there


def handlers(bot, end="client"):
    manager = ENDS[end](MemoryServer()).manager
    bot.attach(manager)
    return manager


def is_there(manager, kind):
    return any(isinstance(handler, kind) for handler in manager)


GIVING = (Contacts, UploadHandler, OwnServer)


@pytest.mark.parametrize(
    ("options", "there"),
    [
        ({}, {ChatFrontend}),
        ({"messages": False}, set()),
        ({"on_server": True}, {ChatFrontend, PresenceHandler}),
        ({"serve": {}}, {ChatFrontend, Contacts}),
        ({"serve": {}, "on_server": True}, {ChatFrontend, PresenceHandler, *GIVING}),
        (
            {"serve": {"via": "upload"}, "on_server": True},
            {ChatFrontend, PresenceHandler, *GIVING},
        ),
        (
            {"serve": {"via": "share"}, "on_server": True},
            {ChatFrontend, PresenceHandler, Contacts},
        ),
        ({"rooms": ROOMS}, {ChatFrontend, RoomFrontend}),
    ],
)
def test_a_part_is_there_if_there_is_something_to_do_for_it(bots, options, there):
    serve = options.pop("serve", None)
    bot = bots.bot(serving=None if serve is None else bots.serving(**serve), **options)
    manager = handlers(bot)
    kinds = (ChatFrontend, RoomFrontend, PresenceHandler, *GIVING)
    assert {kind for kind in kinds if is_there(manager, kind)} == there
    assert is_there(manager, OOBHandler)


def test_what_uploads_may_reach_is_what_downloads_may_and_the_server(bots):
    bot = bots.bot(serving=bots.serving(), on_server=True)
    [uploads] = [one for one in handlers(bot) if isinstance(one, UploadHandler)]
    # The second is where the server of a stream in memory seems to be.
    assert [str(one) for one in uploads.allow_networks] == ["127.0.0.0/8", "192.168.1.1/32"]


def test_presence_tells_how_busy_it_is(bots):
    end = ENDS["client"](MemoryServer())
    bots.bot(on_server=True).attach(end)
    end.lose()
    end.sent()
    end.open()
    [presence] = [stanza for stanza in end.sent() if stanza.name == "presence"]
    assert str(presence.status) == "ready"


# --- where files are read from


@pytest_twisted.ensureDeferred
async def test_a_share_that_can_not_listen_is_known_before_anything_starts(bots):
    taken = f"tcp:{bots.web.port}:interface=127.0.0.1"
    bot = bots.bot(serving=bots.serving(endpoint=taken))
    with pytest.raises(CannotListenError, match="in use"):
        await bot.listen()
    await bot.stopService()


@pytest_twisted.ensureDeferred
async def test_without_a_share_there_is_nothing_to_listen_for(bots):
    for serving in (None, bots.serving(via="upload")):
        bot = bots.bot(serving=serving, on_server=True)
        await bot.listen()
        bot.startService()
        await bot.stopService()


@pytest.mark.parametrize("asked", [True, False])
@pytest_twisted.ensureDeferred
async def test_a_share_listens_once_whether_anybody_asked_if_it_can_or_not(bots, asked):
    class Endpoint:
        listens = 0

        def listen(self, factory):
            self.listens += 1
            return serverFromString(bots.reactor, LISTEN).listen(factory)

    endpoint = Endpoint()
    bot = bots.bot(serving=bots.serving(endpoint=endpoint))
    if asked:
        await bot.listen()
    bot.startService()
    assert endpoint.listens == 1
    await bot.stopService()


# --- the end


@pytest_twisted.ensureDeferred
async def test_offers_and_messages_are_answered_before_the_stream_closes(bots):
    sender = await bots.start(concurrency=4, grace=30)
    offered = sender.oob.send_url(DOMAIN, bots.web.url("/a.bin"))
    bots.talk.share(bots.web.url("/b.bin"))
    connections = [await in_time(bots.web.arrivals.get()) for _ in range(2)]

    stopped = bots.stopping()
    assert await bots.talk.ask(bots.web.url("/c.bin")) == f"could not fetch c.bin: {STOPPING}"
    for connection in connections:
        connection.write(answer(b"file"))

    assert await in_time(offered) is None
    assert await bots.talk.hear() == "stored b.bin (4 bytes)"
    await in_time(stopped)
    await in_time(sender.lost)
    assert bots.files() == {"a.bin": b"file", "b.bin": b"file"}


@pytest_twisted.ensureDeferred
async def test_what_is_cut_short_is_told_before_the_stream_closes(bots):
    sender = await bots.start()
    bots.talk.share(bots.web.url("/b.bin"))
    await in_time(bots.web.arrivals.get())
    await in_time(bots.stopping())
    assert await bots.talk.hear() == f"could not fetch b.bin: {STOPPING}"
    await in_time(sender.lost)


@pytest_twisted.ensureDeferred
async def test_who_is_being_given_a_file_is_told_before_the_stream_closes(bots):
    sender = await bots.start()
    (bots.served / "a.txt").write_bytes(b"abc")
    offers = DeferredQueue()
    # It takes the IQ, and never says how that ends.
    OOBHandler(offers.put).setHandlerParent(sender.component)
    bots.talk.write("send a.txt")
    await in_time(offers.get())
    await in_time(bots.stopping())
    said = await bots.talk.hear()
    assert said == "could not send a.txt: it was broken off; try again later"
    await in_time(sender.lost)


@pytest_twisted.ensureDeferred
async def test_who_has_been_given_a_file_is_told_nothing_more(bots):
    sender = await bots.start()
    (bots.served / "a.txt").write_bytes(b"abc")
    bots.talk.write("send a.txt")
    await bots.talk.receive()
    # The message may still bounce.
    await in_time(bots.stopping())
    await in_time(sender.lost)
    assert bots.talk.heard.pending == []


@pytest_twisted.ensureDeferred
async def test_no_url_outlives_it(bots):
    await bots.start()
    (bots.served / "a.txt").write_bytes(b"abc")
    bots.talk.write("send a.txt")
    url = await bots.talk.receive()
    for _ in range(2):
        assert await in_time(read(url)) == b"abc"
    await in_time(bots.stopping())
    with pytest.raises(URLError, match="refused"):
        await in_time(read(url))


async def joined(bots):
    """Give the room that the bot is in."""
    room = await bots.room()
    # The bot has been there for longer than the service with the rooms.
    bots.responder._rooms.leave()
    bots.responder._rooms.join()
    assert await in_time(room.joined.get()) == (f"{ROOM}/{NICK}", DOMAIN)
    return room


@pytest_twisted.ensureDeferred
async def test_rooms_are_told_of_the_files_that_were_cut_short_and_then_left(bots):
    await bots.start(join=True, talk_in_rooms=True)
    room = await joined(bots)
    room.share(bots.web.url("/a.bin"), ROOM, DOMAIN)
    connection = await in_time(bots.web.arrivals.get())
    connection.write(answer(b"file"))
    assert str((await in_time(room.heard.get())).body) == "stored a.bin (4 bytes)"
    assert (bots.folder / ROOM / "a.bin").read_bytes() == b"file"
    room.share(bots.web.url("/b.bin"), ROOM, DOMAIN)
    await in_time(bots.web.arrivals.get())

    await in_time(bots.stopping())

    assert str((await in_time(room.heard.get())).body) == f"could not fetch b.bin: {STOPPING}"
    assert await in_time(room.left.get()) == (f"{ROOM}/{NICK}", DOMAIN)


@pytest_twisted.ensureDeferred
async def test_rooms_hear_nothing_of_what_they_share_while_it_stops(bots):
    await bots.start(join=True, grace=30)
    room = await joined(bots)
    room.share(bots.web.url("/a.bin"), ROOM, DOMAIN)
    connection = await in_time(bots.web.arrivals.get())
    stopped = bots.responder.stopService()
    room.share(bots.web.url("/late.bin"), ROOM, DOMAIN)
    # What came before this has been dealt with when it is answered.
    await Talk(room.sender).ask("help")
    connection.write(answer(b"", status="404 Not Found"))
    await in_time(stopped)
    said = str((await in_time(room.heard.get())).body)
    assert said == "could not fetch a.bin: HTTP status 404"
    await in_time(room.left.get())
    assert room.heard.pending == []


@pytest_twisted.ensureDeferred
async def test_a_bot_that_is_started_again_while_it_stops_goes_on(bots):
    sender = await bots.start(join=True, grace=30)
    (bots.served / "a.txt").write_bytes(b"abc")
    bots.talk.write("send a.txt")
    url = await bots.talk.receive()
    offers = DeferredQueue()
    OOBHandler(offers.put).setHandlerParent(sender.component)
    bots.talk.write("send a.txt")
    offer = await in_time(offers.get())
    bots.talk.share(bots.web.url("/b.bin"))
    connection = await in_time(bots.web.arrivals.get())

    stopped = bots.responder.stopService()
    bots.responder.startService()
    connection.write(answer(b"file"))
    await in_time(stopped)

    assert await bots.talk.hear() == "stored b.bin (4 bytes)"
    assert await in_time(read(url)) == b"abc"
    offer.reply_success()
    assert await bots.talk.hear() == "sent a.txt (3 bytes)"


@pytest_twisted.ensureDeferred
async def test_a_bot_that_has_stopped_gives_nothing_while_the_stream_is_up(bots):
    await bots.start()
    (bots.served / "a.txt").write_bytes(b"abc")
    await in_time(bots.responder.stopService())
    said = await bots.talk.ask("send a.txt")
    assert said == "could not send a.txt: no files are given at the moment; try again later"
    assert await bots.talk.ask("list") == "could not list the files; try again later"
    bots.responder.startService()
    bots.talk.write("send a.txt")
    assert await in_time(read(await bots.talk.receive())) == b"abc"


@pytest_twisted.ensureDeferred
async def test_it_serves_again_when_it_is_started_again(bots):
    await bots.start()
    (bots.served / "a.txt").write_bytes(b"abc")
    await in_time(bots.stopping())
    await bots.start()
    bots.talk.write("send a.txt")
    assert await in_time(read(await bots.talk.receive())) == b"abc"


def test_a_folder_of_a_room_that_is_something_else_is_an_error_at_the_start(bots):
    bot = bots.bot(rooms=ROOMS)
    (bots.folder / ROOM).touch()
    with pytest.raises(NotADirectoryError, match=f"{ROOM}.* move it away"):
        bot.startService()


def test_a_public_url_is_checked_as_it_is_made(bots):
    with pytest.raises(ValueError, match="public_url must be"):
        bots.bot(serving=bots.serving(endpoint=LISTEN, public_url="https://me@x.example"))

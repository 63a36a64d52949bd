"""Many messages of many people, and two bots that know each other, on a real Prosody."""

from __future__ import annotations

import random
from collections import Counter
from xml.sax.saxutils import escape

import pytest
import pytest_twisted
from pytest_twisted import blockon
from twisted.internet.defer import Deferred, ensureDeferred

from tests.servers.bots import MODES, Bot
from tests.servers.documented import running
from tests.servers.limited import component
from tests.servers.peers import SlixmppChat
from tests.servers.servers import PEER_COMPONENT, SECRET
from tests.servers.test_chat_forms import Web
from tests.servers.test_floods import memory
from tests.support.processes import IN_CI
from tests.support.waiting import in_time

pytestmark = IN_CI

SENDERS = 20
FILES, REPEATS, BOUNCES, JUNK = 20, 10, 10, 10
MESSAGES = SENDERS * (FILES + REPEATS + BOUNCES + JUNK)
PATIENCE = 120  # seconds for the files of a round
MOST_GROWTH = 5  # MB from one round of messages to the next
ROUND_TRIPS = 20  # a bot answers 30 requests of somebody at once, and then some a second

_OOB = "<body>{url}</body><x xmlns='jabber:x:oob'><url>{url}</url></x>"
_ERROR = (
    "<error type='cancel'>"
    "<service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
)
_JUNK = (
    ("chat", "<composing xmlns='http://jabber.org/protocol/chatstates'/>"),
    ("chat", "<received xmlns='urn:xmpp:receipts' id='1'/>"),
    ("chat", "<body>{long}</body>"),
    ("chat", "<x xmlns='jabber:x:oob'><url>not a URL</url></x>"),
    ("chat", "<body/><x xmlns='jabber:x:oob'/>"),
    ("normal", "<subject>a subject</subject>"),
    ("headline", _OOB),
    ("groupchat", _OOB),
    (
        "chat",
        "<received xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>"
        "<message xmlns='jabber:client' type='chat'>" + _OOB + "</message></forwarded></received>",
    ),
    ("chat", _OOB + "<delay xmlns='urn:xmpp:delay' stamp='2020-01-01T00:00:00Z'/>"),
)


@pytest.fixture
def prosody(certificates, tmp_path):
    """Prosody as docs/bot.rst configures it."""
    folder = tmp_path / "server"
    folder.mkdir()
    with running("prosody", certificates, folder) as server:
        yield server


@pytest_twisted.async_yield_fixture
async def web():
    from twisted.internet import reactor

    made = Web(reactor)
    yield made
    await made.stop()


@pytest.fixture
def bots(prosody, tmp_path):
    """Starts bots on it."""
    from twisted.internet import reactor

    made = []

    async def start(mode, **options):
        made.append(Bot(reactor, prosody, tmp_path, mode, **options))
        return await made[-1].start()

    yield start
    for each in made:
        blockon(ensureDeferred(each.stop()))


@pytest_twisted.async_yield_fixture
async def crowd(prosody):
    """A component, which writes in the name of many."""
    from twisted.internet import reactor

    made = await component(reactor, prosody.component_port, PEER_COMPONENT, SECRET)
    yield made
    await made.stop()


class Crowd:
    """What many people write to a bot, and what they get.

    ``answers``: how many messages with a text came for each message, by its id.
    """

    def __init__(self, peer, web, bot):
        self.answers = Counter()
        self.words = 0
        self._peer = peer
        self._web = web
        self._bot = bot
        self._waiting = None
        self._pings = 0
        peer.xmlstream.addObserver("/message", self._got)
        peer.xmlstream.addObserver("/iq[@type='result' or @type='error']", self._pong)

    def _got(self, message):
        texts = [str(child) for child in message.elements() if child.name == "body"]
        assert not any("://" in text for text in texts)
        if message.getAttribute("type") == "error" or not texts:
            return
        [reply] = [child for child in message.elements() if child.name == "reply"]
        self.answers[reply["id"]] += 1
        if len(self.answers) % 3 == 0:
            # Some of them are away, and their server says so.
            bounce = f"<body>{escape(texts[0])}</body>{_ERROR}"
            self._write(message["to"], "error", bounce, message["id"])
        self._look()

    def _look(self):
        if self._waiting is not None and self._waiting[0] <= self.answers.keys():
            waiting, self._waiting = self._waiting[1], None
            waiting.callback(None)

    def _pong(self, iq):
        if iq.getAttribute("id") == f"fence{self._pings}":
            self._fence.callback(None)

    def _write(self, sender, kind, content, name):
        self._peer.write(
            f"<message from='{sender}' to='{self._bot.address}' type='{kind}' id='{name}'>"
            f"{content}</message>"
        )

    async def round(self, number):
        """Write all, and wait until each file is answered and the rest is read.

        Gives the paths of the files, and the ids of their messages.
        """
        written, files = [], {}
        for sender in range(SENDERS):
            jid = f"user{sender}@{PEER_COMPONENT}/phone"
            made = []
            for file in range(FILES):
                name = f"{number}-{sender}-{file}"
                files[name] = f"/file-{name}.txt"
                content = _OOB.format(url=self._web.url(files[name]))
                content += f"<origin-id xmlns='urn:xmpp:sid:0' id='{name}'/>"
                made.append((jid, "chat", content, name))
            repeats = made[:REPEATS]
            url = self._web.url("/forbidden.txt")
            bounces = [
                (jid, "error", _OOB.format(url=url) + _ERROR, f"bounce-{number}-{each}")
                for each in range(BOUNCES)
            ]
            junk = [
                (jid, kind, content.format(url=url, long="x" * 3000), f"junk-{number}-{sender}-{i}")
                for i, (kind, content) in enumerate(_JUNK)
            ]
            written += made + repeats + bounces + junk
        assert len(written) == MESSAGES
        # The same disorder in each run.
        random.Random(number).shuffle(written)
        waiting = self._waiting = (files.keys(), Deferred())
        for message in written:
            self._write(*message)
        await in_time(waiting[1], PATIENCE)
        await self.fence()
        return files

    async def fence(self):
        """Wait until all that was written has been read, and what was answered has come."""
        self._pings += 1
        self._fence = Deferred()
        self._peer.write(
            f"<iq from='user0@{PEER_COMPONENT}/phone' to='{self._bot.address}' type='get' "
            f"id='fence{self._pings}'><ping xmlns='urn:xmpp:ping'/></iq>"
        )
        await in_time(self._fence)


@pytest.mark.parametrize("mode", MODES)
@pytest_twisted.ensureDeferred
async def test_each_of_many_files_is_kept_and_answered_once(bots, crowd, web, mode):
    bot = await bots(mode)
    people = Crowd(crowd, web, bot)
    paths, sizes = {}, []
    for number in range(3):
        paths |= await people.round(number)
        sizes.append(memory(bot.process))

    assert max(people.answers.values()) == 1
    # Beside the files, each sender's first text that is no file gets help.
    others = people.answers.keys() - paths.keys()
    assert all(name.startswith("junk-") for name in others)
    assert len(others) <= SENDERS
    assert web.asked == Counter(paths.values())
    assert bot.files() == {path[1:]: f"at {path}".encode() for path in paths.values()}
    # The first round fills what is remembered, and makes threads and buffers.
    assert sizes[2] - sizes[1] < MOST_GROWTH, sizes
    assert "Traceback" not in bot.log


class Watcher:
    """Another client of a bot's account, which sees all that the account sends and gets."""

    def __init__(self, peer):
        self.peer = peer
        self.seen = []

    async def look(self, others):
        """Look, when all that was sent before has been read by the bots."""
        for other in others:
            await self.peer.ping(other)
        self.seen += [message for message in self.peer.messages() if message["body"]]
        return len(self.seen)


@pytest.fixture
def logged_in(prosody, tmp_path):
    """Starts slixmpp with an account."""
    from twisted.internet import reactor

    made = []

    async def start(user, resource):
        made.append(SlixmppChat(reactor, tmp_path, prosody, user, resource))
        await made[-1].ready()
        return made[-1]

    yield start
    for each in made:
        if not each.ended.called:
            blockon(ensureDeferred(each.stop()))


PAIRS = {"two accounts": ("account", "account"), "an account and a component": MODES}


@pytest.mark.parametrize("leaves", [False, True], ids=["who stays", "who leaves at once"])
@pytest.mark.parametrize("pair", PAIRS)
@pytest_twisted.ensureDeferred
async def test_two_bots_that_know_each_other_fall_silent(*, bots, logged_in, web, pair, leaves):
    modes = PAIRS[pair]
    one, other = await bots(modes[0], user="alice"), await bots(modes[1], user="bob")
    watcher = Watcher(await logged_in("alice", "watcher"))
    await watcher.peer.ask("carbons", do="carbons")
    # Whoever uses the account of a bot, beside the bot, writes in its name.
    writers = [(await logged_in("alice", "phone"), other)]
    if modes == ("account", "account"):
        writers.append((await logged_in("bob", "phone"), one))
    for peer, bot in writers:
        await peer.write(bot.jid, oob=web.url(f"/by-{bot.jid}.txt"))
        await peer.write(bot.jid, body="hello")
        if leaves:
            # The server gives the answers to who is left: the other bot.
            await peer.stop()
    third = await logged_in("slixmpp", "phone")
    for bot in (one, other):
        await third.write(bot.jid, oob=web.url(f"/{bot.jid}.txt"))
        assert "stored" in (await third.next("message"))["body"]
    for _peer, bot in writers:
        await bot.process.printed(r"ended: \S+/by-\S+: success")

    before = await watcher.look([one.address, other.address])
    # If they talked to each other, each round trip would give them time for one more message.
    for _ in range(ROUND_TRIPS):
        await watcher.look([one.address, other.address])

    assert len(watcher.seen) == before, watcher.seen
    # What was written, and one answer to each.
    assert before <= 4 * len(writers)
    for bot in (one, other):
        assert len(bot.files()) == 1 + (bot in [each for _peer, each in writers])

"""Every form of message that may name a file, written by slixmpp to the bot on real servers."""

from __future__ import annotations

import ssl
from collections import Counter
from itertools import count
from urllib.request import urlopen

import pytest
import pytest_twisted
from pytest_twisted import blockon
from twisted.internet.defer import ensureDeferred
from twisted.internet.threads import deferToThread

from tests.servers.bots import MODES, Bot
from tests.servers.documented import running
from tests.servers.peers import SlixmppChat
from tests.servers.servers import DOMAIN
from tests.support.hostile_http import HostileServer, answer
from tests.support.processes import IN_CI
from twisted_oob._shown import human_size

FRIEND, STRANGER, WORDY = "slixmpp", "anyevent", "bob"
HOUR, DAY = 3600, 86400
SERVED, CONTENT = "sea.png", b"the sea"
_numbers = count()


class Web(HostileServer):
    """Has a content of its own at each path, but for those with /gone/; counts who asks."""

    def __init__(self, reactor):
        super().__init__(reactor)
        self.asked = Counter()

    def requested(self, connection):
        path = connection.line.split()[1]
        self.asked[path] += 1
        gone = "/gone/" in path
        connection.write(
            answer(b"", status="404 Not Found") if gone else answer(f"at {path}".encode())
        )


class Chat:
    """Somebody's chat with a bot.

    ``number``: one that no other chat has had, for names of files.
    """

    def __init__(self, bot, web, folder, peer):
        self.bot = bot
        self.number = next(_numbers)
        self.web = web
        self.peer = peer
        self._folder = folder

    def name(self, name):
        """Give the name of a file that no other test has."""
        stem, dot, suffix = name.partition(".")
        return f"{stem}-{self.number}{dot}{suffix}"

    def url(self, name, folder=""):
        return self.web.url(f"/{folder}{self.name(name)}")

    def share(self, name, *others):
        """Give what slixmpp needs to describe a file, with more URLs of it."""
        path = self._folder / self.name(name)
        path.write_bytes(f"at /{path.name}".encode())
        return {"path": str(path), "urls": [self.url(name), *others], "media_type": "text/plain"}

    async def write(self, **words):
        """Write to the address that an account has on this stream, so that all types get there."""
        return await self.peer.write(self.bot.address, **words)

    async def answers(self, expected):
        """Wait for so many messages with a text; then see that there are no more, and give all."""
        got = []
        while sum(bool(message["body"]) for message in got) < expected:
            got.append(await self.peer.next("message"))
        # What was written before this has been read before it.
        await self.write(oob=self.url("fence.txt"))
        while not any(self.name("fence.txt") in message["body"] for message in got):
            got.append(await self.peer.next("message"))
        got += self.peer.messages()
        got = [message for message in got if self.name("fence.txt") not in message["body"]]
        assert not any("://" in message["body"] for message in got)
        return got

    async def texts(self, expected):
        """The same, but give the texts."""
        return [message["body"] for message in await self.answers(expected)]

    def stored(self, *names):
        """Give the text that tells of these files."""
        sizes = {name: human_size(len(f"at /{self.name(name)}")) for name in names}
        return "\n".join(f"stored {self.name(name)} ({sizes[name]})" for name in names)

    def assert_kept(self, *names):
        """These files have landed, each once and whole, and nothing else of this test."""
        landed = self.bot.files()
        mine = {name for name in landed if f"-{self.number}." in name and "fence" not in name}
        assert mine == {self.name(name) for name in names}
        for name in mine:
            assert landed[name] == f"at /{name}".encode()
            assert self.web.asked[f"/{name}"] == 1

    def assert_nothing_fetched(self):
        mine = [path for path in self.web.asked if f"-{self.number}." in path]
        assert mine == [f"/{self.name('fence.txt')}"]


@pytest.fixture(scope="module", params=["prosody", pytest.param("ejabberd", marks=IN_CI)])
def server(request, certificates, tmp_path_factory):
    """A server as docs/bot.rst configures it."""
    with running(request.param, certificates, tmp_path_factory.mktemp("server")) as made:
        yield made


@pytest.fixture(
    scope="module",
    params=[mode if mode == "account" else pytest.param(mode, marks=IN_CI) for mode in MODES],
)
def place(request, server, tmp_path_factory):
    """A bot that has one file to give, and a web server."""
    from twisted.internet import reactor

    folder = tmp_path_factory.mktemp("bot")
    served = tmp_path_factory.mktemp("served")
    (served / SERVED).write_bytes(CONTENT)
    allowed = [f"{user}@{DOMAIN}" for user in (FRIEND, WORDY)]
    bot = Bot(reactor, server, folder, request.param, "--serve", str(served), allowed=allowed)
    web = Web(reactor)
    # An async fixture of this scope that skips breaks the tests after the first.
    try:
        blockon(ensureDeferred(bot.start()))
        yield bot, web
    finally:
        blockon(ensureDeferred(bot.stop()))
        blockon(ensureDeferred(web.stop()))


def peer_for(user):
    @pytest.fixture(scope="module")
    def peer(server, tmp_path_factory):
        """slixmpp, logged in to this account."""
        from twisted.internet import reactor

        made = SlixmppChat(reactor, tmp_path_factory.mktemp(user), server, user, "phone")
        try:
            blockon(ensureDeferred(made.ready()))
            yield made
        finally:
            blockon(ensureDeferred(made.stop()))

    return peer


friend, stranger, wordy = peer_for(FRIEND), peer_for(STRANGER), peer_for(WORDY)


@pytest.fixture
def chat(place, friend, tmp_path):
    friend.forget()
    return Chat(*place, tmp_path, friend)


ONE_FILE = {
    "x:oob with its URL as text": lambda url, _: {"oob": url, "body": url},
    "x:oob alone": lambda url, _: {"oob": url},
    "type normal": lambda url, _: {"oob": url, "type": "normal"},
    "SFS": lambda _, share: {"sfs": [share]},
    "SIMS": lambda _, share: {"sims": [share]},
    "all of them": lambda url, share: {"oob": url, "body": url, "sfs": [share], "sims": [share]},
    "sources attached later": lambda url, _: {
        "xml": [
            "<sources xmlns='urn:xmpp:sfs:0' id='x'>"
            f"<url-data xmlns='http://jabber.org/protocol/url-data' target='{url}'/></sources>"
        ]
    },
    "a URL in a text": lambda url, _: {"body": f"the plan is at {url}, please keep it"},
    "a text with a command, too": lambda url, _: {"body": "list", "oob": url},
    "a correction": lambda url, _: {"body": f"no, {url}", "replaces": "another"},
    "delayed by an hour": lambda url, _: {"oob": url, "delayed": HOUR},
    "a reply that quotes a URL": lambda url, _: {
        "body": url,
        "reply": {"id": "1", "to": f"x@{DOMAIN}", "quoted": url.replace("a-", "quoted-a-")},
    },
}


@pytest.mark.parametrize("form", ONE_FILE)
@pytest_twisted.ensureDeferred
async def test_one_file_is_fetched_and_answered_once(chat, form):
    await chat.write(**ONE_FILE[form](chat.url("a.txt"), chat.share("a.txt")))
    assert await chat.texts(1) == [chat.stored("a.txt")]
    chat.assert_kept("a.txt")


SEVERAL = {
    "by SFS": lambda chat: {"sfs": [chat.share("a.txt"), chat.share("b.txt")]},
    "by SIMS": lambda chat: {"sims": [chat.share("a.txt"), chat.share("b.txt")]},
    "by both": lambda chat: {"sfs": [chat.share("a.txt")], "sims": [chat.share("b.txt")]},
    "in a text": lambda chat: {"body": f"{chat.url('a.txt')} and\n({chat.url('b.txt')})."},
}


@pytest.mark.parametrize("form", SEVERAL)
@pytest_twisted.ensureDeferred
async def test_several_files_of_a_message_are_told_in_one_answer(chat, form):
    await chat.write(**SEVERAL[form](chat))
    [text] = await chat.texts(1)
    assert sorted(text.splitlines()) == chat.stored("a.txt", "b.txt").splitlines()
    chat.assert_kept("a.txt", "b.txt")


@pytest_twisted.ensureDeferred
async def test_an_answer_is_in_the_thread_and_a_receipt_is_its_own(chat):
    name = await chat.write(oob=chat.url("a.txt"), thread="the plan", receipt=True)
    receipt, told = sorted(await chat.answers(1), key=lambda message: message["body"])
    assert receipt["receipt"] == name
    assert (receipt["body"], receipt["url"]) == ("", None)
    assert told["body"] == chat.stored("a.txt")
    assert (told["thread"], told["reply"], told["type"]) == ("the plan", name, "chat")
    assert told["to"] == chat.peer.jid
    assert told["from"] == chat.bot.address


@IN_CI
@pytest_twisted.ensureDeferred
async def test_a_message_to_a_device_that_is_gone_is_answered_like_any(chat):
    # Servers give it to those of the account that are there (RFC 6121 section 8.5.3.2.1). An answer
    # from the address that it has would end the stream of ours (RFC 6120 section 4.9.3.9).
    before = chat.bot.log.count("Offers to")
    gone = f"{chat.bot.jid}/gone"
    await chat.peer.write(gone, oob=chat.url("a.txt"), receipt=True)
    receipt, told = sorted(await chat.answers(1), key=lambda message: message["body"])
    assert receipt["receipt"] is not None
    assert told["body"] == chat.stored("a.txt")
    await chat.peer.write(gone, body="list")
    assert len(await chat.texts(1)) == 1
    assert chat.bot.log.count("Offers to") == before


@pytest_twisted.ensureDeferred
async def test_a_file_that_is_not_there_is_told_by_its_name(chat):
    await chat.write(oob=chat.url("a.txt", "gone/"))
    assert await chat.texts(1) == [f"could not fetch {chat.name('a.txt')}: HTTP status 404"]
    chat.assert_kept()


AGAIN = {
    "with the same origin-id": [{"origin": "o", "id": "i"}, {"origin": "o", "id": "another"}],
    "with the same id and text": [{"id": "i"}, {"id": "i"}],
    "from an archive": [{"origin": "o", "id": "i"}, {"origin": "o", "id": "i", "delayed": HOUR}],
}


@pytest.mark.parametrize("form", AGAIN)
@pytest_twisted.ensureDeferred
async def test_a_message_that_comes_again_is_answered_once(chat, form):
    for words in AGAIN[form]:
        mine = {key: f"{value}-{chat.number}" for key, value in words.items() if key != "delayed"}
        await chat.write(oob=chat.url("a.txt"), **{**words, **mine})
    assert await chat.texts(1) == [chat.stored("a.txt")]
    chat.assert_kept("a.txt")


@pytest_twisted.ensureDeferred
async def test_a_correction_that_names_the_file_still_fetches_it_once(chat):
    # converse.js leaves x:oob in the message when its text is corrected.
    url = chat.url("a.txt")
    name = await chat.write(oob=url, body=url)
    assert await chat.texts(1) == [chat.stored("a.txt")]
    await chat.write(oob=url, body="the plan", replaces=name)
    await chat.write(oob=chat.url("b.txt"), replaces=name)
    assert chat.stored("b.txt") in await chat.texts(1)
    chat.assert_kept("a.txt", "b.txt")


IGNORED = {
    "groupchat": lambda url, _: {"type": "groupchat", "oob": url, "body": url},
    "headline": lambda url, _: {"type": "headline", "oob": url, "body": url},
    "an error": lambda url, _: {
        "type": "error",
        "oob": url,
        "body": url,
        "xml": [
            "<error xmlns='jabber:client' type='cancel'>"
            "<gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
        ],
    },
    "a carbon of what came": lambda url, me: {
        "carbon": {"kind": "received", "to": me, "oob": url, "body": url}
    },
    "a carbon of what was sent": lambda url, me: {
        "carbon": {"kind": "sent", "to": me, "oob": url, "body": url}
    },
    "a carbon with a text": lambda url, me: {
        "body": url,
        "oob": url,
        "carbon": {"kind": "received", "to": me, "body": url},
    },
    "forwarded": lambda url, me: {"forwarded": {"to": me, "oob": url, "body": url}},
    "forwarded with a text": lambda url, me: {
        "body": "look",
        "reply": {"id": "1", "to": me},
        "forwarded": {"to": me, "oob": url, "body": url},
    },
    "delayed by two days": lambda url, _: {"oob": url, "body": url, "delayed": 2 * DAY},
    "a chat state": lambda _url, _: {
        "xml": ["<active xmlns='http://jabber.org/protocol/chatstates'/>"]
    },
    "a receipt": lambda _url, _: {"xml": ["<received xmlns='urn:xmpp:receipts' id='1'/>"]},
    "a marker": lambda _url, _: {"xml": ["<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>"]},
    "a reaction": lambda _url, _: {
        "xml": ["<reactions xmlns='urn:xmpp:reactions:0' id='1'><reaction>x</reaction></reactions>"]
    },
    "a reply with words only": lambda _url, me: {
        "body": "thank you",
        "reply": {"id": "1", "to": me},
    },
    "nothing": lambda _url, _: {},
}


@pytest.mark.parametrize("form", IGNORED)
@pytest_twisted.ensureDeferred
async def test_what_is_no_message_of_a_person_is_neither_fetched_nor_answered(chat, form):
    await chat.write(**IGNORED[form](chat.url("a.txt"), chat.bot.jid))
    assert await chat.answers(0) == []
    chat.assert_nothing_fetched()


@pytest_twisted.ensureDeferred
async def test_a_stranger_gets_no_answer(chat, stranger, tmp_path):
    theirs = Chat(chat.bot, chat.web, tmp_path, stranger)
    stranger.forget()
    for words in ONE_FILE.values():
        await theirs.write(receipt=True, **words(theirs.url("a.txt"), theirs.share("a.txt")))
    await theirs.write(body="help", receipt=True)
    # One request only: a stranger who asks much gets no answer.
    await stranger.ping(chat.bot.address)
    # All of this has been read, and had it been fetched, it would have been before this.
    assert await chat.answers(0) == []
    assert stranger.messages() == []
    assert f"/{theirs.name('a.txt')}" not in chat.web.asked


@IN_CI
@pytest_twisted.ensureDeferred
async def test_other_words_get_help_once(chat, wordy, tmp_path):
    theirs = Chat(chat.bot, chat.web, tmp_path, wordy)
    wordy.forget()
    await theirs.write(body="hello")
    await theirs.write(body="are you there?")
    [text] = await theirs.texts(1)
    assert "send" in text
    assert "list" in text


@pytest_twisted.ensureDeferred
async def test_what_the_bot_has_can_be_listed_and_asked_for(chat, server):
    await chat.write(body="list")
    [listing] = await chat.texts(1)
    assert SERVED in listing

    await chat.write(body=f"send {SERVED}")
    message = await chat.peer.next("message")

    assert message["body"] == message["url"]
    trusted = ssl.create_default_context(cafile=server.ca_file)
    with await deferToThread(urlopen, message["url"], timeout=20, context=trusted) as response:
        assert response.read() == CONTENT

"""Other programs in a chat: two responders that write to each other, and a thousand messages."""

from __future__ import annotations

import gc
import random
from collections import Counter

import pytest

from tests.support.chats import RECEIPT, Chat, FakeFetcher, file_message, message, receipts, x_oob
from tests.support.streams import logged
from tests.transfer.test_chat_giving import Giver
from twisted_oob import ChatFrontend, ChatTexts, Delivery, FetchFailed, OOBResponder
from twisted_oob.protocol.chat_message import ChatMessage
from twisted_oob.testing import MemoryServer

ADA = "ada@example.org/bot"
BOB = "bob@example.net/bot"
REPLY_TO = "urn:xmpp:reply:0"


class Always(ChatTexts):
    """Says the same, whatever happens."""

    def __init__(self, text):
        self.text = text

    def __getattribute__(self, name):
        if name.startswith("_") or name == "text":
            return super().__getattribute__(name)
        return lambda *_args, **_named: self.text


TEXTS = {
    "ours": ChatTexts(),
    "a URL": Always("it is at https://files.example/again.png"),
    "help": Always("help"),
    "list": Always("/list"),
    "send": Always("send a.png"),
    "a greeting": Always("hello"),
    "nothing": Always(""),
    "no text": Always(None),
}


def bot(server, jid, texts):
    end = server.client(jid)
    responder = OOBResponder(FakeFetcher(), allow_from=["*"], reactor=server.clock, messages=False)
    responder.attach(end)
    responder.startService()
    giver = Giver(delivery=Delivery(outcome="received", how="iq", size=9))
    ChatFrontend(responder, texts=texts, giver=giver).setHandlerParent(end)
    return end


@pytest.mark.parametrize("theirs", TEXTS)
@pytest.mark.parametrize("ours", TEXTS)
def test_two_responders_that_write_to_each_other_do_not_go_on(ours, theirs):
    server = MemoryServer()
    ada, bob = bot(server, ADA, TEXTS[ours]), bot(server, BOB, TEXTS[theirs])
    written = [
        (None, x_oob("https://files.example/a.png")),
        ("look: https://files.example/b.png",),
        ("hello",),
        ("help",),
        ("list",),
        ("send a.png",),
    ]
    with logged():
        for parts in written:
            for end, to in ((ada, BOB), (bob, ADA)):
                # As if each had written it by itself.
                xml = message(*parts, sender=end.jid.full(), to=to)
                end.xmlstream.send(xml)
        for _ in range(60):
            server.clock.advance(1)
    for end in (ada, bob):
        sent = [stanza for stanza in end.history if stanza.name == "message"]
        answers = [one for one in sent if any(one.elements(REPLY_TO, "reply"))]
        assert len(answers) == len(written)
        assert len(sent) == 2 * len(written)


def test_a_thousand_messages_of_twenty_senders_get_at_most_one_answer_each():
    chat = Chat()
    seeded = random.Random(66)
    senders = [f"user{number}@example.com/phone" for number in range(20)]
    files, expected, ids = [], Counter(), []
    for number in range(1000):
        sender, id_ = seeded.choice(senders), f"id-{number}"
        name = sender.partition("@")[0]
        kind = seeded.choice(["file", "file", "again", "junk", "bounce", "failing", "receipt"])
        url = f"https://files.example/{name}/{number}"
        if kind in ("file", "failing"):
            files.append((sender, id_, url))
            expected[url] += 1
            if kind == "failing":
                chat.fetcher.outcomes[url] = FetchFailed("HTTP status 404")
            xml = file_message(url, RECEIPT, sender=sender, id_=id_)
        elif kind == "again" and files:
            # As it was, or by a client that gives it another id.
            sender, _id, url = before = seeded.choice(files)
            xml = file_message(url, RECEIPT, sender=sender, id_=seeded.choice([before[1], id_]))
        elif kind == "bounce":
            xml = file_message(sender=sender, kind="error", id_=id_)
        elif kind == "receipt":
            xml = message(None, f"<received xmlns='urn:xmpp:receipts' id='{id_}'/>", sender=sender)
        else:
            xml = message("blah blah", sender=sender, id_=id_)
        ids.append(id_)
        chat.end.receive(xml)
        chat.clock.advance(0.01)
    chat.clock.advance(3600)

    fetched = Counter(chat.fetcher.urls)
    succeeding = {url: count for url, count in expected.items() if url not in chat.fetcher.outcomes}
    assert {url: fetched[url] for url in succeeding} == succeeding
    assert set(fetched) == set(expected)
    sent = chat.sent()
    answered = Counter(
        reply["id"] for stanza in sent for reply in stanza.elements(REPLY_TO, "reply")
    )
    assert max(answered.values()) == 1
    assert set(answered) <= set(ids)
    assert {id_ for _sender, id_, _url in files} <= set(answered)
    assert len(receipts(sent)) == len(set(receipts(sent)))
    # Nothing is kept of a message that has its answer.
    gc.collect()
    assert not [one for one in gc.get_objects() if isinstance(one, ChatMessage)]

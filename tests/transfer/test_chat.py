"""What a ChatFrontend takes from messages, and what it says to each."""

from __future__ import annotations

import gc

import pytest
from twisted.logger import formatEvent
from twisted.words.protocols.jabber.jid import JID
from wokkel.iwokkel import IDisco
from zope.interface.verify import verifyObject

from tests.support.chats import (
    ENCRYPTED,
    JULIET,
    RECEIPT,
    REPLY,
    ROMEO,
    URL,
    Chat,
    file_message,
    message,
    receipts,
    stamp,
    stored,
    x_oob,
)
from tests.support.memory import BARE, FILES, ME
from tests.support.streams import logged
from twisted_oob import (
    ChatFrontend,
    ChatTexts,
    FetchFailed,
    OOBResponder,
    Rejected,
    StreamRefused,
    TryLater,
)
from twisted_oob.testing import result_of

STORED = "stored a.png (1.2 kB)"
OTHER = "https://files.example/b.txt"
HOUR = 3600
REPLY_TO = "urn:xmpp:reply:0"


# --- files


@pytest.mark.parametrize("kind", ["chat", "normal", None])
@pytest.mark.parametrize(
    "parts",
    [(URL, x_oob()), (None, x_oob()), ("look at this", x_oob()), (f"keep {URL} please",)],
    ids=["the usual", "no body", "a caption", "in the text"],
)
def test_a_file_is_fetched_and_the_answer_tells_its_name_and_size(kind, parts):
    chat = Chat()
    assert chat.write(*parts, kind=kind) == [STORED]
    assert chat.fetcher.urls == [URL]


@pytest.mark.parametrize(
    ("end", "to", "me"),
    [("client", ME, ME), ("client", BARE, ME), ("component", *["bot@" + FILES] * 2)],
)
def test_the_answer_goes_from_who_was_written_to_to_who_wrote_as_a_reply(end, to, me):
    chat = Chat(end=end)
    chat.end.receive(file_message(id_="q2", to=to))
    [answer] = chat.sent()
    assert (answer["to"], answer["from"], answer["type"]) == (JULIET, me, "chat")
    [reply] = answer.elements(REPLY_TO, "reply")
    assert reply["id"] == "q2"


def test_a_message_that_names_several_files_gets_one_answer_when_all_have_ended():
    chat = Chat(held=True)
    urls = [f"https://files.example/{name}" for name in ("1.txt", "2.txt", "3.txt")]
    assert chat.write(None, *map(x_oob, urls)) == []
    assert chat.fetcher.urls == urls
    chat.fetcher.held[2].callback(stored(urls[2], 3))
    chat.fetcher.held[0].errback(FetchFailed("HTTP status 404"))
    assert chat.said() == []
    chat.fetcher.held[1].callback(stored(urls[1], 2))
    assert chat.said() == [
        "could not fetch 1.txt: HTTP status 404\nstored 2.txt (2 bytes)\nstored 3.txt (3 bytes)"
    ]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (FetchFailed("HTTP status 404", detail="a secret of 10.0.0.1"), "HTTP status 404"),
        (FetchFailed(detail="a secret"), "it can't be retrieved"),
        (Rejected("see https://files.example/?token=secret"), "see …"),
        (Rejected(), "it is not wanted"),
        (TryLater("the server asks to try again later"), "the server asks to try again later"),
    ],
)
def test_a_file_that_could_not_be_fetched_is_told_by_name_with_the_reason(error, reason):
    chat = Chat()
    url = "https://user:secret@files.example/dir/a%20b.png?token=secret"
    chat.fetcher.outcomes[url] = error
    assert chat.receive(file_message(url)) == [f"could not fetch a b.png: {reason}"]


def test_an_error_that_nobody_foresaw_is_no_ones_business():
    chat = Chat()
    chat.fetcher.outcomes[URL] = RuntimeError("a secret")
    assert chat.receive(file_message()) == ["could not fetch a.png: something went wrong here"]


def test_names_are_made_safe():
    chat = Chat()
    url = "https://files.example/%2e%2e%2f%1b%5b31m%E2%80%AEevil.png"
    chat.fetcher.outcomes[url] = FetchFailed("HTTP status 404")
    assert chat.receive(file_message(url)) == ["could not fetch [31mevil.png: HTTP status 404"]


def test_what_the_sender_knows_of_a_file_must_be_so_and_names_it():
    chat = Chat()
    chat.fetcher.outcomes[URL] = FetchFailed("its SHA-256 is another one")
    sharing = (
        "<file-sharing xmlns='urn:xmpp:sfs:0'><file xmlns='urn:xmpp:file:metadata:0'>"
        "<name>../my cat.png</name><size>9</size></file><sources>"
        f"<url-data xmlns='http://jabber.org/protocol/url-data' target='{URL}'/>"
        "</sources></file-sharing>"
    )
    assert chat.write(URL, sharing) == ["could not fetch my cat.png: its SHA-256 is another one"]
    assert [info.size for info in chat.fetcher.infos] == [9]


def test_a_message_with_files_is_work_for_files_whatever_its_text_says():
    chat = Chat()
    assert chat.write("help", x_oob()) == [STORED]


def test_too_many_files_in_one_message_are_told():
    chat = Chat()
    urls = [f"https://files.example/{number}" for number in range(22)]
    [answer] = chat.write(None, *map(x_oob, urls))
    assert chat.fetcher.urls == urls[:20]
    assert answer.splitlines()[20:] == ["left out 2 files: send at most 20 in one message"]


# --- messages that get no answer


@pytest.mark.parametrize(
    "xml",
    [
        file_message(kind="error"),
        file_message(kind="groupchat", sender="room@muc.example.org/juliet"),
        file_message(kind="headline"),
        file_message(sender=ME),
        file_message(sender=BARE),
        file_message(sender="@"),
        file_message().replace(" from=", " odd="),
        file_message(URL, stamp(25 * HOUR)),
        message("help", stamp(25 * HOUR)),
        message(None, "<active xmlns='http://jabber.org/protocol/chatstates'/>"),
        message(None, "<received xmlns='urn:xmpp:receipts' id='1'/>"),
        message("thanks for that", REPLY),
        message("help", REPLY),
        message("hello there", stamp(60)),
        message("I sent you an encrypted message", ENCRYPTED, stamp(60)),
        message("I sent you an encrypted message", ENCRYPTED, REPLY),
    ],
)
def test_these_get_no_answer(xml):
    chat = Chat()
    with logged() as events:
        assert chat.receive(xml) == []
        assert (events.ours(), events.failures()) == ([], [])
    assert chat.fetcher.urls == []


def test_what_waited_for_less_than_a_day_is_fetched():
    chat = Chat()
    assert chat.receive(file_message(URL, stamp(23 * HOUR))) == [STORED]


def test_a_file_in_a_reply_is_fetched():
    chat = Chat()
    assert chat.receive(file_message(URL, REPLY)) == [STORED]


def test_who_is_not_allowed_gets_nothing_and_is_one_line_at_debug():
    chat = Chat(allow_from=["example.net"])
    with logged() as events:
        assert chat.receive(file_message(URL, RECEIPT)) == []
        assert chat.write("help", RECEIPT) == []
        assert chat.end.sent() == []
        told = [event for event in events.ours() if "allowed" in event["log_format"]]
    assert [event["log_level"].name for event in told] == ["debug", "debug"]
    assert chat.fetcher.urls == []
    assert chat.receive(file_message(sender=ROMEO)) == [STORED]


def test_what_a_stranger_writes_is_not_even_read():
    chat = Chat(allow_from=["example.net"])
    unusable = "".join(x_oob(f"no URL {number}") for number in range(50))
    with logged() as events:
        assert chat.write("look", unusable) == []
        assert len(events.ours()) == 1


def test_a_flood_of_strangers_does_not_fill_the_log():
    chat = Chat(allow_from=["example.net"])
    with logged() as events:
        for number in range(300):
            assert chat.write("hello", sender=f"anna{number}@example.com/x") == []
        assert len(events.ours()) == 100
        chat.clock.advance(60)
        [tally] = [event for event in events.ours() if "dropped" in event]
    assert tally["dropped"] == 200


def test_the_bounce_of_an_answer_gets_nothing():
    chat = Chat()
    chat.receive(file_message())  # nobody is there to get the answer: the server returns it
    assert chat.end.sent() == []


# --- receipts


@pytest.mark.parametrize(
    "xml",
    [
        file_message(URL, RECEIPT, id_="r"),
        message("list", RECEIPT, id_="r"),
        message("thanks", REPLY, RECEIPT, id_="r"),
        message("help", RECEIPT, id_="r"),
        message("help", REPLY, RECEIPT, id_="r"),
    ],
)
def test_a_receipt_is_given_at_once_where_it_is_asked_for(xml):
    chat = Chat(held=True)
    chat.end.receive(xml)
    assert receipts(chat.sent()[:1]) == ["r"]


def test_a_correction_without_a_new_file_gets_its_receipt_and_no_more():
    chat = Chat()
    chat.receive(file_message(id_="first"))
    correction = "<replace xmlns='urn:xmpp:message-correct:0' id='first'/>"
    chat.end.receive(file_message(URL, correction, RECEIPT, id_="r"))
    [sent] = chat.sent()
    assert receipts([sent]) == ["r"]


def test_no_receipt_is_given_where_none_is_asked_for():
    chat = Chat()
    chat.end.receive(file_message())
    assert receipts(chat.sent()) == []


# --- help


def test_other_texts_get_help_once_an_hour():
    chat = Chat()
    [help_] = chat.write("hello")
    assert help_ == "You can send me a file, or a link to one, and I keep it.\nhelp: tells this"
    assert chat.write("what?") == chat.write("hm", sender="juliet@example.com/phone") == []
    assert chat.write("hello", sender=ROMEO) == [help_]
    chat.clock.advance(HOUR + 1)
    assert chat.write("hello again") == [help_]


def test_help_that_a_flood_left_out_is_given_later():
    chat = Chat()
    for _ in range(31):
        chat.write("help")
    assert chat.write("hello") == []
    chat.clock.advance(1)
    assert len(chat.write("hello")) == 1


def test_who_asks_for_help_always_gets_it():
    chat = Chat()
    asked = ["help", " HELP ", "/help", "Help me"]
    assert [len(chat.write(text)) for text in asked] == [1] * 4
    assert len(chat.write("what?")) == 1


def test_help_tells_the_largest_file():
    chat = Chat()
    chat.responder.fetches.max_size = 1_500_000
    assert "of at most 1.5 MB" in chat.write("help")[0]


def test_list_and_send_are_no_commands_without_files_to_give():
    chat = Chat()
    assert chat.write("list") == chat.write("help")
    assert chat.write("send a.png") == []


def test_an_encrypted_message_is_told_to_be_that_once_an_hour():
    chat = Chat()
    sentence = (
        "I can't read encrypted messages: turn encryption off for this chat, and send it again"
    )
    assert len(chat.write("hello")) == 1
    assert chat.write("You received a message", ENCRYPTED) == [sentence]
    assert chat.write("You received a message", ENCRYPTED) == []
    chat.clock.advance(HOUR + 1)
    assert chat.write(None, ENCRYPTED) == [sentence]


# --- floods


def test_a_flood_of_commands_is_bounded_and_tallied():
    chat = Chat()
    with logged() as events:
        assert sum(len(chat.write("help", RECEIPT)) for _ in range(300)) == 30
        assert len(chat.write("help", sender=ROMEO)) == 1
        chat.clock.advance(60)
        [tally] = [event for event in events.ours() if "dropped" in event]
    assert tally["dropped"] == 270


def test_a_flood_of_files_is_bounded_and_told():
    chat = Chat(held=True, concurrency=2)
    said = []
    for number in range(1200):
        said += chat.receive(file_message(f"https://files.example/{number}", RECEIPT))
    busy = [text for text in said if text.endswith("too many transfers at once; try again later")]
    assert said == busy
    assert len(busy) == 30
    chat.responder.stopService()


def test_a_flood_of_files_does_not_fill_the_log():
    chat = Chat(held=True, concurrency=2)
    with logged() as events:
        for number in range(1200):
            urls = (f"https://files.example/{number}-{file}" for file in range(5))
            chat.write(None, *map(x_oob, urls))
        begun = [event for event in events.ours() if event["log_format"].startswith("{what} from")]
        chat.clock.advance(60)
        [tally] = [event for event in events.ours() if "dropped" in event]
        chat.responder.stopService()
    # As many as may wait.
    assert len(begun) == 1000
    assert tally["dropped"] > 900


@pytest.mark.parametrize("held", [True, False], ids=["waiting", "failing"])
def test_nothing_large_is_kept_of_a_message_until_it_is_answered(held):
    chat = Chat(held=held)
    ballast = "<ballast xmlns='urn:example'/>"
    for number in range(200):
        url = f"https://files.example/{number}"
        chat.fetcher.outcomes[url] = FetchFailed("HTTP status 404")
        chat.receive(file_message(url, ballast))
    chat.end.receive("<presence from='a@example.com/b'/>")
    gc.collect()
    assert not [one for one in gc.get_objects() if getattr(one, "name", None) == "ballast"]


def test_a_flood_of_receipts_is_bounded():
    chat = Chat()
    for _ in range(300):
        chat.end.receive(message("thanks", REPLY, RECEIPT))
    assert len(receipts(chat.sent())) == 100


# --- streams


def test_an_answer_waits_for_the_next_stream_and_is_sent_once():
    chat = Chat(held=True)
    chat.receive(file_message())
    chat.end.lose()
    chat.fetcher.held[0].callback(stored(URL))
    assert chat.said() == []
    chat.end.open()
    assert chat.said() == [STORED]
    chat.end.lose()
    chat.end.open()
    assert chat.said() == []


@pytest.mark.parametrize("to", ["me@example.org/laptop", "me@example.org"])
def test_an_answer_goes_out_on_a_stream_that_got_another_resource(to):
    chat = Chat(held=True)
    chat.receive(file_message(URL, RECEIPT, to=to))
    chat.end.lose()
    chat.fetcher.held[0].callback(stored(URL))
    chat.end.jid = JID("me@example.org/phone")
    # As a real one, the server takes no stanza from the earlier address.
    chat.end.open()
    assert chat.said() == [STORED]


def test_an_answer_waits_for_an_hour():
    chat = Chat(held=True)
    chat.receive(file_message())
    chat.end.lose()
    chat.fetcher.held[0].callback(stored(URL))
    chat.clock.advance(HOUR + 1)
    chat.end.open()
    assert chat.said() == []


def test_each_message_is_answered_before_the_responder_has_stopped():
    chat = Chat(held=True, concurrency=1)
    # More than a flood is told.
    for number in range(40):
        chat.receive(file_message(f"https://files.example/{number}"))
    stopped = chat.responder.stopService()
    assert [text.partition(":")[2] for text in chat.said()] == [
        " the responder is stopping; try again later"
    ] * 40
    assert not stopped.called
    chat.clock.advance(0)
    assert result_of(stopped) is None


def test_a_frontend_that_is_taken_off_its_stream_takes_nothing():
    chat = Chat()
    chat.frontend.disownHandlerParent(chat.end)
    with logged() as events:
        assert chat.receive(file_message()) == []
        assert events.failures() == []
    chat.frontend.setHandlerParent(chat.end)
    assert chat.receive(file_message()) == [STORED]


def test_answers_are_given_up_when_there_will_be_no_stream():
    chat = Chat(held=True)
    chat.receive(file_message())
    chat.end.lose()
    chat.fetcher.held[0].callback(stored(URL))
    with logged() as events:
        assert chat.frontend.stream_refused(StreamRefused("the password is wrong")) is False
        [told] = [formatEvent(event) for event in events.ours()]
    assert told == f"Could not answer {JULIET}: the password is wrong"
    chat.end.open()
    assert chat.said() == []


def test_a_frontend_that_is_taken_off_by_another_handler_meanwhile_takes_nothing():
    chat = Chat()
    chat.end.xmlstream.addObserver(
        "/message", lambda _: chat.frontend.disownHandlerParent(chat.end), 1
    )
    with logged() as events:
        assert chat.receive(file_message()) == []
        assert events.failures() == []


# --- discovery and arguments


def test_it_announces_what_it_takes_and_answers():
    chat = Chat()
    verifyObject(IDisco, chat.frontend)
    assert {str(feature) for feature in chat.frontend.getDiscoInfo(None, None)} == {
        "jabber:x:oob",
        "urn:xmpp:sfs:0",
        "urn:xmpp:sims:1",
        "urn:xmpp:receipts",
        "urn:xmpp:reply:0",
        "urn:xmpp:message-correct:0",
    }
    assert chat.frontend.getDiscoInfo(None, None, "a node") == []
    assert chat.frontend.getDiscoItems(None, None) == []


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"responder": None}, "responder"),
        ({"texts": "stored"}, "texts"),
        ({"texts": ChatTexts}, "texts"),
        ({"giver": object()}, "giver"),
    ],
)
def test_arguments_of_the_wrong_type_are_named(arguments, named):
    given = {"responder": Chat().responder, **arguments}
    with pytest.raises(TypeError, match=f"^{named} must be "):
        ChatFrontend(given.pop("responder"), **given)


def test_a_responder_brings_its_own_unless_it_is_told_not_to():
    for messages in (True, False):
        chat = Chat()
        chat.frontend.disownHandlerParent(chat.end)
        responder = OOBResponder(
            chat.fetcher, allow_from=["*"], reactor=chat.clock, messages=messages
        )
        responder.attach(chat.end)
        assert chat.receive(file_message()) == [STORED] * messages

"""Files of messages that come again: each is fetched once, and each message gets its answer."""

from __future__ import annotations

import gc

import pytest
from twisted.internet.defer import CancelledError
from twisted.logger import formatEvent
from twisted.python.failure import Failure
from twisted.words.protocols.jabber.error import StanzaError

from tests.support.chats import JULIET, ROMEO, URL, Chat, file_message, message, stored, x_oob
from tests.support.streams import logged
from twisted_oob import FetchFailed
from twisted_oob.transfer import chat_files
from twisted_oob.transfer.chat_files import AGAIN, SAME_FILE, Outcome

STORED = "stored a.png (1.2 kB)"
OTHER = "https://files.example/b.txt"
HOUR = 3600
DESCRIBED = (
    "<file-sharing xmlns='urn:xmpp:sfs:0'><file xmlns='urn:xmpp:file:metadata:0'>"
    "<name>a.png</name><size>9</size></file></file-sharing>"
)


def test_a_message_that_comes_again_gets_nothing():
    chat = Chat()
    again = file_message(id_="same")
    assert chat.receive(again) == [STORED]
    assert chat.receive(again) == []
    assert chat.fetcher.urls == [URL]


def test_a_file_that_is_being_fetched_is_not_fetched_again():
    chat = Chat(held=True)
    for _ in range(3):
        assert chat.receive(file_message()) == []
    [held] = chat.fetcher.held
    held.callback(stored(URL))
    assert chat.said() == [STORED] * 3


def test_a_file_that_was_stored_is_not_fetched_again_for_a_minute():
    chat = Chat()
    assert chat.receive(file_message()) == [STORED]
    chat.clock.advance(59)
    assert chat.receive(file_message()) == [STORED]
    assert chat.fetcher.urls == [URL]
    chat.clock.advance(2)
    assert chat.receive(file_message()) == [STORED]
    assert chat.fetcher.urls == [URL, URL]


def test_a_file_that_failed_is_fetched_again():
    chat = Chat()
    chat.fetcher.outcomes[URL] = FetchFailed("HTTP status 404")
    chat.receive(file_message())
    del chat.fetcher.outcomes[URL]
    assert chat.receive(file_message()) == [STORED]


def test_the_same_file_of_somebody_else_is_another():
    chat = Chat()
    for sender in (JULIET, "juliet@example.com/phone", ROMEO):
        assert chat.receive(file_message(sender=sender)) == [STORED]
    assert chat.fetcher.urls == [URL, URL]


def replace(id_):
    return f"<replace xmlns='urn:xmpp:message-correct:0' id='{id_}'/>"


def attached(id_, url):
    return (
        f"<attach-to xmlns='urn:xmpp:message-attaching:1' id='{id_}'/>"
        "<sources xmlns='urn:xmpp:sfs:0'>"
        f"<url-data xmlns='http://jabber.org/protocol/url-data' target='{url}'/></sources>"
    )


def test_a_correction_brings_only_what_the_corrected_message_did_not_name():
    chat = Chat()
    chat.receive(message(f"keep {URL}", id_="first"))
    chat.clock.advance(HOUR)
    assert chat.write(f"keep {URL} now", replace("first")) == []
    assert chat.write(f"keep {URL} and {OTHER}", replace("first")) == ["stored b.txt (1.2 kB)"]
    assert chat.write(f"keep {OTHER} and {URL}", replace("first")) == []
    assert chat.fetcher.urls == [URL, OTHER]


@pytest.mark.parametrize("error", [FetchFailed("HTTP status 404"), RuntimeError()])
def test_a_correction_may_name_again_what_was_not_stored(error):
    chat = Chat()
    chat.fetcher.outcomes[URL] = error
    chat.receive(file_message(id_="first"))
    del chat.fetcher.outcomes[URL]
    assert chat.receive(file_message(URL, replace("first"))) == [STORED]
    assert chat.receive(file_message(URL, replace("first"))) == []


def test_another_source_of_what_was_not_stored_is_another_try():
    chat = Chat()
    chat.fetcher.outcomes[URL] = FetchFailed("HTTP status 404")
    chat.receive(file_message(id_="first"))
    attached = (
        "<attach-to xmlns='urn:xmpp:message-attaching:1' id='first'/>"
        "<sources xmlns='urn:xmpp:sfs:0' id='f'>"
        f"<url-data xmlns='http://jabber.org/protocol/url-data' target='{OTHER}'/></sources>"
    )
    assert chat.write(None, attached) == ["stored b.txt (1.2 kB)"]


def test_a_correction_of_what_nobody_knows_is_a_message():
    chat = Chat()
    assert chat.receive(file_message(URL, replace("before"))) == [STORED]


def test_a_correction_is_another_try_for_what_failed():
    chat = Chat()
    chat.fetcher.outcomes[URL] = FetchFailed("HTTP status 404")
    failed = "could not fetch a.png: HTTP status 404"
    assert chat.receive(message(f"{URL} {OTHER}", id_="first")) == [
        f"{failed}\nstored b.txt (1.2 kB)"
    ]
    assert chat.write(f"{URL} and {OTHER}", replace("first")) == [failed]
    del chat.fetcher.outcomes[URL]
    assert chat.write(f"{URL}, {OTHER}", replace("first")) == [STORED]
    assert chat.write(f"{URL}; {OTHER}", replace("first")) == []
    assert chat.fetcher.urls == [URL, OTHER, URL, URL]


def test_another_source_is_another_try():
    chat = Chat()
    chat.fetcher.outcomes[URL] = FetchFailed("HTTP status 404")
    chat.write(None, DESCRIBED, id_="first")
    assert chat.write(None, attached("first", URL)) == ["could not fetch a.png: HTTP status 404"]
    assert chat.write(None, attached("first", OTHER)) == ["stored b.txt (1.2 kB)"]
    assert chat.write(None, attached("first", URL)) == []
    assert [info.size for info in chat.fetcher.infos] == [9, 9]


@pytest.mark.parametrize(
    "again", ["HTTPS://FILES.example:443/a.png", "https://files.example/%61.png"]
)
def test_a_url_that_is_written_in_another_way_is_the_same(again):
    chat = Chat()
    chat.receive(file_message())
    assert chat.receive(file_message(again)) == [STORED]
    assert chat.fetcher.urls == [URL]


def test_one_of_several_files_that_came_before_is_not_fetched_again():
    chat = Chat()
    chat.receive(file_message())
    assert chat.write(None, x_oob(OTHER), x_oob(URL)) == [f"stored b.txt (1.2 kB)\n{STORED}"]
    assert chat.fetcher.urls == [URL, OTHER]


# --- bounds


def test_a_flood_of_the_same_file_is_bounded():
    chat = Chat(held=True)
    for _ in range(300):
        chat.receive(file_message())
    chat.fetcher.held[0].callback(stored(URL))
    assert chat.said() == [STORED] * AGAIN


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("seconds", [1, 30])
def test_a_program_that_answers_always_with_the_same_link_is_not_answered_for_ever(fails, seconds):
    chat = Chat()
    if fails:
        chat.fetcher.outcomes[URL] = FetchFailed("HTTP status 404")
    answers = 0
    while chat.write(f"I am away, see {URL}"):
        answers += 1
        assert answers < 3 * AGAIN
        chat.clock.advance(seconds)
    assert answers >= AGAIN
    assert chat.write(f"Another one: {URL}?2") != []
    assert chat.write(f"I am away, see {URL}", sender=ROMEO) != []
    chat.clock.advance(SAME_FILE)
    assert len(chat.write(f"I am away, see {URL}")) == 1


def test_files_that_are_stored_at_once_are_no_flood():
    chat = Chat()
    said = [chat.receive(file_message(f"https://files.example/{number}")) for number in range(60)]
    assert said == [[f"stored {number} (1.2 kB)"] for number in range(60)]


def test_few_files_are_remembered(monkeypatch):
    monkeypatch.setattr(chat_files, "MOST_STORED", 10)
    chat = Chat()
    for number in [*range(11), 10, 0]:
        chat.receive(file_message(f"https://files.example/{number}"))
    assert [int(url.rpartition("/")[2]) for url in chat.fetcher.urls] == [*range(11), 0]


def test_what_was_stored_is_forgotten_after_a_minute():
    chat = Chat()
    for number in range(5):
        chat.receive(file_message(f"https://files.example/{number}"))
    chat.clock.advance(SAME_FILE + 1)
    chat.receive(file_message())
    gc.collect()
    assert len([one for one in gc.get_objects() if isinstance(one, Outcome)]) == 1


def test_files_of_messages_wait_longer_than_offers():
    chat = Chat(concurrency=1, held=True)
    for number in range(50):
        assert chat.receive(file_message(f"https://files.example/{number}")) == []
    for number in range(50):
        chat.fetcher.held[number].callback(stored(URL))
    assert chat.said() == [STORED] * 50


# --- how a file ends


def test_the_log_tells_of_each_file_as_of_an_offer():
    chat = Chat()
    with logged() as events:
        chat.receive(file_message())
        chat.fetcher.outcomes[OTHER] = FetchFailed("HTTP status 404", detail="no such host")
        chat.receive(file_message(OTHER))
        told = [formatEvent(event) for event in events.ours()]
    assert told == [
        f"Message from {JULIET}: {URL}",
        f"Message from {JULIET} ended: {URL}: success: 1234 bytes in /landed/a.png, 0.00 s",
        f"Message from {JULIET}: {OTHER}",
        f"Message from {JULIET} ended: {OTHER}: item-not-found: no such host, 0.00 s",
    ]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (CancelledError(), "the responder is stopping; try again later"),
        (StanzaError("forbidden"), "it is not wanted"),
        (StanzaError("gone", text="no more of\nthat"), "no more of that"),
        (StanzaError("gone"), "it could not be had"),
        (FetchFailed("x" * 1000), "x" * 300),
    ],
)
def test_every_end_is_told_in_one_line(error, reason):
    chat = Chat(held=True)
    chat.receive(message(None, x_oob()))
    chat.fetcher.held[0].errback(error)
    assert chat.said() == [f"could not fetch a.png: {reason}"]


class Strange:
    """No FetchedFile."""

    size = 5
    path = "a.png"


@pytest.mark.parametrize("end", [RuntimeError("a secret"), None, Strange()])
def test_what_no_fetcher_should_do_is_told_in_the_log(end):
    chat = Chat(held=True)
    with logged() as events:
        for held in range(2):
            chat.receive(file_message())
            chat.fetcher.held[held].callback(Failure(end) if isinstance(end, Exception) else end)
            assert chat.said() == ["could not fetch a.png: something went wrong here"]
        [failure, _again] = events.failures()
    assert isinstance(failure, type(end) if isinstance(end, Exception) else AttributeError)


def test_a_host_that_readers_of_urls_stumble_over_is_answered_each_time():
    chat = Chat()
    url = "https://[V1.x]/a.png"  # an IPvFuture (RFC 3986 section 3.2.2)
    chat.fetcher.outcomes[url] = FetchFailed("HTTP status 404")
    for _ in range(2):
        assert chat.receive(file_message(url)) == ["could not fetch a.png: HTTP status 404"]

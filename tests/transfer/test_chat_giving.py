"""Files that people ask for in a chat: what they get, and what they are told."""

from __future__ import annotations

import pytest
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.error import ConnectionLost

from tests.support.chats import JULIET, RECEIPT, URL, Chat, message, stamp
from tests.support.memory import BARE, FILES, ME
from tests.support.streams import logged
from twisted_oob import Delivery, ResourceConstraint, StreamRefused
from twisted_oob.files.served_folder import ServedFile

FILE = ServedFile("a.png", 9, 0.0)
GONE_OUT = "https://share.example/0123/a.png"


class Giver:
    """In the place of a FileGiver. ``asked``: what was asked of it."""

    def __init__(self, listing=([FILE], 0), delivery=None):
        self.listing = listing
        self.delivery = delivery
        self.asked = []

    def list(self, pattern):
        self.asked.append(pattern)
        return _fired(self.listing)

    def give(self, recipient, name, *, sender=None):
        self.asked.append((recipient.full(), name, sender and sender.full()))
        return _fired(self.delivery)


def _fired(result):
    if isinstance(result, Deferred):
        return result
    return fail(result) if isinstance(result, Exception) else succeed(result)


def asking(text, giver, **options):
    chat = Chat(giver=giver)
    return chat.write(text, **options)


# --- list


@pytest.mark.parametrize(
    ("text", "pattern"),
    [("list", None), (" /LIST  *.PNG ", "*.PNG"), ("list my files", "my files")],
)
def test_list_asks_for_a_pattern(text, pattern):
    giver = Giver()
    assert asking(text, giver) == ["I have these files:\na.png (9 bytes, 1970-01-01)"]
    assert giver.asked == [pattern]


def test_a_list_of_nothing_says_so():
    giver = Giver(([], 0))
    assert asking("list", giver) == ["there are no files"]
    assert asking("list *.\u202epdf", giver) == ["there are no files like *.\ufffdpdf"]


@pytest.mark.parametrize(
    "error", [OSError(5, "/a/secret/path"), ResourceConstraint("busy"), CancelledError()]
)
def test_a_list_that_fails_says_so_without_the_reason(error):
    assert asking("list", Giver(error)) == ["could not list the files; try again later"]


def test_a_list_that_fails_for_a_mistake_is_logged():
    with logged() as events:
        assert asking("list", Giver(ZeroDivisionError("secret"))) == [
            "could not list the files; try again later"
        ]
        assert [type(error) for error in events.failures()] == [ZeroDivisionError]


# --- send


def test_send_gives_the_file_to_the_one_who_wrote():
    giver = Giver(delivery=Delivery(outcome="sent", how="message", url=GONE_OUT))
    assert asking("/Send  A file.png ", giver) == []
    assert giver.asked == [(JULIET, "A file.png", None)]


def test_a_component_sends_from_the_address_that_was_asked():
    giver = Giver(delivery=Delivery(outcome="sent", how="message", url=GONE_OUT))
    chat = Chat(giver=giver, end="component")
    chat.write("send a.png", to=f"bot@{FILES}/x")
    assert giver.asked == [(JULIET, "a.png", f"bot@{FILES}/x")]


@pytest.mark.parametrize("to", [f"{BARE}/gone", "somebody@example.net", BARE])
def test_an_account_never_says_that_it_is_another_address(to):
    # Its server would end the stream. (The one in memory writes the right address over it.)
    giver = Giver(delivery=Delivery(outcome="rejected", how="iq"))
    chat = Chat(giver=giver)
    written = []
    chat.end.xmlstream.send = written.append
    chat.write(URL, RECEIPT, to=to)
    chat.write("list", to=to)
    chat.write("send a.png", to=to)
    assert len(written) == 4
    assert {stanza.getAttribute("from") for stanza in written} == {None}


@pytest.mark.parametrize(
    ("delivery", "said"),
    [
        (Delivery(outcome="received", how="iq", url=GONE_OUT, size=9), "sent a.png (9 bytes)"),
        (Delivery(outcome="not-found", how="iq"), "your client could not retrieve it"),
        (Delivery(outcome="reject", how="iq", url=GONE_OUT), "your client does not want it"),
        (
            Delivery(outcome="unavailable", how="iq", url=GONE_OUT),
            "your client does not take it at the moment",
        ),
        (Delivery(outcome="wait", how="iq", url=GONE_OUT), "your client is busy; try again later"),
        (Delivery(outcome="timeout", how="iq", url=GONE_OUT), "it took too long; try again later"),
        (Delivery(outcome="timeout"), "it took too long; try again later"),
        (Delivery(outcome="timeout", how="message"), "it took too long; try again later"),
        (Delivery(outcome="upload-failed", how="message"), "the server did not take it"),
        (
            Delivery(outcome="upload-failed", how="message", text="the file is too large"),
            "the file is too large",
        ),
        (FileNotFoundError(2, "no", "/a/secret"), "there is no file a.png"),
        (PermissionError(13, "no", "/a/secret"), "it can't be read"),
        (ResourceConstraint("too many files at once"), "too many files at once"),
        (CancelledError(), "it was broken off; try again later"),
        (ConnectionLost(), "the connection was lost; try again later"),
        (StreamRefused("secret"), "the connection was lost; try again later"),
    ],
)  # fmt: skip
def test_the_end_of_a_sending_is_told_by_name(delivery, said):
    [text] = asking("send a.png", Giver(delivery=delivery))
    assert text == (said if "a.png" in said else f"could not send a.png: {said}")


@pytest.mark.parametrize("outcome", ["sent", "fetched", "timeout", "reject", "unavailable", "wait"])
def test_a_file_that_has_gone_out_in_a_message_is_the_answer(outcome):
    delivery = Delivery(outcome=outcome, how="message", url=GONE_OUT)
    assert asking("send a.png", Giver(delivery=delivery)) == []


def test_a_mistake_of_ours_is_logged_and_told_as_such():
    with logged() as events:
        assert asking("send a.png", Giver(delivery=ZeroDivisionError("secret"))) == [
            "could not send a.png: something went wrong here"
        ]
        assert [type(error) for error in events.failures()] == [ZeroDivisionError]


def test_a_name_is_shown_as_a_line_may_show_it():
    text = f"send {'x' * 300}\u202egpj.exe\n\x85"
    [said] = asking(text, Giver(delivery=FileNotFoundError()))
    assert said.startswith("there is no file …xxx")
    assert said.endswith("\ufffdgpj.exe")
    assert len(said) < 120


# --- which texts are commands


@pytest.mark.parametrize("text", ["list", "send a.png"])
def test_commands_work_in_a_reply_and_when_they_come_late(text):
    reply = f"<reply xmlns='urn:xmpp:reply:0' to='{ME}' id='x'/>"
    for child in (reply, stamp(60)):
        giver = Giver(delivery=Delivery(outcome="received", how="iq", size=9))
        chat = Chat(giver=giver)
        assert len(chat.receive(message(text, child, to=BARE))) == 1
        assert len(giver.asked) == 1


def test_help_tells_of_them():
    [help_] = asking("help", Giver())
    assert "list" in help_
    assert "send NAME" in help_


def test_send_without_a_name_gets_help():
    giver = Giver()
    assert asking("send", giver) == asking("help", giver)
    assert giver.asked == []


def test_an_answer_waits_for_what_it_tells_of():
    delivery = Deferred()
    chat = Chat(giver=Giver(delivery=delivery))
    assert chat.write("send a.png") == []
    delivery.callback(Delivery(outcome="received", how="iq", url=GONE_OUT, size=9))
    assert chat.said() == ["sent a.png (9 bytes)"]


def test_long_lists_are_fewer():
    listings = []

    class Slow(Giver):
        def list(self, pattern):
            listings.append(Deferred())
            return listings[-1]

    chat = Chat(giver=Slow())
    for _ in range(300):
        chat.write("list")
    assert len(listings) == 2
    for listing in listings:
        listing.callback(([ServedFile("n" * 200, 9, 0.0)] * 50, 0))
    assert len(chat.said()) == 2
    # Short ones leave some of what they may cost.
    chat.clock.advance(60)
    for _ in range(3):
        chat.write("list")
        listings[-1].callback(([FILE], 0))
        assert len(chat.said()) == 1


def test_a_flood_of_them_is_bounded():
    giver = Giver(delivery=Delivery(outcome="sent", how="message", url=GONE_OUT))
    chat = Chat(giver=giver)
    for _ in range(100):
        chat.write("send a.png")
        chat.write("list")
    assert len(giver.asked) == 30

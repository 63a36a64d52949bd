"""Answers and receipts: where they go, and what they say that they answer."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.streams import canonical
from tests.support.written import BOT, FRIEND, OCCUPANT, ROOM, body, parsed, written, x
from twisted_oob.protocol.chat_answer import build_answer, build_receipt
from twisted_oob.protocol.chat_message import Thread, read_chat_message

REQUEST = "<request xmlns='urn:xmpp:receipts'/>"
STANZA_ID = f"<stanza-id xmlns='urn:xmpp:sid:0' by='{ROOM}' id='r1'/>"
IN_ROOM = "<x xmlns='http://jabber.org/protocol/muc#user'/>"


def arrives(element):
    """Give a stanza as its recipient reads it."""
    return parsed(element.toXml(defaultUri="jabber:client"))


def attributes(element):
    return {name: element.getAttribute(name) for name in ("to", "from", "type")}


def names(element):
    return sorted(child.name for child in element.elements())


def test_an_answer():
    message = written(body("list"), "<thread parent='p'>t</thread>", type="chat")
    answer = arrives(build_answer(message, "no files"))
    assert attributes(answer) == {"to": FRIEND, "from": BOT, "type": "chat"}
    assert names(answer) == ["body", "reply", "thread"]
    reply = next(answer.elements("urn:xmpp:reply:0", "reply"))
    assert (reply["to"], reply["id"]) == (FRIEND, "m1")
    read = read_chat_message(answer)
    assert (read.body, read.thread, read.is_reply) == ("no files", Thread("t", "p"), True)
    assert (read.files, read.asks_receipt) == ((), False)


def test_each_answer_has_an_id_of_its_own():
    message = written(body("list"))
    ids = {build_answer(message, "no files")["id"] for _ in range(3)}
    assert len(ids | {message.id}) == 4


@pytest.mark.parametrize("type_", ["chat", "normal", None])
def test_an_answer_has_the_type_of_the_message(type_):
    assert build_answer(written(body("a"), type=type_), "b")["type"] == (type_ or "normal")


@pytest.mark.parametrize("to", ["files.example.org", "anna@files.example.org/x", None])
def test_an_answer_comes_from_the_address_that_was_written_to(to):
    answer = build_answer(written(body("a"), to=to), "b")
    assert answer.getAttribute("from") == to


def test_what_has_no_id_can_be_answered_but_not_referred_to():
    answer = build_answer(written(body("a"), id_=None), "b")
    assert names(answer) == ["body"]


def test_an_answer_in_a_room_goes_to_all_and_refers_to_the_rooms_id():
    message = written(x("https://h.example/a"), STANZA_ID, from_=OCCUPANT, type="groupchat")
    answer = arrives(build_answer(message, "could not fetch a"))
    assert attributes(answer) == {"to": ROOM, "from": BOT, "type": "groupchat"}
    reply = next(answer.elements("urn:xmpp:reply:0", "reply"))
    assert (reply["to"], reply["id"]) == (OCCUPANT, "r1")
    without = written(x("https://h.example/a"), from_=OCCUPANT, type="groupchat")
    assert names(build_answer(without, "could not fetch a")) == ["body"]
    assert build_receipt(message) is None


def test_a_private_message_of_an_occupant_is_answered_privately():
    message = written(body("hello"), IN_ROOM, from_=OCCUPANT, type="chat")
    answer = arrives(build_answer(message, "help"))
    assert (answer["to"], answer["type"]) == (OCCUPANT, "chat")
    assert names(answer) == ["body", "reply", "x"]
    assert read_chat_message(answer).from_occupant


def test_a_receipt():
    message = written(body("hello"), REQUEST, type="chat")
    receipt = arrives(build_receipt(message))
    assert attributes(receipt) == {"to": FRIEND, "from": BOT, "type": "chat"}
    (received,) = receipt.elements()
    assert (received.uri, received.name) == ("urn:xmpp:receipts", "received")
    assert received["id"] == "m1"
    assert receipt["id"] != "m1"
    assert read_chat_message(receipt) is None


@pytest.mark.parametrize(
    "message",
    [
        written(body("hello")),
        written(body("hello"), REQUEST, id_=None),
        written(body("hello"), REQUEST, from_=OCCUPANT, type="groupchat"),
    ],
    ids=["not asked for", "no id", "in a room"],
)
def test_no_receipt(message):
    assert build_receipt(message) is None


@settings(deadline=None, max_examples=50)
@given(st.text(), st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=9))
def test_whatever_is_said_arrives_as_a_reply(text, id_):
    message = written(body("hello"))
    # As a parser can't give it: what XML can't hold is replaced wherever it is.
    answer = arrives(build_answer(message, f"x{text}x\r<&"))
    said = "".join(next(answer.elements("jabber:client", "body")).children)
    assert len(said) == len(text) + 5
    assert said.startswith("x")
    assert said.endswith("x\r<&")
    assert read_chat_message(answer).is_reply
    assert canonical(answer.toXml())

"""Rooms: which of their messages are given, and what disco tells."""

from __future__ import annotations

import pytest
from twisted.words.protocols.jabber.jid import JID
from twisted.words.xish.domish import Element
from zope.interface.verify import verifyObject

from tests.support.rooms import NICK, OURS, ROOM, Occupied
from twisted_oob.xmpp.rooms import RoomHandler

from wokkel.iwokkel import IDisco  # isort: skip

OTHER = "games@rooms.example"
MUC = "http://jabber.org/protocol/muc"


def handler(*rooms, **options):
    return RoomHandler(rooms, print, **options)


def test_what_an_occupant_says_is_given_with_its_address():
    room = Occupied().entered()
    room.say("hello")
    room.say("again", nick="Bob the Builder")
    assert room.said == [
        (f"{ROOM}/alice", "hello"),
        (f"{ROOM}/Bob the Builder", "again"),
    ]


@pytest.mark.parametrize(
    "more",
    [
        {"nick": NICK},
        {"nick": None},
        {"type": "chat"},
        {"type": "normal"},
        {"type": "error"},
        {"type": "headline"},
        {"from_": f"{OTHER}/alice"},
        {"from_": "alice@home.example/phone"},
        {"from_": "@@@"},
        {"from_": ""},
        {"more": "<delay xmlns='urn:xmpp:delay' stamp='2026-01-01T00:00:00Z'/>"},
        {"more": "<x xmlns='jabber:x:delay' stamp='20260101T00:00:00'/>"},
    ],
)
def test_nothing_else_is_given(more):
    room = Occupied().entered()
    room.say("no", **more)
    room.say("yes")
    assert [body for _occupant, body in room.said] == ["yes"]


def test_before_we_are_in_and_after_nothing_is_given():
    room = Occupied()
    room.open()
    room.say("early")
    room.present()
    room.say("while in")
    room.gone("110", "307")
    room.say("late")
    assert [body for _occupant, body in room.said] == ["while in"]


def test_each_room_is_for_itself():
    room = Occupied((JID(ROOM), NICK), (JID(OTHER), "other"))
    assert [join.get("to") for join in room.open()] == [OURS, f"{OTHER}/other"]
    room.present()
    assert room.is_in
    assert not room.handler.is_in(JID(OTHER))
    room.handler.leave()
    assert [left.get("to") for left in room.end.sent()] == [OURS, f"{OTHER}/other"]


def test_a_join_that_loses_the_stream_is_the_last_one():
    room = Occupied((JID(ROOM), NICK), (JID(OTHER), "other"))
    room.handler.leave()
    room.open()
    sent = []

    def send(stanza):
        sent.append(stanza["to"])
        room.end.lose()

    room.end.xmlstream.send = send
    room.handler.join()
    assert sent == [OURS]
    assert not room.clock.getDelayedCalls()


def test_something_is_said_only_in_a_room_that_we_are_in():
    room = Occupied()
    room.open()
    message = Element((None, "message"))
    message["to"], message["type"] = ROOM, "groupchat"
    assert not room.handler.say(JID(ROOM), message)
    assert not room.handler.say(JID(OTHER), message)
    assert room.end.sent() == []
    room.present()
    assert room.handler.say(JID(ROOM), message)
    (sent,) = room.end.sent()
    assert sent.attrib == {"to": ROOM, "type": "groupchat"}


def test_rooms_are_announced_if_there_are_any():
    verifyObject(IDisco, handler())
    me = JID("me@home.example/desk")
    assert handler().getDiscoInfo(me, me) == []
    assert handler((JID(ROOM), NICK)).getDiscoInfo(me, me) == [MUC]
    assert handler((JID(ROOM), NICK)).getDiscoInfo(me, me, "node") == []
    assert handler((JID(ROOM), NICK)).getDiscoItems(me, me) == []


@pytest.mark.parametrize(
    ("rooms", "error", "text"),
    [
        ("plans@rooms.example/oob", TypeError, "rooms"),
        (None, TypeError, "rooms"),
        (["plans@rooms.example/oob"], TypeError, "rooms"),
        ([(ROOM,)], TypeError, "rooms"),
        ([(ROOM, None)], TypeError, "nick"),
        ([(ROOM, "")], ValueError, "nick"),
        ([(ROOM, "\x00")], ValueError, "nick"),
        ([("rooms.example", NICK)], ValueError, r"'rooms\.example' is not the JID of a room"),
        ([(OURS, NICK)], ValueError, "is not the JID of a room"),
        ([("@", NICK)], ValueError, "not a valid JID"),
        ([(ROOM, "a"), (ROOM.upper(), "b")], ValueError, f"{ROOM} is named twice"),
    ],
)
def test_wrong_rooms_are_named_at_once(rooms, error, text):
    with pytest.raises(error, match=text):
        RoomHandler(rooms, print)


def test_other_arguments_are_checked():
    with pytest.raises(TypeError, match="on_message"):
        RoomHandler([], None)
    with pytest.raises(TypeError, match="reactor"):
        RoomHandler([], print, reactor=5)
    with pytest.raises(ValueError, match="pause"):
        RoomHandler([], print, pause=0)

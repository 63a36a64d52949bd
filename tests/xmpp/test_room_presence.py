"""What presence of a room says of us, as values; also what no server should send."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.rooms import NICK, NS_USER, OURS, ROOM, refusal, told
from tests.support.streams import stanza
from twisted_oob.xmpp.jid import parse_jid
from twisted_oob.xmpp.room_presence import (
    Present,
    Refused,
    Removed,
    Renamed,
    read_room_presence,
)

from wokkel.generic import parseXml  # isort: skip


def read(children="", sender=OURS, **attributes):
    presence = parseXml(stanza("presence", children, from_=sender, **attributes).encode())
    return read_room_presence(presence, parse_jid(sender), NICK)


@pytest.mark.parametrize(
    ("children", "attributes", "said"),
    [
        (told("110"), {}, Present(NICK)),
        ("", {}, Present(NICK)),
        (told("110", "201"), {}, Present(NICK, created=True)),
        (told("110", "210"), {"sender": f"{ROOM}/other"}, Present("other")),
        (told(), {"sender": f"{ROOM}/other"}, None),
        (told("110"), {"sender": ROOM}, None),
        (told("110"), {"type": "subscribe"}, None),
        (told("110", "303", nick="bot"), {"type": "unavailable"}, Renamed("bot")),
        (told("110", "303", nick="\uff22ot"), {"type": "unavailable"}, Renamed("Bot")),
        (told("110", "303", nick=""), {"type": "unavailable"}, Renamed(NICK)),
        (told("110", "303", nick=1100 * "x"), {"type": "unavailable"}, Renamed(NICK)),
        ("<x xmlns='other'/>", {"type": "unavailable"}, Removed("we are out of it")),
        (f"<x xmlns='{NS_USER}'/>", {"type": "unavailable"}, Removed("we are out of it")),
        (
            told("110", "307", reason="Noise"),
            {"type": "unavailable"},
            Removed("we were kicked", "Noise"),
        ),
        (told("307"), {"type": "unavailable", "sender": f"{ROOM}/other"}, None),
        (
            refusal("forbidden", "Go away"),
            {"type": "error", "id": "j1"},
            Refused("j1", "we are banned from it", "Go away"),
        ),
        (
            refusal("undefined-condition"),
            {"type": "error"},
            Refused(None, "it does not let us in", "undefined-condition"),
        ),
        ("", {"type": "error"}, Refused(None, "it does not let us in", "undefined-condition")),
        (
            "<error code='407'/>",
            {"type": "error"},
            Refused(None, "only its members may join", ""),
        ),
    ],
)
def test_presence_is_read_as_what_it_says_of_us(children, attributes, said):
    assert read(children, **attributes) == said


_TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="<&'", min_codepoint=32))


@given(st.lists(_TEXTS), _TEXTS, _TEXTS, st.sampled_from([None, "unavailable", "error", "x"]))
def test_whatever_a_room_sends_raises_nothing(codes, nick, reason, kind):
    read(told(*codes, "110", nick=nick, reason=reason), type=kind)

"""Our place in a room: how we get in, what puts us out, and how we come back."""

from __future__ import annotations

import pytest
from twisted.logger import formatEvent

from tests.support.rooms import NICK, OURS, ROOM, Occupied, refusal, told
from tests.support.streams import ClientWire, ComponentWire, InternalWire, canonical, stanza
from twisted_oob.xmpp.occupancy import ANSWER, LONGEST_PAUSE, PAUSE, SILENCE, STEADY

JOIN = (
    "<presence to='{to}' id='{id}'{sender}><x xmlns='http://jabber.org/protocol/muc'>"
    "<history maxstanzas='0'/></x></presence>"
)
PING = "{urn:xmpp:ping}ping"


def lines(log):
    """Take our lines of the log."""
    found = [formatEvent(event) for event in log.ours()]
    log.clear()
    return found


def joins(sent, nick=NICK):
    """Whether this is one join, and nothing else."""
    return [(one.tag, one.get("to"), one.get("type")) for one in sent] == [
        ("presence", f"{ROOM}/{nick}", None)
    ]


def ping_of(sent):
    """Give the one ping to ourselves in the room."""
    (ping,) = sent
    assert ping.find(PING) is not None
    assert (ping.get("to"), ping.get("type")) == (OURS, "get")
    return ping


@pytest.mark.parametrize("wire", [ClientWire, ComponentWire, InternalWire])
def test_a_join_wants_no_history(wire, log):
    room = Occupied(wire=wire)
    (join,) = room.open()
    sender = "" if wire is ClientWire else f" from='{room.end.me}'"
    assert canonical(join) == canonical(JOIN.format(to=OURS, id=join.get("id"), sender=sender))
    assert not room.is_in
    room.present(nick="alice", codes=())
    assert not room.is_in
    room.present()
    assert room.is_in
    assert lines(log) == [f"Joined {OURS}"]


def test_a_service_that_sends_no_codes_lets_us_in_by_our_own_address():
    assert Occupied().entered(codes=()).is_in


def test_the_nick_is_the_one_that_the_service_gave(log):
    room = Occupied()
    room.open()
    room.present(nick="oob_2", codes=("110", "210"))
    room.say("ours", nick="oob_2")
    room.say("another's", nick=NICK)
    assert room.said == [(f"{ROOM}/{NICK}", "another's")]
    assert lines(log) == [f"Joined {ROOM}/oob_2"]


def test_a_new_nick_is_followed_and_the_wanted_one_asked_for_when_we_come_back():
    room = Occupied().entered()
    room.gone("110", "303", nick=NICK, reason=None)
    assert room.is_in  # the room did not tell which
    room.receive("presence", told("110", "303", nick="bot"), NICK, type="unavailable")
    assert room.is_in
    room.say("ours", nick="bot")
    room.present(nick="bot")
    room.say("ours", nick="bot")
    assert room.said == []
    room.end.sent()
    room.end.lose()
    assert joins(room.open())


def test_others_who_change_their_nick_or_go_are_not_we():
    room = Occupied().entered()
    room.receive("presence", told("303", nick="b"), "a", type="unavailable")
    room.gone("307", nick="b")
    room.gone("301", nick=None)
    assert room.is_in
    assert room.end.sent() == []


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        ("not-authorized", "it requires a password"),
        ("forbidden", "we are banned from it"),
        ("item-not-found", "it does not exist, or is locked"),
        ("not-allowed", "it does not exist, and we may not create it"),
        ("not-acceptable", "we must use the nick that is registered for us"),
        ("registration-required", "only its members may join"),
        ("conflict", "the nick is taken; choose another one"),
        ("service-unavailable", "it is full, or there is no such service"),
        ("remote-server-not-found", "its server can't be found"),
        ("policy-violation", "it does not let us in (policy-violation)"),
    ],
)
def test_a_refusal_is_one_line_and_another_attempt_after_a_pause(condition, reason, log):
    room = Occupied()
    (join,) = room.open()
    room.refuse(join, condition)
    assert not room.is_in
    assert lines(log) == [f"Not in the room {OURS}: {reason}; next attempt in 1 min 0 s"]
    assert room.after(PAUSE - 1) == []
    sent = room.after(1)
    assert joins(sent)
    room.refuse(sent[0], condition)
    assert lines(log) == []
    room.after(2 * PAUSE)
    room.present()
    assert lines(log) == [f"Joined {OURS}"]


def test_pauses_double_up_to_an_hour_and_are_short_again_after_a_steady_time(log):
    room = Occupied()
    (join,) = room.open()
    pauses = []
    for _ in range(8):
        room.refuse(join, "forbidden", text="Go away")
        waited = 0
        while not (sent := room.after(PAUSE)):
            waited += PAUSE
        pauses.append(waited + PAUSE)
        (join,) = sent
    assert pauses == [60, 120, 240, 480, 960, 1920, LONGEST_PAUSE, LONGEST_PAUSE]
    assert [line for line in lines(log) if "Not in" in line] == [
        f"Not in the room {OURS}: we are banned from it (Go away); next attempt in 1 min 0 s"
    ]
    room.present()
    room.after(STEADY - 1)
    room.gone("110", "307")
    assert room.after(LONGEST_PAUSE - 1) == []
    assert joins(room.after(1))
    room.present()
    room.after(STEADY - 1)
    room.say("alive")
    room.after(1)
    room.gone("110", "307")
    assert joins(room.after(PAUSE))
    assert len([line for line in lines(log) if "kicked" in line]) == 2


@pytest.mark.parametrize(
    ("codes", "reason"),
    [
        (("307",), "we were kicked"),
        (("301",), "we were banned"),
        (("321",), "we were removed, as our affiliation has changed"),
        (("322",), "we were removed, as only members may be there now"),
        (("332",), "the service shuts down"),
        (("307", "333"), "we were kicked"),
        (("333",), "we were removed because of an error"),
        ((), "we are out of it"),
    ],
)
@pytest.mark.parametrize("own", [("110",), ()])
def test_who_is_put_out_comes_back_after_a_pause(codes, reason, own, log):
    room = Occupied().entered()
    lines(log)
    room.gone(*own, *codes, reason="Too noisy")
    room.say("missed")
    assert not room.is_in
    assert room.said == []
    assert lines(log) == [
        f"Not in the room {OURS}: {reason} (Too noisy); next attempt in 1 min 0 s"
    ]
    assert room.after(PAUSE - 1) == []
    assert joins(room.after(1))
    room.present()
    assert room.is_in


def test_kicks_without_end_are_two_lines(log):
    room = Occupied().entered()
    lines(log)
    for _ in range(5):
        room.gone("110", "307")
        room.after(LONGEST_PAUSE)
        room.present()
    assert lines(log) == [
        f"Not in the room {OURS}: we were kicked; next attempt in 1 min 0 s",
        f"Joined {OURS}",
    ]


def test_what_a_room_says_is_cut_and_steers_no_terminal(log):
    room = Occupied().entered()
    lines(log)
    room.gone("110", "307", reason="\u202e\u0085" + 300 * "x")
    (line,) = lines(log)
    assert f"(\ufffd\ufffd{198 * 'x'})" in line


@pytest.mark.parametrize(
    ("destroy", "detail"),
    [
        ("<destroy/>", ""),
        ("<destroy><reason>Moved</reason></destroy>", " (Moved)"),
        ("<destroy jid='new@rooms.example'/>", " (instead there is new@rooms.example)"),
    ],
)
def test_of_a_destroyed_room_the_other_one_is_only_told(destroy, detail, log):
    room = Occupied().entered()
    lines(log)
    room.receive("presence", told("110", inside=destroy), NICK, type="unavailable")
    assert lines(log) == [
        f"Not in the room {OURS}: it was destroyed{detail}; next attempt in 1 min 0 s"
    ]
    assert joins(room.after(PAUSE))


def test_a_join_without_an_answer_is_tried_again(log):
    room = Occupied()
    room.open()
    assert room.after(ANSWER) == []
    assert lines(log) == [f"Not in the room {OURS}: it does not answer; next attempt in 1 min 0 s"]
    assert joins(room.after(PAUSE))
    room.after(ANSWER)
    assert lines(log) == []
    # The answer comes late.
    room.present()
    assert room.is_in
    assert room.after(2 * PAUSE) == []


def test_an_error_to_an_attempt_that_was_given_up_is_ignored():
    room = Occupied()
    (first,) = room.open()
    room.after(ANSWER)
    (second,) = room.after(PAUSE)
    room.refuse(first, "forbidden")
    room.present()
    assert room.is_in
    room.refuse(second, "forbidden")
    assert room.is_in


def test_a_reconnect_joins_at_once_whatever_the_pause(log):
    room = Occupied()
    for _ in range(3):
        (join,) = room.open()
        room.refuse(join, "forbidden")
        room.end.lose()
        assert not room.clock.getDelayedCalls()
    assert len([line for line in lines(log) if "Not in" in line]) == 1
    room.open()
    room.present()
    room.end.lose()
    assert not room.is_in
    assert joins(room.open())
    room.present()
    assert lines(log) == 2 * [f"Joined {OURS}"]


def test_leaving_tells_the_room_and_nothing_joins_again_before_join_does(log):
    room = Occupied().entered()
    lines(log)
    room.handler.leave()
    (left,) = room.end.sent()
    assert canonical(left) == canonical(f"<presence to='{OURS}' type='unavailable'/>")
    assert not room.clock.getDelayedCalls()
    room.gone("110")
    room.present()
    assert not room.is_in
    room.end.lose()
    assert room.open() == []
    room.handler.join()
    assert joins(room.end.sent())
    # What is left of the earlier stay.
    room.gone("110")
    room.present()
    assert room.is_in
    assert lines(log) == [f"Joined {OURS}"]
    room.handler.join()
    assert room.end.sent() == []


@pytest.mark.parametrize("state", ["joining", "waiting", "pinging"])
def test_nothing_is_left_behind_in_any_state(state):
    for end in ("leave", "lose"):
        room = Occupied()
        (join,) = room.open()
        if state == "waiting":
            room.refuse(join, "forbidden")
        elif state == "pinging":
            room.present()
            ping_of(room.after(SILENCE))
        assert room.clock.getDelayedCalls()
        room.handler.leave() if end == "leave" else room.end.lose()
        assert not room.clock.getDelayedCalls()
        if end == "leave":
            # Who is not in the room has nothing to leave.
            assert len(room.end.sent()) == (state != "waiting")


def silent(room=None):
    """Give a room that was silent so long that it gets a ping, and the ping."""
    room = room or Occupied().entered()
    return room, ping_of(room.after(SILENCE))


def answer(room, ping, error=None):
    kind = "result" if error is None else "error"
    children = "" if error is None else refusal(error, type_="cancel")
    room.end.receive(stanza("iq", children, type=kind, id=ping.get("id"), from_=OURS))


def test_a_room_is_asked_only_when_nothing_came_from_it():
    room = Occupied().entered()
    for _ in range(5):
        assert room.after(SILENCE - 1) == []
        room.say("hello")
    room.after(SILENCE - 1)
    room.present(nick="alice", codes=())
    assert room.after(SILENCE - 1) == []
    silent(room)


@pytest.mark.parametrize(
    "error",
    [
        *(None, "service-unavailable", "feature-not-implemented"),
        *("remote-server-not-found", "remote-server-timeout"),
    ],
)
def test_these_answers_leave_us_in_and_the_next_silence_asks_again(error):
    room, ping = silent()
    answer(room, ping, error)
    assert room.is_in
    assert room.end.sent() == []
    silent(room)


def test_no_answer_says_nothing_and_the_next_silence_asks_again():
    room, _ping = silent()
    assert room.after(ANSWER) == []
    assert room.is_in
    ping_of(room.after(SILENCE - ANSWER))


@pytest.mark.parametrize("error", ["not-acceptable", "item-not-found", "forbidden", "gone"])
def test_any_other_answer_is_a_new_join_at_once(error, log):
    room, ping = silent()
    lines(log)
    answer(room, ping, error)
    assert joins(room.end.sent())
    room.present()
    assert room.is_in
    assert lines(log) == [
        f"{ROOM} does not know us any more ({error}): joining again",
        f"Joined {OURS}",
    ]


def test_the_nick_that_was_asked_for_is_not_found_after_it_has_changed():
    room, ping = silent()
    room.receive("presence", told("110", "303", nick="bot"), NICK, type="unavailable")
    answer(room, ping, "item-not-found")
    assert room.is_in
    assert room.end.sent() == []


def test_the_answer_to_a_ping_of_an_earlier_stay_is_ignored():
    room, ping = silent()
    room.gone("110", "307")
    answer(room, ping, "not-acceptable")
    assert room.end.sent() == []
    assert joins(room.after(PAUSE))


@pytest.mark.parametrize("answered", [True, False])
def test_a_room_that_we_have_created_is_unlocked(answered, log):
    room = Occupied().entered(codes=("110", "201"))
    (configure,) = room.end.sent()
    assert canonical(configure) == canonical(
        f"<iq type='set' to='{ROOM}' id='{configure.get('id')}'>"
        "<query xmlns='http://jabber.org/protocol/muc#owner'>"
        "<x xmlns='jabber:x:data' type='submit'/></query></iq>"
    )
    if answered:
        room.end.receive(stanza("iq", type="result", id=configure.get("id"), from_=ROOM))
    else:
        room.after(ANSWER)
    assert room.is_in
    assert lines(log)[:2] == [f"Joined {OURS}", f"{ROOM} did not exist: created it"]


def test_a_room_that_lets_us_in_and_out_without_end_is_a_few_lines(log):
    room = Occupied().entered(codes=("110", "201"))
    for _ in range(100):
        room.gone("110", "307")
        room.present(codes=("110", "201"))
    assert len(room.end.sent()) == 1
    assert lines(log) == [
        f"Joined {OURS}",
        f"{ROOM} did not exist: created it",
        f"Not in the room {OURS}: we were kicked; next attempt in 1 min 0 s",
        f"Joined {OURS}",
    ]

"""Files of rooms: what is kept, where, and what the room is told."""

from __future__ import annotations

import stat
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import formatEvent
from twisted.words.protocols.jabber.jid import JID

from tests.support.rooms import NICK, ROOM, FolderFetcher, Keeping
from tests.support.streams import ClientWire, ComponentWire, canonical
from twisted_oob import OOBResponder
from twisted_oob.transfer.chat_texts import ChatTexts
from twisted_oob.transfer.room_frontend import ANSWERS, MINUTE, RoomFrontend, folder_name
from twisted_oob.xmpp.jid import parse_jid

URL = "https://files.example/plan.pdf"
BAD = "https://files.example/404"
STANZA_ID = f"<stanza-id xmlns='urn:xmpp:sid:0' by='{ROOM}' id='s1'/>"
FAILED = "could not fetch 404: HTTP status 404"
SFS = (
    "<file-sharing xmlns='urn:xmpp:sfs:0'><file xmlns='urn:xmpp:file:metadata:0'>"
    "<name>plan.pdf</name></file><sources><url-data xmlns='http://jabber.org/protocol/url-data' "
    f"target='{URL}'/></sources></file-sharing>"
)
SIMS = (
    "<reference xmlns='urn:xmpp:reference:0' type='data'><media-sharing xmlns='urn:xmpp:sims:1'>"
    "<file xmlns='urn:xmpp:jingle:apps:file-transfer:5'><name>plan.pdf</name></file><sources>"
    f"<reference xmlns='urn:xmpp:reference:0' type='data' uri='{URL}'/></sources>"
    "</media-sharing></reference>"
)
X_OOB = f"<x xmlns='jabber:x:oob'><url>{URL}</url></x>"


def bodies(sent):
    return [message.findtext("body") for message in sent]


def lines(log, level="warn"):
    return [formatEvent(event) for event in log.ours() if event["log_level"].name == level]


@pytest.fixture
def room(tmp_path):
    """A room that we are in, and that keeps its files."""
    return Keeping(tmp_path).entered()


def test_a_file_lands_in_the_folder_of_its_room_and_nobody_is_told(room, tmp_path, log):
    assert room.share(URL) == []
    assert room.urls == [URL]
    assert [path.name for path in tmp_path.iterdir()] == [ROOM]
    assert stat.S_IMODE((tmp_path / ROOM).stat().st_mode) == 0o700
    told = lines(log, "info")
    assert told[0] == f"Room message from {ROOM}/alice: {URL}"
    assert told[1].startswith(
        f"Room message from {ROOM}/alice ended: {URL}: success: 1200 bytes in "
        f"{tmp_path / ROOM / 'plan.pdf'}"
    )


@pytest.mark.parametrize("more", [X_OOB, SFS, SIMS, X_OOB + SFS + SIMS])
def test_a_file_is_one_in_whichever_way_it_is_named(room, more):
    room.say(URL, more=more)
    assert room.urls == [URL]


def test_links_in_what_people_say_are_no_files(room):
    room.say(f"look at {URL}")
    room.say(URL)
    assert room.urls == []


def test_history_reflections_and_what_comes_through_a_room_privately_are_left_out(room):
    room.share(URL, more="<delay xmlns='urn:xmpp:delay' stamp='2026-01-01T00:00:00Z'/>")
    room.share(URL, nick=NICK)
    room.share(URL, nick=None)
    room.share(URL, type="chat")
    room.share(URL, type="error")
    assert room.urls == []


def test_what_came_already_is_not_fetched_again(room):
    room.share(URL, more=STANZA_ID)
    room.clock.advance(3600)
    room.share(URL, more=STANZA_ID)
    assert room.urls == [URL]


def test_a_correction_brings_only_what_it_adds(room):
    room.share(URL, id="m1")
    room.clock.advance(3600)
    new = "<x xmlns='jabber:x:oob'><url>https://files.example/new.pdf</url></x>"
    room.share(URL, more=f"<replace xmlns='urn:xmpp:message-correct:0' id='m1'/>{new}", id="m2")
    assert room.urls == [URL, "https://files.example/new.pdf"]


def test_a_correction_may_name_again_what_could_not_be_had(room):
    room.share(BAD, id="m1")
    room.share(BAD, more="<replace xmlns='urn:xmpp:message-correct:0' id='m1'/>", id="m2")
    assert room.urls == [BAD, BAD]


def test_a_file_that_is_described_first_and_attached_later_is_kept(room):
    described = (
        "<file-sharing xmlns='urn:xmpp:sfs:0' id='f1'><file xmlns='urn:xmpp:file:metadata:0'>"
        "<name>plan.pdf</name><size>1200</size></file></file-sharing>"
    )
    attached = (
        "<attach-to xmlns='urn:xmpp:message-attaching:1' id='m1'/>"
        "<sources xmlns='urn:xmpp:sfs:0' id='f1'>"
        f"<url-data xmlns='http://jabber.org/protocol/url-data' target='{URL}'/></sources>"
    )
    room.say("plan.pdf", more=described, id="m1")
    room.say("", more=attached, id="m2")
    assert room.urls == [URL]
    assert room.fetchers[ROOM].infos[0].size == 1200


@pytest.mark.parametrize(
    ("wire", "sender"), [(ClientWire, ""), (ComponentWire, f" from='{ComponentWire.me}'")]
)
@pytest.mark.parametrize("id_", ["", STANZA_ID])
def test_a_failure_is_told_as_a_reply_to_the_room(wire, sender, id_, tmp_path):
    room = Keeping(tmp_path, wire=wire).entered()
    (answer,) = room.share(BAD, more=id_)
    reply = f"<reply xmlns='urn:xmpp:reply:0' to='{ROOM}/alice' id='s1'/>" if id_ else ""
    assert canonical(answer) == canonical(
        f"<message{sender} to='{ROOM}' type='groupchat' id='{answer.get('id')}'>"
        f"<body>{FAILED}</body>{reply}</message>"
    )


def test_a_room_that_is_talked_to_hears_of_each_file_in_one_answer(tmp_path):
    room = Keeping(tmp_path, talk=True).entered()
    more = f"<x xmlns='jabber:x:oob'><url>{BAD}</url></x>"
    assert bodies(room.share(URL, more=more)) == [f"stored plan.pdf (1.2 kB)\n{FAILED}"]
    assert bodies(room.share(URL + "x")) == ["stored plan.pdfx (1.2 kB)"]


def test_too_many_files_of_one_message_are_told(room):
    more = "".join(
        f"<x xmlns='jabber:x:oob'><url>https://files.example/{name}.pdf</url></x>"
        for name in range(30)
    )
    room.say("all", more=more)
    assert len(room.urls) == 20
    assert bodies(room.end.sent()) == ["left out 10 files: send at most 20 in one message"]


def test_an_application_can_choose_the_texts(tmp_path):
    class German(ChatTexts):
        def failed(self, name, reason):
            return f"{name} fehlt"

    room = Keeping(tmp_path, texts=German()).entered()
    assert bodies(room.share(BAD)) == ["404 fehlt"]


def test_a_flood_of_failures_makes_us_fall_silent_with_one_line(room, log):
    def flood(seconds):
        answers = 0
        for _ in range(seconds):
            room.clock.advance(1)
            answers += len(room.share(f"https://files.example/{room.clock.seconds():.0f}"))
        return answers

    assert flood(int(MINUTE)) == ANSWERS
    assert flood(int(2 * MINUTE)) == 2 * ANSWERS
    assert lines(log) == [f"Too much to answer in {ROOM}: it hears {ANSWERS} answers a minute"]
    room.clock.advance(MINUTE)
    assert flood(int(MINUTE)) == ANSWERS
    assert len(lines(log)) == 2


def test_nothing_is_said_in_a_room_that_we_are_out_of(room):
    held = Deferred()
    room.fetchers[ROOM].fetch = lambda url, *, info=None: held
    assert room.share(URL) == []
    room.gone("110", "307")
    held.errback(OSError("disk"))
    assert room.end.sent() == []


def test_an_unexpected_error_is_told_and_logged(room, log):
    def fetch(url, *, info=None):
        raise OSError("the disk is on fire at /secret")

    room.fetchers[ROOM].fetch = fetch
    (answer,) = bodies(room.share(URL))
    assert answer.startswith("could not fetch plan.pdf: ")
    assert "/secret" not in answer
    [error] = log.failures()
    assert isinstance(error, OSError)


def test_all_of_a_room_have_one_share_and_wait_for_their_turn(room):
    held = []

    def fetch(url, *, info=None):
        held.append(Deferred())
        return held[-1]

    room.fetchers[ROOM].fetch = fetch
    for number in range(20):
        room.share(f"https://files.example/{number}.pdf", nick=f"person{number}")
    assert len(held) == 1
    assert room.end.sent() == []
    stopped = room.responder.fetches.stop()
    answers = bodies(room.end.sent())
    assert len(answers) == ANSWERS
    for answer in answers:
        assert answer.endswith(".pdf: the responder is stopping; try again later")
    room.clock.advance(0)
    assert stopped.called


def test_the_fetchers_of_rooms_stop_with_the_responder_and_start_with_it(room):
    fetcher, calls = room.fetchers[ROOM], []
    fetcher.stop = lambda: calls.append("stop")
    fetcher.start = lambda: calls.append("start")
    for _ in range(2):
        room.handler.stop()
        assert room.responder.fetches.stop().called
        room.handler.start()
        room.responder.fetches.start()
    assert calls == ["stop", "start"] * 2


def test_after_a_stop_nothing_is_taken_and_after_a_leave_nothing_heard(room):
    room.handler.stop()
    room.share(URL)
    assert room.is_in
    assert room.urls == []
    room.handler.leave()
    assert [sent.get("type") for sent in room.end.sent()] == ["unavailable"]
    room.handler.start()
    assert [sent.tag for sent in room.end.sent()] == ["presence"]
    room.present()
    room.share(URL)
    assert room.urls == [URL]


def test_leftovers_of_an_earlier_run_are_removed(tmp_path, log):
    room = Keeping(tmp_path, start=False)
    room.fetchers[ROOM] = FolderFetcher(tmp_path / ROOM)
    room.fetchers[ROOM].leftovers = 3
    room.handler.start()
    assert lines(log, "info") == [
        f"Removed 3 unfinished files of an earlier run from {tmp_path / ROOM}",
        f"Files of {ROOM} land in {tmp_path / ROOM}",
    ]


def test_a_folder_that_is_there_stays_as_it_is(tmp_path):
    (tmp_path / ROOM).mkdir(mode=0o750)
    Keeping(tmp_path)
    assert stat.S_IMODE((tmp_path / ROOM).stat().st_mode) == 0o750


@pytest.mark.parametrize("kind", ["file", "link", "dangling link"])
def test_something_else_in_the_place_of_a_folder_is_an_error_at_the_start(kind, tmp_path):
    place = tmp_path / ROOM
    if kind == "file":
        place.touch()
    else:
        (tmp_path / "elsewhere").mkdir()
        place.symlink_to(tmp_path / ("elsewhere" if kind == "link" else "nowhere"))
    with pytest.raises(NotADirectoryError, match=f"{ROOM} go to the folder {place}, but that is"):
        Keeping(tmp_path)


def test_a_parent_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        Keeping(tmp_path / "nowhere")


def test_names_of_folders_are_safe_and_never_the_same(tmp_path):
    odd = [
        "plans@rooms.example",
        "Plans@rooms.example",
        "a*b@rooms.example",
        "a|b@rooms.example",
        "a_b@rooms.example",
        "..@rooms.example",
        ".@rooms.example",
        "-rf@rooms.example",
        "rf@rooms.example",
        r"c\5cd@rooms.example",
        r"e\5cd@rooms.example",
        "пла́ны@rooms.example",
        f"{'x' * 250}@rooms.example",
        f"{'x' * 251}@rooms.example",
        f"{'я' * 500}@rooms.example",
        f"{'я' * 501}@rooms.example",
        "con@rooms.example",
    ]
    rooms = {parse_jid(room).full(): folder_name(parse_jid(room), tmp_path) for room in odd}
    assert rooms["plans@rooms.example"] == "plans@rooms.example"
    assert rooms[r"c\5cd@rooms.example"].startswith("c_5cd@rooms.example (")
    assert len(rooms) == len(odd) - 1
    names = sorted(rooms.values())
    for one, other in pairwise(names):
        assert one != other
    for name in names:
        assert len(name.encode()) < 256
        assert name[0] not in ".-"
        assert "/" not in name


_LETTERS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zs"]), min_size=1)


@given(st.lists(_LETTERS, min_size=2, max_size=2))
def test_two_rooms_never_share_a_folder(locals_):
    try:
        one, other = (parse_jid(f"{local}@rooms.example") for local in locals_)
    except ValueError:
        return
    names = [folder_name(room, Path.cwd()) for room in (one, other)]
    assert (names[0] == names[1]) == (one.full() == other.full())


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"rooms": None}, TypeError, "rooms"),
        ({"rooms": [("rooms.example", NICK)]}, ValueError, "not the JID of a room"),
        ({"folder": "rooms"}, TypeError, "folder"),
        ({"make_fetcher": None}, TypeError, "make_fetcher"),
        ({"talk": "yes"}, TypeError, "talk"),
        ({"texts": "English"}, TypeError, "texts"),
        ({"responder": None}, TypeError, "responder"),
        ({"pause": 0}, ValueError, "pause"),
    ],
)
def test_wrong_arguments_are_named_at_once(options, error, text, tmp_path):
    responder = OOBResponder(FolderFetcher(tmp_path), allow_from=[], reactor=Clock())
    given_ = {
        "responder": responder,
        "rooms": [(JID(ROOM), NICK)],
        "folder": tmp_path,
        "make_fetcher": FolderFetcher,
    } | options
    with pytest.raises(error, match=text):
        RoomFrontend(**given_)

"""Which messages have come already."""

from __future__ import annotations

from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.words.protocols.jabber.jid import JID

from tests.support.written import BOT, FRIEND, OCCUPANT, ROOM, attached, body, file, sfs, written, x
from twisted_oob import FileInfo
from twisted_oob.protocol.seen import MOST_OF_A_SENDER, Seen

OWN = "bot@example.org"
URL = "https://h.example/a.pdf"
OTHER = "https://h.example/b.pdf"
DAY = 86400


def origin(id_):
    return f"<origin-id xmlns='urn:xmpp:sid:0' id='{id_}'/>"


def by(server, id_):
    return f"<stanza-id xmlns='urn:xmpp:sid:0' by='{server}' id='{id_}'/>"


def replaces(id_):
    return f"<replace xmlns='urn:xmpp:message-correct:0' id='{id_}'/>"


_ids = count()


def said(*children, text="hello", **attributes):
    """Give a message with a new id."""
    return written(body(text), *children, **{"id_": f"n{next(_ids)}", **attributes})


def friend(resource):
    return f"friend@example.net/{resource}"


SAME = {
    "the same stanza": (said(id_="1"), said(id_="1")),
    "the same from another resource": (said(id_="1"), said(id_="1", from_=friend("new"))),
    "the same origin-id": (said(origin("1")), said(origin("1"))),
    "the same origin-id, delayed": (
        said(origin("1")),
        said(origin("1"), "<delay xmlns='urn:xmpp:delay' stamp='2026-11-26T06:00:00Z'/>"),
    ),
    "the same origin-id, archived twice": (
        said(origin("1"), by(OWN, "a")),
        said(origin("1"), by(OWN, "b")),
    ),
    "the same stanza, archived twice": (said(by(OWN, "a"), id_="1"), said(by(OWN, "b"), id_="1")),
    "the same id of our account's archive": (said(by(OWN, "a")), said(by(OWN, "a"))),
    "the same id of our server": (said(by("example.org", "a")), said(by("example.org", "a"))),
    "the same id of the room": (
        said(by(ROOM, "a"), from_=OCCUPANT, type="groupchat"),
        said(by(ROOM, "a"), from_=OCCUPANT, type="groupchat"),
    ),
}
NEW = {
    "another id": (said(), said()),
    "no id": (said(id_=None), said(id_=None)),
    "the same id with another content": (said(id_="1"), said(id_="1", text="bye")),
    "the same id with another file": (said(x(URL), id_="1"), said(x(OTHER), id_="1")),
    "the same id with another origin-id": (said(origin("1"), id_="1"), said(origin("2"), id_="1")),
    "the origin-id of somebody else": (
        said(origin("1")),
        said(origin("1"), from_="anna@example.net/x"),
    ),
    "the id of somebody else": (said(id_="1"), said(id_="1", from_="anna@example.net/x")),
    "the stanza-id of somebody else's server": (
        said(by("example.net", "a")),
        said(by("example.net", "a")),
    ),
    "the stanza-id of another account": (
        said(by("anna@example.org", "a")),
        said(by("anna@example.org", "a")),
    ),
    "the id of a room, not from that": (said(by(ROOM, "a")), said(by(ROOM, "a"))),
    "the origin-id of another occupant": (
        said(origin("1"), from_=OCCUPANT, type="groupchat"),
        said(origin("1"), from_=f"{ROOM}/Bob", type="groupchat"),
    ),
    "a correction of another message": (
        said(replaces("a"), id_="1"),
        said(replaces("b"), id_="1"),
    ),
    "the same, in a room and out of it": (
        said(id_="1", from_=OCCUPANT, type="groupchat"),
        said(id_="1", from_=f"{ROOM}/Bob"),
    ),
}


@pytest.mark.parametrize(("first", "second"), SAME.values(), ids=SAME)
def test_what_has_come_before(first, second):
    seen = Seen(Clock())
    assert seen.is_new(first)
    assert not seen.is_new(second)
    assert not seen.is_new(first)


@pytest.mark.parametrize(("first", "second"), NEW.values(), ids=NEW)
def test_what_is_new(first, second):
    seen = Seen(Clock())
    assert seen.is_new(first)
    assert seen.is_new(second)


def test_our_own_address_may_be_told():
    """If a stanza does not say to whom it came, or to a name that is not the stream's."""
    for to in (None, "example.com"):
        seen = Seen(Clock())
        assert seen.is_new(said(by(OWN, "a"), to=to), JID(BOT))
        assert not seen.is_new(said(by(OWN, "a"), to=to), JID(BOT))


@pytest.mark.parametrize(
    ("make", "lifetime"),
    [
        (lambda: said(origin("1")), DAY),
        (lambda: said(by(OWN, "1")), DAY),
        (lambda: said(id_="1"), 600),
    ],
    ids=["origin-id", "stanza-id", "id"],
)
def test_it_is_remembered_for_a_while(make, lifetime):
    clock = Clock()
    seen = Seen(clock)
    assert seen.is_new(make())
    clock.advance(lifetime - 1)
    assert not seen.is_new(make())
    # What came in between makes it no longer.
    clock.advance(1)
    assert seen.is_new(make())
    clock.advance(2 * DAY)
    seen.is_new(said(id_=None))
    assert len(seen) == 0


def test_what_comes_again_keeps_nothing_older_in_memory():
    clock = Clock()
    seen = Seen(clock)
    seen.is_new(said(id_="1"))
    clock.advance(300)
    seen.is_new(said(id_="2"))
    clock.advance(300)
    assert seen.is_new(said(id_="1"))
    clock.advance(300)
    seen.is_new(said(id_=None))
    assert len(seen) == 1


def names(files):
    return [file.url for file in files]


def test_a_correction_names_again_what_the_first_message_named():
    seen = Seen(Clock())
    assert names(seen.new_files(said(x(URL), id_="1"))) == [URL]
    again = said(x("HTTPS://h.example:443/a.pdf"), x(OTHER), replaces("1"))
    assert names(seen.new_files(again)) == [OTHER]
    # Each correction refers to the first message (XEP-0308 section 4).
    assert seen.new_files(said(x(URL), x(OTHER), replaces("1"))) == ()
    # It is no correction: its sender wants it again.
    assert names(seen.new_files(said(x(URL)))) == [URL]


def test_a_correction_of_a_message_that_nobody_has_seen_is_new():
    seen = Seen(Clock())
    seen.new_files(said(x(URL), id_="1"))
    assert names(seen.new_files(said(x(URL), replaces("2")))) == [URL]
    assert names(seen.new_files(said(x(URL), replaces("1"), from_="anna@example.net"))) == [URL]
    assert names(seen.new_files(said(x(OTHER), replaces("1")))) == [OTHER]


def test_the_files_of_a_message_are_remembered_for_a_day():
    clock = Clock()
    seen = Seen(clock)
    seen.new_files(said(x(URL), id_="1"))
    clock.advance(DAY - 1)
    assert seen.new_files(said(x(URL), replaces("1"))) == ()
    clock.advance(1)
    assert names(seen.new_files(said(x(URL), replaces("1")))) == [URL]


def test_a_message_without_files_or_without_an_id_has_nothing_to_remember():
    seen = Seen(Clock())
    assert seen.new_files(said()) == ()
    assert names(seen.new_files(said(x(URL), id_=None))) == [URL]
    assert len(seen) == 0


def described(name):
    return file(f"<name>{name}</name>")


def shared(*children, **attributes):
    return written(*children, **{"id_": f"n{next(_ids)}", **attributes})


def test_sources_that_are_attached_are_of_the_file_that_was_described():
    seen = Seen(Clock())
    assert seen.new_files(shared(sfs(described=described("a.pdf")), id_="1")) == ()
    message = shared(attached(URL, to="1"), x(URL))
    (file,) = seen.new_files(message)
    assert (file.url, file.info) == (URL, FileInfo("a.pdf"))
    # Another source of it, of which there is only need if the first one was of no use.
    assert seen.new_files(shared(attached(OTHER, to="1"))) == ()
    seen.forget(seen.traces(message, file))
    (file,) = seen.new_files(shared(attached(OTHER, to="1")))
    assert (file.url, file.info) == (OTHER, FileInfo("a.pdf"))


def test_of_several_files_each_has_its_own_sources():
    seen = Seen(Clock())
    first = sfs(described=described("a.pdf"), named="a")
    second = sfs(described=described("b.pdf"), named="b")
    seen.new_files(shared(first, second, id_="1"))
    (file,) = seen.new_files(shared(attached(OTHER, to="1", named="b")))
    assert file.info == FileInfo("b.pdf")
    (file,) = seen.new_files(shared(attached(URL, to="1")))
    assert file.info == FileInfo("a.pdf")


@pytest.mark.parametrize(
    ("attributes", "to"),
    [({"from_": "anna@example.net/x"}, "1"), ({}, "2"), ({"id_": None}, "1")],
    ids=["of somebody else", "to another message", "to nothing"],
)
def test_sources_that_belong_to_nothing_are_a_file_of_which_nothing_is_known(attributes, to):
    seen = Seen(Clock())
    id_ = attributes.pop("id_", "1")
    seen.new_files(shared(sfs(described=described("a.pdf")), id_=id_))
    (file,) = seen.new_files(shared(attached(URL, to=to), **attributes))
    assert (file.url, file.info) == (URL, None)


def test_another_source_of_a_file_that_had_one_is_no_other_file():
    seen = Seen(Clock())
    first = shared(sfs(URL, described=described("a.pdf")), id_="1")
    (file,) = seen.new_files(first)
    assert seen.new_files(shared(attached(OTHER, to="1"))) == ()
    assert names(seen.new_files(shared(attached(OTHER, to="1"), x(URL)))) == [URL]
    seen.forget(seen.traces(first, file))
    assert names(seen.new_files(shared(attached(OTHER, to="1")))) == [OTHER]


def test_what_could_not_be_had_is_tried_again_if_a_correction_names_it_again():
    seen = Seen(Clock())
    first = said(x(URL), x(OTHER), id_="1")
    files = seen.new_files(first)
    remembered = len(seen)
    for _ in range(2):
        seen.forget(seen.traces(first, files[0]))
        assert len(seen) == remembered - 2
    assert names(seen.new_files(said(x(URL), x(OTHER), replaces("1")))) == [URL]
    seen.forget(seen.traces(said(x(URL), from_="anna@example.net/x"), files[0]))
    seen.forget(seen.traces(said(x(URL), id_=None), files[0]))


def test_one_sender_pushes_out_only_its_own():
    seen = Seen(Clock())
    seen.is_new(said(id_="1"))
    seen.is_new(said(id_="1", from_="loud@example.net"))
    for _ in range(MOST_OF_A_SENDER):
        seen.is_new(said(origin(next(_ids)), from_="loud@example.net"))
    assert len(seen) == 1 + MOST_OF_A_SENDER
    assert not seen.is_new(said(id_="1"))
    assert seen.is_new(said(id_="1", from_="loud@example.net"))


def test_many_files_push_out_those_that_came_first():
    seen = Seen(Clock())
    for number in range(MOST_OF_A_SENDER):
        seen.new_files(said(x(URL), x(OTHER), id_=f"{number}"))
    assert len(seen) == MOST_OF_A_SENDER


def test_many_senders_push_out_those_who_have_been_silent(monkeypatch):
    monkeypatch.setattr("twisted_oob.protocol.seen.MOST_SENDERS", 20)
    seen = Seen(Clock())
    for number in range(20):
        seen.is_new(said(id_="1", from_=f"a{number}@example.net"))
    assert not seen.is_new(said(id_="1", from_="a0@example.net"))
    seen.is_new(said(id_="1", from_="new@example.net"))
    assert len(seen) == 20
    assert not seen.is_new(said(id_="1", from_="a0@example.net"))
    assert seen.is_new(said(id_="1", from_="a1@example.net"))


def test_in_all_the_loudest_forgets_first(monkeypatch):
    monkeypatch.setattr("twisted_oob.protocol.seen.MOST_IN_ALL", 30)
    seen = Seen(Clock())
    for number in range(5):
        seen.is_new(said(id_="1", from_=f"a{number}@example.net"))
    for number in range(20):
        seen.is_new(said(id_=f"{number}", from_="loud@example.net"))
    for number in range(5, 20):
        seen.is_new(said(id_="1", from_=f"a{number}@example.net"))
        assert len(seen) <= 30
    assert not any(
        seen.is_new(said(id_="1", from_=f"a{number}@example.net")) for number in range(20)
    )


def test_a_clock_is_needed():
    with pytest.raises(TypeError, match="clock"):
        Seen(None)


@settings(deadline=None, max_examples=50)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([FRIEND, "anna@example.net/x"]),
            st.sampled_from(["1", "2"]),
            st.sampled_from([(), (origin("o"),), (origin("p"), by(OWN, "1"))]),
            st.sampled_from(["hello", URL]),
            st.floats(0, DAY),
        ),
        max_size=30,
    )
)
def test_whatever_comes_is_forgotten_in_the_end(steps):
    clock = Clock()
    seen = Seen(clock)
    for sender, id_, children, text, pause in steps:
        clock.advance(pause)
        message = said(*children, text=text, id_=id_, from_=sender)
        seen.is_new(message)
        assert not seen.is_new(message)
        seen.new_files(message)
        assert len(seen) > 0
    clock.advance(2 * DAY)
    for sender in (FRIEND, "anna@example.net/x"):
        seen.is_new(said(id_=None, from_=sender))
    assert len(seen) == 0

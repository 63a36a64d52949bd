"""What a Receiver asks, tells and answers: XMPP in memory, transfers that end as the test says."""

from __future__ import annotations

import pytest
from twisted.internet.defer import fail
from twisted.internet.error import ConnectionLost
from twisted.words.protocols.jabber.error import StanzaError
from twisted.words.protocols.jabber.jid import JID

from tests.support.receiving import DOMAIN, ME, PEER, URL, Receiving, arrive, condition
from tests.support.scripted import fetched
from tests.support.streams import logged, outcome
from twisted_oob import FetchFailed, NoRoom, Rejected, TooLarge, TryLater
from twisted_oob.transfer.arrivals import MESSAGE, OFFER, Failed, Received
from twisted_oob.transfer.receiver import Receiver

KINDS = [OFFER, MESSAGE]


# --- from the question to the answer


def test_an_offer_is_answered_when_its_file_is_there():
    given = Receiving()
    answer = given.peer.offer(URL, "A picture")
    [(arrival, question)] = given.asked
    assert (arrival.url, arrival.desc, arrival.kind) == (URL, "A picture", OFFER)
    assert (arrival.sender, arrival.info) == (JID(PEER), None)
    assert given.fetcher.urls == []
    question.callback(True)
    assert given.fetcher.urls == [URL]
    given.clock.advance(3)
    assert not answer.called
    given.transfer().callback(fetched())
    assert outcome(answer) is None
    assert given.told == [Received(arrival, fetched(), 3.0)]


def test_a_file_in_a_message_is_taken_likewise_and_nothing_is_answered():
    given = Receiving()
    given.message()
    [(arrival, question)] = given.asked
    assert (arrival.url, arrival.desc, arrival.kind) == (URL, None, MESSAGE)
    assert arrival.sender == JID(PEER)
    question.callback(True)
    given.transfer().callback(fetched())
    assert given.told == [Received(arrival, fetched(), 0.0)]
    assert given.end.sent() == []


def test_it_is_told_before_it_is_answered():
    given = Receiving(decision=True, tell=lambda _: seen.append(list(given.end.sent())))
    seen = []
    answer = given.peer.offer(URL)
    given.transfer().callback(fetched())
    assert seen == [[]]
    assert outcome(answer) is None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("decision", "expected", "why"),
    [
        (False, "not-acceptable", "the recipient does not want the file"),
        (Rejected("not today"), "not-acceptable", "not today"),
        (StanzaError("forbidden", text="not you"), "forbidden", "not you"),
        (StanzaError("forbidden"), "forbidden", "forbidden"),
    ],
)
def test_what_is_not_accepted_is_not_fetched(kind, decision, expected, why):
    given = Receiving()
    answer = arrive(given, kind)
    [(arrival, question)] = given.asked
    (question.callback if decision is False else question.errback)(decision)
    assert given.fetcher.urls == []
    assert given.told == [Failed(arrival, expected, why, 0.0)]
    if kind == OFFER:
        assert condition(answer) == expected
    else:
        assert given.end.sent() == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("error", "expected", "why"),
    [
        (FetchFailed("HTTP status 404"), "item-not-found", "HTTP status 404"),
        (
            FetchFailed("not the file that was offered", detail="5 bytes came"),
            "item-not-found",
            "not the file that was offered: 5 bytes came",
        ),
        (TooLarge("the file is larger than 5 bytes"), "not-acceptable", "the file is larger than"),
        (NoRoom("no room", detail="quota"), "resource-constraint", "no room: quota"),
        (TryLater("later", detail="HTTP 503"), "resource-constraint", "later: HTTP 503"),
    ],
)
def test_a_fetch_that_fails_is_told_with_its_detail_and_answered_without(
    kind, error, expected, why
):
    given = Receiving(decision=True)
    answer = arrive(given, kind)
    given.clock.advance(2)
    given.transfer().errback(error)
    [told] = given.told
    assert (told.condition, told.seconds) == (expected, 2.0)
    assert told.text.startswith(why)
    if kind == OFFER:
        answered = outcome(answer).error
        assert (answered.condition, answered.text) == (expected, error.text)
        assert answered.type == error.type


# --- mistakes


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "accept",
    [lambda _: 1 / 0, lambda _: fail(ZeroDivisionError()), lambda _: True, lambda _: None],
    ids=["raises", "fails", "no awaitable", "None"],
)
def test_an_error_of_accept_is_logged_and_an_internal_server_error(kind, accept):
    given = Receiving(accept=accept)
    with logged() as events:
        answer = arrive(given, kind)
        assert len(events.failures()) == 1
    assert given.conditions() == ["internal-server-error"]
    assert kind == MESSAGE or condition(answer) == "internal-server-error"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("decision", [True, False])
def test_an_error_of_tell_is_logged_and_an_internal_server_error(kind, decision):
    given = Receiving(decision=decision, tell=lambda _: 1 / 0)
    with logged() as events:
        answer = arrive(given, kind)
        if decision:
            given.transfer().callback(fetched())
        assert [type(error) for error in events.failures()] == [ZeroDivisionError]
    assert kind == MESSAGE or condition(answer) == "internal-server-error"
    assert outcome(given.receiver.stopService()) is None


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (PermissionError(13, "Permission denied", "/a/file"), "Permission denied"),
        (ZeroDivisionError("x"), "unexpected error: ZeroDivisionError"),
    ],
)
@pytest.mark.parametrize("at_once", [True, False])
def test_an_unexpected_error_of_the_fetcher_is_logged_and_told(error, why, at_once):
    given = Receiving(decision=True)
    with logged() as events:
        given.fetcher.outcome = error if at_once else None
        answer = given.peer.offer(URL)
        if not at_once:
            given.transfer().errback(error)
        assert len(events.failures()) == 1
    assert condition(answer) == "internal-server-error"
    assert (given.told[0].condition, given.told[0].text) == ("internal-server-error", why)
    # Its turn went to others.
    given.fetcher.outcome = None
    for number in range(5):
        given.peer.offer(f"{URL}?{number}")
    assert len(given.fetcher.urls) == 5


# --- which messages


@pytest.mark.parametrize("kind", [None, "chat", "normal"])
def test_messages_from_one_person_are_taken(kind):
    given = Receiving()
    given.message(type=kind)
    assert len(given.asked) == 1


@pytest.mark.parametrize("kind", ["error", "groupchat", "headline"])
def test_other_messages_are_not(kind):
    given = Receiving()
    given.message(type=kind)
    assert given.asked == []


def test_presence_is_not():
    given = Receiving()
    given.end.receive(
        f"<presence from='{PEER}'><x xmlns='jabber:x:oob'><url>{URL}</url></x></presence>"
    )
    assert given.asked == []


@pytest.mark.parametrize(
    ("me", "sender", "asked"),
    [
        (ME, ME, 0),
        (ME, "me@example.org", 0),
        (ME, "me@example.org/phone", 1),
        (ME, "example.org", 1),
        (ME, None, 1),
        (DOMAIN, DOMAIN, 0),
        (DOMAIN, f"somebody@{DOMAIN}/x", 0),
        (DOMAIN, PEER, 1),
    ],
)
def test_what_is_our_own_is_not_taken(me, sender, asked):
    given = Receiving(me=me)
    given.message(sender=sender)
    assert len(given.asked) == asked


@pytest.mark.parametrize(("name", "asked"), [("received", 0), ("sent", 0), ("private", 1)])
def test_carbons_are_not_taken(name, asked):
    given = Receiving()
    given.message(children=[("urn:xmpp:carbons:2", name)])
    assert len(given.asked) == asked


@pytest.mark.parametrize(
    "child", [("urn:xmpp:forward:0", "forwarded"), ("urn:xmpp:mam:2", "result")]
)
def test_other_copies_of_messages_are_not_taken(child):
    given = Receiving()
    given.message(children=[child])
    assert given.asked == []


# --- one file, named in two ways


def test_a_message_with_the_url_of_an_offer_is_not_a_second_file():
    given = Receiving()
    given.peer.offer(URL)
    given.message()  # it is asked about
    [(_, question)] = given.asked
    question.callback(True)
    given.message()  # it is fetched
    given.transfer().callback(fetched())
    given.message()  # it is there
    given.clock.advance(60)
    given.message()
    assert len(given.asked) == 1
    given.clock.advance(0.5)
    given.message()
    assert len(given.asked) == 2


def test_a_message_that_comes_twice_is_one_file_until_that_is_received():
    given = Receiving(decision=True)
    given.message()
    given.message()
    assert len(given.asked) == 1
    given.transfer().callback(fetched())
    given.message()
    assert len(given.asked) == 2


@pytest.mark.parametrize("error", [FetchFailed("gone"), Rejected("no")])
def test_after_an_offer_that_failed_a_message_is_another_chance(error):
    given = Receiving(decision=True)
    given.peer.offer(URL)
    given.transfer().errback(error)
    given.message()
    assert len(given.asked) == 2


def test_the_same_url_from_somebody_else_is_another_file():
    given = Receiving()
    given.peer.offer(URL)
    given.message(sender="romeo@example.net/orchard")
    given.message(sender="juliet@example.com/chamber")  # the same person
    assert len(given.asked) == 2


def test_an_offer_is_always_taken_as_it_needs_an_answer():
    given = Receiving()
    given.message()
    given.peer.offer(URL)
    given.peer.offer(URL)
    assert len(given.asked) == 3


# --- the stream


@pytest.mark.parametrize("me", [ME, DOMAIN])
def test_it_announces_what_it_takes(me):
    given = Receiving(me=me)
    given.end.receive(
        f"<iq type='get' id='d1' from='{PEER}' to='{me}'>"
        "<query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
    )
    [answer] = given.end.sent()
    names = {feature.getAttribute("var") for feature in answer.query.elements()}
    assert {"jabber:iq:oob", "jabber:x:oob"} <= names
    [identity] = answer.query.elements(answer.query.uri, "identity")
    assert identity["name"] == "Out of Band receiver"


def test_a_question_may_take_a_day():
    given = Receiving()
    answer = given.peer.offer(URL)
    given.clock.advance(86400)
    given.asked[0][1].callback(True)
    given.transfer().callback(fetched())
    assert outcome(answer) is None


def test_who_offers_and_leaves_is_received_all_the_same():
    given = Receiving(decision=True)
    answer = given.peer.offer(URL)
    given.peer.end.lose()
    assert isinstance(outcome(answer), ConnectionLost)
    given.transfer().callback(fetched())
    assert given.conditions() == ["received"]


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("fetcher", None, TypeError),
        ("accept", None, TypeError),
        ("tell", "print", TypeError),
        ("on_progress", "print", TypeError),
        ("reactor", None, TypeError),
        ("most_open", "16", TypeError),
        ("most_open", 0, ValueError),
    ],
)
def test_wrong_arguments_are_named(name, value, error):
    given = Receiving()
    arguments = {
        "fetcher": given.fetcher,
        "accept": given.accept,
        "tell": print,
        "reactor": given.clock,
    }
    with pytest.raises(error, match=name):
        Receiver(**(arguments | {name: value}))


@pytest.mark.parametrize(("name", "value"), [("manager", None), ("identity", "client/bot")])
def test_wrong_arguments_of_attach_are_named_and_no_handler_joins(name, value):
    given = Receiving()
    end = given.server.client("other@example.org/x")
    with pytest.raises(TypeError, match=name):
        given.receiver.attach(**({"manager": end} | {name: value}))
    assert list(end) == []

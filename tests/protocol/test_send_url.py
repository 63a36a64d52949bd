"""send_url: what is sent, whose answer counts, and what it fires with (RFC 6120 8.1.2.1)."""

from __future__ import annotations

import re

import pytest
from twisted.words.protocols.jabber.error import StanzaError
from twisted.words.protocols.jabber.jid import JID

from tests.support.streams import (
    COMPONENT,
    ME,
    PEER,
    URL,
    ClientWire,
    ComponentWire,
    canonical,
    clock_of,
    connected,
    outcome,
    query,
    stanza,
)
from twisted_oob import ErrorCondition

from wokkel.generic import FallbackHandler  # isort: skip

pytestmark = pytest.mark.usefixtures("log")

STANZAS = "xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'"
ITEM_NOT_FOUND = f"<error type='cancel'><item-not-found {STANZAS}/></error>"


# What is sent


def test_request_is_that_of_the_standard():
    handler, wire = connected()
    handler.send_url(PEER, URL)
    sent = wire.sent_one()
    assert canonical(sent) == canonical(
        stanza("iq", query(), type="set", id=sent.get("id"), to=PEER)
    )


def test_request_carries_desc_and_sid():
    handler, wire = connected()
    handler.send_url(JID(PEER), URL + "?a=1&b=2", "A <cat> & \u00e9", sid="s1")
    sent = wire.sent_one()
    payload = query(URL + "?a=1&amp;b=2", "A &lt;cat&gt; &amp; \u00e9").replace(
        "<query", "<query sid='s1'"
    )
    assert canonical(sent) == canonical(
        stanza("iq", payload, type="set", id=sent.get("id"), to=PEER)
    )


def test_component_names_itself_and_client_does_not():
    for wire_class, from_ in [(ComponentWire, COMPONENT), (ClientWire, None)]:
        handler, wire = connected(wire=wire_class)
        handler.send_url(PEER, URL)
        assert wire.sent_one().get("from") == from_


@pytest.mark.parametrize("sender", ["alice@" + COMPONENT, JID("alice@" + COMPONENT)])
def test_component_sends_from_the_given_address(sender):
    handler, wire = connected(wire=ComponentWire)
    answer = handler.send_url(PEER, URL, sender=sender)
    sent = wire.sent_one()
    assert sent.get("from") == "alice@" + COMPONENT
    wire.answer(sent, to="alice@" + COMPONENT)
    assert outcome(answer) is None


def test_ids_are_unique_and_cannot_be_guessed():
    handler, wire = connected()
    for _ in range(300):
        handler.send_url(PEER, URL)
    ids = [sent.get("id") for sent in wire.sent()]
    assert len(set(ids)) == 300
    # 16 characters of 64 are 96 bits; were they counted up, ids would share their beginnings.
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{16,}", id_) for id_ in ids)
    assert len({id_[:3] for id_ in ids}) > 250
    assert len({id_[-3:] for id_ in ids}) > 250


# What is not sent


@pytest.mark.parametrize(
    ("arguments", "kind", "told"),
    [
        ({"url": "files.example"}, ValueError, "scheme"),
        ({"url": ""}, ValueError, "blank"),
        ({"url": URL + "\x7f"}, ValueError, "U\\+007F"),
        ({"url": None}, TypeError, "^url must be a str, not NoneType"),
        ({"url": URL.encode()}, TypeError, "^url must be a str, not bytes"),
        ({"desc": "\x00"}, ValueError, "desc"),
        ({"desc": 1}, TypeError, "^desc must be a str, not int"),
        ({"sid": "\x00"}, ValueError, "sid"),
        ({"sid": b"s1"}, TypeError, "^sid must be a str, not bytes"),
        ({"recipient": ""}, ValueError, "JID"),
        ({"recipient": "a@"}, ValueError, "JID"),
        ({"recipient": "a..b"}, ValueError, "JID"),
        ({"recipient": None}, TypeError, "^recipient must be a JID or a str, not NoneType"),
        ({"recipient": PEER.encode()}, TypeError, "^recipient must be .*, not bytes"),
        ({"sender": "a@"}, ValueError, "JID"),
        ({"sender": 1}, TypeError, "^sender must be a JID, a str or None, not int"),
        ({"timeout": 0}, ValueError, "^timeout "),
        ({"timeout": -1}, ValueError, "^timeout "),
        ({"timeout": float("nan")}, ValueError, "^timeout "),
        ({"timeout": "5"}, TypeError, "^timeout must be a number of seconds or None, not str"),
        ({"timeout": True}, TypeError, "^timeout .* not bool"),
    ],
)
@pytest.mark.parametrize("online", [True, False])
def test_invalid_argument_fails_and_sends_nothing(arguments, kind, told, online):
    handler, wire = connected()
    if not online:
        wire.lose()
    result = outcome(handler.send_url(**({"recipient": PEER, "url": URL} | arguments)))
    assert isinstance(result, kind)
    assert isinstance(result, ValueError)
    assert re.search(told, str(result))
    if not online:
        wire.open()
    assert wire.sent() == []
    assert clock_of(handler).getDelayedCalls() == []


def test_a_url_as_people_write_it_is_sent_as_its_uri():
    handler, wire = connected()
    handler.send_url(PEER, " https://b\u00fccher.example/a b|[1].png\n")
    uri = "https://xn--bcher-kva.example/a%20b%7C%5B1%5D.png"
    assert wire.sent_one().findtext("*/{jabber:iq:oob}url") == uri


# Answers


def test_result_means_the_peer_has_the_file():
    handler, wire = connected()
    answer = handler.send_url(PEER, URL)
    assert not answer.called
    wire.answer(wire.sent_one())
    assert outcome(answer) is None
    assert clock_of(handler).getDelayedCalls() == []


@pytest.mark.parametrize(
    ("error", "equal_to", "condition", "type_", "text"),
    [
        (ITEM_NOT_FOUND, "not-found", "item-not-found", "cancel", None),
        (
            ITEM_NOT_FOUND.replace("</error>", f"<text {STANZAS}>gone \u00e9</text></error>"),
            "not-found",
            "item-not-found",
            "cancel",
            "gone \u00e9",
        ),
        (
            f"<error type='modify'><not-acceptable {STANZAS}/><text {STANZAS}>no</text></error>",
            "reject",
            "not-acceptable",
            "modify",
            "no",
        ),
        (
            f"<error type='cancel'><service-unavailable {STANZAS}/></error>",
            "unavailable",
            "service-unavailable",
            "cancel",
            None,
        ),
        (
            f"<error type='wait'><resource-constraint {STANZAS}/><mine xmlns='urn:x'/></error>",
            "wait",
            "resource-constraint",
            "wait",
            None,
        ),
        (
            f"<error type='wait'><item-not-found {STANZAS}/></error>",
            "not-found",
            "item-not-found",
            "wait",
            None,
        ),
        (
            f"<error type='auth'><of-tomorrow {STANZAS}/></error>",
            "reject",
            "of-tomorrow",
            "auth",
            None,
        ),
        ("<error code='404'>Not Found</error>", "not-found", "item-not-found", "cancel", None),
        ("<error code='406'/>", "reject", "not-acceptable", "modify", None),
        ("<error code='999'/>", "reject", "undefined-condition", "cancel", None),
        ("<error code='x' type='wait'/>", "wait", "undefined-condition", "wait", None),
        ("<error/>", "reject", "undefined-condition", "cancel", None),
        (
            f"<error type='wait'><text {STANZAS}>busy</text></error>",
            "wait",
            "undefined-condition",
            "wait",
            "busy",
        ),
        (
            "<error type='modify'><item-not-found xmlns='urn:other'/></error>",
            "reject",
            "undefined-condition",
            "modify",
            None,
        ),
        (query(), "reject", "undefined-condition", "cancel", None),
        (query() + ITEM_NOT_FOUND, "not-found", "item-not-found", "cancel", None),
    ],
)
def test_error_fires_with_its_condition(error, equal_to, condition, type_, text):
    handler, wire = connected()
    answer = handler.send_url(PEER, URL)
    wire.answer(wire.sent_one(), error)
    result = outcome(answer)
    assert isinstance(result, ErrorCondition)
    assert isinstance(result, str)
    assert result == equal_to
    assert isinstance(result.error, StanzaError)
    assert (result.error.condition, result.error.type) == (condition, type_)
    if "code='4" not in error:
        assert result.error.text == text


def test_error_without_a_child_is_an_answer():
    handler, wire = connected()
    answer = handler.send_url(PEER, URL)
    wire.answer(wire.sent_one(), type="error")
    assert outcome(answer) == "reject"


BARE = JID(ME).userhost()
DOMAIN = JID(ME).host
OTHERS = [PEER, "evil@evil.example", BARE + "/other", "other@" + DOMAIN, "far.example", "", "a..b"]


@pytest.mark.parametrize(
    ("asked", "answerers"),
    [
        (PEER, [PEER, "PEER@Far.Example/phone", "peer@far\u3002example/phone"]),
        ("peer@far.example", ["peer@far.example", "Peer@FAR.example"]),
        ("far.example", ["far.example", "FAR.EXAMPLE"]),
        ("stra\u00dfe@far.example/\u00e9", ["strasse@far.example/e\u0301"]),
        (BARE, [None, BARE, BARE.upper(), ME, DOMAIN, DOMAIN.upper()]),
        (ME, [ME]),
        (BARE + "/other", [BARE + "/other"]),
        (DOMAIN, [DOMAIN]),
    ],
)
def test_answer_counts_from_the_one_who_was_asked(asked, answerers):
    for answerer in answerers:
        handler, wire = connected()
        answer = handler.send_url(asked, URL)
        wire.answer(wire.sent_one(), from_=answerer)
        assert outcome(answer) is None


@pytest.mark.parametrize(
    ("asked", "strangers"),
    [
        (
            PEER,
            [
                None,
                "",
                "peer@far.example",
                "peer@far.example/Phone",
                "peer@far.example/other",
                "evil@far.example/phone",
                "peer@evil.example/phone",
                "far.example",
                "far.example/phone",
                ME,
                BARE,
                DOMAIN,
                "a..b",
                "@",
            ],
        ),
        ("peer@far.example", [None, PEER, "far.example", ME, BARE, DOMAIN]),
        ("far.example", [None, "peer@far.example", "sub.far.example", "example", DOMAIN]),
        (BARE, OTHERS),
        (ME, [None, BARE, DOMAIN, *OTHERS]),
        (BARE + "/desk2", [None, ME, BARE, DOMAIN]),
        (DOMAIN, [None, ME, BARE, "other@" + DOMAIN]),
    ],
)
def test_answer_of_anyone_else_is_ignored_and_the_request_stays(asked, strangers):
    handler, wire = connected()
    answer = handler.send_url(asked, URL)
    sent = wire.sent_one()
    for stranger in strangers:
        wire.answer(sent, from_=stranger)
        wire.answer(sent, ITEM_NOT_FOUND, from_=stranger)
    assert not answer.called
    assert wire.sent() == []
    wire.answer(sent)
    assert outcome(answer) is None


def test_component_counts_answers_to_the_address_it_sent_from():
    alice = "alice@" + COMPONENT
    handler, wire = connected(wire=ComponentWire)
    answer = handler.send_url(alice, URL, sender=alice + "/r")
    sent = wire.sent_one()
    wire.answer(sent, from_="bob@" + COMPONENT)
    assert not answer.called
    wire.answer(sent, from_=COMPONENT)
    assert outcome(answer) is None


def test_answer_to_an_unknown_id_is_ignored():
    handler, wire = connected()
    answer = handler.send_url(PEER, URL)
    sent = wire.sent_one()
    for id_ in ["unknown", "", None, sent.get("id")[:-1], sent.get("id").swapcase()]:
        wire.answer(sent, id=id_)
    assert not answer.called


def test_only_the_first_of_two_answers_counts():
    handler, wire = connected()
    answer = handler.send_url(PEER, URL)
    sent = wire.sent_one()
    wire.answer(sent, ITEM_NOT_FOUND)
    wire.answer(sent)
    wire.answer(sent, ITEM_NOT_FOUND)
    assert outcome(answer) == "not-found"


@pytest.mark.parametrize("type_", ["get", "set"])
def test_request_with_our_id_is_not_an_answer(type_):
    handler, wire = connected()
    answer = handler.send_url(PEER, URL)
    wire.answer(wire.sent_one(), type=type_)
    assert not answer.called


def test_answer_with_a_child_called_handled_counts():
    handler, wire = connected()
    answer = handler.send_url(PEER, URL)
    wire.answer(wire.sent_one(), "<handled/>", type="result")
    assert outcome(answer) is None


def test_answer_that_another_handler_took_is_left_alone():
    handler, wire = connected()
    answer = handler.send_url(PEER, URL)
    sent = wire.sent_one()

    def take(iq):
        iq.handled = True

    wire.xmlstream.addObserver("/iq", take, priority=1)
    wire.answer(sent)
    assert not answer.called


def test_answer_is_marked_as_handled_and_a_strangers_is_not():
    handler, wire = connected()
    handler.send_url(PEER, URL)
    sent = wire.sent_one()
    seen = []
    wire.xmlstream.addObserver("/iq", lambda iq: seen.append(iq.handled), priority=-1)
    wire.answer(sent, from_="evil@evil.example")
    wire.answer(sent)
    assert seen == [None, True]


def test_fallback_handler_answers_neither_offers_nor_answers():
    handler, wire = connected(lambda offer: None)
    FallbackHandler().setHandlerParent(wire.manager)
    handler.send_url(PEER, URL)
    wire.answer(wire.sent_one())
    wire.offer()
    wire.offer(payload=query("bad"))
    assert [(sent.get("type"), sent.get("id")) for sent in wire.sent()] == [("error", "o1")]

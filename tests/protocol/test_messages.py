"""URLs inside messages and presence: read, and sent (XEP-0066 section 3)."""

from __future__ import annotations

import dataclasses
import re
from datetime import datetime, timezone

import pytest
from twisted.internet.defer import Deferred, fail
from twisted.logger import LogLevel
from twisted.words.protocols.jabber.jid import JID

from tests.support.offers import UNUSABLE_URLS
from tests.support.streams import (
    COMPONENT,
    ME,
    PEER,
    URL,
    ClientWire,
    ComponentWire,
    canonical,
    connected,
    outcome,
    stanza,
)
from twisted_oob import OOBData, OOBHandler

pytestmark = pytest.mark.usefixtures("log")


def never(_offer):
    raise AssertionError("the application saw it")


# Messages and presence that come in


def x(url=URL, desc=""):
    return f"<x xmlns='jabber:x:oob'><url>{url}</url>{desc}</x>"


def receive(*stanzas):
    messages = []
    _handler, wire = connected(never, messages.append)
    for xml in stanzas:
        wire.receive(xml)
    assert wire.sent() == []
    return messages


def test_message_tells_all_there_is():
    xml = stanza("message", f"<body>look</body>{x(desc='<desc>A cat</desc>')}", from_=PEER, to=ME)
    (message,) = receive(xml)
    assert message.data == OOBData(URL, "A cat")
    assert (message.url, message.desc, message.body) == (URL, "A cat", "look")
    assert message.sender == JID(PEER)
    assert message.element.name == "message"
    assert message.element["to"] == ME


@pytest.mark.parametrize("type_", [None, "chat", "groupchat", "headline", "normal"])
def test_message_of_any_type_is_seen(type_):
    assert len(receive(stanza("message", x(), from_=PEER, type=type_))) == 1


@pytest.mark.parametrize("type_", [None, "unavailable", "subscribe"])
def test_presence_is_seen(type_):
    (message,) = receive(stanza("presence", x(), from_=PEER, type=type_))
    assert (message.url, message.body, message.element.name) == (URL, None, "presence")


@pytest.mark.parametrize("name", ["message", "presence"])
def test_bounced_stanza_is_not_seen(name):
    assert receive(stanza(name, x(), from_=PEER, type="error")) == []


DELAY = "<delay xmlns='urn:xmpp:delay' stamp='2026-11-26T06:07:08Z'/>"
LEGACY_DELAY = "<x xmlns='jabber:x:delay' stamp='20261126T06:07:08'/>"


@pytest.mark.parametrize("name", ["message", "presence"])
@pytest.mark.parametrize("delay", [DELAY, LEGACY_DELAY])
def test_a_delay_is_told(name, delay):
    early, at_once = receive(
        stanza(name, x() + delay, from_=PEER), stanza(name, x(URL), from_=PEER)
    )
    assert early.delayed == datetime(2026, 11, 26, 6, 7, 8, tzinfo=timezone.utc)
    assert at_once.delayed is None


@pytest.mark.parametrize(
    ("name", "type_", "groupchat"),
    [
        ("message", "groupchat", True),
        ("message", "chat", False),
        ("message", None, False),
        ("presence", "groupchat", False),
    ],
)
def test_what_is_said_in_a_room_is_told(name, type_, groupchat):
    (message,) = receive(stanza(name, x(), from_=PEER, type=type_))
    assert message.groupchat is groupchat


def test_each_x_element_is_seen_in_order():
    xml = stanza("message", x(URL + "?1") + "<b/>" + x(URL + "?2") + x(URL + "?3"), from_=PEER)
    assert [message.url for message in receive(xml)] == [f"{URL}?{n}" for n in (1, 2, 3)]


def test_many_unusable_urls_of_one_message_are_one_line(log):
    assert receive(stanza("message", "".join(map(x, "abc")), from_=PEER)) == []
    assert len(log) == 1


@pytest.mark.parametrize("url", UNUSABLE_URLS, ids=lambda url: ascii(url[:30]))
def test_unusable_url_is_ignored_and_logged_at_debug(url, log):
    messages = receive(stanza("message", x(url) + x(URL + "?good"), from_=PEER))
    assert [message.url for message in messages] == [URL + "?good"]
    assert [event["log_level"] for event in log] == [LogLevel.debug]


@pytest.mark.parametrize("from_", ["a..b", "@"])
def test_message_from_a_malformed_address_is_ignored(from_):
    assert receive(stanza("message", x(), from_=from_)) == []


def test_message_without_a_from_is_seen():
    (message,) = receive(stanza("message", x()))
    assert message.sender is None


def test_body_of_another_namespace_is_none():
    (message,) = receive(stanza("message", "<body xmlns='urn:x'>no</body>" + x(), from_=PEER))
    assert message.body is None


@pytest.mark.parametrize(
    "payload",
    [
        f"<x xmlns='jabber:x:data'><url>{URL}</url></x>",
        f"<query xmlns='jabber:x:oob'><url>{URL}</url></query>",
        f"<a>{x()}</a>",
    ],
)
def test_message_without_x_oob_is_not_seen(payload):
    assert receive(stanza("message", payload, from_=PEER)) == []


async def failing_coroutine(_message):
    raise ValueError("mine")


def raising(_message):
    raise ValueError("mine")


@pytest.mark.parametrize(
    "on_message", [raising, failing_coroutine, lambda _: fail(ValueError("mine"))]
)
def test_exception_of_on_message_is_logged_and_stops_nothing(on_message, log):
    seen = []

    def both(message):
        seen.append(message.url)
        return on_message(message)

    _handler, wire = connected(None, both)
    wire.receive(stanza("message", x(URL + "?1") + x(URL + "?2"), from_=PEER))
    wire.receive(stanza("message", x(URL + "?3"), from_=PEER))
    assert seen == [URL + "?1", URL + "?2", URL + "?3"]
    assert [str(error) for error in log.failures()] == ["mine"] * 3
    assert wire.sent() == []


def test_on_message_that_returns_something_else_than_an_awaitable_is_logged(log):
    _handler, wire = connected(None, lambda _: "done")
    wire.receive(stanza("message", x(), from_=PEER))
    assert [type(error) for error in log.failures()] == [TypeError]


def test_on_message_may_be_a_coroutine():
    seen = []
    gate = Deferred()

    async def on_message(message):
        await gate
        seen.append(message.url)

    _handler, wire = connected(None, on_message)
    wire.receive(stanza("message", x(), from_=PEER))
    gate.callback(None)
    assert seen == [URL]


def test_subclass_may_define_on_message_as_a_method():
    class Mine(OOBHandler):
        seen = ()

        def on_message(self, message):
            self.seen += (message.url,)

    handler, wire = connected(handler=Mine)
    wire.receive(stanza("message", x(), from_=PEER))
    assert handler.seen == (URL,)


def test_message_without_on_message_is_left_alone():
    _handler, wire = connected()
    wire.receive(stanza("message", x(), from_=PEER))
    assert wire.sent() == []


def test_repr_of_a_message_is_short_and_shows_no_userinfo():
    secret = "https://user:secret@h/"
    (message,) = receive(stanza("message", f"<body>{secret}</body>{x(secret)}", from_=PEER))
    data = "OOBData('https://h/', None, None)"
    assert repr(message) == f"OOBMessage(data={data}, sender={JID(PEER)!r})"


def test_message_is_frozen():
    (message,) = receive(stanza("message", x(), from_=PEER))
    with pytest.raises(dataclasses.FrozenInstanceError):
        message.body = "changed"


@pytest.mark.parametrize("name", ["other", "iq"])
def test_only_a_message_or_presence_carries_a_url(name):
    assert receive(stanza(name, x(), from_=PEER)) == []


# Sending messages


def test_message_is_that_of_the_standard():
    handler, wire = connected()
    assert outcome(handler.send_message("room@chat.example", URL)) is None
    sent = wire.sent_one()
    assert canonical(sent) == canonical(
        stanza(
            "message",
            f"<body>{URL}</body>{x()}",
            type="chat",
            id=sent.get("id"),
            to="room@chat.example",
        )
    )


def test_message_body_is_exactly_the_url():
    handler, wire = connected()
    handler.send_message(PEER, URL + "?a=1&b=2", "A cat")
    sent = wire.sent_one()
    assert sent.find("body").text == URL + "?a=1&b=2"
    assert sent.find("{jabber:x:oob}x/{jabber:x:oob}url").text == URL + "?a=1&b=2"
    assert sent.find("{jabber:x:oob}x/{jabber:x:oob}desc").text == "A cat"


def test_message_body_may_be_another():
    handler, wire = connected()
    handler.send_message(JID(PEER), URL, body="look: <here> & \u00e9")
    assert wire.sent_one().find("body").text == "look: <here> & \u00e9"


@pytest.mark.parametrize("type_", ["chat", "groupchat", "headline", "normal"])
def test_message_type(type_):
    handler, wire = connected()
    handler.send_message(PEER, URL, message_type=type_)
    assert wire.sent_one().get("type") == type_


@pytest.mark.parametrize(
    ("wire_class", "sender", "from_"),
    [
        (ClientWire, None, None),
        (ComponentWire, None, COMPONENT),
        (ComponentWire, "alice@" + COMPONENT, "alice@" + COMPONENT),
        (ComponentWire, JID("alice@" + COMPONENT), "alice@" + COMPONENT),
    ],
)
def test_message_sender(wire_class, sender, from_):
    handler, wire = connected(wire=wire_class)
    handler.send_message(PEER, URL, sender=sender)
    assert wire.sent_one().get("from") == from_


def test_message_ids_cannot_be_guessed():
    handler, wire = connected()
    for _ in range(50):
        handler.send_message(PEER, URL)
    ids = [sent.get("id") for sent in wire.sent()]
    assert len({id_[:4] for id_ in ids}) > 45
    assert min(map(len, ids)) >= 16


def test_message_of_a_url_as_people_write_it_is_that_of_its_uri():
    handler, wire = connected()
    handler.send_message(PEER, " https://b\u00fccher.example/a b|[1].png\n")
    sent = wire.sent_one()
    uri = "https://xn--bcher-kva.example/a%20b%7C%5B1%5D.png"
    assert sent.findtext("body") == uri
    assert sent.findtext("{jabber:x:oob}x/{jabber:x:oob}url") == uri


@pytest.mark.parametrize(
    ("arguments", "kind", "told"),
    [
        ({"url": "files.example"}, ValueError, "scheme"),
        ({"url": URL.encode()}, TypeError, "^url must be a str, not bytes"),
        ({"desc": "\x00"}, ValueError, "desc"),
        ({"desc": 1}, TypeError, "^desc must be a str"),
        ({"body": "\x00"}, ValueError, "^body "),
        ({"body": 1}, TypeError, "^body "),
        ({"message_type": "error"}, ValueError, "message_type"),
        ({"message_type": None}, TypeError, "message_type"),
        ({"message_type": ["chat"]}, TypeError, "message_type"),
        ({"recipient": "a..b"}, ValueError, "JID"),
        ({"recipient": None}, TypeError, "^recipient must be a JID or a str, not NoneType"),
        ({"recipient": PEER.encode()}, TypeError, "^recipient must be .* not bytes"),
        ({"sender": "@"}, ValueError, "JID"),
        ({"sender": 1}, TypeError, "^sender "),
    ],
)
@pytest.mark.parametrize("online", [True, False])
def test_invalid_argument_fails_and_sends_nothing(arguments, kind, told, online):
    handler, wire = connected()
    if not online:
        wire.lose()
    error = outcome(handler.send_message(**({"recipient": PEER, "url": URL} | arguments)))
    assert isinstance(error, kind)
    assert isinstance(error, ValueError)
    assert re.search(told, str(error))
    if not online:
        wire.open()
    assert wire.sent() == []


@pytest.mark.parametrize("online", [True, False])
def test_message_that_cannot_be_written_is_a_value_error_at_once(online):
    handler, wire = connected()
    if not online:
        wire.lose()
    unwritable = JID(PEER)
    unwritable.resource = "\ud800"
    error = outcome(handler.send_message(unwritable, URL))
    assert isinstance(error, ValueError)
    assert "is not a valid JID" in str(error)
    if not online:
        wire.open()
    assert wire.sent() == []

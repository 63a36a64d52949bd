"""URLs inside messages and presence: read, and sent (XEP-0066 section 3)."""

from __future__ import annotations

import dataclasses

import pytest
from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
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


def test_each_x_element_is_seen_in_order():
    xml = stanza("message", x(URL + "?1") + "<b/>" + x(URL + "?2") + x(URL + "?3"), from_=PEER)
    assert [message.url for message in receive(xml)] == [f"{URL}?{n}" for n in (1, 2, 3)]


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
    assert handler.send_message("room@chat.example", URL) is None
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


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"url": "files.example"}, "scheme"),
        ({"desc": "\x00"}, "desc"),
        ({"body": "\x00"}, "^body "),
        ({"body": 1}, "^body "),
        ({"message_type": "error"}, "message_type"),
        ({"message_type": None}, "message_type"),
        ({"recipient": "a..b"}, "JID"),
        ({"recipient": None}, "JID"),
        ({"sender": "@"}, "JID"),
    ],
)
@pytest.mark.parametrize("online", [True, False])
def test_invalid_argument_is_a_value_error_and_sends_nothing(arguments, told, online):
    handler, wire = connected()
    if not online:
        wire.lose()
    with pytest.raises(ValueError, match=told):
        handler.send_message(**({"recipient": PEER, "url": URL} | arguments))
    if not online:
        wire.open()
    assert wire.sent() == []


def test_messages_without_a_stream_are_sent_in_order_once_with_it():
    handler = OOBHandler(reactor=Clock())
    wanted = [f"{URL}?{number}" for number in range(10)]
    for url in wanted:
        handler.send_message(PEER, url)
    wire = ClientWire()
    handler.setHandlerParent(wire.manager)
    wire.open()
    assert [sent.find("body").text for sent in wire.sent()] == wanted
    wire.lose()
    wire.open()
    assert wire.sent() == []


def test_messages_that_could_not_be_written_wait_for_the_next_stream(log):
    handler = OOBHandler(reactor=Clock())
    for number in range(3):
        handler.send_message(PEER, f"{URL}?{number}")
    request = handler.send_url(PEER, URL)
    wire = ClientWire()
    handler.setHandlerParent(wire.manager)
    wire.connect()

    def broken(_stanza):
        raise OSError("no way out")

    wire.xmlstream.send = broken
    wire.negotiate()
    assert [type(error) for error in log.failures()] == [OSError]
    request.addErrback(lambda _: None)
    wire.lose()
    wire.open()
    bodies = [sent.find("body").text for sent in wire.sent() if sent.tag == "message"]
    assert bodies == [f"{URL}?{number}" for number in range(3)]


@pytest.mark.parametrize("online", [True, False])
def test_message_that_cannot_be_written_is_a_value_error_at_once(online):
    handler, wire = connected()
    if not online:
        wire.lose()
    unwritable = JID(PEER)
    unwritable.resource = "\ud800"
    with pytest.raises(ValueError, match="is not a valid JID"):
        handler.send_message(unwritable, URL)
    if not online:
        wire.open()
    assert wire.sent() == []


def test_messages_wait_for_the_next_stream_if_sending_one_loses_this():
    handler = OOBHandler(reactor=Clock())
    for number in range(3):
        handler.send_message(PEER, f"{URL}?{number}")
    request = handler.send_url(PEER, URL)
    wire = ClientWire()
    handler.setHandlerParent(wire.manager)
    wire.connect()
    sent = []

    def send(element):
        sent.append(element)
        wire.lose()

    wire.xmlstream.send = send
    wire.negotiate()
    assert [str(element.body) for element in sent] == [f"{URL}?0"]
    assert not request.called
    wire.open()
    bodies = [element.findtext("body") for element in wire.sent()]
    assert bodies == [f"{URL}?1", f"{URL}?2", None]


def test_messages_are_sent_once_if_sending_one_opens_the_next_stream():
    handler = OOBHandler(reactor=Clock())
    for number in range(3):
        handler.send_message(PEER, f"{URL}?{number}")
    wire = ClientWire()
    handler.setHandlerParent(wire.manager)
    wire.connect()
    sent = []

    def send(element):
        sent.append(str(element.body))
        wire.lose()
        wire.open()

    wire.xmlstream.send = send
    wire.negotiate()
    sent += [element.findtext("body") for element in wire.sent()]
    assert sent == [f"{URL}?{number}" for number in range(3)]

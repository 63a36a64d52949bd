"""The wire table for what comes in, messages, and service discovery."""

from __future__ import annotations

import sys
from subprocess import run

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.logger import LogLevel, formatEvent
from twisted.words.protocols.jabber.ijabber import IXMPPHandler
from twisted.words.protocols.jabber.jid import JID
from wokkel.disco import DiscoHandler
from wokkel.generic import parseXml
from wokkel.iwokkel import IDisco
from zope.interface.verify import verifyObject

from tests.support.streams import (
    COMPONENT,
    ME,
    PEER,
    URL,
    ClientWire,
    ComponentWire,
    canonical,
    connected,
    query,
    stanza,
)
from twisted_oob import OOBData, OOBHandler

pytestmark = pytest.mark.usefixtures("log")

STANZAS = "{urn:ietf:params:xml:ns:xmpp-stanzas}"
BAD_URLS = [
    "",
    " ",
    " " + URL,
    URL + " ",
    URL + "\n",
    "files.example/a",
    "//files.example/a",
    "https://files.example/a b",
    "https://files.example/\u00fc",
    "https://files.example/\u007f",
    "https://files.example/%4",
    "https:///a",
    "http:",
    "http://[::z]/",
    URL.ljust(8193, "a"),
]
BAD_PAYLOADS = [
    *(query(url) for url in BAD_URLS),
    "<query xmlns='jabber:iq:oob'/>",
    "<query xmlns='jabber:iq:oob'><url/></query>",
    "<query xmlns='jabber:iq:oob'><desc>no URL</desc></query>",
    f"<query xmlns='jabber:iq:oob'><url xmlns='urn:x'>{URL}</url></query>",
    f"<query xmlns='jabber:iq:oob'><a><url>{URL}</url></a></query>",
]


def assert_error(sent, condition, *, type_="modify", to=PEER, from_=ME, id_="o1"):
    error = sent.find("error")
    assert error[0].tag == STANZAS + condition
    assert error.get("type") == type_
    assert (sent.tag, sent.get("type"), sent.get("id")) == ("iq", "error", id_)
    assert (sent.get("to"), sent.get("from")) == (to, from_)


def never(_offer):
    raise AssertionError("the application saw it")


# Requests that are no offers


@pytest.mark.parametrize("payload", BAD_PAYLOADS, ids=lambda payload: ascii(payload[29:60]))
@pytest.mark.parametrize("on_offer", [never, None])
def test_offer_without_a_usable_url_is_a_bad_request(payload, on_offer):
    _handler, wire = connected(on_offer)
    wire.offer(payload=payload)
    sent = wire.sent_one()
    assert_error(sent, "bad-request")
    assert canonical(sent[0]) == canonical(payload)


def test_url_of_8192_characters_is_offered():
    offers = []
    _handler, wire = connected(offers.append)
    wire.offer(payload=query(URL.ljust(8192, "a")))
    assert len(offers[0].url) == 8192


@pytest.mark.parametrize("payload", [query(), "<query xmlns='jabber:iq:oob'/>"])
def test_get_is_a_bad_request(payload):
    _handler, wire = connected(never)
    wire.offer(payload=payload, type="get")
    assert_error(wire.sent_one(), "bad-request")


@pytest.mark.parametrize("wire_class", [ClientWire, ComponentWire])
@pytest.mark.parametrize("type_", ["get", "set"])
def test_bad_request_is_answered_also_without_a_from(wire_class, type_):
    _handler, wire = connected(never, wire=wire_class)
    wire.offer(payload=query("bad"), from_=None, type=type_)
    assert_error(wire.sent_one(), "bad-request", to=None, from_=wire.me)


@pytest.mark.parametrize("from_", ["a..b", "@", "a@", "far_example"])
def test_offer_from_a_malformed_address_is_answered_and_not_seen(from_):
    _handler, wire = connected(never)
    wire.offer(from_=from_)
    assert_error(wire.sent_one(), "jid-malformed", to=from_)


def test_offer_to_a_malformed_address_is_answered_and_not_seen():
    _handler, wire = connected(never)
    wire.offer(to="a..b")
    assert_error(wire.sent_one(), "jid-malformed", from_="a..b")


def test_offer_without_addresses_is_between_our_server_and_us():
    offers = []
    _handler, wire = connected(offers.append)
    wire.offer(from_=None, to=None)
    (offer,) = offers
    assert (offer.sender, offer.recipient) == (JID("me@home.example"), JID(ME))
    offer.reply_success()
    assert canonical(wire.sent_one()) == canonical(stanza("iq", type="result", id="o1"))


def test_component_without_to_answers_from_itself():
    offers = []
    _handler, wire = connected(offers.append, wire=ComponentWire)
    wire.offer(to=None)
    assert offers[0].recipient == JID(COMPONENT)
    offers[0].reply_success()
    expected = stanza("iq", type="result", id="o1", to=PEER, from_=COMPONENT)
    assert canonical(wire.sent_one()) == canonical(expected)


def test_component_answers_from_the_address_that_was_asked():
    _handler, wire = connected(lambda offer: offer.reply_success(), wire=ComponentWire)
    wire.offer(to="alice@" + COMPONENT)
    assert wire.sent_one().get("from") == "alice@" + COMPONENT


@pytest.mark.parametrize(
    "payload",
    [
        query() + "<other xmlns='urn:x'/>",
        "<other xmlns='urn:x'/>" + query(),
        query() + "<handled/>",
        f"<o:query xmlns:o='jabber:iq:oob'><o:url>{URL}</o:url></o:query>",
    ],
)
def test_offer_among_unknown_children_is_seen(payload):
    offers = []
    _handler, wire = connected(offers.append)
    wire.offer(payload=payload)
    assert [offer.url for offer in offers] == [URL]


@pytest.mark.parametrize(
    "xml",
    [
        stanza("iq", query(), type="result", id="o1", from_=PEER),
        stanza("iq", query(), type="error", id="o1", from_=PEER),
        stanza("iq", query(), id="o1", from_=PEER),
        stanza("iq", f"<x xmlns='jabber:x:oob'><url>{URL}</url></x>", type="set", id="o1"),
        stanza("iq", f"<query xmlns='urn:x'><url>{URL}</url></query>", type="set", id="o1"),
        stanza("message", query(), from_=PEER),
        stanza("presence", query(), from_=PEER),
    ],
)
def test_what_is_no_request_of_ours_is_left_alone(xml):
    _handler, wire = connected(never, never)
    wire.receive(xml)
    assert wire.sent() == []


# Messages


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


@pytest.mark.parametrize("url", BAD_URLS, ids=lambda url: ascii(url[:30]))
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


def test_on_message_that_returns_no_awaitable_is_logged(log):
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


def test_repr_of_a_message_shows_no_userinfo():
    secret = "https://user:secret@h/"
    (message,) = receive(stanza("message", f"<body>{secret}</body>{x(secret)}", from_=PEER))
    assert "secret" not in repr(message)


@settings(deadline=None)
@given(st.text(max_size=20) | st.sampled_from([ME, PEER, "a..b"]))
def test_any_from_attribute_is_survived(text):
    _handler, wire = connected(lambda offer: offer.reply_success(), lambda message: None)
    sent = []
    wire.xmlstream.send = sent.append
    for name, payload, type_, answers in [
        ("iq", query(), "set", 1),
        ("iq", query("bad"), "set", 1),
        ("iq", query(), "get", 1),
        ("iq", "", "result", 0),
        ("message", x(), "chat", 0),
    ]:
        element = parseXml(stanza(name, payload, type=type_, id="o1", to=ME).encode())
        element["from"] = text
        sent.clear()
        wire.xmlstream.dispatch(element)
        assert len(sent) == answers


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
        ({"body": "\x00"}, "body"),
        ({"body": 1}, "body"),
        ({"message_type": "error"}, "message_type"),
        ({"message_type": None}, "message_type"),
        ({"recipient": "a..b"}, "JID"),
        ({"recipient": None}, "JID"),
        ({"sender": "@"}, "JID"),
    ],
)
@pytest.mark.parametrize("online", [True, False])
def test_message_that_cannot_be_sent_is_a_value_error_and_sends_nothing(arguments, told, online):
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
    log.failures()
    request.addErrback(lambda _: None)
    wire.lose()
    wire.open()
    bodies = [sent.find("body").text for sent in wire.sent() if sent.tag == "message"]
    assert bodies == [f"{URL}?{number}" for number in range(3)]


# Service discovery (XEP-0030)


def test_handler_provides_its_interfaces():
    handler = OOBHandler(reactor=Clock())
    assert verifyObject(IDisco, handler)
    assert verifyObject(IXMPPHandler, handler)


def disco(namespace, node=None):
    _handler, wire = connected()
    DiscoHandler().setHandlerParent(wire.manager)
    given = "" if node is None else f" node='{node}'"
    wire.receive(
        stanza("iq", f"<query xmlns='{namespace}'{given}/>", type="get", id="d1", from_=PEER, to=ME)
    )
    return wire.sent_one()


INFO = "http://jabber.org/protocol/disco#info"
ITEMS = "http://jabber.org/protocol/disco#items"


def test_both_features_are_discovered_over_the_wire():
    sent = disco(INFO)
    assert sent.get("type") == "result"
    features = sent.findall(f"{{{INFO}}}query/{{{INFO}}}feature")
    assert [feature.get("var") for feature in features] == ["jabber:iq:oob", "jabber:x:oob"]


def test_node_has_no_features():
    sent = disco(INFO, "some-node")
    assert sent.find(f"{{{INFO}}}query/{{{INFO}}}feature") is None
    assert_error(sent, "item-not-found", type_="cancel", id_="d1")


def test_there_are_no_items():
    sent = disco(ITEMS)
    assert sent.get("type") == "result"
    assert list(sent[0]) == []


# The package


def test_import_installs_no_reactor():
    code = (
        "import sys, twisted_oob, twisted_oob.protocol.handler;"
        "h = twisted_oob.OOBHandler(reactor=object());"
        "sys.exit('twisted.internet.reactor' in sys.modules)"
    )
    assert run([sys.executable, "-c", code], check=False).returncode == 0


def test_secrets_of_a_url_are_not_logged(log):
    secret = "https://user:secret@h/"
    handler, wire = connected(lambda offer: fail(ValueError("mine")), lambda message: None)
    for payload in [query(secret), query(secret + " "), query("secret bad")]:
        wire.offer(payload=payload)
    wire.receive(stanza("message", x(secret) + x(secret + " "), from_=PEER))
    handler.send_url(PEER, secret)
    wire.answer(wire.sent()[-1], from_="evil@evil.example")
    assert not [event for event in log if "secret" in formatEvent(event)]
    assert len(log.failures()) == 1


def test_message_that_can_not_be_written_is_refused_at_once():
    handler, wire = connected()
    unwritable = JID(PEER)
    unwritable.resource = "\ud800"
    with pytest.raises(ValueError, match="surrogates"):
        handler.send_message(unwritable, URL)
    assert wire.sent() == []

"""The handler: what it makes of each stanza, service discovery, and how it joins a stream."""

from __future__ import annotations

import sys
from subprocess import run

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import fail
from twisted.internet.task import Clock
from twisted.logger import LogLevel, eventAsJSON, formatEvent
from twisted.words.protocols.jabber.ijabber import IXMPPHandler
from twisted.words.protocols.jabber.jid import JID
from wokkel.disco import DiscoHandler
from wokkel.generic import parseXml
from wokkel.iwokkel import IDisco
from zope.interface.verify import verifyObject

from tests.support.offers import UNUSABLE_URLS
from tests.support.streams import (
    COMPONENT,
    ME,
    PEER,
    URL,
    ClientWire,
    ComponentWire,
    Direct,
    canonical,
    connected,
    outcome,
    query,
    stanza,
)
from twisted_oob import OOBHandler
from twisted_oob.xmpp.stanza import Payload

pytestmark = pytest.mark.usefixtures("log")

STANZAS = "{urn:ietf:params:xml:ns:xmpp-stanzas}"
BAD_PAYLOADS = [
    *(query(url) for url in UNUSABLE_URLS),
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


# Requests without a usable offer


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


@pytest.mark.parametrize(
    ("attributes", "sender", "recipient"),
    [
        ({"from_": None}, "me@home.example", ME),
        ({"to": None}, PEER, ME),
        ({"from_": None, "to": "me@home.example"}, "me@home.example", "me@home.example"),
        ({"to": "me@home.example"}, PEER, "me@home.example"),
    ],
)
@pytest.mark.parametrize("handler", [OOBHandler, Direct])
def test_only_an_absent_address_is_our_own(attributes, sender, recipient, handler):
    offers = []
    _handler, wire = connected(offers.append, handler=handler)
    wire.offer(**attributes)
    (offer,) = offers
    assert (offer.sender, offer.recipient) == (JID(sender), JID(recipient))


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


def test_offer_with_prefixes_is_seen():
    offers = []
    _handler, wire = connected(offers.append)
    wire.offer(payload=f"<o:query xmlns:o='jabber:iq:oob'><o:url>{URL}</o:url></o:query>")
    assert [offer.url for offer in offers] == [URL]


@pytest.mark.parametrize(
    "payload",
    [
        query() + "<other xmlns='urn:x'/>",
        "<other xmlns='urn:x'/>" + query(),
        query() + "<handled/>",
        query() + query(),
        "<query xmlns='jabber:iq:oob'/>" + query(),
    ],
)
@pytest.mark.parametrize("handler", [OOBHandler, Direct])
@pytest.mark.parametrize("on_offer", [never, None])
@pytest.mark.parametrize("type_", ["set", "get"])
def test_request_with_several_children_is_a_bad_request(payload, handler, on_offer, type_):
    _handler, wire = connected(on_offer, handler=handler)
    wire.offer(payload=payload, type=type_)
    assert_error(wire.sent_one(), "bad-request")


@pytest.mark.parametrize("type_", [None, "", "SET", "offer", "unsubscribe"])
@pytest.mark.parametrize("handler", [OOBHandler, Direct])
@pytest.mark.parametrize("on_offer", [never, None])
def test_request_of_an_unknown_type_is_a_bad_request(type_, handler, on_offer):
    _handler, wire = connected(on_offer, handler=handler)
    wire.offer(type=type_)
    assert_error(wire.sent_one(), "bad-request")


@pytest.mark.parametrize(
    "xml",
    [
        stanza("iq", query(), type="result", id="o1", from_=PEER),
        stanza("iq", query(), type="error", id="o1", from_=PEER),
        stanza("iq", "<query xmlns='urn:x'/>", id="o1", from_=PEER),
        stanza("iq", f"<x xmlns='jabber:x:oob'><url>{URL}</url></x>", type="set", id="o1"),
        stanza("iq", f"<query xmlns='urn:x'><url>{URL}</url></query>", type="set", id="o1"),
        stanza("message", query(), from_=PEER),
        stanza("presence", query(), from_=PEER),
    ],
)
def test_stanza_that_is_not_a_request_is_left_alone(xml):
    _handler, wire = connected(never, never)
    wire.receive(xml)
    assert wire.sent() == []


# Messages


def x(url=URL, desc=""):
    return f"<x xmlns='jabber:x:oob'><url>{url}</url>{desc}</x>"


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


# Service discovery (XEP-0030)


def test_handler_provides_its_interfaces():
    handler = OOBHandler(reactor=Clock())
    assert verifyObject(IDisco, handler)
    assert verifyObject(IXMPPHandler, handler)


def disco(namespace, node=None, callbacks=(never, never), handler=OOBHandler):
    _handler, wire = connected(*callbacks, handler=handler)
    DiscoHandler().setHandlerParent(wire.manager)
    given = "" if node is None else f" node='{node}'"
    wire.receive(
        stanza("iq", f"<query xmlns='{namespace}'{given}/>", type="get", id="d1", from_=PEER, to=ME)
    )
    return wire.sent_one()


INFO = "http://jabber.org/protocol/disco#info"
ITEMS = "http://jabber.org/protocol/disco#items"


class TakesOffers(OOBHandler):
    """Has its callback as a method."""

    def on_offer(self, offer):
        never(offer)


@pytest.mark.parametrize(
    ("callbacks", "handler", "wanted"),
    [
        ((never, never), OOBHandler, ["jabber:iq:oob", "jabber:x:oob"]),
        ((never, None), OOBHandler, ["jabber:iq:oob"]),
        ((None, never), OOBHandler, ["jabber:x:oob"]),
        ((None, None), OOBHandler, []),
        ((None, None), TakesOffers, ["jabber:iq:oob"]),
    ],
)
def test_features_of_what_is_taken_are_discovered_over_the_wire(callbacks, handler, wanted):
    sent = disco(INFO, callbacks=callbacks, handler=handler)
    assert sent.get("type") == "result"
    features = sent.findall(f"{{{INFO}}}query/{{{INFO}}}feature")
    assert [feature.get("var") for feature in features] == wanted


def test_feature_of_a_callback_that_is_set_later_is_discovered():
    handler = OOBHandler(reactor=Clock())
    assert handler.getDiscoInfo(None, None) == []
    handler.on_offer = never
    assert handler.getDiscoInfo(None, None) == ["jabber:iq:oob"]


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
        "import sys, twisted_oob; from twisted.internet.task import Clock;"
        "h = twisted_oob.OOBHandler(reactor=Clock());"
        "sys.exit('twisted.internet.reactor' in sys.modules)"
    )
    assert run([sys.executable, "-c", code], check=False).returncode == 0


# The log


def test_error_of_a_request_is_logged_at_debug(log):
    _handler, wire = connected(never)
    wire.offer(payload=query("bad"))
    (event,) = log.ours()
    assert event["log_level"] is LogLevel.debug
    assert formatEvent(event).startswith(f"Answered a request of {PEER} with ")
    assert "bad-request" in formatEvent(event)


SECRETS = [
    "https://user:s3cr3t@h/",
    "https://h/a?token=s3cr3t",
    "aesgcm://h/a#s3cr3t",
    "https://a@user:s3cr3t@h/",
    "https://user:sec/s3cr3t@h/",
    "https://user:s3cr3t@h b/?s3cr3t",
    "https:/user:s3cr3t@h/",
    "s3cr3t bad",
]


def shows_secret(event):
    """Whether anything of an event of the log does, as text or as a value."""
    held = [formatEvent(event), eventAsJSON(event)]
    held += [f"{value!r} {value}" for key, value in event.items() if key != "log_failure"]
    if event.get("log_failure"):
        held.append(event["log_failure"].getTraceback())
    return any("s3cr3t" in text for text in held)


@pytest.mark.parametrize("url", SECRETS)
@pytest.mark.parametrize("kind", [OOBHandler, Direct])
def test_log_shows_no_secret_of_a_url(kind, url, log):
    def failing(_given):
        raise ValueError("mine")

    handler, wire = connected(failing, failing, handler=kind)
    for payload in [query(url), query(f"\x7f{url}"), query(url, url), query(URL, url)]:
        wire.offer(payload=payload)
        wire.offer(payload=payload, type="get")
        wire.offer(payload=payload * 2)
    for returned in (url, [url], url.encode()):
        handler.on_offer = handler.on_message = lambda _, it=returned: it
        wire.offer(payload=query(URL, url))
        wire.receive(stanza("message", x(url) + x(URL) + f"<body>{url}</body>", from_=PEER))
    handler.send_url(PEER, url, url).addErrback(lambda _: None)
    handler.send_message(PEER, url, url).addErrback(lambda _: None)
    for sent in wire.sent():
        wire.answer(sent, from_="evil@evil.example")
    assert len(log) > 5
    assert not [event for event in log if shows_secret(event)]
    log.clear()


@pytest.mark.parametrize("url", SECRETS)
def test_no_error_shows_a_secret_of_a_url(url):
    handler, _wire = connected()
    for sent in [(PEER, f"\x7f{url}"), (PEER, [url]), (PEER, URL, [url]), (PEER, URL, f"{url}\0")]:
        for send in (handler.send_url, handler.send_message):
            assert "s3cr3t" not in str(outcome(send(*sent)))
    assert "s3cr3t" not in str(outcome(handler.send_message(PEER, URL, body=[url])))
    with pytest.raises(TypeError) as caught:
        OOBHandler(url)
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize("kind", [OOBHandler, Direct])
def test_no_repr_shows_a_secret_of_a_url(kind):
    found = []
    _handler, wire = connected(found.append, found.append, handler=kind)
    for url in SECRETS[:3]:
        wire.offer(payload=query(url, url))
        wire.receive(stanza("message", x(url) + f"<body>{url}</body>", from_=PEER))
    assert len(found) == 6
    held = [*found, *(one.data for one in found)]
    held += [Payload.from_element(next(one.element.elements())) for one in found]
    assert "s3cr3t" not in repr(held)


@pytest.mark.parametrize("kind", [OOBHandler, Direct])
def test_log_lines_do_not_grow_with_what_a_stranger_sends(kind, log):
    long = "a" * 50_000
    handler, wire = connected(
        lambda offer: fail(ValueError("mine")), lambda message: None, handler=kind
    )
    for payload in [query(URL, long), query(URL + long), query(f"{URL}/%{long}"), query(long)]:
        wire.offer(long, payload=payload)
        wire.offer(long, payload=payload, type="get")
    wire.receive(stanza("message", x(URL + long) + x(long), from_=PEER, id=long))
    handler.send_url(PEER, URL)
    wire.answer(wire.sent()[-1], f"<error type='{long}'/>", from_="evil@evil.example")
    assert max(len(formatEvent(event)) for event in log) < 300
    assert [str(error) for error in log.failures()] == ["mine"]

"""An account's presence: what it announces, and who may see it."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha1

import pytest
from twisted.internet.defer import Deferred
from twisted.words.protocols.jabber.jid import JID
from zope.interface.verify import verifyObject

from tests.support.streams import (
    COMPONENT,
    ME,
    ClientWire,
    ComponentWire,
    InternalWire,
    canonical,
    stanza,
)
from twisted_oob import AllowList
from twisted_oob.xmpp.presence import NODE, PresenceHandler, verification_string

from wokkel.client import XMPPClient  # isort: skip
from wokkel.data_form import Form  # isort: skip
from wokkel.disco import DiscoFeature, DiscoHandler, DiscoIdentity  # isort: skip
from wokkel.generic import VersionHandler  # isort: skip
from wokkel.iwokkel import IDisco  # isort: skip

INFO = "http://jabber.org/protocol/disco#info"
FRIEND = "friend@home.example"


class Bot(PresenceHandler):
    """A handler with an identity, so that there is one."""

    def getDiscoInfo(self, requestor, target, nodeIdentifier=""):
        found = super().getDiscoInfo(requestor, target, nodeIdentifier)
        own = [] if nodeIdentifier else [DiscoIdentity("client", "bot", "A bot")]
        return found.addCallback(lambda info: own + info)


def online(*allowed):
    """Give the stream of an account whose presence has been sent, and that presence."""
    wire = ClientWire(XMPPClient(JID(ME), "secret"))
    handlers = [Bot(AllowList(allowed)), DiscoHandler(), VersionHandler("x", "1")]
    for handler in handlers:
        handler.setHandlerParent(wire.manager)
    wire.open()
    return wire, wire.sent_one()


def ver_of(presence):
    return presence.find("{http://jabber.org/protocol/caps}c").get("ver")


def disco(wire, node):
    """Ask for disco#info; gives the answer."""
    asked = {} if node is None else {"node": node}
    wire.receive(
        stanza("iq", stanza("query", xmlns=INFO, **asked), type="get", id="d1", from_=FRIEND)
    )
    return wire.sent_one()


def test_the_standards_own_verification_string():
    info = [
        DiscoFeature("http://jabber.org/protocol/muc"),
        DiscoFeature("http://jabber.org/protocol/disco#items"),
        DiscoFeature("http://jabber.org/protocol/caps"),
        DiscoIdentity("client", "pc", "Exodus 0.9.1"),
        DiscoFeature(INFO),
        DiscoFeature(INFO),
    ]
    assert verification_string(info) == "QgayPKawpkPSDYmwT/WM94uAlu0="
    assert verification_string(reversed(info)) == "QgayPKawpkPSDYmwT/WM94uAlu0="


def test_identities_are_sorted_by_category_then_by_type_and_features_as_bytes():
    info = [
        DiscoIdentity("client-x", "a", "1"),
        DiscoIdentity("client", "pc-x", "2"),
        DiscoIdentity("client", "pc", "3"),
        DiscoIdentity("client", "pc", "2"),
        DiscoFeature("urn:\uff5e"),
        DiscoFeature("urn:😀"),
        DiscoFeature("urn:a"),
    ]
    text = "client/pc//2<client/pc//3<client/pc-x//2<client-x/a//1<urn:a<urn:\uff5e<urn:😀<"
    expected = b64encode(sha1(text.encode(), usedforsecurity=False).digest()).decode()
    assert verification_string(info) == verification_string(reversed(info)) == expected


def test_what_the_string_would_leave_out_is_an_error():
    with pytest.raises(TypeError, match="Form"):
        verification_string([Form("result", formNamespace="x")])


def test_presence_comes_first_and_tells_what_disco_answers():
    wire, presence = online()
    verifyObject(IDisco, Bot(AllowList([])))
    assert canonical(presence) == canonical(
        f"<presence><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='{NODE}' "
        f"ver='{ver_of(presence)}'/></presence>"
    )

    (answer,) = disco(wire, None)

    told = [DiscoIdentity("client", "bot", "A bot")]
    told += [DiscoFeature(one.get("var")) for one in answer.iter(f"{{{INFO}}}feature")]
    assert {"jabber:iq:version", "http://jabber.org/protocol/caps"} <= set(told[1:])
    assert ver_of(presence) == verification_string(told)


def test_the_node_of_the_presence_is_answered_as_none_at_all():
    wire, presence = online()
    node = f"{NODE}#{ver_of(presence)}"
    (plain,), (noded,) = disco(wire, None), disco(wire, node)
    assert noded.get("node") == node
    assert [one.attrib for one in noded] == [one.attrib for one in plain]


@pytest.mark.parametrize("node", [NODE, f"{NODE}#other", "else"])
def test_other_nodes_are_not_known(node):
    wire, _ = online()
    answer = disco(wire, node)
    assert answer.get("type") == "error"
    assert answer.find(".//{*}item-not-found") is not None


def test_each_new_stream_gets_a_presence():
    wire, first = online()
    wire.lose()
    wire.open()
    assert canonical(wire.sent_one()) == canonical(first)


@pytest.mark.parametrize("known", [DiscoFeature("urn:x"), "urn:plain-text"])
def test_what_the_string_can_not_hold_is_logged_and_no_presence_is_sent(log, known):
    class Provider(Bot):
        def getDiscoInfo(self, requestor, target, nodeIdentifier=""):
            return [known]

    wire = ClientWire(XMPPClient(JID(ME), "secret"))
    Provider(AllowList([])).setHandlerParent(wire.manager)
    wire.open()
    sent = wire.sent()
    good = isinstance(known, DiscoFeature)
    assert len(sent) == good
    assert [type(error) for error in log.failures()] == [TypeError] * (not good)


def test_a_presence_that_is_ready_too_late_is_not_sent_on_the_next_stream():
    answers = [Deferred(), Deferred()]

    class Slow(Bot):
        def getDiscoInfo(self, requestor, target, nodeIdentifier=""):
            return answers.pop(0)

    first, second = answers
    wire = ClientWire(XMPPClient(JID(ME), "secret"))
    Slow(AllowList([])).setHandlerParent(wire.manager)
    wire.open()
    wire.lose()
    wire.open()
    first.callback([])
    assert wire.sent() == []
    second.callback([])
    assert wire.sent_one().tag == "presence"


def asked(wire, kind, sender):
    """Let somebody ask for a subscription; gives the types and addresses of what is sent."""
    wire.receive(stanza("presence", type=kind, from_=sender, to=ME))
    return [(one.tag, one.get("type"), one.get("to"), len(one)) for one in wire.sent()]


@pytest.mark.parametrize("sender", [FRIEND, f"{FRIEND}/phone", "FRIEND@home.example"])
@pytest.mark.parametrize("allowed", [FRIEND, "home.example", "*"])
def test_who_is_allowed_gets_a_subscription_and_is_asked_for_one(allowed, sender):
    wire, _ = online(allowed)
    assert asked(wire, "subscribe", sender) == [
        ("presence", "subscribed", FRIEND, 0),
        ("presence", "subscribe", FRIEND, 0),
    ]


@pytest.mark.parametrize("allowed", [(), ("far.example",), (f"{FRIEND}/phone",)])
def test_others_are_denied_one(allowed):
    wire, _ = online(*allowed)
    assert asked(wire, "subscribe", FRIEND) == [("presence", "unsubscribed", FRIEND, 0)]


@pytest.mark.parametrize("allowed", [(), ("*",)])
def test_who_leaves_is_let_go(allowed):
    wire, _ = online(*allowed)
    for _ in range(2):  # it is the server that knows whether it is over already
        assert asked(wire, "unsubscribe", FRIEND) == [
            ("presence", "unsubscribed", FRIEND, 0),
            ("presence", "unsubscribe", FRIEND, 0),
        ]


@pytest.mark.parametrize(
    "kind", [None, "subscribed", "unsubscribed", "unavailable", "probe", "error"]
)
def test_nothing_else_is_answered(kind):
    wire, _ = online("*")
    assert asked(wire, kind, FRIEND) == []


@pytest.mark.parametrize("sender", [None, "a@b@c", ""])
def test_who_has_no_address_gets_no_answer(sender):
    wire, _ = online("*")
    assert asked(wire, "subscribe", sender) == []


# A component, which is its own server.


@pytest.fixture(params=[ComponentWire, InternalWire])
def component(request):
    """Give a function that makes a component's stream, with whom it allows."""

    def made(*allowed):
        wire = request.param()
        for handler in (Bot(AllowList(allowed)), DiscoHandler()):
            handler.setHandlerParent(wire.manager)
        wire.open()
        return wire

    return made


def answers_to(wire, kind, sender, to=COMPONENT):
    """Give what a component sends for a presence: types, with None for its own presence."""
    wire.receive(stanza("presence", type=kind, from_=sender, to=to))
    return [
        (one.get("type"), one.get("to"), one.get("from"), len(one))
        for one in wire.sent()
        if one.tag.endswith("presence")
    ]


def test_a_component_broadcasts_no_presence(component):
    assert component("*").sent() == []


@pytest.mark.parametrize(
    "to", [COMPONENT, f"bot@{COMPONENT}", f"bot@{COMPONENT}/r", f"Bot@{COMPONENT}"]
)
@pytest.mark.parametrize("sender", [FRIEND, f"{FRIEND}/phone"])
@pytest.mark.parametrize("allowed", [FRIEND, "home.example", "*"])
def test_a_component_answers_from_the_address_that_was_asked(component, allowed, sender, to):
    wire, me = component(allowed), JID(to).userhost()
    assert answers_to(wire, "subscribe", sender, to) == [
        ("subscribed", FRIEND, me, 0),
        ("subscribe", FRIEND, me, 0),
        (None, FRIEND, me, 1),
    ]
    assert answers_to(wire, "probe", sender, to) == [(None, sender, me, 1)]
    assert answers_to(wire, "unsubscribe", sender, to) == [
        ("unsubscribed", FRIEND, me, 0),
        ("unsubscribe", FRIEND, me, 0),
        ("unavailable", FRIEND, me, 0),
    ]


@pytest.mark.parametrize("kind", ["subscribe", "probe"])
def test_a_component_denies_others(component, kind):
    wire = component("far.example")
    assert answers_to(wire, kind, FRIEND) == [("unsubscribed", FRIEND, COMPONENT, 0)]


@pytest.mark.parametrize("kind", [None, "subscribed", "unsubscribed", "unavailable", "error"])
def test_a_component_answers_nothing_else(component, kind):
    assert answers_to(component("*"), kind, FRIEND) == []


@pytest.mark.parametrize(("sender", "to"), [(None, COMPONENT), ("@", COMPONENT), (FRIEND, "a@@b")])
def test_a_component_answers_nobody_without_an_address(sender, to):
    wire = ComponentWire()
    Bot(AllowList(["*"])).setHandlerParent(wire.manager)
    wire.open()
    assert answers_to(wire, "subscribe", sender, to) == []


def test_the_presence_of_a_component_tells_what_disco_answers():
    wire = ComponentWire()
    for handler in (Bot(AllowList(["*"])), DiscoHandler(), VersionHandler("x", "1")):
        handler.setHandlerParent(wire.manager)
    wire.open()
    wire.receive(stanza("presence", type="probe", from_=FRIEND, to=COMPONENT))
    ver = ver_of(wire.sent_one())
    for node in (None, f"{NODE}#{ver}"):
        attributes = {} if node is None else {"node": node}
        asking = stanza("query", xmlns=INFO, **attributes)
        wire.receive(stanza("iq", asking, type="get", id="d1", from_=FRIEND, to=COMPONENT))
        (answer,) = wire.sent_one()
        told = [DiscoIdentity("client", "bot", "A bot")]
        told += [DiscoFeature(one.get("var")) for one in answer.iter(f"{{{INFO}}}feature")]
        assert verification_string(told) == ver


def test_two_components_stop_answering_each_other():
    """Each gets all that the other sent: there is no server between them that keeps any back."""
    ends = {}
    for domain in (COMPONENT, "other.example"):
        ends[domain] = ComponentWire()
        Bot(AllowList(["*"])).setHandlerParent(ends[domain].manager)
        ends[domain].open()
    for kind in ("subscribe", "unsubscribe", "subscribe"):
        waiting, passed = [(kind, "other.example", COMPONENT)], []
        while waiting:
            passed.append(waiting.pop(0))
            assert len(passed) < 20
            one, sender, to = passed[-1]
            waiting += [
                (answer, me, back) for answer, back, me, _ in answers_to(ends[to], one, sender, to)
            ]
        # Both have asked for it, and both have answered.
        assert {sender for one, sender, _ in passed if one == kind} == set(ends)


def test_what_a_component_remembers_is_bounded(component):
    wire = component()
    for number in range(1100):
        answers_to(wire, "unsubscribe", f"stranger{number}@home.example")
    (handler,) = (one for one in wire.manager if isinstance(one, PresenceHandler))
    assert len(handler._asked) == 1000


def test_presence_can_have_a_priority_and_leave_requests_to_others():
    wire = ClientWire(XMPPClient(JID(ME), "secret"))
    PresenceHandler(None, priority=-1).setHandlerParent(wire.manager)
    wire.open()
    assert wire.sent_one().findtext("priority") == "-1"
    for kind in ("subscribe", "unsubscribe", "probe"):
        wire.receive(stanza("presence", type=kind, from_=FRIEND, to=ME))
    assert wire.sent() == []

"""What a whole responder announces: each feature is really there, and others are not."""

from __future__ import annotations

from xml.etree.ElementTree import tostring

import pytest

from tests.support.scripted import FRIEND, Served, condition, fetched
from tests.support.streams import ClientWire, ComponentWire, InternalWire, query, stanza
from twisted_oob.xmpp.access import AllowList
from twisted_oob.xmpp.presence import PresenceHandler, verification_string

from wokkel.disco import DiscoFeature, DiscoIdentity  # isort: skip

INFO = "http://jabber.org/protocol/disco#info"
URL = "https://files.example/report.pdf"


class Whole(Served):
    """A responder that shows its presence, asked by a contact of it."""

    def __init__(self, wire=ClientWire, **options):
        super().__init__(wire=wire, **options)
        presence = PresenceHandler(AllowList(["*"]), reactor=self.clock)
        presence.setHandlerParent(self.end.manager)
        self.end.lose()
        self.end.open()
        if wire is not ClientWire:
            self.end.receive(stanza("presence", type="probe", from_=FRIEND, to=self.end.me))
        (self.presence,) = (one for one in self.end.sent() if one.tag.endswith("presence"))

    def reply(self, payload, kind="get"):
        """Give the answer to a request."""
        self.receive(payload, kind=kind)
        return self.end.sent_one()

    def info(self, node=None):
        """Give the children of the answer to disco#info."""
        attributes = {} if node is None else {"node": node}
        (answer,) = self.reply(stanza("query", xmlns=INFO, **attributes))
        return list(answer)

    def features(self):
        return [one.get("var") for one in self.info() if one.tag.endswith("}feature")]

    def write(self, *children, id_="m1", type_="chat"):
        """Let a message come."""
        message = stanza(
            "message", "".join(children), type=type_, id=id_, from_=FRIEND, to=self.end.me
        )
        self.end.receive(message)

    def finish(self):
        """Let all files be there that are being fetched; gives the URLs of all so far."""
        while self.fetcher.transfers:
            self.fetcher.transfers.pop(0).callback(fetched())
        return self.fetcher.urls


def is_result(payload):
    """Tell that a get of this gets a result."""
    return lambda whole: whole.reply(payload).get("type") == "result"


def answers_caps(whole):
    caps = whole.presence.find("{http://jabber.org/protocol/caps}c")
    node = f"{caps.get('node')}#{caps.get('ver')}"
    told = [
        DiscoFeature(one.get("var"))
        if one.tag.endswith("}feature")
        else DiscoIdentity(one.get("category"), one.get("type"), one.get("name"))
        for one in whole.info(node)
    ]
    return verification_string(told) == caps.get("ver")


def takes_an_offer(whole):
    whole.receive(query(URL))
    urls = whole.finish()
    return urls == [URL] and whole.end.sent_one().get("type") == "result"


FEATURES = {
    INFO: is_result(stanza("query", xmlns=INFO)),
    "http://jabber.org/protocol/disco#items": is_result(
        stanza("query", xmlns="http://jabber.org/protocol/disco#items")
    ),
    "http://jabber.org/protocol/caps": answers_caps,
    "jabber:iq:version": is_result(stanza("query", xmlns="jabber:iq:version")),
    "urn:xmpp:ping": is_result(stanza("ping", xmlns="urn:xmpp:ping")),
    "jabber:iq:oob": takes_an_offer,
}

OOB = f"<x xmlns='jabber:x:oob'><url>{URL}</url></x>"
SFS = (
    "<file-sharing xmlns='urn:xmpp:sfs:0'><file xmlns='urn:xmpp:file:metadata:0'>"
    "<name>report.pdf</name></file><sources>"
    f"<url-data xmlns='http://jabber.org/protocol/url-data' target='{URL}'/></sources>"
    "</file-sharing>"
)
SIMS = (
    "<reference xmlns='urn:xmpp:reference:0' type='data'><media-sharing xmlns='urn:xmpp:sims:1'>"
    "<file xmlns='urn:xmpp:jingle:apps:file-transfer:5'><name>report.pdf</name></file><sources>"
    f"<reference xmlns='urn:xmpp:reference:0' type='data' uri='{URL}'/></sources>"
    "</media-sharing></reference>"
)
RECEIPT = "<request xmlns='urn:xmpp:receipts'/>"


def takes_a_file(child):
    """Tell that a file is fetched that a message names in this way."""

    def check(whole):
        whole.write(child)
        return whole.finish() == [URL]

    return check


def gives_a_receipt(whole):
    whole.write("<body>hello</body>", RECEIPT)
    found = [one.find("{urn:xmpp:receipts}received") for one in whole.end.sent()]
    return [one.get("id") for one in found if one is not None] == ["m1"]


def replies(whole):
    whole.write("<body>hello</body>")
    found = whole.end.sent_one().find("{urn:xmpp:reply:0}reply")
    return found.get("id") == "m1"


def takes_a_correction(whole):
    whole.write(OOB)
    whole.write(
        OOB,
        OOB.replace("report", "other"),
        "<replace xmlns='urn:xmpp:message-correct:0' id='m1'/>",
        id_="m2",
    )
    return whole.finish() == [URL, URL.replace("report", "other")]


CHAT_FEATURES = {
    "jabber:x:oob": takes_a_file(OOB),
    "urn:xmpp:sfs:0": takes_a_file(SFS),
    "urn:xmpp:sims:1": takes_a_file(SIMS),
    "urn:xmpp:receipts": gives_a_receipt,
    "urn:xmpp:reply:0": replies,
    "urn:xmpp:message-correct:0": takes_a_correction,
}

WIRES = pytest.mark.parametrize("wire", [ClientWire, ComponentWire, InternalWire])


@WIRES
def test_each_feature_that_is_announced_is_there_and_no_other_is_announced(wire):
    features = Whole(wire).features()
    checks = FEATURES | CHAT_FEATURES
    assert sorted(features) == sorted(checks)
    assert [feature for feature in features if not checks[feature](Whole(wire))] == []


@WIRES
def test_without_messages_nothing_of_a_chat_is_announced_nor_answered(wire):
    features = Whole(wire, messages=False).features()
    assert sorted(features) == sorted(FEATURES)
    checks = [check(Whole(wire, messages=False)) for check in FEATURES.values()]
    assert checks == [True] * len(FEATURES)
    whole = Whole(wire, messages=False)
    whole.write("<body>hello</body>", OOB, RECEIPT)
    assert whole.end.sent() == []
    assert whole.finish() == []


@WIRES
@pytest.mark.parametrize("direct", [False, True])
def test_what_is_not_announced_gets_service_unavailable(wire, direct):
    whole = Whole(wire, direct=direct)
    features = whole.features()
    for payload in (
        "<query xmlns='jabber:iq:last'/>",
        "<query xmlns='jabber:iq:time'/>",
        "<time xmlns='urn:xmpp:time'/>",
        "<vCard xmlns='vcard-temp'/>",
        "<query xmlns='jabber:iq:register'/>",
        "<query xmlns='jabber:iq:roster'/>",
        "<query xmlns='jabber:iq:search'/>",
        "<command xmlns='http://jabber.org/protocol/commands' node='x'/>",
        "<pubsub xmlns='http://jabber.org/protocol/pubsub'/>",
        "<si xmlns='http://jabber.org/protocol/si'/>",
        "<open xmlns='http://jabber.org/protocol/ibb' sid='x' block-size='4096'/>",
        "<query xmlns='http://jabber.org/protocol/bytestreams'/>",
        "<jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' sid='x'/>",
        "<request xmlns='urn:xmpp:http:upload:0' filename='a' size='1'/>",
        "<query xmlns='urn:xmpp:mam:2'/>",
        "<query xmlns='http://jabber.org/protocol/muc#owner'/>",
    ):
        namespace = payload.split("'")[1]
        assert namespace not in features
        for kind in ("get", "set"):
            assert condition(whole.reply(payload, kind)) == "service-unavailable", payload
        whole.clock.advance(10)


@WIRES
def test_what_is_not_announced_of_a_chat_is_not_answered(wire):
    whole = Whole(wire)
    for number, child in enumerate(
        [
            "<active xmlns='http://jabber.org/protocol/chatstates'/>",
            "<composing xmlns='http://jabber.org/protocol/chatstates'/>",
            "<markable xmlns='urn:xmpp:chat-markers:0'/>",
            "<attention xmlns='urn:xmpp:attention:0'/>",
            "<x xmlns='jabber:x:event'><delivered/><displayed/></x>",
            "<x xmlns='jabber:x:conference' jid='room@rooms.example'/>",
            "<buzz xmlns='http://www.google.com/talk/protocol/auth'/>",
        ]
    ):
        whole.write(child, id_=f"n{number}")
    assert whole.end.sent() == []
    # Nor is any of it in what is said in answer to words.
    whole.write(
        "<body>hello</body>",
        "<active xmlns='http://jabber.org/protocol/chatstates'/>",
        "<markable xmlns='urn:xmpp:chat-markers:0'/>",
    )
    said = tostring(whole.end.sent_one(), encoding="unicode")
    assert "chatstates" not in said
    assert "chat-markers" not in said

"""BoundStream: who we are on a stream, and the two ways out of it."""

from __future__ import annotations

import pytest
from twisted.internet.testing import StringTransport
from twisted.words.protocols.jabber import xmlstream
from twisted.words.protocols.jabber.jid import JID
from twisted.words.xish.domish import Element

from tests.support.streams import (
    COMPONENT,
    PEER,
    WIRES,
    ClientWire,
    InternalWire,
    canonical,
    stanza,
)
from twisted_oob.xmpp.stanza import Payload
from twisted_oob.xmpp.stream import BoundStream

SOCKETS = {name: make for name, make in WIRES.items() if "internal" not in name}
every_wire = pytest.mark.parametrize("wire", WIRES.values(), ids=WIRES)
every_socket = pytest.mark.parametrize("wire", SOCKETS.values(), ids=SOCKETS)
either_way = pytest.mark.parametrize("direct", [False, True], ids=["ordinary", "direct"])

PAYLOAD = Payload("urn:example:ask", "query", (("item", "'\"<>& é"),), {"node": "'\"<>&"})


def opened(wire, *, direct=False):
    """Give an open wire, and a BoundStream on it."""
    end = wire()
    end.open()
    # It is not direct unless it is told to be.
    options = {"direct": True} if direct else {}
    return end, BoundStream(end.xmlstream, end.manager, **options)


# Who we are.


@every_wire
def test_we_are_whom_the_stream_was_bound_to(wire):
    end, stream = opened(wire)
    assert stream.me == JID(end.me)


def test_an_internal_component_of_several_domains_is_the_first_of_them():
    end = InternalWire()
    end.manager.domains |= {"a.home.example", "z.home.example"}
    end.open()
    assert BoundStream(end.xmlstream, end.manager).me == JID("a.home.example")


class Named:
    """An end of some stream that says who we are in one way, or not at all."""

    def __init__(self, **attributes):
        self.sent = []
        self.__dict__.update(attributes)

    def send(self, element):
        self.sent.append(element)


@pytest.mark.parametrize(
    ("attributes", "me"),
    [
        ({}, None),
        ({"thisEntity": JID("b.example")}, JID("b.example")),
        ({"authenticator": Named(jid=JID("a.example")), "thisEntity": JID("b")}, JID("a.example")),
        ({"authenticator": Named(jid=None), "thisEntity": JID("b.example")}, JID("b.example")),
        ({"authenticator": Named()}, None),
    ],
)
@either_way
def test_any_end_of_a_stream_may_tell_who_we_are(attributes, me, direct):
    end = Named(**attributes)
    stream = BoundStream(end, None, direct=direct)
    assert stream.me == me
    stream.send_iq("set", "i", PEER, None)
    (sent,) = end.sent
    assert sent.getAttribute("from") == (me.full() if me else None)


def test_end_that_is_not_an_xmlstream_gets_elements_even_if_it_has_a_transport():
    end = Named(transport=StringTransport(), rawDataOutFn=None)
    BoundStream(end, None, direct=True).send_iq("set", "i", PEER, None)
    assert len(end.sent) == 1
    assert end.transport.value() == b""


def test_parser_of_any_stream_holds_no_stanza_back():
    """As that of a Python whose expat defers does otherwise."""
    deferral = []
    parser = Named(SetReparseDeferralEnabled=deferral.append)
    BoundStream(Named(stream=Named(parser=parser)), None)
    assert deferral == [False]


# What goes out.


@every_wire
@either_way
@pytest.mark.parametrize("payload", [None, PAYLOAD])
@pytest.mark.parametrize("from_", [None, "alice@" + COMPONENT])
def test_iq_is_the_same_on_either_way(wire, direct, payload, from_):
    end, stream = opened(wire, direct=direct)
    stream.send_iq("set", "i'", PEER, from_, payload)
    own = None if "@" in end.me else end.me
    children = "" if payload is None else payload.to_xml()
    expected = stanza("iq", children, type="set", id="i'", to=PEER, from_=from_ or own)
    assert canonical(end.sent_one()) == canonical(expected)


@every_socket
@either_way
def test_iq_without_addresses_is_for_our_server(wire, direct):
    end, stream = opened(wire, direct=direct)
    stream.send_iq("result", None, None, None)
    own = {} if "@" in end.me else {"from": end.me}
    assert end.sent_one().attrib == {"type": "result"} | own


@every_wire
@pytest.mark.parametrize("given", [None, "alice@" + COMPONENT])
def test_stanza_of_a_component_is_from_it_unless_it_says_from_whom(wire, given):
    end, stream = opened(wire)
    message = Element((None, "message"))
    message["to"] = PEER
    if given:
        message["from"] = given
    stream.send(message)
    assert end.sent_one().get("from") == (given or (None if "@" in end.me else end.me))


@every_socket
@either_way
def test_traffic_log_sees_what_is_written(wire, direct):
    end, stream = opened(wire, direct=direct)
    logged = []
    end.xmlstream.rawDataOutFn = logged.append
    stream.send_iq("set", "i", PEER, None, PAYLOAD)
    assert logged == [end.transport.value()]
    end.xmlstream.rawDataOutFn = None
    stream.send_iq("set", "j", PEER, None, PAYLOAD)
    assert [sent.get("id") for sent in end.sent()] == ["i", "j"]


@every_socket
@either_way
def test_only_direct_leaves_out_whoever_wrapped_send(wire, direct):
    end, stream = opened(wire, direct=direct)
    seen = []
    end.xmlstream.send = seen.append
    stream.send_iq("set", "i", PEER, None)
    assert len(seen) == (0 if direct else 1)
    stream.send(Element((None, "message")))
    assert len(seen) == (1 if direct else 2)


# Where the direct way is not as we know it.


class Odd:
    """An XmlStream, but for one attribute."""

    send = xmlstream.XmlStream.send

    def __init__(self, stream, missing):
        self.__dict__.update(_stream=stream, _missing=missing, send=stream.send)

    @property
    def __class__(self):
        return xmlstream.XmlStream

    def __getattr__(self, name):
        if name == self._missing:
            raise AttributeError(name)
        return getattr(self._stream, name)


@every_socket
@pytest.mark.parametrize("missing", ["rawDataOutFn", "transport"])
def test_direct_request_goes_the_ordinary_way_if_an_attribute_is_gone(wire, missing):
    end, _ = opened(wire)
    stream = BoundStream(Odd(end.xmlstream, missing), end.manager, direct=True)
    stream.send_iq("set", "i", PEER, None, PAYLOAD)
    request = end.sent_one()
    assert request.attrib == {"type": "set", "id": "i", "to": PEER} | (
        {} if "@" in end.me else {"from": end.me}
    )


def test_failure_of_the_transport_reaches_the_one_who_sends():
    end, stream = opened(ClientWire, direct=True)

    def write(_data):
        raise OSError("broken")

    end.transport.write = write
    with pytest.raises(OSError, match="broken"):
        stream.send_iq("set", "i", PEER, None)


def test_the_stream_knows_better_who_we_are_than_a_manager_with_domains():
    end = ClientWire()
    end.open()
    end.manager.domains = {"hosted.example"}
    assert BoundStream(end.xmlstream, end.manager).me.full() == end.me


# Who the stanza says it is from.


def sent_from(address, me, *, client):
    _end, stream = opened(ClientWire if client else WIRES["wokkel component"])
    stream.me = JID(me)
    message = Element((None, "message"))
    message["from"] = address
    stream.send(message)
    return message.getAttribute("from")


@pytest.mark.parametrize(
    ("address", "left"),
    [
        ("me@home.example/old", None),
        ("ME@Home.Example/old", None),
        ("me@home.example/new", "me@home.example/new"),
        ("me@home.example", "me@home.example"),
        ("you@home.example/old", "you@home.example/old"),
        ("@", "@"),
    ],
)
def test_an_account_does_not_send_from_the_address_of_an_earlier_stream(address, left):
    assert sent_from(address, "me@home.example/new", client=True) == left


def test_a_component_sends_from_any_address_of_its_own():
    for address in ("me@files.example/old", "files.example/old"):
        assert sent_from(address, "files.example", client=False) == address

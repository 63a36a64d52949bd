"""What an entity announces of Out of Band Data, as find_features tells it (XEP-0066 section 4)."""

from __future__ import annotations

import pytest
from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.words.protocols.jabber.jid import JID
from twisted.words.protocols.jabber.xmlstream import TimeoutError as IQTimeoutError

from tests.support.streams import (
    COMPONENT,
    PEER,
    WIRES,
    Direct,
    canonical,
    clock_of,
    connected,
    outcome,
    stanza,
)
from twisted_oob import NS_IQ_OOB, NS_X_OOB, OOBHandler, StreamRefused
from twisted_oob.testing import MemoryServer, result_of
from twisted_oob.xmpp.disco import DiscoveryHandler

pytestmark = pytest.mark.usefixtures("log")

on_every_stream = pytest.mark.parametrize("make", WIRES.values(), ids=WIRES)
every_handler = pytest.mark.parametrize("handler", [OOBHandler, Direct], ids=["ordinary", "direct"])

XMLNS = "xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'"
ERROR = f"<error type='cancel'><service-unavailable {XMLNS}/></error>"


def info(*features, namespace="http://jabber.org/protocol/disco#info"):
    held = "".join(f"<feature var='{feature}'/>" for feature in features)
    return f"<query xmlns='{namespace}'><identity category='client' type='pc'/>{held}</query>"


@on_every_stream
@every_handler
@pytest.mark.parametrize(
    ("answer", "features"),
    [
        (info(NS_IQ_OOB, NS_X_OOB, "urn:xmpp:ping"), {NS_IQ_OOB, NS_X_OOB}),
        (info("urn:xmpp:ping", NS_X_OOB), {NS_X_OOB}),
        (info(NS_IQ_OOB, NS_IQ_OOB), {NS_IQ_OOB}),
        (info("urn:xmpp:ping"), set()),
        (info(), set()),
        (info(NS_IQ_OOB, namespace="urn:x"), set()),
        (info().replace("<identity", "<feature/><identity"), set()),
        ("text", set()),
        ("", set()),
    ],
)
def test_those_that_it_announces(answer, features, handler, make):
    made, wire = connected(wire=make, handler=handler)
    found = made.find_features(PEER)
    sent = wire.sent_one()
    from_ = COMPONENT if wire.me == COMPONENT else None
    query = "<query xmlns='http://jabber.org/protocol/disco#info'/>"
    wanted = stanza("iq", query, type="get", id=sent.get("id"), to=PEER, from_=from_)
    assert canonical(sent) == canonical(wanted)
    wire.answer(sent, answer, from_="evil@evil.example", type="result")
    assert not found.called
    wire.answer(sent, answer, type="result")
    result = outcome(found)
    assert isinstance(result, frozenset)
    assert result == features
    assert clock_of(made).getDelayedCalls() == []


@every_handler
def test_an_error_announces_nothing(handler):
    made, wire = connected(handler=handler)
    found = made.find_features(JID(PEER))
    wire.answer(wire.sent_one(), ERROR)
    assert outcome(found) == frozenset()


def test_it_fails_without_an_answer():
    handler, wire = connected()
    first, second, third = (handler.find_features(PEER, timeout) for timeout in (5.0, None, 1000))
    default = handler.find_features(PEER)
    clock_of(handler).advance(9.9)
    assert isinstance(outcome(first), IQTimeoutError)
    assert not default.called
    clock_of(handler).advance(0.1)
    assert isinstance(outcome(default), IQTimeoutError)
    third.cancel()
    assert isinstance(outcome(third), CancelledError)
    wire.lose()
    assert isinstance(outcome(second), (ConnectionDone, ConnectionLost))
    assert clock_of(handler).getDelayedCalls() == []


def test_it_waits_for_a_stream_and_fails_if_that_is_refused():
    handler = OOBHandler(reactor=Clock())
    found = handler.find_features(PEER)
    refused = StreamRefused("the password is wrong")
    handler.stream_refused(refused)
    assert outcome(found) is refused


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (("a..b",), ValueError),
        ((None,), TypeError),
        ((PEER.encode(),), TypeError),
        ((PEER, 0), ValueError),
        ((PEER, "5"), TypeError),
    ],
)
def test_an_argument_that_is_not_good_fails_it(arguments, kind):
    handler, wire = connected()
    assert isinstance(outcome(handler.find_features(*arguments)), kind)
    assert wire.sent() == []


def test_our_own_handlers_are_found():
    server = MemoryServer()
    one, other = (server.client(f"{name}@example.org/x") for name in ("one", "other"))
    asking = OOBHandler(reactor=server.clock)
    asking.setHandlerParent(one)
    asked = OOBHandler(lambda offer: None, reactor=server.clock)
    asked.setHandlerParent(other)
    DiscoveryHandler("client", "bot", "x").setHandlerParent(other)
    assert result_of(asking.find_features(other.jid)) == {NS_IQ_OOB}

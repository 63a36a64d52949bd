"""The same exchange on every kind of stream that the handler works on."""

from __future__ import annotations

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.words.protocols.jabber.component import XMPPComponentServerFactory
from twisted.words.protocols.jabber.jid import JID
from wokkel.component import Component, InternalComponent, Router
from wokkel.subprotocols import XMPPHandler

from tests.streams import (
    COMPONENT,
    PEER,
    URL,
    WIRES,
    InternalWire,
    canonical,
    clock_of,
    connected,
    outcome,
    query,
    stanza,
)
from twisted_oob import NotFound, OOBHandler, OfferLost

pytestmark = pytest.mark.usefixtures("log")

ALL = pytest.mark.parametrize("make", WIRES.values(), ids=WIRES)
SOCKETS = pytest.mark.parametrize(
    "make",
    [make for make in WIRES.values() if make is not InternalWire],
    ids=[name for name, make in WIRES.items() if make is not InternalWire],
)


def exchange(handler, wire, offers):
    """Send, be answered, be offered and answer, once each; the wire has nothing to say else."""
    answer = handler.send_url(PEER, URL)
    sent = wire.sent_one()
    own = None if wire.me != COMPONENT else COMPONENT
    assert canonical(sent) == canonical(
        stanza("iq", query(), type="set", id=sent.get("id"), to=PEER, from_=own)
    )
    wire.answer(sent, from_="evil@evil.example")
    assert not answer.called
    wire.answer(sent)
    assert outcome(answer) is None
    handler.send_message(PEER, URL)
    assert wire.sent_one().find("{jabber:x:oob}x/{jabber:x:oob}url").text == URL
    wire.receive(stanza("message", f"<x xmlns='jabber:x:oob'><url>{URL}</url></x>", to=wire.me))
    wire.offer("o1")
    wire.offer("o2")
    first, message, second = sorted(offers, key=lambda seen: getattr(seen, "body", 0) is None)[
        :: -1
    ][::-1][:1] + [None] + [None] if False else split(offers)
    assert message.url == URL
    assert (first.sender, first.recipient) == (JID(PEER), JID(wire.me))
    second.reply_failure("not-found")
    first.reply_success()
    failure, success = wire.sent()
    assert failure.find("error") is not None
    assert canonical(success) == canonical(
        stanza("iq", type="result", id="o1", to=PEER, from_=wire.me)
    )
    offers.clear()

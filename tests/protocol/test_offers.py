"""on_offer: what the application sees of each offer, and which handler takes it."""

from __future__ import annotations

import random

import pytest
from twisted.internet.defer import Deferred
from twisted.words.protocols.jabber.jid import JID

from tests.support.offers import (
    REJECT,
    assert_answer,
    error,
    offered,
)
from tests.support.streams import ME, PEER, URL, clock_of, connected, query
from twisted_oob import NotFound, OOBData, OOBHandler

pytestmark = pytest.mark.usefixtures("log")


# What the application sees


def test_offer_tells_all_there_is():
    payload = query(URL + "?a&amp;b", "A &lt;cat&gt;").replace("<query", "<query sid='s1'")
    _handler, _wire, offer = offered(payload=payload, id="o7")
    assert offer.data == OOBData(URL + "?a&b", "A <cat>", "s1")
    assert (offer.url, offer.desc, offer.sid) == (URL + "?a&b", "A <cat>", "s1")
    assert offer.sender == JID(PEER)
    assert offer.recipient == JID(ME)
    assert isinstance(offer.sender, JID)
    assert isinstance(offer.recipient, JID)
    assert offer.element["id"] == "o7"
    assert offer.element.query.url is not None


def test_offer_without_desc_and_sid():
    _handler, _wire, offer = offered()
    assert (offer.desc, offer.sid) == (None, None)


def test_offer_is_called_once_for_each():
    seen = []
    _handler, wire = connected(lambda offer: seen.append(offer.element["id"]))
    for number in range(5):
        wire.offer(f"o{number}")
    assert seen == [f"o{number}" for number in range(5)]


def test_repr_tells_the_state_and_the_sender_and_nothing_of_the_url():
    _handler, wire, offer = offered(payload=query("https://user:secret@h/"))
    assert repr(offer) == f"<Offer open from {JID(PEER)}>"
    offer.reply_success()
    assert repr(offer).startswith("<Offer answered ")
    _handler, wire, offer = offered()
    wire.lose()
    assert repr(offer).startswith("<Offer lost ")


# Nobody to take it


def test_without_on_offer_every_offer_is_not_acceptable():
    _handler, wire = connected()
    wire.offer()
    assert_answer(wire.sent_one(), REJECT)


def test_subclass_may_define_on_offer_as_a_method():
    class Mine(OOBHandler):
        async def on_offer(self, offer):
            assert isinstance(self, Mine)
            raise NotFound(offer.url)

    _handler, wire = connected(handler=Mine)
    wire.offer()
    assert_answer(wire.sent_one(), error("cancel", 404, "item-not-found", URL))


def test_given_on_offer_is_preferred_to_the_method():
    class Mine(OOBHandler):
        def on_offer(self, offer):
            raise AssertionError

    _handler, wire = connected(lambda offer: offer.reply_success(), handler=Mine)
    wire.offer()
    assert_answer(wire.sent_one())


def test_first_of_two_handlers_takes_the_offer():
    _handler, wire = connected(lambda offer: offer.reply_success())
    second = OOBHandler(lambda offer: offer.reply_failure("reject"), reactor=clock_of(_handler))
    second.setHandlerParent(wire.manager)
    wire.offer()
    assert_answer(wire.sent_one())


def test_offer_that_another_handler_took_is_left_alone():
    seen = []
    _handler, wire = connected(seen.append)

    def take(iq):
        iq.handled = True

    wire.xmlstream.addObserver("/iq", take, priority=1)
    wire.offer()
    assert seen == []
    assert wire.sent() == []


# Many


def test_a_thousand_offers_in_one_stream_are_each_answered_once_with_their_own_id():
    done = {}

    def on_offer(offer):
        return done.setdefault(offer.element["id"], Deferred())

    handler, wire = connected(on_offer)
    wanted = [f"id-{number}" for number in range(1000)]
    for id_ in wanted:
        wire.offer(id_)
    assert len(clock_of(handler).getDelayedCalls()) == 1
    order = list(wanted)
    random.Random(66).shuffle(order)
    for number, id_ in enumerate(order):
        done[id_].callback(None) if number % 3 else done[id_].errback(NotFound())
    sent = wire.sent()
    assert [answer.get("id") for answer in sent] == order
    assert [answer.get("type") for answer in sent] == [
        "result" if number % 3 else "error" for number in range(1000)
    ]
    assert clock_of(handler).getDelayedCalls() == []
    assert handler._open_offers._open == set()

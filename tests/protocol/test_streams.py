"""The same exchange on every kind of stream that the handler works on."""

from __future__ import annotations

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.words.protocols.jabber.component import XMPPComponentServerFactory
from twisted.words.protocols.jabber.jid import JID
from wokkel.component import Component, InternalComponent, Router
from wokkel.subprotocols import XMPPHandler

from tests.support.streams import (
    COMPONENT,
    PEER,
    URL,
    WIRES,
    InternalWire,
    canonical,
    clock_of,
    connected,
    observers,
    outcome,
    query,
    stanza,
)
from twisted_oob import NotFound, OfferLost, OOBHandler

pytestmark = pytest.mark.usefixtures("log")

SOCKETS = {name: make for name, make in WIRES.items() if make is not InternalWire}

on_every_stream = pytest.mark.parametrize("make", WIRES.values(), ids=WIRES)
on_every_socket = pytest.mark.parametrize("make", SOCKETS.values(), ids=SOCKETS)


class Both:
    """What one handler was given, and the handler."""

    def __init__(self):
        self.offers = []
        self.messages = []
        self.handler = OOBHandler(self.offers.append, self.messages.append, reactor=Clock())

    def exchange(self, wire):
        """Ask, tell, be asked and be told on the wire, where nothing else is heard."""
        own = COMPONENT if wire.me == COMPONENT else None
        answer = self.handler.send_url(PEER, URL)
        sent = wire.sent_one()
        assert canonical(sent) == canonical(
            stanza("iq", query(), type="set", id=sent.get("id"), to=PEER, from_=own)
        )
        wire.answer(sent, from_="evil@evil.example")
        assert not answer.called
        wire.answer(sent)
        assert outcome(answer) is None

        self.handler.send_message(PEER, URL)
        sent = wire.sent_one()
        assert (sent.tag, sent.get("to"), sent.get("from")) == ("message", PEER, own)

        payload = f"<body>look</body><x xmlns='jabber:x:oob'><url>{URL}</url></x>"
        wire.receive(stanza("message", payload, from_=PEER, to=wire.me))
        message = self.messages.pop()
        assert (message.url, message.body, message.sender) == (URL, "look", JID(PEER))

        wire.offer("o1")
        wire.offer("o2")
        wire.offer("o3", query("no URL"))
        assert wire.sent_one().get("id") == "o3"
        first, second = self.offers
        self.offers.clear()
        assert (first.sender, first.recipient) == (JID(PEER), JID(wire.me))
        second.reply_failure("not-found")
        first.reply_success()
        failure, success = wire.sent()
        assert failure.find("error") is not None
        assert (failure.get("id"), failure.get("to"), failure.get("from")) == ("o2", PEER, wire.me)
        expected = stanza("iq", type="result", id="o1", to=PEER, from_=wire.me)
        assert canonical(success) == canonical(expected)

        assert self.messages == []
        assert clock_of(self.handler).getDelayedCalls() == []


@on_every_stream
def test_exchange_of_a_handler_added_before_the_stream(make):
    both, wire = Both(), make()
    both.handler.setHandlerParent(wire.manager)
    wire.open()
    both.exchange(wire)


@on_every_socket
def test_exchange_of_a_handler_added_while_the_stream_negotiates(make):
    both, wire = Both(), make()
    wire.connect()
    both.handler.setHandlerParent(wire.manager)
    wire.negotiate()
    both.exchange(wire)


@on_every_stream
def test_exchange_of_a_handler_added_to_an_open_stream(make):
    both, wire = Both(), make()
    wire.open()
    both.handler.setHandlerParent(wire.manager)
    both.exchange(wire)


@on_every_stream
def test_exchange_on_each_of_several_streams(make):
    both, wire = Both(), make()
    both.handler.setHandlerParent(wire.manager)
    for _ in range(3):
        wire.open()
        both.exchange(wire)
        wire.lose()
    assert both.handler.xmlstream is None


@on_every_stream
def test_waiting_stanzas_are_sent_with_the_next_stream(make):
    both, wire = Both(), make()
    both.handler.setHandlerParent(wire.manager)
    wire.open()
    wire.lose()
    answer = both.handler.send_url(PEER, URL)
    both.handler.send_message(PEER, URL)
    wire.open()
    sent = wire.sent()
    assert sorted(element.tag for element in sent) == ["iq", "message"]
    wire.answer(next(element for element in sent if element.tag == "iq"))
    assert outcome(answer) is None


@on_every_stream
def test_loss_of_the_stream_fails_requests_and_cancels_work(make):
    cancelled = []
    handler, wire = connected(lambda offer: Deferred(cancelled.append), wire=make)
    answer = handler.send_url(PEER, URL)
    wire.sent_one()
    wire.offer()
    wire.lose()
    assert isinstance(outcome(answer), (ConnectionLost, ConnectionDone))
    assert len(cancelled) == 1
    assert clock_of(handler).getDelayedCalls() == []
    wire.open()
    assert wire.sent() == []


@on_every_stream
def test_answers_of_the_old_stream_do_not_count_on_the_next(make):
    handler, wire = connected(wire=make)
    old = handler.send_url(PEER, URL)
    old_sent = wire.sent_one()
    wire.lose()
    assert isinstance(outcome(old), (ConnectionLost, ConnectionDone))
    wire.open()
    new = handler.send_url(PEER, URL)
    new_sent = wire.sent_one()
    wire.answer(old_sent)
    assert not new.called
    wire.answer(new_sent)
    assert outcome(new) is None


@on_every_socket
def test_stanza_that_arrives_on_a_lost_stream_is_ignored(make, log):
    offers = []
    handler, wire = connected(offers.append, offers.append, wire=make)
    old = wire.xmlstream
    before = handler.send_url(PEER, URL)
    wire.sent_one()
    wire.lose()
    outcome(before)
    assert observers(old) <= observers(make_and_open(make).xmlstream)
    wire.open()
    waiting = handler.send_url(PEER, URL)
    sent = wire.sent_one()
    old._initializeStream()
    new, wire.xmlstream = wire.xmlstream, old
    wire.receive(f"<stream:stream xmlns='{wire.namespace}' xmlns:stream='urn:s'>")
    log.failures()  # Wokkel's client would now stop its service, which never began
    wire.answer(sent)
    wire.offer()
    assert not waiting.called
    assert offers == []
    wire.xmlstream = new
    wire.answer(sent)
    assert outcome(waiting) is None


def make_and_open(make):
    """Give an open stream with no handler on it."""
    wire = make()
    wire.open()
    return wire


@on_every_stream
def test_disowned_handler_leaves_nothing_on_the_stream(make):
    cancelled = []
    wire = make_and_open(make)
    before = observers(wire.xmlstream)
    offers = []

    def on_offer(offer):
        offers.append(offer)
        return Deferred(cancelled.append)

    handler = OOBHandler(on_offer, reactor=Clock())
    handler.setHandlerParent(wire.manager)
    answer = handler.send_url(PEER, URL)
    sent = wire.sent_one()
    wire.offer()
    assert observers(wire.xmlstream) > before

    handler.disownHandlerParent(wire.manager)
    assert observers(wire.xmlstream) == before
    assert isinstance(outcome(answer), ConnectionDone)
    assert len(cancelled) == 1
    with pytest.raises(OfferLost):
        offers[0].reply_success()
    assert clock_of(handler).getDelayedCalls() == []
    assert (handler.parent, handler.xmlstream) == (None, None)
    assert list(wire.manager) == []
    wire.answer(sent)
    wire.offer()
    assert len(offers) == 1
    assert wire.sent() == []


@on_every_stream
def test_disowned_handler_may_join_another_stream(make):
    both = Both()
    for _ in range(2):
        wire = make_and_open(make)
        both.handler.setHandlerParent(wire.manager)
        both.exchange(wire)
        both.handler.disownHandlerParent(wire.manager)


@on_every_stream
@pytest.mark.parametrize("when", ["a request fails", "work is cancelled"])
def test_handler_that_joins_the_next_stream_at_the_end_of_one_keeps_what_it_does_there(make, when):
    first, second = make_and_open(make), make_and_open(make)
    before = observers(first.xmlstream), observers(second.xmlstream)
    both = Both()
    joined = []

    def join(_):
        if not joined:
            joined.append(True)
            assert observers(first.xmlstream) == before[0]
            both.handler.setHandlerParent(second.manager)
            joined.append(both.handler.send_url(PEER, URL))
            second.offer("o9")

    work = Deferred(lambda _: join(None) if when == "work is cancelled" else None)
    both.handler.on_offer = lambda offer: both.offers.append(offer) or work
    both.handler.setHandlerParent(first.manager)
    answer = both.handler.send_url(PEER, URL)
    answer.addErrback(lambda _: join(None) if when == "a request fails" else None)
    first.sent()
    first.offer("o8")
    both.handler.on_offer = both.offers.append
    both.handler.disownHandlerParent(first.manager)

    old, new = both.offers
    assert (old.settled, new.settled) == (True, False)
    sent = second.sent_one()
    assert not joined[1].called
    second.answer(sent)
    assert outcome(joined[1]) is None
    new.reply_success()
    assert second.sent_one().get("id") == "o9"
    assert observers(second.xmlstream) > before[1]
    assert clock_of(both.handler).getDelayedCalls() == []


@on_every_stream
def test_handler_may_leave_and_return_inside_on_offer(make):
    seen = []

    def on_offer(offer):
        seen.append(offer.element["id"])
        handler.disownHandlerParent(wire.manager)
        handler.setHandlerParent(wire.manager)

    handler, wire = connected(on_offer, wire=make)
    wire.offer("o1")
    wire.offer("o2")
    assert seen == ["o1", "o2"]
    assert wire.sent() == []


def test_internal_component_of_several_domains_names_one_of_them():
    both, wire = Both(), InternalWire()
    wire.manager.domains.add("more.home.example")
    both.handler.setHandlerParent(wire.manager)
    wire.open()
    both.exchange(wire)
    wire.offer(to="more.home.example")
    both.offers[0].reply_success()
    assert wire.sent_one().get("from") == "more.home.example"


def test_two_internal_components_of_one_router():
    """The answer comes while the request is still being sent."""

    def on_offer(offer):
        if offer.desc is None:
            return offer.reply_success()
        raise NotFound(offer.desc)

    router = Router()
    handlers = []
    for domain in ["one.example", "two.example"]:
        manager = InternalComponent(router, domain)
        handler = OOBHandler(on_offer, reactor=Clock())
        handler.setHandlerParent(manager)
        manager.startService()
        handlers.append(handler)
    assert outcome(handlers[0].send_url("two.example", URL)) is None
    condition = outcome(handlers[1].send_url("one.example", URL, "no such file"))
    assert (condition, condition.error.text) == ("not-found", "no such file")
    assert [clock_of(handler).getDelayedCalls() for handler in handlers] == [[], []]


class Watcher(XMPPHandler):
    """Tells when a stream is ready, and when it is gone."""

    def __init__(self):
        XMPPHandler.__init__(self)
        self.ready = Deferred()
        self.gone = Deferred()

    def connectionInitialized(self):
        self.ready.callback(None)

    def connectionLost(self, reason):
        self.gone.callback(None)


@pytest_twisted.ensureDeferred
async def test_exchange_over_tcp():
    from twisted.internet import reactor

    factory = XMPPComponentServerFactory(Router(), "secret")
    port = reactor.listenTCP(0, factory, interface="127.0.0.1")
    gate = Deferred()

    async def on_offer(offer):
        await gate
        if offer.url != URL:
            raise NotFound("no such file")

    handlers, watchers, managers = [], [], []
    for domain in ["one.example", "two.example"]:
        manager = Component("127.0.0.1", port.getHost().port, domain, "secret")
        handler, watcher = OOBHandler(on_offer), Watcher()
        watcher.setHandlerParent(manager)
        handler.setHandlerParent(manager)
        manager.startService()
        handlers.append(handler)
        watchers.append(watcher)
        managers.append(manager)
    try:
        await gatherResults([watcher.ready for watcher in watchers])
        one, two = handlers
        has = one.send_url("two.example", URL, "A <cat> & \u00e9")
        has_not = two.send_url("one.example/desk", URL + "?gone")
        gate.callback(None)
        assert await has is None
        condition = await has_not
        assert (condition, condition.error.text) == ("not-found", "no such file")
        lost = one.send_url("two.example", URL)
    finally:
        for manager in managers:
            manager.stopService()
        await gatherResults([watcher.gone for watcher in watchers])
        await port.stopListening()
    # Whether the answer or the end of the stream came first is the network's choice.
    lost.addErrback(lambda failure: failure.trap(ConnectionDone, ConnectionLost))
    assert lost.called

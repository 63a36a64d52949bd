"""Several handlers on one stream manager, which put each other on and take each other off."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from wokkel.subprotocols import XMPPHandler

from tests.support.streams import PEER, URL, WIRES, connected, outcome, stanza
from twisted_oob import OOBHandler

pytestmark = pytest.mark.usefixtures("log")

on_every_stream = pytest.mark.parametrize("make", WIRES.values(), ids=WIRES)


class Other(XMPPHandler):
    """Somebody's own handler, which does something when it hears of a stream."""

    def __init__(self, action, when="connectionInitialized"):
        XMPPHandler.__init__(self)
        self.heard = []
        setattr(self, when, self.do)
        self.action = action
        for name in {"connectionMade", "connectionInitialized", "connectionLost"} - {when}:
            setattr(self, name, lambda *_, it=name: self.heard.append(it))

    def do(self, *_reason):
        self.heard.append("done")
        action, self.action = self.action, None
        if action is not None:
            action()


def take_off(handler, wire):
    return lambda: handler.disownHandlerParent(wire.manager)


def exchange(handler, wire):
    """Whether the handler asks on the wire and gets its answer, once."""
    wire.sent()
    asked = handler.send_url(PEER, URL)
    wire.answer(wire.sent_one())
    return outcome(asked) is None


MOMENTS = ["connectionMade", "connectionInitialized"]


@on_every_stream
@pytest.mark.parametrize("when", MOMENTS)
@pytest.mark.parametrize("who", [0, 1, 2])
def test_handler_that_is_taken_off_while_a_stream_begins_stops_no_other(make, when, who):
    wire = make()
    handlers = [OOBHandler(reactor=Clock()) for _ in range(3)]
    gone = handlers[who]
    first, last = Other(take_off(gone, wire), when), Other(None)
    waiting = gone.send_url(PEER, URL)
    for one in (handlers[0], first, *handlers[1:], last):
        one.setHandlerParent(wire.manager)
    wire.open()
    assert last.heard[-1] == "done"
    assert (gone.parent, gone.xmlstream) == (None, None)
    for handler in handlers:
        if handler is not gone:
            assert exchange(handler, wire)
    if waiting.called:
        assert isinstance(outcome(waiting), ConnectionDone)  # it was asked, and then it left
    assert gone.send_url(PEER, URL).called is False


@on_every_stream
def test_handler_that_leaves_in_its_own_turn_stops_no_other(make):
    class Leaves(OOBHandler):
        def connectionInitialized(self):
            super().connectionInitialized()
            self.disownHandlerParent(self.parent)

    wire = make()
    leaving, staying, last = Leaves(reactor=Clock()), OOBHandler(reactor=Clock()), Other(None)
    for one in (leaving, staying, last):
        one.setHandlerParent(wire.manager)
    wire.open()
    assert last.heard[-1] == "done"
    assert exchange(staying, wire)


@on_every_stream
def test_handler_that_leaves_when_the_stream_is_lost_stops_no_other(make):
    wire = make()
    leaving, staying = OOBHandler(reactor=Clock()), OOBHandler(reactor=Clock())
    for one in (leaving, staying):
        one.setHandlerParent(wire.manager)
    wire.open()
    first, second = (one.send_url(PEER, URL) for one in (leaving, staying))
    first.addErrback(lambda _: leaving.disownHandlerParent(wire.manager))
    wire.lose()
    assert first.called
    assert isinstance(outcome(second), Exception)
    wire.open()
    assert exchange(staying, wire)


@on_every_stream
def test_handler_that_is_put_on_while_a_stream_begins_is_on_it_once(make):
    wire = make()
    offers = []
    late = OOBHandler(offers.append, offers.append, reactor=Clock())
    Other(lambda: late.setHandlerParent(wire.manager)).setHandlerParent(wire.manager)
    wire.open()
    assert exchange(late, wire)
    payload = f"<x xmlns='jabber:x:oob'><url>{URL}</url></x>"
    wire.receive(stanza("message", payload, from_=PEER, to=wire.me))
    assert len(offers) == 1


@on_every_stream
def test_handler_that_moves_while_a_stream_begins_does_not_stop_the_others(make):
    first, second = make(), make()
    moving, last = OOBHandler(reactor=Clock()), Other(None)

    def move():
        moving.disownHandlerParent(first.manager)
        moving.setHandlerParent(second.manager)

    for one in (Other(move), moving, last):
        one.setHandlerParent(first.manager)
    first.open()
    assert last.heard[-1] == "done"
    second.open()
    assert exchange(moving, second)


@on_every_stream
def test_handler_that_hears_twice_of_its_stream_keeps_what_is_open_on_it(make):
    cancelled = []
    handler, wire = connected(lambda _: Deferred(cancelled.append), wire=make)
    wire.offer()
    handler.connectionInitialized()
    wire.lose()
    assert len(cancelled) == 1

"""A stream that somebody else has a hand in: everybody sees everything."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock
from twisted.words.protocols.jabber import xmlstream
from twisted.words.xish.domish import Element, ExpatElementStream

from tests.support.direct_runs import (
    both_sockets,
    hooks,
)
from tests.support.streams import (
    COMPONENT,
    PEER,
    URL,
    ClientWire,
    Direct,
    InternalWire,
    connected,
    outcome,
    query,
)
from twisted_oob import OOBHandler


def sees_all(end, seen, offers):
    end.offer(id_="o1")
    end.offer(id_="o2", payload=query() + " ")
    assert [element["id"] for element in seen] == ["o1", "o2"]
    assert [made.element["id"] for made in offers] == ["o1", "o2"]


@both_sockets
def test_dispatch_function_set_before_us_sees_all(wire):
    seen, offers = [], []
    end = wire()
    end.open()

    def dispatch(element):
        seen.append(element)
        end.xmlstream.onElement(element)

    end.xmlstream.setDispatchFn(dispatch)
    Direct(offers.append, reactor=Clock()).setHandlerParent(end.manager)
    sees_all(end, seen, offers)


@both_sockets
@pytest.mark.parametrize("name", ["onElement", "dispatch"])
@pytest.mark.parametrize("how", ["subclass", "instance"])
def test_stream_with_its_own_way_of_dispatching_sees_all(wire, name, how):
    seen, offers = [], []
    end = wire()
    if how == "subclass":

        def override(self, element, *event):
            if isinstance(element, Element) and element.name == "iq":
                seen.append(element)
            return getattr(xmlstream.XmlStream, name)(self, element, *event)

        end.manager.factory.protocol = type("Own", (xmlstream.XmlStream,), {name: override})
        end.open()
    else:
        end.open()
        original = getattr(end.xmlstream, name)

        def wrapped(element, *event):
            if isinstance(element, Element):
                seen.append(element)
            return original(element, *event)

        setattr(end.xmlstream, name, wrapped)
        end.xmlstream.resetDispatchFn()
    Direct(offers.append, reactor=Clock()).setHandlerParent(end.manager)
    sees_all(end, seen, offers)


def test_parser_of_somebody_else_sees_all():
    seen, offers = [], []

    class Own(ExpatElementStream):
        """Somebody's own way to build elements."""

    end = ClientWire()
    end.open()
    end.xmlstream.stream.__class__ = Own
    end.xmlstream.addObserver("/iq", seen.append)
    Direct(offers.append, reactor=Clock()).setHandlerParent(end.manager)
    sees_all(end, seen, offers)


def test_parser_handler_of_somebody_else_sees_all():
    seen, offers = [], []
    end = ClientWire()
    end.open()
    parser = end.xmlstream.stream.parser
    original = parser.StartElementHandler

    def start(name, attributes):
        seen.append(name)
        original(name, attributes)

    parser.StartElementHandler = start
    Direct(offers.append, reactor=Clock()).setHandlerParent(end.manager)
    end.offer()
    end.offer()
    assert len(offers) == 2
    assert len(seen) == 6


def test_two_handlers_on_one_stream():
    taken = []
    first, end = connected(lambda _: taken.append("first"), handler=Direct)
    second = Direct(lambda _: taken.append("second"), reactor=Clock())
    second.setHandlerParent(end.manager)
    requests = [made.send_url(PEER, URL) for made in (first, second, first, second)]
    for request in end.sent():
        end.answer(request)
    assert [outcome(request) for request in requests] == [None] * 4
    end.offer()
    end.offer(payload=f"{query()} ")
    assert taken == ["first", "first"]
    first.disownHandlerParent(end.manager)
    end.offer()
    end.offer(payload=f"{query()} ")
    assert taken[2:] == ["second", "second"]
    first.setHandlerParent(end.manager)
    end.offer()
    assert len(taken) == 5
    second.disownHandlerParent(end.manager)
    end.offer()
    assert taken[5:] == ["first"]


@pytest.mark.parametrize("order", ["first leaves first", "second leaves first"])
def test_two_handlers_leave_a_stream_as_it_was(order):
    end = ClientWire()
    end.open()
    found = hooks(end.xmlstream.stream)
    handlers = [Direct(reactor=Clock()) for _ in range(2)]
    for made in handlers:
        made.setHandlerParent(end.manager)
    for made in handlers if order == "first leaves first" else handlers[::-1]:
        made.disownHandlerParent(end.manager)
    assert hooks(end.xmlstream.stream) == found


def test_observers_of_an_internal_component_see_all():
    offers, seen = [], []
    _, end = connected(offers.append, handler=Direct, wire=InternalWire)
    end.xmlstream.addObserver("/iq", seen.append)
    end.offer(to=COMPONENT)
    assert len(seen) == len(offers) == 1


def test_element_of_an_offer_is_one_object():
    offers = []
    _, end = connected(offers.append, handler=Direct)
    end.offer()
    (got,) = offers
    assert got.element is got.element


@both_sockets
@pytest.mark.parametrize("handler", [OOBHandler, Direct])
def test_stanza_of_a_stream_that_the_handler_has_left_is_not_answered_on_the_next(wire, handler):
    offers = []
    first, second = wire(), wire()
    made = handler(offers.append, reactor=Clock())
    first.open()
    second.open()

    def move(_element):
        if made.parent is first.manager:
            made.disownHandlerParent(first.manager)
            made.setHandlerParent(second.manager)

    first.xmlstream.addObserver("/iq", move, 1)
    made.setHandlerParent(first.manager)
    first.receive("<presence/>")
    # With white space, it goes the ordinary way also where the handler is direct.
    first.offer(payload=f"{query()} ")
    assert offers == []
    assert second.sent() == []
    second.offer(payload=f"{query()} ")
    assert len(offers) == 1


@both_sockets
@pytest.mark.parametrize("handler", [OOBHandler, Direct])
@pytest.mark.parametrize("raised", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_no_exception_of_the_application_ends_the_stream(wire, handler, raised, log):
    offers = []

    def on_offer(offer):
        offers.append(offer)
        raise raised

    _, end = connected(on_offer, handler=handler, wire=wire)
    end.receive("<presence/>")
    for _ in range(3):
        end.offer()
    assert len(offers) == 3
    assert not end.transport.disconnecting
    log.clear()

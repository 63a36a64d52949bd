"""What a handler sends: the same, direct or not, and what whoever wrapped send() sees of it."""

from __future__ import annotations

import ast
import re

import pytest
from twisted.internet.defer import succeed
from twisted.internet.task import Clock
from twisted.logger import formatEvent, globalLogPublisher
from twisted.words.protocols.jabber import xmlstream
from twisted.words.xish.domish import Element, IElement

from tests.support.streams import (
    PEER,
    URL,
    WIRES,
    Direct,
    canonical,
    clock_of,
    connected,
    query,
)
from twisted_oob import NotFound, OOBHandler

SOCKETS = {name: make for name, make in WIRES.items() if "internal" not in name}
every_wire = pytest.mark.parametrize("wire", WIRES.values(), ids=WIRES)
every_socket = pytest.mark.parametrize("wire", SOCKETS.values(), ids=SOCKETS)
every_handler = pytest.mark.parametrize("handler", [Direct, OOBHandler])

HARD = "'\"<>& ]]>é\u2028"
_RANDOM = re.compile(r"[0-9a-f]{24}")


def reply(offer):
    """Answer in each of the ways there are, as the URL says."""
    if offer.url.endswith("success"):
        return succeed(None)
    if offer.url.endswith("error"):
        raise NotFound
    if offer.url.endswith("hand"):
        offer.reply_success()
    return None


def exchange(handler, end):
    """Let a handler send all kinds of stanza; give how many."""
    handler.send_url(PEER, URL, HARD, sid=HARD).addErrback(lambda _: None)
    handler.send_url("peer@far.example/'\"<>&", f"{URL}?a=1&b='2'").addErrback(lambda _: None)
    handler.send_message(PEER, URL)
    for number, way in enumerate(("success", "error", "hand")):
        end.offer(id_=f"o{number}", payload=query(f"https://files.example/{way}"))
    end.offer(id_=HARD, payload=query("https://files.example/success"), from_="a@b.example/'\"<>&")
    end.offer(payload=query("no URL"))
    end.offer(payload=query("https://files.example/later"))
    clock_of(handler).advance(100_000)
    return 9


def named(xml):
    """Name the random ids in the order they come in."""
    names = {}
    return _RANDOM.sub(lambda match: names.setdefault(match[0], f"id-{len(names)}"), xml)


@every_wire
def test_what_is_sent_is_the_same_however_it_is_taken_in(wire):
    sent = []
    for handler in (Direct, OOBHandler):
        made, end = connected(reply, wire=wire, handler=handler)
        count = exchange(made, end)
        stanzas = end.sent()
        assert len(stanzas) == count
        sent.append(named("".join(canonical(stanza) for stanza in stanzas)))
    assert sent[0] == sent[1]


@every_wire
def test_hard_texts_arrive_as_they_are(wire):
    made, end = connected(reply, wire=wire, handler=Direct)
    exchange(made, end)
    asked, other, _, *answers = end.sent()
    namespaces = {"q": "jabber:iq:oob"}
    assert asked.findtext("*/q:desc", namespaces=namespaces) == HARD
    assert asked.find("*").get("sid") == HARD
    assert other.get("to") == "peer@far.example/'\"<>&"
    assert other.findtext("*/q:url", namespaces=namespaces) == f"{URL}?a=1&b='2'"
    (answer,) = (answer for answer in answers if answer.get("id") == HARD)
    assert answer.get("to") == "a@b.example/'\"<>&"
    assert answer.get("type") == "result"


@every_socket
def test_component_names_itself_and_a_client_does_not(wire):
    made, end = connected(reply, wire=wire, handler=Direct)
    made.send_url(PEER, URL)
    (request,) = end.sent()
    assert request.get("from") == (end.me if "@" not in end.me else None)
    end.offer(payload=query("https://files.example/success"), to=None)
    end.offer(payload=query("no URL"), to=None)
    answers = end.sent()
    assert [answer.get("type") for answer in answers] == ["result", "error"]
    assert {answer.get("from") for answer in answers} == {end.me if "@" not in end.me else None}


# The log of traffic.


@every_socket
@every_handler
def test_traffic_log_is_complete(wire, handler):
    made, end = connected(reply, wire=wire, handler=handler)
    went_out, came_in, received = [], [], []
    end.xmlstream.rawDataOutFn = went_out.append
    end.xmlstream.rawDataInFn = came_in.append
    receive = end.receive
    end.receive = lambda xml: (received.append(xml), receive(xml))
    count = exchange(made, end)
    assert b"".join(went_out) == end.transport.value()
    assert len(went_out) == count
    assert b"".join(came_in) == "".join(received).encode()


def logged(line):
    """Give what a line of the log tells, however the XML of a stanza is written."""
    direction, _, data = line.partition(": ")
    xml = named(ast.literal_eval(data).decode())
    return direction, canonical(xml) if xml.startswith(("<iq", "<message")) else xml


@every_socket
def test_manager_logs_the_same_traffic_however_it_is_taken_in(wire):
    logs = []
    for handler in (Direct, OOBHandler):
        lines = []
        made = handler(reply, reactor=Clock())
        end = wire()
        end.manager.logTraffic = True
        made.setHandlerParent(end.manager)

        def observe(event, lines=lines):
            lines.append(formatEvent(event))

        globalLogPublisher.addObserver(observe)
        try:
            end.open()
            exchange(made, end)
        finally:
            globalLogPublisher.removeObserver(observe)
        logs.append([logged(line) for line in lines if line.startswith(("SEND", "RECV"))])
    assert logs[0] == logs[1]
    assert len(logs[0]) > 9


# A send() of somebody else's.


class Counting(xmlstream.XmlStream):
    """Counts what is sent."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.objects = []

    def send(self, obj):
        self.objects.append(obj)
        super().send(obj)


def wrap(stream):
    """Put a send() of our own on a stream; give what goes through it."""
    objects = []
    original = stream.send

    def send(obj):
        objects.append(obj)
        original(obj)

    stream.send = send
    return objects


def overridden(end, made):
    end.manager.factory.protocol = Counting
    made.setHandlerParent(end.manager)
    end.open()
    end.xmlstream.objects.clear()
    return end.xmlstream.objects


def before_the_stream_opens(end, made):
    made.setHandlerParent(end.manager)
    end.connect()
    objects = wrap(end.xmlstream)
    end.negotiate()
    objects.clear()
    return objects


def before_the_handler(end, made):
    end.open()
    objects = wrap(end.xmlstream)
    made.setHandlerParent(end.manager)
    return objects


def after_the_handler(end, made):
    made.setHandlerParent(end.manager)
    end.open()
    return wrap(end.xmlstream)


def twice(end, made):
    end.open()
    wrap(end.xmlstream)
    made.setHandlerParent(end.manager)
    return wrap(end.xmlstream)


WRAPPED = [before_the_stream_opens, before_the_handler, after_the_handler, twice]


@every_socket
@pytest.mark.parametrize("put", [overridden, *WRAPPED])
def test_send_of_somebody_else_gets_every_stanza_as_an_element(wire, put):
    end = wire()
    made = OOBHandler(reply, reactor=Clock())
    objects = put(end, made)
    end.transport.clear()
    count = exchange(made, end)
    assert len(objects) == count
    assert all(IElement.providedBy(obj) for obj in objects)
    assert {obj.name for obj in objects} == {"iq", "message"}
    if "@" not in end.me:
        assert {obj["from"] for obj in objects} == {end.me}
    # What they hold is that which goes out without them.
    with_them = named("".join(canonical(stanza) for stanza in end.sent()))
    plain, other = connected(reply, wire=wire)
    exchange(plain, other)
    assert with_them == named("".join(canonical(stanza) for stanza in other.sent()))


@every_socket
def test_a_stream_with_a_send_of_its_own_gets_elements_also_if_direct(wire):
    end = wire()
    made = Direct(reply, reactor=Clock())
    objects = overridden(end, made)
    made.send_url(PEER, URL).addErrback(lambda _: None)
    end.offer(payload=query("https://files.example/success"))
    assert [obj["type"] for obj in objects] == ["set", "result"]
    assert all(IElement.providedBy(obj) for obj in objects)


@every_socket
@pytest.mark.parametrize("put", WRAPPED)
def test_direct_leaves_the_send_of_somebody_else_out(wire, put):
    end = wire()
    made = Direct(reply, reactor=Clock())
    objects = put(end, made)
    end.transport.clear()
    made.send_url(PEER, URL).addErrback(lambda _: None)
    end.offer(payload=query("https://files.example/success"))
    assert objects == []
    assert [stanza.get("type") for stanza in end.sent()] == ["set", "result"]


@every_socket
def test_send_of_somebody_else_may_hold_stanzas_back_and_change_them(wire):
    made, end = connected(reply, wire=wire)
    held, original = [], end.xmlstream.send
    end.xmlstream.send = held.append
    made.send_url(PEER, URL)
    end.offer(payload=query("https://files.example/success"))
    assert end.sent() == []
    request, answer = held
    assert isinstance(request.query, Element)
    request["to"] = "changed@far.example"
    original(request)
    original(answer)
    assert [stanza.get("to") for stanza in end.sent()] == ["changed@far.example", PEER]

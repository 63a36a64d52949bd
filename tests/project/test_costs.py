"""What an exchange costs, counted and not timed: calls of functions, and bytes that are kept.

A bound that is broken here was broken by a change in the code (or in a library, where the
counts of its functions changed). ``python -m benchmarks`` then tells what it means in time.
"""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections import Counter
from pathlib import Path

import pytest
from twisted.internet.defer import succeed
from twisted.internet.testing import StringTransport
from twisted.words.xish import domish

from tests.support.streams import PEER, URL, ClientWire, ComponentWire, Direct, query, stanza
from tests.support.streams import connected as connected_with

pytestmark = pytest.mark.usefixtures("log")

# One peer, or as many as there are exchanges.
PEERS = pytest.mark.parametrize("peer", [PEER, "peer{}@other.example/desk"])
WIRES = pytest.mark.parametrize("wire", [ClientWire, ComponentWire])
MANY = 256  # a multiple of the ids that are made at once


def connected(*callbacks, **options):
    return connected_with(*callbacks, handler=Direct, **options)


# Calls of Python functions for one exchange, those of Twisted included.
ASKING = 30
ANSWERING = 45

# Bytes that are kept, beside what the application keeps.
PENDING = 800
OPEN = 1550


class Calls(Counter):
    """Counts the Python functions that are called inside a with block."""

    def __enter__(self):
        gc.disable()
        sys.setprofile(self._seen)
        return self

    def __exit__(self, *_exception):
        sys.setprofile(None)
        gc.enable()

    def _seen(self, frame, event, _argument):
        code = frame.f_code
        if event == "call" and code is not Calls.__exit__.__code__:
            self[f"{Path(code.co_filename).stem}.{code.co_name}"] += 1

    def each(self, count):
        """Give the calls for one of so many exchanges."""
        return self.total() / count


def offers(wire, count, first=0, peer=PEER):
    """Write offers as they come from peers."""
    return "".join(
        stanza(
            "iq",
            query(f"{URL}?{number}", "A file"),
            type="set",
            id=f"o{number}",
            from_=peer.format(number),
            to=wire.me,
        )
        for number in range(first, first + count)
    )


def results(wire):
    """Write the answers to all that was sent."""
    return "".join(
        stanza("iq", type="result", id=sent.get("id"), from_=sent.get("to"), to=wire.me)
        for sent in wire.sent()
    )


def ask(handler, wire, count, peer=PEER):
    """Count the calls for so many requests, of which each is answered."""
    calls = Calls()
    with calls:
        for number in range(count):
            handler.send_url(peer.format(number), f"{URL}?{number}", "A file")
    xml = results(wire)
    with calls:
        wire.receive(xml)
    return calls


def be_asked(wire, count, peer=PEER):
    """Count the calls for so many offers, of which each is answered."""
    xml = offers(wire, count, peer=peer)
    with Calls() as calls:
        wire.receive(xml)
    assert len(wire.sent()) == count
    return calls


def watch(wire, count):
    """Put observers of other protocols on a stream."""
    for number in range(count):
        for kind in ("get", "set", "result"):
            path = f"/iq[@type='{kind}']/query[@xmlns='urn:other:{number}']"
            wire.xmlstream.addObserver(path, pytest.fail)


@PEERS
@WIRES
def test_calls_for_a_request_and_its_result(wire, peer):
    handler, end = connected(wire=wire)
    ask(handler, end, 10)
    calls = ask(handler, end, MANY, peer)
    assert handler._tracker._requests == {}
    assert calls.each(MANY) <= ASKING, calls.most_common(30)


@PEERS
@WIRES
def test_calls_for_an_offer_and_its_answer(wire, peer):
    end = connected(lambda offer: succeed((offer.url, offer.desc)), wire=wire)[1]
    be_asked(end, 10)
    calls = be_asked(end, MANY, peer)
    assert calls.each(MANY) <= ANSWERING, calls.most_common(30)


@WIRES
def test_no_tree_is_built(wire, monkeypatch):
    handler, end = connected(lambda offer: succeed((offer.url, offer.desc)), wire=wire)
    be_asked(end, 1)
    made = []
    init = domish.Element.__init__
    monkeypatch.setattr(
        domish.Element, "__init__", lambda *args, **more: made.append(args) or init(*args, **more)
    )
    ask(handler, end, 5)
    be_asked(end, 5)
    assert made == []


def test_observers_of_other_protocols_cost_nothing():
    handler, wire = connected(lambda offer: succeed(None))
    ask(handler, wire, 10)
    be_asked(wire, 10)
    asking, answering = ask(handler, wire, MANY), be_asked(wire, MANY)
    watch(wire, 10)
    assert ask(handler, wire, MANY).each(MANY) <= 1.01 * asking.each(MANY)
    assert be_asked(wire, MANY) == answering


def test_ten_thousand_pending_requests_cost_the_next_one_nothing():
    handler, wire = connected()
    few = [handler.send_url(PEER, URL) for _ in range(64)]
    wire.sent()
    ask(handler, wire, 64)
    with_few = ask(handler, wire, 64)
    many = [handler.send_url(PEER, URL) for _ in range(10_000)]
    wire.sent()
    with_many = ask(handler, wire, 64)
    assert with_many.each(64) <= 1.1 * with_few.each(64)
    assert not any(answer.called for answer in few + many)


class Discarding(StringTransport):
    """Keeps nothing of what is written."""

    def write(self, data):
        pass


def kept(count, action):
    """Give the bytes that each of so many actions leaves in memory."""
    gc.collect()
    tracemalloc.start()
    try:
        before, _peak = tracemalloc.get_traced_memory()
        action(count)
        gc.collect()
        after, _peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return (after - before) / count


def test_memory_of_a_pending_request():
    handler, wire = connected()
    wire.xmlstream.transport = Discarding()

    def ask_all(count):
        for number in range(count):
            handler.send_url(PEER, f"{URL}?{number}", "A file")

    ask_all(100)
    assert kept(2000, ask_all) <= PENDING


def test_memory_of_an_open_offer():
    _handler, wire = connected(lambda offer: None, max_open_offers=10_000)
    xml = {count: offers(wire, count, first=count) for count in (100, 2000)}
    wire.receive(xml[100])
    assert kept(2000, lambda count: wire.receive(xml[count])) <= OPEN

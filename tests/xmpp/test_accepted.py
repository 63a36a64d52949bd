"""The connection of a component: what waits for it, and whether it is still there."""

from __future__ import annotations

import socket

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.logger import LogLevel
from twisted.words.xish.domish import Element

from tests.support.components import local, told
from twisted_oob.xmpp.accepted import CLOSE_TIMEOUT, SILENCE_TIMEOUT, SPACE_INTERVAL
from twisted_oob.xmpp.output_bounds import FULL_PATIENCE, MAX_WAITING, PATIENCE


async def turns(count=10):
    """Let the reactor read and write what is there."""
    for _ in range(count):
        await deferLater(reactor, 0)


def stanza(name="iq", kind="set", size=10_000, sender="inside.example"):
    made = Element((None, name), attribs={"type": kind, "from": sender, "to": "deaf.example"})
    made["id"] = "1"
    made.addElement(("urn:q", "q"), content="x" * size)
    return made


async def deaf(components):
    """Join a component that reads nothing; the system keeps little for it. Gives it and its end."""
    peer = await components.join("deaf.example")
    peer.transport.pauseProducing()
    peer.transport.getHandle().setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    [stream] = [stream for stream in components.factory.streams if stream.domain == "deaf.example"]
    stream.transport.getHandle().setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
    return peer, stream


async def fill(inside):
    """Send to the deaf component until there is no room, not even after the system took some."""
    full = sent = 0
    while full < 3:
        told_before = len(inside.got)
        while len(inside.got) == told_before:
            inside.send(stanza())
            sent += 1
            assert sent < 3000, "all of it waits somewhere"
        full = full + 1 if sent and len(inside.got) == told_before + 1 else 0
        await turns()
    return sent


@pytest_twisted.ensureDeferred
async def test_what_waits_for_a_component_is_bounded_and_its_sender_told(components, events):
    inside = local(components.router, "inside.example")
    peer, _stream = await deaf(components)
    # Half of the room is one sender's, beside what is in the transport and in the system.
    assert await fill(inside) * 10_000 < 2 * MAX_WAITING
    for answer in inside.got:
        assert (answer["type"], answer["id"], answer["from"]) == ("error", "1", "deaf.example")
        [error] = answer.elements()
        assert error["type"] == "wait"
        assert error.firstChildElement().name == "resource-constraint"
    inside.got.clear()
    for name, kind in (("iq", "result"), ("iq", "error"), ("presence", ""), ("message", "error")):
        inside.send(stanza(name, kind))
    assert inside.got == []
    inside.send(stanza("message", "chat"))
    assert [answer.name for answer in inside.got] == ["message"]

    components.clock.advance(FULL_PATIENCE)
    assert list(components.router.routes) == ["inside.example"]
    [line] = told(events, LogLevel.warn)
    assert "disconnected: resource-constraint: too much waits for you to read it" in line
    components.clock.advance(CLOSE_TIMEOUT)
    peer.transport.resumeProducing()
    await peer.closed
    inside.leave()


@pytest_twisted.ensureDeferred
async def test_there_is_room_for_the_answers_of_others(components):
    flood, friend = local(components.router, "inside.example"), None
    friend = local(components.router, "friend.example")
    peer, _stream = await deaf(components)
    await fill(flood)
    friend.send(stanza(kind="result", sender="friend.example", size=1))
    peer.transport.resumeProducing()
    await peer.until("friend.example")
    flood.leave()
    friend.leave()


@pytest_twisted.ensureDeferred
async def test_a_component_that_reads_again_gets_all_that_had_room(components):
    inside = local(components.router, "inside.example")
    peer, _stream = await deaf(components)
    sent = await fill(inside)
    refused = len(inside.got)
    peer.transport.resumeProducing()
    last = stanza()
    last["id"] = "last"
    while "last" not in {answer["id"] for answer in inside.got}:
        refused_before = len(inside.got)
        inside.send(last)
        if len(inside.got) == refused_before:
            break
        inside.got.pop()
        await turns(1)
    await peer.until("id='last'")
    await turns()
    assert len(peer.stanzas()) == sent - refused + 1
    components.clock.advance(PATIENCE)
    peer.send("<message from='deaf.example' to='deaf.example' id='works'/>")
    await peer.until("id='works'")
    inside.leave()


@pytest_twisted.ensureDeferred
async def test_of_a_component_that_does_not_read_nothing_is_read_either(components, events):
    peer, stream = await deaf(components)
    routed = []
    route = components.router.route
    components.router.route = lambda stanza: routed.append(stanza) or route(stanza)
    body = "x" * 10_000
    stanzas = 1000
    peer.send(
        f"<message from='deaf.example' to='deaf.example'><body>{body}</body></message>" * stanzas
    )
    seen = -1
    while len(routed) > seen:
        seen = len(routed)
        await turns(50)
    assert seen * len(body) < MAX_WAITING
    components.clock.advance(PATIENCE)
    assert ["disconnected: resource-constraint" in line for line in told(events)] == [False, True]
    components.clock.advance(CLOSE_TIMEOUT)
    await turns()
    assert stream not in components.factory.streams
    peer.transport.abortConnection()
    await peer.closed


@pytest_twisted.ensureDeferred
async def test_its_end_is_told_to_a_component_that_reads_again_in_time(components):
    inside = local(components.router, "inside.example")
    peer, _stream = await deaf(components)
    sent = await fill(inside)
    components.clock.advance(FULL_PATIENCE)
    peer.transport.resumeProducing()
    assert await peer.error() == "resource-constraint"
    assert len(peer.stanzas()) < sent / 2, "what it has not begun to read is dropped"
    inside.leave()


@pytest_twisted.ensureDeferred
async def test_a_component_gets_white_space_that_its_system_must_acknowledge(components):
    peer = await components.join("a.example")
    [stream] = components.factory.streams
    handle = stream.transport.getHandle()
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        timeout = handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
        assert timeout == SILENCE_TIMEOUT * 1000
    assert handle.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    for count in range(1, 4):
        components.clock.advance(SPACE_INTERVAL)
        await peer.until("<handshake/>" + " " * count)
    assert peer.stanzas() == []


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("count", [99_999, 120_000])
async def test_a_limit_of_twisted_is_not_called_malformed(components, count):
    peer = await components.join("a.example")
    [stream] = components.factory.streams
    if not hasattr(stream.stream, "maxElementCount"):
        pytest.skip("this Twisted counts no elements")
    peer.send(f"<message from='a.example' to='a.example' id='x'>{'<a/>' * count}</message>")
    if count > stream.stream.maxElementCount:
        assert await peer.error() == "policy-violation"
        assert peer.why == "too many elements"
    else:
        await peer.until("</message>")

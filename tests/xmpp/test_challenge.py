"""A component that wants a domain that another one has: who gets it."""

from __future__ import annotations

import socket
from hashlib import sha1

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import LogLevel
from twisted.words.xish.domish import Element

from tests.support.components import SECRET, local, told
from tests.support.waiting import in_time
from twisted_oob.xmpp.challenge import PROBE_TIMEOUT

DOMAIN = "taken.example"


async def knock(components, domain=DOMAIN, secret=SECRET):
    """Connect a newcomer and send its handshake; the server has read it in the end."""
    peer = await components.connect()
    sid = await peer.open(domain)
    [stream] = [one for one in components.factory.streams if one.sid == sid]
    read = in_time(Deferred())
    authenticator = stream.authenticator
    judge = authenticator.onHandshake

    def judged(handshake):
        judge(handshake)
        read.callback(None)

    authenticator.onHandshake = judged
    peer.send(f"<handshake>{sha1((sid + secret).encode()).hexdigest()}</handshake>")
    await read
    return peer


async def turns():
    """Let the reactor read and write what is there."""
    for _ in range(10):
        await deferLater(reactor, 0)


async def works(components, peer):
    """Whether a peer has the domain, and its stream is fine."""
    peer.send(f"<message from='{DOMAIN}' to='{DOMAIN}' id='works'/>")
    await peer.until("id='works'")
    assert list(components.router.routes) == [DOMAIN]


def element_to_holder(id_):
    return Element((None, "message"), attribs={"to": DOMAIN, "id": id_})


def probes(peer):
    return [stanza for stanza in peer.stanzas() if stanza.get("id", "").startswith("probe-")]


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("spelling", [DOMAIN, "TAKEN.example", "taken.example."])
async def test_a_silent_holder_loses_its_domain_to_the_newcomer(components, events, spelling):
    holder = await components.join(DOMAIN)
    newcomer = await knock(components, spelling)
    components.clock.advance(PROBE_TIMEOUT - 0.1)
    await turns()
    assert b"<handshake/>" not in newcomer.data
    components.clock.advance(0.1)
    assert await holder.error() == "conflict"
    assert holder.why == "a newer connection has your domain"
    await newcomer.until("<handshake/>")
    await works(components, newcomer)
    first, lost, second = told(events)
    assert "connected" in first
    assert "disconnected: conflict" in lost
    assert "connected" in second


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    "life",
    [
        " ",
        "<mess",
        f"<message from='{DOMAIN}' to='{DOMAIN}' id='1'/>",
        f"<iq type='error' from='{DOMAIN}' to='{DOMAIN}' id='{{}}'/>",
        f"<iq type='result' from='{DOMAIN}' to='{DOMAIN}' id='{{}}'/>",
    ],
    ids=["white space", "half a stanza", "stanza", "error", "answer"],
)
async def test_a_holder_that_shows_life_keeps_its_domain(components, events, life):
    holder = await components.join(DOMAIN)
    newcomer = await knock(components)
    components.clock.advance(PROBE_TIMEOUT - 0.1)
    await holder.until("probe-")
    holder.send(life.format(probes(holder)[0].get("id")))
    assert await newcomer.error() == "conflict"
    assert newcomer.why == f"{DOMAIN} is connected already"
    assert b"<handshake/>" not in newcomer.data
    components.clock.advance(PROBE_TIMEOUT)
    if life == "<mess":
        holder.send(f"age from='{DOMAIN}' to='{DOMAIN}'/>")
    await works(components, holder)
    assert told(events, LogLevel.warn) == [told(events)[1]]
    assert "refused: conflict" in told(events)[1]


@pytest_twisted.ensureDeferred
async def test_a_holder_that_reads_what_waits_for_it_shows_life(components):
    holder = await components.join(DOMAIN)
    holder.transport.pauseProducing()
    [stream] = components.factory.streams
    stream.transport.getHandle().setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
    inside = local(components.router, "inside.example")
    while len(inside.got) < 10:
        refused = len(inside.got)
        inside.send(element_to_holder("x" * 50_000))
        if len(inside.got) > refused:
            await deferLater(reactor, 0)
    inside.leave()
    newcomer = await knock(components)
    holder.transport.resumeProducing()
    assert await newcomer.error() == "conflict"
    components.clock.advance(PROBE_TIMEOUT)
    await holder.until("#info")
    await works(components, holder)


@pytest_twisted.ensureDeferred
async def test_the_holder_is_asked_from_its_own_domain_and_its_answers_go_nowhere(components):
    holder = await components.join(DOMAIN)
    for number in range(1, 3):
        newcomer = await knock(components)
        components.router.route(element_to_holder(f"after-{number}"))
        await holder.until(f"after-{number}")
        asked = probes(holder)[-2:]
        assert len(probes(holder)) == 2 * number
        assert [(probe.get("type"), probe.get("from"), probe.get("to")) for probe in asked] == [
            ("get", DOMAIN, DOMAIN)
        ] * 2
        assert [probe[0].tag for probe in asked] == [
            "{urn:xmpp:ping}ping",
            "{http://jabber.org/protocol/disco#info}query",
        ]
        for probe in asked:
            holder.send(f"<iq type='result' from='{DOMAIN}' to='{DOMAIN}' id='{probe.get('id')}'/>")
        assert await newcomer.error() == "conflict"
    await works(components, holder)
    ids = [stanza.get("id") for stanza in holder.stanzas()]
    assert [id_ for id_ in ids if not id_.startswith("probe-")] == ["after-1", "after-2", "works"]


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    "end",
    ["</stream:stream>", "<stream:error><reset xmlns='urn:x'/></stream:error>", "</not-xml>", None],
)
async def test_the_newcomer_gets_in_at_once_when_the_holder_ends(components, end):
    holder = await components.join(DOMAIN)
    newcomer = await knock(components)
    if end is None:
        holder.transport.abortConnection()
    else:
        holder.send(end)
    await newcomer.until("<handshake/>")
    await holder.closed
    await works(components, newcomer)


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("way", ["closed", "aborted"])
async def test_a_newcomer_that_is_gone_costs_the_holder_nothing(components, way):
    holder = await components.join(DOMAIN)
    newcomer = await knock(components)
    if way == "closed":
        newcomer.send("</stream:stream>")
    else:
        newcomer.transport.abortConnection()
    await newcomer.closed
    await turns()
    components.clock.advance(PROBE_TIMEOUT)
    await works(components, holder)


@pytest_twisted.ensureDeferred
async def test_of_several_newcomers_the_first_that_is_still_there_gets_in(components):
    holder = await components.join(DOMAIN)
    gone, first, last = [await knock(components) for _ in range(3)]
    gone.transport.abortConnection()
    await gone.closed
    await turns()
    components.clock.advance(PROBE_TIMEOUT)
    assert await holder.error() == "conflict"
    assert await last.error() == "conflict"
    await first.until("<handshake/>")
    await works(components, first)


@pytest_twisted.ensureDeferred
async def test_a_newcomer_during_a_challenge_shares_its_end(components):
    holder = await components.join(DOMAIN)
    gone = await knock(components)
    components.clock.advance(PROBE_TIMEOUT - 1)
    gone.transport.abortConnection()
    await gone.closed
    newcomer = await knock(components)
    components.clock.advance(1)
    await newcomer.until("<handshake/>")
    assert await holder.error() == "conflict"
    assert len({probe.get("id") for probe in probes(holder)}) == 2
    await works(components, newcomer)


@pytest_twisted.ensureDeferred
async def test_a_newcomer_must_wait_for_the_answer_to_its_handshake(components):
    holder = await components.join(DOMAIN)
    newcomer = await knock(components)
    newcomer.send(" ")
    await turns()
    assert not newcomer.closed.called
    newcomer.send(f"<message from='{DOMAIN}' to='{DOMAIN}' id='early'/>")
    assert await newcomer.error() == "not-authorized"
    components.clock.advance(PROBE_TIMEOUT)
    await works(components, holder)
    assert b"early" not in holder.data


@pytest_twisted.ensureDeferred
async def test_whoever_does_not_know_the_secret_challenges_nobody(components):
    holder = await components.join(DOMAIN)
    stranger = await knock(components, secret="wrong")
    assert await stranger.error() == "not-authorized"
    components.clock.advance(PROBE_TIMEOUT)
    await works(components, holder)
    assert probes(holder) == []


@pytest_twisted.ensureDeferred
async def test_stopping_ends_holder_and_newcomer(components):
    holder = await components.join(DOMAIN)
    newcomer = await knock(components)
    components.factory.stop()
    assert await holder.error() == "system-shutdown"
    assert await newcomer.error() == "system-shutdown"
    components.factory.startFactory()


@pytest_twisted.ensureDeferred
async def test_a_request_with_an_id_like_a_probe_is_routed(components):
    holder = await components.join(DOMAIN)
    newcomer = await knock(components)
    await holder.until("#info")
    [id_, _] = [probe.get("id") for probe in probes(holder)]
    holder.send(f"<iq type='get' from='{DOMAIN}' to='{DOMAIN}' id='{id_}'><q xmlns='q'/></iq>")
    await holder.until("xmlns='q'")
    assert await newcomer.error() == "conflict"
    assert probes(holder)[-1][0].tag == "{q}q"

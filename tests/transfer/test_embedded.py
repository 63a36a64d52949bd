"""A responder on an embedded router: from listening to the end of the last stream, and again."""

from __future__ import annotations

import pytest
import pytest_twisted
from twisted.internet.defer import ensureDeferred, fail
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import CannotListenError
from twisted.internet.error import ConnectionRefusedError as RefusedError
from twisted.internet.protocol import Factory, Protocol

from tests.support.hostile_http import answer
from tests.support.network import DOMAIN, SECRET, Sender
from twisted_oob import Fetcher, FetchPolicy, OOBResponder
from twisted_oob.transfer.embedded import EmbeddedResponder


@pytest_twisted.ensureDeferred
async def test_it_answers_those_who_connect_with_its_secret(network):
    sender = await network.start()
    network.web.answers.append(answer(b"file"))
    assert await sender.oob.send_url(DOMAIN, network.web.url()) is None

    stranger = Sender(network.port, "stranger.localhost", "a wrong secret")
    stranger.component.startService()
    await stranger.lost
    assert not stranger.ready.called
    stranger.component.stopService()


@pytest_twisted.ensureDeferred
async def test_stopping_closes_every_stream_and_the_port(network):
    sender = await network.start()
    other = await network.sender("other.localhost")

    await network.embedded.stop()

    await sender.lost
    await other.lost
    endpoint = TCP4ClientEndpoint(network.reactor, "127.0.0.1", network.port)
    with pytest.raises(RefusedError):
        await endpoint.connect(Factory.forProtocol(Protocol))
    assert not network.responder.running


@pytest_twisted.ensureDeferred
async def test_offers_are_answered_while_it_stops_and_nobody_new_is_let_in(network):
    sender = await network.start(limits={"grace": 30})
    runs = sender.oob.send_url(DOMAIN, network.web.url())
    connection = await network.web.arrivals.get()

    stopped = ensureDeferred(network.embedded.stop())
    late = await sender.oob.send_url(DOMAIN, network.web.url())
    assert late.error.condition == "resource-constraint"
    connection.write(answer(b"file"))

    assert await runs is None
    await stopped
    assert network.files() == {"file.bin": b"file"}


@pytest_twisted.ensureDeferred
async def test_it_can_be_stopped_twice_and_before_it_starts(network):
    await network.start()
    await network.embedded.stop()
    await network.embedded.stop()

    responder = OOBResponder(
        Fetcher(network.reactor, FetchPolicy(), network.folder),
        allow_from=["*"],
        reactor=network.reactor,
    )
    never = EmbeddedResponder(
        responder, domain=DOMAIN, endpoint=None, secret=SECRET, reactor=network.reactor
    )
    await never.stop()


@pytest_twisted.ensureDeferred
async def test_it_serves_again_when_it_is_started_again(network):
    await network.start()
    for number in range(2):
        await network.embedded.stop()
        network.port = (await network.embedded.start()).getHost().port
        sender = await network.sender()
        network.web.answers.append(answer(b"file"))
        url = network.web.url(f"/{number}")
        assert await sender.oob.send_url(DOMAIN, url) is None
    assert network.files() == {"0": b"file", "1": b"file"}


@pytest_twisted.ensureDeferred
async def test_an_endpoint_that_can_not_listen_fails_the_start(network):
    class Taken:
        def listen(self, factory):
            return fail(CannotListenError("127.0.0.1", 1, OSError("taken")))

    responder = OOBResponder(
        Fetcher(network.reactor, FetchPolicy(), network.folder),
        allow_from=["*"],
        reactor=network.reactor,
    )
    embedded = EmbeddedResponder(
        responder, domain=DOMAIN, endpoint=Taken(), secret=SECRET, reactor=network.reactor
    )
    with pytest.raises(CannotListenError):
        await embedded.start()
    assert not responder.running
    await embedded.stop()


@pytest_twisted.ensureDeferred
async def test_a_plain_handler_keeps_its_domain_from_a_second_one(network):
    sender = await network.start()
    second = Sender(network.port)
    second.component.startService()
    await second.lost
    assert not second.ready.called
    second.component.stopService()
    network.web.answers.append(answer(b"file"))
    assert await sender.oob.send_url(DOMAIN, network.web.url()) is None


@pytest_twisted.ensureDeferred
async def test_a_friend_is_answered_while_another_floods_and_reads_nothing(network):
    sender = await network.start()
    flood = Sender(network.port, "flood.localhost")
    network.senders.append(flood)
    await flood.start()
    stream = flood.component.xmlstream
    stream.transport.pauseProducing()
    offer = "<query xmlns='jabber:iq:oob'><url>no url</url></query>"
    for number in range(20_000):
        stream.send(
            f"<iq type='set' id='{number}' from='flood.localhost' to='{DOMAIN}'>{offer}</iq>"
        )
    network.web.answers.append(answer(b"file"))
    assert await sender.oob.send_url(DOMAIN, network.web.url()) is None
    stream.transport.abortConnection()
    await flood.lost

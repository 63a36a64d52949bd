"""A server that restarts in the middle of everything; nobody touches the responder."""

from __future__ import annotations

import pytest
import pytest_twisted
from pytest_twisted import blockon
from twisted.internet.defer import DeferredList, DeferredSemaphore, ensureDeferred
from twisted.internet.error import ConnectionClosed

from tests.servers.accounts import Ours, sender_on
from tests.support.hostile_http import HostileServer, answer
from tests.support.processes import IN_CI

OFFERS = 200
BEFORE = 80
AT_ONCE = 4


@pytest.fixture(params=["prosody", pytest.param("ejabberd", marks=IN_CI)])
def own_server(request, server_maker):
    """A server of the test's own."""
    made = server_maker(request.param)
    blockon(ensureDeferred(made.start()))
    yield made
    blockon(ensureDeferred(made.stop()))


@pytest_twisted.async_yield_fixture
async def web():
    from twisted.internet import reactor

    made = HostileServer(reactor)
    made.requested = lambda connection: connection.write(answer(b"x"))
    yield made
    await made.stop()


@pytest_twisted.async_yield_fixture(params=["client", pytest.param("component", marks=IN_CI)])
async def receiver(own_server, request, tmp_path):
    from twisted.internet import reactor

    made = Ours(reactor, own_server, request.param)
    made.receives(tmp_path)
    await made.start()
    yield made
    await made.stop()


@pytest_twisted.async_yield_fixture
async def sender(own_server):
    from twisted.internet import reactor

    made = await sender_on(reactor, own_server)
    yield made
    await made.stop()


@pytest.mark.usefixtures("log")
@pytest_twisted.ensureDeferred
async def test_offers_are_answered_again_after_a_restart(
    own_server, receiver, sender, web, tmp_path
):
    recipient = receiver.jid
    turns = DeferredSemaphore(AT_ONCE)

    def offer(number):
        return turns.run(sender.handler.send_url, recipient, web.url(f"/{number}"))

    begun = [offer(number) for number in range(BEFORE)]
    assert await begun[BEFORE // 2] is None
    assert not begun[-1].called
    await own_server.restart()
    await receiver.arrivals.ready()
    await sender.arrivals.ready()

    after = range(BEFORE, OFFERS)
    answers = [offer(number) for number in after]
    assert [await each for each in answers] == [None] * len(after)
    assert {str(number) for number in after} <= {path.name for path in tmp_path.iterdir()}
    # Those made earlier have all ended, too: answered, or told that the connection was lost.
    for ended, result in await DeferredList(begun, consumeErrors=True):
        assert ended or result.check(ConnectionClosed)

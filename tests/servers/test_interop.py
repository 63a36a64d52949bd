"""Ours and other implementations, over real servers; conftest prints what works as a table."""

from __future__ import annotations

import pytest
import pytest_twisted
from pytest_twisted import blockon
from twisted.internet.defer import ensureDeferred

from tests.servers.accounts import MAX_SIZE, Ours
from tests.servers.matrix import OUTCOMES
from tests.servers.peers import PEERS
from tests.support.hostile_http import HostileServer, answer
from twisted_oob import DISCO_FEATURES

pytestmark = pytest.mark.usefixtures("log")

DESC = "Grüße \N{EN DASH} 文件 <&>"
PATH = "/a%3Cb%3E?x=1&y=%26"
WHOLE = b"the whole file"
WEB = {
    "success": answer(WHOLE),
    "not-found": answer(b"no", status="404 Not Found"),
    "reject": answer(length=MAX_SIZE + 1),
}


@pytest.fixture(scope="module", params=PEERS)
def running_peer(server, request, tmp_path_factory):
    from twisted.internet import reactor

    # An async fixture of this scope that skips breaks the tests after the first.
    made = PEERS[request.param](reactor, tmp_path_factory.mktemp("peer"), server)
    try:
        blockon(ensureDeferred(made.ready()))
        yield made
    finally:
        blockon(ensureDeferred(made.stop()))


@pytest.fixture
def peer(running_peer):
    running_peer.forget()
    return running_peer


@pytest.fixture(params=["client", "component"])
def mode(request):
    return request.param


@pytest_twisted.async_yield_fixture
async def ours(server, mode):
    from twisted.internet import reactor

    made = Ours(reactor, server, mode)
    yield made
    await made.stop()


@pytest_twisted.async_yield_fixture
async def web():
    from twisted.internet import reactor

    made = HostileServer(reactor)
    yield made
    await made.stop()


@pytest.mark.parametrize("outcome", OUTCOMES)
@pytest_twisted.ensureDeferred
async def test_peer_receives(ours, peer, outcome):
    handler = ours.sends()
    await ours.start()
    url = f"https://files.example{PATH}/{outcome}"

    answered = await handler.send_url(peer.jid, url, DESC)

    assert answered == peer.means[outcome]
    offer = await peer.next("offer")
    assert (offer["url"], offer["desc"], offer["sender"]) == (url, DESC, ours.jid)


@pytest.mark.parametrize("outcome", OUTCOMES)
@pytest_twisted.ensureDeferred
async def test_peer_sends(ours, peer, outcome, web, tmp_path):
    ours.receives(tmp_path)
    await ours.start()
    web.answers.append(WEB[outcome])
    url = web.url(PATH)

    answered = await peer.ask("answer", do="offer", to=ours.jid, url=url, desc=DESC)

    assert answered["condition"] == peer.reads[outcome]
    assert [(data.url, data.desc) for data in ours.arrivals.offered] == [(url, DESC)]
    assert [connection.line for connection in web.connections] == [f"GET {PATH} HTTP/1.1"]
    landed = [path.read_bytes() for path in tmp_path.iterdir()]
    assert landed == ([WHOLE] if outcome == "success" else [])


@pytest_twisted.ensureDeferred
async def test_peer_reads_our_features(ours, peer, tmp_path):
    ours.receives(tmp_path)
    await ours.start()

    read = await peer.ask("features", do="disco", to=ours.jid)

    assert set(DISCO_FEATURES) <= set(read["features"])

"""A Receiver with a real Fetcher: real sockets, a real folder, an embedded router."""

from __future__ import annotations

import hashlib

import pytest
import pytest_twisted
from twisted.internet.defer import succeed

from tests.support.hostile_http import answer
from tests.support.network import DOMAIN, LOOPBACK
from twisted_oob import Fetcher, FetchPolicy, FileInfo
from twisted_oob.transfer.receiver import Receiver

LARGE = b"0123456789abcdef" * 50_000


async def start(network, tell, **options):
    """Start a Receiver that takes everything in the responder's place; gives a sender."""
    network.responder = Receiver(
        Fetcher(network.reactor, FetchPolicy(allow_networks=(LOOPBACK,)), network.folder),
        accept=lambda _: succeed(True),
        tell=tell,
        reactor=network.reactor,
        **options,
    )
    return await network.listen()


@pytest_twisted.ensureDeferred
async def test_an_offer_is_received_with_its_progress(network):
    told, progress = [], []
    sender = await start(network, told.append, on_progress=lambda *of: progress.append(of))
    network.web.answers.append(answer(LARGE))
    assert await sender.oob.send_url(DOMAIN, network.web.url("/a.bin"), "A file") is None
    [received] = told
    assert network.files() == {"a.bin": LARGE}
    assert received.file.sha256 == hashlib.sha256(LARGE).hexdigest()
    assert received.seconds > 0
    assert progress[-1] == (received.arrival, len(LARGE), len(LARGE))


@pytest_twisted.ensureDeferred
async def test_a_stop_in_the_middle_leaves_nothing(network):
    told = []
    sender = await start(network, told.append)
    offer = sender.oob.send_url(DOMAIN, network.web.url())
    connection = await network.web.arrivals.get()
    connection.write(answer(LARGE, length=len(LARGE) + 1))
    await network.responder.stopService()
    assert network.files() == {}
    assert (await offer).error.condition == "resource-constraint"
    assert [one.condition for one in told] == ["resource-constraint"]


@pytest.mark.parametrize(
    "info",
    [FileInfo(size=len(LARGE) - 1), FileInfo(size=len(LARGE), sha256="ab" * 32)],
    ids=["size", "hash"],
)
@pytest_twisted.ensureDeferred
async def test_another_file_than_the_offered_one_leaves_nothing(network, info):
    told = []
    sender = await start(network, told.append)
    network.web.answers.append(answer(LARGE))
    refused = await sender.oob.send_url(DOMAIN, network.web.url(), info=info)
    assert (refused, refused.error.condition) == ("not-found", "item-not-found")
    assert refused.error.text == "not the file that was offered"
    assert network.files() == {}
    [failed] = told
    assert failed.text.startswith("not the file that was offered: ")

"""A chat over a real router, with real files: what landed, and what was said."""

from __future__ import annotations

import pytest
import pytest_twisted

from tests.support.hostile_http import answer
from tests.support.network import LOOPBACK
from tests.support.talks import Talk
from twisted_oob import (
    ChatFrontend,
    Fetcher,
    FetchPolicy,
    FileGiver,
    FileSender,
    FileShare,
    OOBHandler,
    ServedFolder,
)


@pytest_twisted.ensureDeferred
async def test_a_file_lands_before_it_is_told(network):
    talk = Talk(await network.start())
    network.web.answers.append(answer(b"all of it"))
    assert await talk.hand_over(network.web.url("/report.pdf")) == "stored report.pdf (9 bytes)"
    assert network.files() == {"report.pdf": b"all of it"}


@pytest_twisted.ensureDeferred
async def test_a_second_file_of_the_same_name_is_told_by_the_name_it_got(network):
    talk = Talk(await network.start())
    network.web.answers += [answer(b"1"), answer(b"22")]
    await talk.hand_over(network.web.url("/a.txt"))
    assert await talk.hand_over(network.web.url("/a.txt?2")) == "stored a (2).txt (2 bytes)"


@pytest_twisted.ensureDeferred
async def test_why_a_file_could_not_be_fetched_is_told(network):
    talk = Talk(await network.start(max_size=5))
    network.web.answers += [answer(status="404 Not Found"), answer(b"too long")]
    url = network.web.url("/report.pdf?token=secret")
    assert await talk.hand_over(url) == "could not fetch report.pdf: HTTP status 404"
    said = await talk.hand_over(url, body=f"please keep {url}")
    assert said == "could not fetch report.pdf: the file is larger than 5 bytes"
    assert network.files() == {}


@pytest.mark.parametrize("url", ["ftp://files.example/a.png", "xmpp:a.png", "aesgcm://h/a.png#00"])
@pytest_twisted.ensureDeferred
async def test_a_scheme_that_nobody_here_fetches_is_told(network, url):
    talk = Talk(await network.start())
    said = await talk.hand_over(url, body="here")
    assert said == "could not fetch a.png: only http and https are allowed"


@pytest_twisted.ensureDeferred
async def test_help_tells_the_largest_file_that_the_policy_allows(network):
    talk = Talk(await network.start(max_size=2_000_000))
    assert "of at most 2.0 MB" in await talk.ask("hello")


@pytest_twisted.async_yield_fixture
async def giving(network, tmp_path):
    """Somebody whom a responder gives files, from a folder with one picture."""
    folder = tmp_path / "given"
    folder.mkdir()
    (folder / "a picture.png").write_bytes(b"a picture")
    talk = Talk(await network.start(limits={"messages": False}))
    stream = network.embedded._component
    handler = OOBHandler()
    handler.setHandlerParent(stream)
    share = FileShare("tcp:0:interface=127.0.0.1", reactor=network.reactor)
    share.startService()
    sender = FileSender(handler, share=share, keep=60, bounce_timeout=0.01)
    giver = FileGiver(ServedFolder(folder), sender, reactor=network.reactor)
    ChatFrontend(network.responder, giver=giver).setHandlerParent(stream)
    yield talk
    await giver.stop()
    await share.stopService()


@pytest_twisted.ensureDeferred
async def test_a_picture_is_listed_and_sent_as_a_message(giving, network, tmp_path):
    assert "a picture.png (9 bytes, " in await giving.ask("list *.png")
    giving.write("send a picture.png")
    url = await giving.receive()
    fetcher = Fetcher(network.reactor, FetchPolicy(allow_networks=(LOOPBACK,)), tmp_path)
    fetched = await fetcher.fetch(url)
    assert fetched.path.read_bytes() == b"a picture"
    # The file was the answer: nothing else is said.
    assert await giving.ask("send ../secret") == "there is no file ../secret"


@pytest_twisted.ensureDeferred
async def test_who_takes_offers_is_asked_to_fetch_and_told_in_the_end(giving, network):
    offers = []

    async def on_offer(offer):
        offers.append(offer.url)

    OOBHandler(on_offer).setHandlerParent(network.senders[0].component)
    assert await giving.ask("send a picture.png") == "sent a picture.png (9 bytes)"
    assert len(offers) == 1

"""What people give the responder, and ask of it, in profanity: what is on its screen."""

from __future__ import annotations

import os
import re

import pytest
import pytest_twisted
from pytest_twisted import blockon
from twisted.internet.defer import ensureDeferred
from twisted.web.pages import notFound
from twisted.web.resource import Resource
from twisted.web.server import Site
from twisted.web.static import Data

from tests.servers.accounts import LOOPBACK
from tests.servers.bots import MODES, Bot
from tests.servers.profanity import Profanity
from tests.support.processes import IN_CI
from tests.support.waiting import in_time
from twisted_oob import Fetcher, FetchPolicy

pytestmark = [
    pytest.mark.parametrize(
        "server", ["prosody", pytest.param("ejabberd", marks=IN_CI)], indirect=True
    ),
    pytest.mark.parametrize(
        "bot", [MODES[0], *(pytest.param(mode, marks=IN_CI) for mode in MODES[1:])], indirect=True
    ),
]

SIZE = 60_000
# How the files that it gives get their links.
VIA = {
    "account": ("--via", "upload"),
    "component": ("--via", "share", "--serve-listen", "tcp:0:interface=127.0.0.1"),
}
MAP = os.urandom(SIZE)
PLAN = b"the plan"


@pytest.fixture(scope="module")
def bot(server, request, tmp_path_factory):
    """A bot that has a map to give."""
    from twisted.internet import reactor

    # An async fixture of this scope that skips breaks the tests after the first.
    folder = tmp_path_factory.mktemp("bot")
    (folder / "served").mkdir()
    (folder / "served" / "map.png").write_bytes(MAP)
    words = ("--serve", str(folder / "served"), *VIA[request.param])
    made = Bot(reactor, server, folder, request.param, *words)
    try:
        yield blockon(ensureDeferred(made.start()))
    finally:
        blockon(ensureDeferred(made.stop()))


@pytest.fixture(scope="module")
def profanity(server, tmp_path_factory):
    from twisted.internet import reactor

    made = Profanity(reactor, server, tmp_path_factory.mktemp("profanity"))
    try:
        yield blockon(ensureDeferred(made.start()))
    finally:
        blockon(ensureDeferred(made.stop()))


@pytest_twisted.async_yield_fixture
async def site():
    """The URL of a web server that has the plan."""
    from twisted.internet import reactor

    root = Resource()
    root.putChild(b"secrets", notFound())
    root.putChild(b"plan.pdf", Data(PLAN, "application/pdf"))
    site = Site(root)
    site.noisy = False
    port = reactor.listenTCP(0, site, interface="127.0.0.1")
    yield f"http://127.0.0.1:{port.getHost().port}"
    await port.stopListening()


def says(bot, text):
    """Give a pattern: the line that shows what the bot wrote."""
    return rf"- {re.escape(bot.jid)}(/oob)?: {text}"


@pytest_twisted.ensureDeferred
async def test_a_file_that_is_dropped_on_the_contact_is_stored(bot, profanity, tmp_path):
    content = os.urandom(SIZE)
    (tmp_path / "report.bin").write_bytes(content)
    profanity.types(f"/msg {bot.jid}")
    profanity.types(f"/sendfile {tmp_path / 'report.bin'}")

    await profanity.screen.shows(says(bot, r"stored report\.bin \(60\.0 kB\)$"))
    assert bot.files()["report.bin"] == content


@pytest_twisted.ensureDeferred
async def test_a_url_in_a_text_is_fetched(bot, profanity, site):
    profanity.types(f"/msg {bot.jid} the plan is at {site}/plan.pdf, please keep it")

    await profanity.screen.shows(says(bot, r"stored plan\.pdf \(8 bytes\)$"))
    assert bot.files()["plan.pdf"] == PLAN


@pytest_twisted.ensureDeferred
async def test_what_can_not_be_fetched_is_told_by_its_name(bot, profanity, site):
    profanity.types(f"/msg {bot.jid} {site}/secrets/missing.pdf?key=hidden")

    told = await profanity.screen.shows(says(bot, r"could not fetch .*"))
    assert told[0].endswith(": could not fetch missing.pdf: HTTP status 404")


@pytest_twisted.ensureDeferred
async def test_a_file_is_listed_and_comes_as_a_link(bot, profanity, server, tmp_path):
    from twisted.internet import reactor

    profanity.types(f"/msg {bot.jid} list")
    await profanity.screen.shows(r"\bmap\.png \(60\.0 kB, \d{4}-\d\d-\d\d\)$")

    profanity.types(f"/msg {bot.jid} send map.png")
    link = await profanity.screen.shows(says(bot, r"(?P<url>https?://\S+/map\.png)$"))
    policy = FetchPolicy(allow_networks=(LOOPBACK,), ca_file=server.ca_file)
    got = await in_time(Fetcher(reactor, policy, tmp_path).fetch(link["url"]))
    assert got.path.read_bytes() == MAP


@pytest_twisted.ensureDeferred
async def test_whoever_says_hello_is_helped(bot, profanity):
    profanity.types(f"/msg {bot.jid} hello")

    await profanity.screen.shows(says(bot, "You can send me a file"))
    await profanity.screen.shows(r" send NAME: ")


@pytest_twisted.ensureDeferred
async def test_a_contact_tells_how_it_is(bot, profanity):
    # Where contacts come and go is shown.
    profanity.types("/win 1")
    profanity.types(f"/sub request {bot.jid}")

    await profanity.screen.shows(rf'{re.escape(bot.jid)}( \(oob\))? is online, "ready"$')

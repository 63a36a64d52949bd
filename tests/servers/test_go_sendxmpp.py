"""What people give the responder, and ask of it, with go-sendxmpp on real servers."""

from __future__ import annotations

import re

import pytest
import pytest_twisted
from pytest_twisted import blockon
from twisted.internet.defer import ensureDeferred

from tests.servers.bots import Bot
from tests.servers.go_sendxmpp import GoSendxmpp
from tests.support.hostile_http import HostileServer, answer
from tests.support.processes import IN_CI
from tests.support.waiting import until

pytestmark = pytest.mark.parametrize(
    "server", ["prosody", pytest.param("ejabberd", marks=IN_CI)], indirect=True
)
ACCOUNT = pytest.param("account", marks=IN_CI)
an_account = pytest.mark.parametrize("bot", [ACCOUNT], indirect=True)
any_bot = pytest.mark.parametrize("bot", [ACCOUNT, "component"], indirect=True)

SIZE = 60_000


@pytest.fixture(scope="module")
def bot(server, request, tmp_path_factory):
    """A bot that has a map to give."""
    from twisted.internet import reactor

    folder = tmp_path_factory.mktemp("bot")
    (folder / "served").mkdir()
    (folder / "served" / "map.png").write_bytes(b"a map")
    made = Bot(reactor, server, folder, request.param, "--serve", str(folder / "served"))
    try:
        yield blockon(ensureDeferred(made.start()))
    finally:
        blockon(ensureDeferred(made.stop()))


@pytest.fixture
def person(server, tmp_path):
    """Somebody who sends files, and listens."""
    from twisted.internet import reactor

    folder = tmp_path / "person"
    folder.mkdir()
    # An async fixture that skips breaks the tests after the first.
    made = GoSendxmpp(reactor, server, folder)
    try:
        blockon(ensureDeferred(made.listen()))
        yield made
    finally:
        blockon(ensureDeferred(made.stop()))


@pytest_twisted.async_yield_fixture
async def web():
    from twisted.internet import reactor

    made = HostileServer(reactor)
    yield made
    await made.stop()


def address(bot):
    """Give an address of the bot: go-sendxmpp writes to no domain, so to somebody there."""
    return bot.jid if "@" in bot.jid else f"files@{bot.jid}"


def said(bot, text):
    """Give a pattern: what the listener prints of an answer."""
    return rf"^\S+ {re.escape(address(bot))}: {text}$"


@any_bot
@pytest_twisted.ensureDeferred
async def test_a_file_is_stored(bot, person):
    content = person.file("picture.bin", SIZE)

    await person.upload("picture.bin", address(bot))

    await until(lambda: "picture.bin" in bot.files())
    assert bot.files()["picture.bin"] == content


@an_account
@pytest_twisted.ensureDeferred
async def test_a_sender_who_has_gone_hears_that_a_file_is_stored(bot, person):
    content = person.file("report.bin", SIZE)

    # The sender has gone before the answer comes, so another session gets it. An upload to a
    # component that is held up would never begin: go-sendxmpp asks each component what it is.
    with bot.held_up():
        await person.upload("report.bin", address(bot))

    await person.heard(said(bot, r"stored report\.bin \(60\.0 kB\)"))
    assert bot.files()["report.bin"] == content


@any_bot
@pytest_twisted.ensureDeferred
async def test_a_sender_who_has_gone_hears_what_a_url_in_the_text_brought(bot, person, web):
    web.answers.append(answer(b"the plan"))
    with bot.held_up():
        text = f"The plan is at {web.url('/plan.pdf')}, please keep it.\n"
        await person.write(text, address(bot))

    await person.heard(said(bot, r"stored plan\.pdf \(8 bytes\)"))
    assert bot.files()["plan.pdf"] == b"the plan"


@any_bot
@pytest_twisted.ensureDeferred
async def test_the_files_are_listed(bot, person):
    with bot.held_up():
        await person.write("list\n", address(bot))

    await person.heard(said(bot, r"I have .*\nmap\.png \(5 bytes, \d{4}-\d\d-\d\d\)"))

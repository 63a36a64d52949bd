"""A person who has converse.js open in a real browser chats with the file bot."""

from __future__ import annotations

import pytest
import pytest_twisted
from pytest_twisted import blockon
from twisted.internet.defer import ensureDeferred

from tests.servers.bots import MODES, Bot
from tests.servers.converse import Converse
from tests.servers.documented import running
from tests.servers.test_converse import PICTURE, WIDTH
from tests.support.processes import IN_CI

# A browser takes seconds to start.
pytestmark = IN_CI


@pytest.fixture(scope="module")
def server(certificates, tmp_path_factory):
    """The one that has a websocket, as docs/bot.rst configures it."""
    with running("prosody", certificates, tmp_path_factory.mktemp("server")) as made:
        yield made


@pytest.fixture(scope="module", params=MODES)
def place(request, server, tmp_path_factory):
    """A bot that has a picture to give, and a browser with the chat with it."""
    from twisted.internet import reactor

    served = tmp_path_factory.mktemp("served")
    (served / "sea.png").write_bytes(PICTURE)
    folder = tmp_path_factory.mktemp("bot")
    bot = Bot(reactor, server, folder, request.param, "--serve", str(served))
    # converse.js writes to nobody without a name; a component has every name.
    address = bot.jid if request.param == "account" else f"files@{bot.jid}"
    browser = Converse(reactor, server, tmp_path_factory.mktemp("browser"), "bob", address)
    # An async fixture of this scope that skips breaks the tests after the first.
    try:
        blockon(ensureDeferred(bot.start()))
        blockon(ensureDeferred(browser.start()))
        yield bot, browser
    finally:
        blockon(ensureDeferred(browser.stop()))
        blockon(ensureDeferred(bot.stop()))


def answers(messages):
    return [message for message in messages if not message["own"]]


@pytest_twisted.ensureDeferred
async def test_a_file_that_is_dropped_on_the_chat_is_kept_and_answered(place):
    bot, browser = place
    content = bytes(range(256)) * 300
    browser.share("report.bin", "application/octet-stream", content)

    shown = await browser.shows(answers)

    [answer] = answers(shown)
    assert answer["text"] == "stored report.bin (76.8 kB)"
    assert answer["reply"]
    assert all(message["received"] for message in shown if message["own"])
    assert bot.files() == {"report.bin": content}


@pytest_twisted.ensureDeferred
async def test_a_picture_that_is_asked_for_is_shown_inline(place):
    _bot, browser = place
    browser.write("send sea.png")

    shown = await browser.shows(
        lambda messages: any(message["pictures"] for message in answers(messages))
    )

    [picture] = [message for message in answers(shown) if message["pictures"]]
    assert (picture["text"], picture["pictures"]) == ("", [WIDTH])

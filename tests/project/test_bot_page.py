"""The page about a file bot: its commands are ones that the responder takes, and so it answers."""

from __future__ import annotations

import re
import shlex
from datetime import datetime, timezone

import pytest

from tests.servers.documented import DOCUMENT, documented
from twisted_oob.commands.options import Options
from twisted_oob.files.served_folder import ServedFile
from twisted_oob.transfer.chat_texts import ChatTexts

COMMANDS = ["account", "component", "share", "rooms", "file-bot.service"]


def command(name):
    """Give the words of the one responder that a block starts."""
    [words] = re.findall(r"/twistd (.*)", documented(name).replace("\\\n", " "))
    return shlex.split(words)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_options_of_a_command_go_together(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shared").mkdir()
    for file in ("password", "secret"):
        (tmp_path / file).touch(mode=0o600)
    twistds, own = command(name)[:3], command(name)[3:]
    assert twistds == ["-n", "--pidfile=", "oob-responder"]

    Options().parseOptions(own)


def test_each_option_that_it_names_is_there():
    names = set(re.findall(r"``--([a-z-]+)", DOCUMENT))
    assert names
    assert names <= {name.rstrip("=") for name in Options().longOpt}


def test_the_unit_starts_what_the_ten_lines_start():
    assert command("file-bot.service") == command("account")
    assert len(documented("account").splitlines()) <= 10


def test_the_bot_says_what_the_page_says():
    texts = ChatTexts()
    day = datetime(2026, 11, 2, tzinfo=timezone.utc).timestamp()
    said = [
        texts.stored("report.pdf", 1_200_000),
        texts.failed("report.pdf", "HTTP status 404"),
        *texts.listing([ServedFile("minutes.txt", 3400, day)], 0).splitlines(),
        texts.status(0),
        texts.status(3),
    ]
    assert [text for text in said if text not in DOCUMENT] == []

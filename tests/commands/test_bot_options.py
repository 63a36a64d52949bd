"""What an operator is told at the start, and where a share listens."""

from __future__ import annotations

import socket

import pytest
from twisted.logger import Logger, formatEvent

from tests.support.options import be_there, parsed
from twisted_oob import FetchPolicy
from twisted_oob.commands.bot_options import make_bot, tell_at_start
from twisted_oob.files.folders import Folders

ACCOUNT = ("--jid", "me@home.example", "--password-file", "file")
SERVE = ("--serve", "served")
GIVEN = "Files in {}/served are given to those who ask me@x.y for them, "


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    be_there(tmp_path)


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        ((), ["Files in messages to me@x.y land there, too"]),
        (("--no-messages",), []),
        (
            SERVE,
            [
                "Files in messages to me@x.y land there, too",
                f"{GIVEN}by the share at tcp:0:interface=127.0.0.1",
            ],
        ),
        (
            (*ACCOUNT, *SERVE),
            [
                "Files in messages to me@x.y land there, too",
                f"{GIVEN}by uploads to the server, else by the share at tcp:0",
            ],
        ),
        (
            (*ACCOUNT, *SERVE, "--via", "upload"),
            ["Files in messages to me@x.y land there, too", f"{GIVEN}by uploads to the server"],
        ),
        (
            (*ACCOUNT, *SERVE, "--public-url", "https://x.y/f", "--serve-listen", "tcp:7"),
            [
                "Files in messages to me@x.y land there, too",
                f"{GIVEN}by the share at https://x.y/f",
            ],
        ),
    ],
)
def test_what_an_operator_is_told(words, lines, tmp_path):
    told = []
    tell_at_start(Logger(observer=told.append), parsed(*words), "me@x.y")
    assert [formatEvent(event) for event in told] == [
        f"Offers to me@x.y land in {tmp_path}/oob-downloads",
        *(line.format(tmp_path) for line in lines),
    ]


@pytest.mark.parametrize(
    ("words", "ipv6", "endpoint"),
    [
        (ACCOUNT, True, "tcp6:0"),
        (ACCOUNT, False, "tcp:0"),
        ((*ACCOUNT, "--serve-listen", "tcp:7"), True, "tcp:7"),
        ((), True, "tcp:0:interface=127.0.0.1"),
    ],
)
def test_a_share_listens_where_the_server_may_see_us(words, ipv6, endpoint, tmp_path, monkeypatch):
    from twisted.internet import reactor

    made = []
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: ipv6)
    monkeypatch.setattr(
        "twisted_oob.transfer.bot.FileShare",
        lambda endpoint, **_options: made.append(endpoint),
    )
    options = parsed(*words, *SERVE, "--download-dir", str(tmp_path))
    make_bot(options, FetchPolicy(), Folders(), reactor)
    assert made == [endpoint]

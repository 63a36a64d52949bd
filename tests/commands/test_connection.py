"""Connections: their secrets and their streams."""

from __future__ import annotations

import shlex
import socket
import sys

import click
import pytest
import pytest_twisted
from twisted.internet.defer import ensureDeferred
from twisted.internet.task import Clock

from twisted_oob import AccountStream, ComponentStream, StreamRefused
from twisted_oob.commands.connection import CONNECT_LIMIT, Connection, NotConnected
from twisted_oob.commands.modes import ACCOUNT, EMBEDDED
from twisted_oob.xmpp.jid import parse_jid

pytest_plugins = ["tests.support.commands"]

JID = ("--jid", "alice@example.org")
COMPONENT_WORDS = ("--component", "files.example.org", "--secret-file", "secret")


# --- passwords and secrets


def test_a_password_is_read_from_its_file(parse, write):
    write("f", "hunter2\nrest")
    assert parse(*JID, "--password-file", "f")[0].read_secret() == "hunter2"


def test_a_password_is_read_from_a_program(parse):
    command = shlex.join([sys.executable, "-c", "print('hunter2'); print('rest')"])
    assert parse(*JID, "--password-command", command)[0].read_secret() == "hunter2"


def test_a_password_is_asked_for_on_a_terminal(parse, monkeypatch):
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    asked = []

    def ask(prompt, **options):
        asked.append((prompt, options))
        return "hunter2"

    monkeypatch.setattr("click.prompt", ask)
    assert parse(*JID)[0].read_secret() == "hunter2"
    assert asked == [("Password of alice@example.org", {"hide_input": True, "err": True})]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (JID, "--password-file or --password-command must be given with --jid, as there is no"),
        ((*JID, "--password-file", "open"), "--password-file '.*open' can't be used: other users"),
        ((*JID, "--password-command", "no-such"), "--password-command 'no-such' can't be used: No"),
        (("--secret-file", "missing"), "--secret-file '.*missing' can't be used: No such file"),
        (("--secret-file", "open"), "--secret-file '.*open' can't be used: other users"),
    ],
)
def test_a_secret_that_can_not_be_had_is_one_line(parse, write, words, line):
    write("open", "x").chmod(0o644)
    with pytest.raises(click.UsageError, match=line):
        parse(*words)[0].read_secret()


def test_without_a_router_in_this_folder_it_says_how_to_start_one(parse):
    with pytest.raises(NotConnected, match="start `twistd -n oob-responder` or `oob rec"):
        parse()[0].read_secret()


# --- the stream


@pytest.mark.parametrize(
    ("words", "kind"),
    [(JID, AccountStream), ((), ComponentStream), (COMPONENT_WORDS, ComponentStream)],
)
def test_each_mode_has_its_stream(parse, words, kind):
    from twisted.internet import reactor

    assert isinstance(parse(*words)[0].make_stream("secret", reactor), kind)


@pytest.mark.parametrize("words", [JID, COMPONENT_WORDS])
def test_a_ca_file_without_certificates_is_one_line(parse, write, words):
    write("f", "nothing")
    connection, _output = parse(*words, "--ca-file", "f")
    with pytest.raises(click.UsageError, match="f contains no certificate in PEM format"):
        connection.make_stream("secret", Clock())


@pytest_twisted.ensureDeferred
async def test_nobody_who_listens_ends_it_at_once(parse):
    from twisted.internet import reactor

    connection, _output = parse("--port", "1")
    stream = connection.make_stream("secret", reactor)
    with pytest.raises(NotConnected) as raised:
        await connection.connect(stream, reactor)
    assert raised.value.exit_code == 3
    assert raised.value.message == (
        "127.0.0.1:1: the connection was refused: check that the server runs, and its port; "
        "start `twistd -n oob-responder` or `oob receive` in this folder, or give --jid"
    )
    assert not stream.running


@pytest_twisted.ensureDeferred
async def test_a_server_that_never_answers_is_given_up(parse):
    from twisted.internet import reactor

    clock = Clock()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        connection, _output = parse("--port", str(silent.getsockname()[1]))
        stream = connection.make_stream("secret", reactor)
        connecting = ensureDeferred(connection.connect(stream, clock))
        clock.advance(CONNECT_LIMIT)
        with pytest.raises(NotConnected, match="no login within 30 s"):
            await connecting
    assert not stream.running
    assert clock.getDelayedCalls() == []


def test_only_what_may_pass_is_said_to_need_a_router():
    embedded = Connection(EMBEDDED, host="127.0.0.1", port=5347)
    assert "twistd" not in embedded.explain(StreamRefused("the secret is wrong"))
    assert "twistd" in embedded.explain(StreamRefused("lost", permanent=False))
    account = Connection(ACCOUNT, jid=parse_jid("alice@example.org/oob"))
    assert account.explain(StreamRefused("lost", permanent=False)) == "alice@example.org: lost"

"""The options that say how a command connects: which go together, and the stream they mean."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import click
import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import Clock

from twisted_oob import AccountStream, ComponentStream, StreamRefused
from twisted_oob.commands.config import ConfiguredCommand
from twisted_oob.commands.connection import CONNECT_LIMIT, Connection, NotConnected, shared_options
from twisted_oob.commands.modes import ACCOUNT, COMPONENT, EMBEDDED
from twisted_oob.xmpp.jid import parse_jid

pytest_plugins = ["tests.support.commands"]

JID = ("--jid", "alice@example.org")
COMPONENT_WORDS = ("--component", "files.example.org", "--secret-file", "secret")


@pytest.fixture
def parse(tmp_path, monkeypatch):
    """Parse the shared options; gives the Connection and the Output."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))

    @click.command(cls=ConfiguredCommand)
    @shared_options
    def command(*, connection, output):
        return connection, output

    return lambda *words: command.main(words, prog_name="oob test", standalone_mode=False)


def error_of(parse, *words):
    with pytest.raises(click.UsageError) as raised:
        parse(*words)
    return raised.value.format_message()


# --- what the options mean


def test_by_default_it_is_the_embedded_router_on_this_machine(parse):
    connection, output = parse()
    assert (connection.mode, connection.host, connection.port) == (EMBEDDED, "127.0.0.1", 5347)
    assert connection.secret_file == Path("oob-responder.secret").absolute()
    assert (output.as_json, output.quiet) == (False, False)


def test_a_jid_is_an_account_with_our_resource(parse):
    connection, _output = parse(*JID)
    assert (connection.mode, connection.jid.full()) == (ACCOUNT, "alice@example.org/oob")
    assert (connection.host, connection.port, connection.direct_tls) == (None, None, False)


def test_the_resource_of_a_jid_is_kept(parse):
    assert parse("--jid", "alice@example.org/here")[0].jid.full() == "alice@example.org/here"


def test_a_component_has_a_domain_and_a_secret(parse, tmp_path):
    connection, _output = parse(*COMPONENT_WORDS)
    assert (connection.mode, connection.domain) == (COMPONENT, "files.example.org")
    assert connection.secret_file == tmp_path / "secret"
    assert (connection.host, connection.port) == ("127.0.0.1", 5347)


def test_what_stands_in_the_configuration_counts_as_given(parse, tmp_path):
    folder = tmp_path / "oob"
    folder.mkdir()
    (folder / "config.toml").write_text('jid = "alice@example.org"\nport = 5\nhost = "h"\n')
    connection, _output = parse()
    assert (connection.mode, connection.host, connection.port) == (ACCOUNT, "h", 5)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ((*JID, "--component", "c.d"), "--jid and --component exclude each other"),
        (("--password-file", "f"), "--password-file goes with --jid, not with the embedded router"),
        (("--password-command", "c"), "--password-command goes with --jid, not with the embedded"),
        (("--direct-tls",), "--direct-tls goes with --jid, not with the embedded router"),
        (("--host", "h"), "--host goes with --jid or --component, not with the embedded router"),
        (
            (*JID, "--secret-file", "f"),
            "--secret-file goes with the embedded router or --component",
        ),
        ((*COMPONENT_WORDS, "--direct-tls"), "--direct-tls goes with --jid, not with --component"),
        ((*JID, "--port", "5"), "--host must be given with --port"),
        (("--component", "c.d"), "--secret-file must be given with --component"),
        (
            (*JID, "--password-file", "f", "--password-command", "c"),
            "--password-file and --password-command exclude each other",
        ),
        (("-v", "-q"), "--verbose and --quiet exclude each other"),
        (("--jid", "example.org"), "--jid 'example.org' is not valid: expected the JID of an acc"),
        (("--port", "0"), "--port '0' is not valid: expected a TCP port"),
        (("--ca-file", "missing"), "--ca-file 'missing' is not valid: no such file"),
    ],
)
def test_what_does_not_go_together_is_one_line(parse, write, words, line):
    write("f", "x")
    assert error_of(parse, *words).startswith(line)


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
    clock = Clock()
    connection, _output = parse("--port", "1")

    class Silent:
        """A stream that never comes up."""

        once = False

        def __init__(self):
            self.ready = Deferred()
            self.stopped = False

        def startService(self):
            pass

        async def stopService(self):
            self.stopped = True

    stream = Silent()
    connecting = ensureDeferred(connection.connect(stream, clock))
    clock.advance(CONNECT_LIMIT)
    with pytest.raises(NotConnected, match="no login within 30 s"):
        await connecting
    assert stream.stopped
    assert clock.getDelayedCalls() == []


def test_only_what_may_pass_is_said_to_need_a_router():
    embedded = Connection(EMBEDDED, host="127.0.0.1", port=5347)
    assert "twistd" not in embedded.explain(StreamRefused("the secret is wrong"))
    assert "twistd" in embedded.explain(StreamRefused("lost", permanent=False))
    account = Connection(ACCOUNT, jid=parse_jid("alice@example.org/oob"))
    assert account.explain(StreamRefused("lost", permanent=False)) == "alice@example.org: lost"

"""The options that all commands share: what they mean, and which go together."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from twisted_oob.commands.modes import ACCOUNT, COMPONENT, EMBEDDED
from twisted_oob.protocol.data import RESOURCE

pytest_plugins = ["tests.support.commands"]

JID = ("--jid", "alice@example.org")
COMPONENT_WORDS = ("--component", "files.example.org", "--secret-file", "secret")


def error_of(parse, *words):
    with pytest.raises(click.UsageError) as raised:
        parse(*words)
    return raised.value.format_message()


def test_by_default_it_is_the_embedded_router_on_this_machine(parse):
    connection, output = parse()
    assert (connection.mode, connection.address) == (EMBEDDED, ("127.0.0.1", 5347))
    assert connection.secret_file == Path("oob-responder.secret").absolute()
    assert (output.as_json, output.quiet) == (False, False)


def test_a_jid_is_an_account_whose_resource_the_server_chooses(parse):
    connection, _output = parse(*JID)
    assert (connection.mode, connection.jid.full()) == (ACCOUNT, "alice@example.org")
    assert (connection.host, connection.port, connection.direct_tls) == (None, None, False)


def test_the_resource_of_a_jid_is_kept(parse):
    connection, _output = parse("--jid", "alice@example.org/here")
    assert connection.jid.full() == "alice@example.org/here"
    assert connection.at_known_resource() == connection


def test_who_receives_binds_the_resource_at_which_senders_ask(parse):
    connection, _output = parse(*JID)
    assert connection.at_known_resource().jid.full() == f"alice@example.org/{RESOURCE}"
    assert connection.jid.full() == "alice@example.org"


def test_a_component_has_no_resource(parse, tmp_path):
    connection, _output = parse(*COMPONENT_WORDS)
    assert connection.at_known_resource() == connection


def test_a_component_has_a_domain_and_a_secret(parse, tmp_path):
    connection, _output = parse(*COMPONENT_WORDS)
    assert (connection.mode, connection.domain) == (COMPONENT, "files.example.org")
    assert connection.secret_file == tmp_path / "secret"
    assert connection.address == ("127.0.0.1", 5347)


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

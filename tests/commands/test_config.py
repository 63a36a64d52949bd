"""Defaults from a file, as a command of click gets them."""

from __future__ import annotations

import os
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from twisted_oob.commands.config import ConfiguredCommand, config_option, default_path
from twisted_oob.commands.values import parse_allowed, parse_port, parse_size


class Parsed(click.ParamType):
    name = "value"

    def __init__(self, parse):
        self._parse = parse

    def convert(self, value, param, ctx):
        try:
            return self._parse(value) if isinstance(value, str) else value
        except ValueError as error:
            self.fail(str(error), param, ctx)


def connection(function):
    for name in (
        "jid",
        "component",
        "password-file",
        "password-command",
        "secret-file",
        "host",
        "ca-file",
    ):
        function = click.option(f"--{name}")(function)
    function = click.option("--direct-tls", is_flag=True)(function)
    function = click.option("-v", "--verbose", count=True)(function)
    function = click.option("-q", "--quiet", is_flag=True)(function)
    return click.option("--port", type=Parsed(parse_port))(function)


@pytest.fixture
def oob(tmp_path):
    """Run a command line with a configuration file; gives click's result, its parameters, too."""
    seen = {}

    @click.group()
    def group():
        pass

    @group.command(cls=ConfiguredCommand)
    @config_option
    @connection
    @click.option("--download-dir", default="./here")
    @click.option("--from", "senders", multiple=True, type=Parsed(parse_allowed))
    @click.option("--max-size", type=Parsed(parse_size), default="5M")
    @click.option("--timeout", type=float, default=900.0)
    @click.option("--version", is_flag=True)
    def receive(**params):
        seen.update(params)

    @group.command(cls=ConfiguredCommand)
    @config_option
    @click.option("--via", type=click.Choice(["auto", "share"]), default="auto")
    @click.option("--as", "how", default="auto")
    @click.argument("words", nargs=-1)
    def send(**params):
        seen.update(params)

    def run(text, *words, command="receive", config=True):
        path = tmp_path / "oob.toml"
        if text is not None:
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        seen.clear()
        chosen = ["--config", str(path)] if config else []
        # Nothing of whoever runs the tests.
        environment = {"XDG_CONFIG_HOME": str(tmp_path / "xdg")}
        result = CliRunner().invoke(group, [command, *chosen, *words], env=environment)
        result.params = dict(seen)
        return result

    return run


def good(result):
    assert result.exit_code == 0, result.output
    return result.params


@pytest.mark.parametrize(
    ("text", "parameter", "value"),
    [
        ('jid = "a@b.c"', "jid", "a@b.c"),
        ('max_size = "2Ki"', "max_size", 2048),
        ("max_size = 77", "max_size", 77),
        ("port = 77\njid='a@b.c'", "port", 77),
        ("timeout = 2.5", "timeout", 2.5),
        ("timeout = 1e5", "timeout", 100_000.0),
        ("direct_tls = true\njid='a@b.c'", "direct_tls", True),
        ("direct_tls = false", "direct_tls", False),
        ("verbose = 2", "verbose", 2),
        ("verbose = true", "verbose", 1),
        ('from = ["a@b.c", "d.e"]', "senders", ("a@b.c", "d.e")),
        ('from = "a@b.c"', "senders", ("a@b.c",)),
        ("from = []", "senders", ()),
        # A key of another command's counts there.
        ('via = "share"', "max_size", 5_000_000),
        ("", "max_size", 5_000_000),
    ],
)
def test_a_value_of_the_file_is_the_options_default(oob, text, parameter, value):
    assert good(oob(text))[parameter] == value


def test_an_option_whose_parameter_has_another_name(oob):
    assert good(oob('as = "iq"', command="send"))["how"] == "iq"


@pytest.mark.parametrize(
    ("text", "words", "parameter", "value"),
    [
        ('max_size = "2Ki"', ["--max-size", "7"], "max_size", 7),
        ('from = ["a@b.c"]', ["--from", "d.e"], "senders", ("d.e",)),
        ('password_command="c"\njid="a@b.c"', ["--password-file", "f"], "password_command", None),
        ("verbose = 1", ["-q"], "verbose", 0),
        ("quiet = true", ["-v"], "quiet", False),
    ],
)
def test_the_command_line_wins(oob, text, words, parameter, value):
    assert good(oob(text, *words))[parameter] == value


ACCOUNT = 'jid="a@b.c/d"\npassword_file="/p"\nhost="h"\nport=7\ndirect_tls=true\nca_file="/ca"\n'
COMPONENT = 'component="x.y"\nsecret_file="/s"\nhost="h"\nport=7\nca_file="/ca"\n'
NOTHING = dict.fromkeys(
    ["jid", "component", "password_file", "password_command", "secret_file", "host", "port"]
) | {"direct_tls": False, "ca_file": "/ca"}
THEIRS = {"password_file": "/p", "host": "h", "port": 7, "direct_tls": True}


@pytest.mark.parametrize(
    ("text", "words", "expected"),
    [
        (ACCOUNT, "", {**THEIRS, "jid": "a@b.c/d"}),
        (COMPONENT, "", {"component": "x.y", "secret_file": "/s", "host": "h", "port": 7}),
        # A password is for its own account's server alone.
        (ACCOUNT, "--jid e@f.g", {"jid": "e@f.g"}),
        (ACCOUNT, "--jid a@evil.example", {"jid": "a@evil.example"}),
        (ACCOUNT, "--jid A@B.C/other", {**THEIRS, "jid": "A@B.C/other"}),
        (ACCOUNT, "--jid not@a@jid", {"jid": "not@a@jid"}),
        (ACCOUNT, "--component d.e", {"component": "d.e"}),
        (ACCOUNT, "--secret-file s", {"secret_file": "s"}),
        (COMPONENT, "--jid e@f.g", {"jid": "e@f.g"}),
        (COMPONENT, "--component d.e", {"component": "d.e"}),
        (COMPONENT, "--component X.y --port 9", {"component": "X.y", "secret_file": "/s",
                                                 "host": "h", "port": 9}),
        (COMPONENT, "--secret-file s", {"component": "x.y", "secret_file": "s", "host": "h",
                                        "port": 7}),
        # What goes with no way that was chosen is for the day it is chosen.
        (ACCOUNT.partition("\n")[2], "", {"port": 7}),
        (ACCOUNT.partition("\n")[2], "--jid e@f.g", {**THEIRS, "jid": "e@f.g"}),
        (ACCOUNT.partition("\n")[2], "--component d.e", {"component": "d.e", "host": "h",
                                                         "port": 7}),
        # Two ways in the file: the command says that they exclude each other.
        (ACCOUNT + 'component="x.y"', "", {**THEIRS, "jid": "a@b.c/d", "component": "x.y"}),
        (ACCOUNT + 'component="x.y"', "--component d.e", {"component": "d.e"}),
    ],
)  # fmt: skip
def test_what_the_file_says_of_another_way_to_connect_does_not_count(oob, text, words, expected):
    params = good(oob(text, *words.split()))
    assert {name: params[name] for name in NOTHING} == NOTHING | expected


@pytest.mark.parametrize("parameter", ["password_file", "ca_file", "download_dir"])
@pytest.mark.parametrize(
    ("written", "meant"),
    [("a/b", "{folder}/a/b"), ("/a", "/a"), ("~/a", "{home}/a"), ("../a", "{folder}/../a")],
)
def test_a_path_is_relative_to_the_file(oob, tmp_path, parameter, written, meant):
    params = good(oob(f'jid = "a@b.c"\n{parameter} = "{written}"'))
    assert params[parameter] == meant.format(folder=tmp_path, home=Path.home())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("jid = ", "not TOML: Invalid value (at "),
        (b"jid = '\xff'", "not UTF-8 text"),
        ("jdi = 'a@b.c'", "unknown key 'jdi'; did you mean 'jid'?"),
        ("password-file = 'f'", "unknown key 'password-file'; did you mean 'password_file'?"),
        ("unheard_of = 1", "unknown key 'unheard_of'\n"),
        ("[send]\nvia = 'share'", "unknown key 'send'; there are no tables"),
        ("config = 'f'", "unknown key 'config'"),
        ("version = true", "unknown key 'version'"),
        ("words = ['a']", "unknown key 'words'"),
        ("password = 'x'", "'password' has no place here: write it to a file of its own, and"),
        ("secret = 'x'", "'secret' has no place here: write it to a file of its own, and"),
        ("max_size = 'big'", "max_size: expected a size above 0, such as 500K, 100M or 2Gi"),
        ("max_size = true", "max_size: expected a string or a number"),
        ("max_size = [1]", "max_size: expected a string or a number"),
        ("max_size = 1979-05-27", "max_size: expected a string or a number"),
        ("port = 0", "port: expected a TCP port, 1 to 65535"),
        ("timeout = 'never'", "timeout: 'never' is not a valid float"),
        ("from = ['a@b.c', '*@d.e']", "from: expected a JID, a domain or * for everybody"),
        ("from = ['a@b.c', 1979-05-27]", "from: expected a string or a number"),
        ("direct_tls = 'yes'", "direct_tls: expected true or false, without quotes"),
        ("direct_tls = 1", "direct_tls: expected true or false, without quotes"),
        ("verbose = 'very'", "verbose: expected a number from 0"),
        ("verbose = -1", "verbose: expected a number from 0"),
        # Those of other commands, too.
        ("via = 'mail'", "via: 'mail' is not one of 'auto', 'share'"),
    ],
)
def test_an_error_names_the_file_and_the_key(oob, tmp_path, text, reason):
    result = oob(text)
    assert result.exit_code == 2
    assert result.params == {}
    assert f"{tmp_path / 'oob.toml'}: {reason}" in result.output


def test_a_password_that_stands_in_the_file_is_not_repeated(oob):
    assert "hunter2" not in oob("password = 'hunter2'").output


def test_a_file_that_was_named_must_be_there(oob, tmp_path):
    result = oob(None)
    assert result.exit_code == 2
    assert f"{tmp_path / 'oob.toml'}: No such file or directory" in result.output


def test_a_file_that_cannot_be_read(oob, tmp_path):
    result = oob(None, "--config", str(tmp_path), config=False)
    assert result.exit_code == 2
    assert f"{tmp_path}: Is a directory" in result.output


def test_the_default_file_is_read_if_it_is_there(oob, tmp_path):
    assert good(oob(None, config=False))["timeout"] == 900
    path = tmp_path / "xdg/oob/config.toml"
    path.parent.mkdir(parents=True)
    path.write_text("timeout = 7")
    assert good(oob(None, config=False))["timeout"] == 7
    # One that is named stands in its place; an empty one is how to have no defaults.
    assert good(oob(None, "--config", os.devnull, config=False))["timeout"] == 900


@pytest.mark.parametrize(
    ("environment", "folder"),
    [({"XDG_CONFIG_HOME": "/x"}, Path("/x")), ({"XDG_CONFIG_HOME": ""}, None), ({}, None),
     ({"XDG_CONFIG_HOME": "relative"}, None)],
)  # fmt: skip
def test_where_the_default_file_is(environment, folder):
    assert default_path(environment) == (folder or Path.home() / ".config") / "oob/config.toml"


def test_help_needs_no_good_file(oob, tmp_path):
    path = tmp_path / "xdg/oob/config.toml"
    path.parent.mkdir(parents=True)
    path.write_text("jdi = 1")
    assert "--max-size" in oob(None, "--help", config=False).output
    assert oob(None, config=False).exit_code == 2

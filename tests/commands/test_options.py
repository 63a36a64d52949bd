"""The options of ``twistd oob-responder``: their defaults, errors, help, and which go together."""

from __future__ import annotations

import re
from importlib.metadata import version
from ipaddress import ip_network

import pytest
from twisted.words.protocols.jabber.jid import JID

import twisted
import twisted_oob
from tests.support.options import NAMES, REPEATABLE, VALUED, be_there, parsed
from twisted_oob import FetchPolicy
from twisted_oob.commands.options import (
    ACCOUNT,
    COMPONENT,
    DEFAULTS,
    EMBEDDED,
    Options,
)
from twisted_oob.commands.report import REPORT_OBSERVER
from twisted_oob.xmpp.ports import CLIENT_PORT, DIRECT_TLS_PORT

FLAGS = {"demo", "direct-tls", "no-messages", "talk-in-rooms"}


def error_of(*words):
    """Give the one line that the process ends with."""
    with pytest.raises(SystemExit) as raised:
        parsed(*words)
    line = raised.value.code  # a str: the interpreter prints it and exits with 1
    assert isinstance(line, str)
    assert line.startswith("twistd oob-responder: ")
    assert "\n" not in line
    return line


def test_defaults(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = parsed()
    assert {name: options[name] for name in options if name not in FLAGS} == {
        "download-dir": tmp_path / "oob-downloads",
        "listen": "tcp:5347:interface=127.0.0.1",
        "domain": "oob.localhost",
        "secret-file": tmp_path / "oob-responder.secret",
        "file-mode": 0o600,
        "dir-mode": 0o700,
        "allow-from": ["*"],
        "allow-file": [],
        "allow-network": [],
        "deny-network": [],
        "max-size": 1_000_000_000,
        "timeout": 600.0,
        "stall-timeout": 30.0,
        "min-rate": 1000,
        "user-agent": FetchPolicy().user_agent,
        "concurrency": 8,
        "queue-timeout": 60.0,
        "grace": 0.0,
        "serve-listen": "tcp:0:interface=127.0.0.1",
        "via": "auto",
        "join": [],
        **dict.fromkeys(("serve", "public-url")),
        **dict.fromkeys(("jid", "password-file", "ca-file", "component", "host", "port")),
    }
    assert options.mode == EMBEDDED
    assert list(tmp_path.iterdir()) == []


def test_the_limits_are_the_policys():
    options, policy = parsed(), FetchPolicy()
    for name in ("max-size", "timeout", "stall-timeout", "min-rate", "user-agent"):
        assert options[name] == getattr(policy, name.replace("-", "_"))


def test_defaults_of_an_account(tmp_path):
    (tmp_path / "password").touch()
    options = parsed("--jid", "me@home.example/x", "--password-file", str(tmp_path / "password"))
    assert (options["host"], options["port"], options["grace"]) == (None, None, 30.0)
    assert options["allow-from"] == ["home.example"]
    assert options.mode == ACCOUNT


def test_defaults_of_a_component():
    options = parsed("--component", "a.b", "--secret-file", "s", "--allow-from", "c")
    assert (options["host"], options["port"], options["grace"]) == ("127.0.0.1", 5347, 30.0)
    assert options["allow-from"] == ["c"]
    assert options.mode == COMPONENT


@pytest.mark.parametrize("option", sorted(VALUED))
def test_an_options_value_is_set(option, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    be_there(tmp_path)
    text, value, others = VALUED[option]
    value = tmp_path / value if option.endswith(("-file", "-dir", "serve")) else value
    made = parsed(f"--{option}", text, *others)[option]
    made = [one.path for one in made] if option == "allow-file" else made
    assert made == ([value] if option in REPEATABLE else value)


def test_repeatable_options_add_up():
    options = parsed(
        *("--allow-from", "a@b.c", "--allow-from", "d"),
        *("--allow-network", "10.0.0.0/8", "--allow-network", "::1/128"),
    )
    assert options["allow-from"] == ["a@b.c", "d"]
    assert options["allow-network"] == [ip_network("10.0.0.0/8"), ip_network("::1/128")]


@pytest.mark.parametrize("option", sorted(VALUED))
def test_only_a_repeatable_option_may_be_given_twice(option, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    be_there(tmp_path)
    text, _, others = VALUED[option]
    words = (f"--{option}", text)
    if option in REPEATABLE:
        other = (words[0], text.replace("Plans", "files"))
        assert len(parsed(*words, *other, *others)[option]) == 2
    else:
        assert f"--{option} was given twice: it takes one value" in error_of(*words, *words)


@pytest.mark.parametrize("option", sorted(VALUED))
def test_a_bad_value_is_named_with_its_option_and_reason(option):
    for wrong in ("", "x" * 300 + ("\n" if option == "user-agent" else "@")):
        line = error_of(f"--{option}", wrong)
        assert line.startswith(f"twistd oob-responder: --{option} {wrong!r} is not valid: ")


@pytest.mark.parametrize(
    "option", ["--download-dir", "--secret-file", "--password-file", "--ca-file"]
)
def test_what_the_system_says_of_a_path_is_the_reason(option):
    assert error_of(option, "x" * 300).endswith("is not valid: File name too long")


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--bogus"], "--bogus"),
        (["--timeout"], "--timeout"),
        (["file"], "unexpected argument 'file'"),
        (["--jid", "a@b"], "--password-file must be given with --jid"),
        (["--component", "a.b"], "--secret-file must be given with --component"),
        (
            ["--component", "a.b", "--secret-file", "s"],
            "--allow-from or --allow-file must be given",
        ),
        (["--component", "a.b", "--jid", "a@b"], "--jid and --component exclude each other"),
        (["--jid", "a@b", "--listen", "tcp:0"], "--listen goes with the embedded router, not"),
        (["--jid", "a@b", "--secret-file", "s"], "--secret-file goes with the embedded router or"),
        (["--component", "a.b", "--direct-tls"], "--direct-tls goes with --jid, not"),
        (["--direct-tls"], "--direct-tls goes with --jid, not with the embedded router"),
        (["--demo", "--direct-tls"], "--demo goes with no other option, not with --direct-tls"),
        (["--host", "a"], "--host goes with --jid or --component, not with the embedded router"),
        (
            ["--jid", "a@b", "--password-file", __file__, "--port", "5222"],
            "--host must be given with --port",
        ),
        (["--demo", "--timeout", "1"], "--demo goes with no other option, not with --timeout"),
    ],
)
def test_misuse_is_one_line(words, part):
    assert part in error_of(*words)


GOES_WITH = {
    "listen": {EMBEDDED},
    "domain": {EMBEDDED},
    "secret-file": {EMBEDDED, COMPONENT},
    "jid": {ACCOUNT},
    "password-file": {ACCOUNT},
    "host": {ACCOUNT, COMPONENT},
    "port": {ACCOUNT, COMPONENT},
    "component": {COMPONENT},
    "join": {ACCOUNT, COMPONENT},
}
CHOOSING = {
    EMBEDDED: {},
    ACCOUNT: {"jid": "a@b.c", "password-file": "file"},
    COMPONENT: {"component": "a.b", "secret-file": "file", "allow-from": "c"},
}


@pytest.mark.parametrize(
    ("option", "mode"),
    [
        (option, mode)
        for option in sorted(VALUED)
        for mode in CHOOSING
        # Either of these chooses another mode by itself.
        if not (mode == EMBEDDED and option in {"jid", "component"})
    ],
)
def test_an_option_is_accepted_in_its_modes_alone(option, mode, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    be_there(tmp_path)
    given = dict(CHOOSING[mode]) | {option: VALUED[option][0]}
    if VALUED[option][2][:1] == ("--serve",):
        given["serve"] = "served"
    if option == "port" and mode == ACCOUNT:
        given["host"] = "a"
    words = [word for name, text in given.items() for word in (f"--{name}", text)]
    if mode in GOES_WITH.get(option, CHOOSING):
        assert parsed(*words).mode == mode
    else:
        line = error_of(*words)
        assert f"--{option} " in line
        assert "goes with" in line or "exclude each other" in line


def test_the_help_tells_each_options_default(monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    usage = Options().getUsage()
    told = dict(re.findall(r"^ *--([a-z-]+)=? .*\[default: (.*)\]$", usage, re.MULTILINE))
    assert told == {
        "download-dir": "./oob-downloads",
        "listen": "tcp:5347:interface=127.0.0.1",
        "domain": "oob.localhost",
        "secret-file": "./oob-responder.secret",
        "file-mode": "0600",
        "dir-mode": "0700",
        "max-size": "1G",
        "timeout": "600",
        "stall-timeout": "30",
        "min-rate": "1000",
        "user-agent": "this program's name, version and page",
        "concurrency": "8",
        "queue-timeout": "60",
        "grace": "30; 0 on the embedded router",
        "ca-file": "the platform's; for https, beside the platform's",
        "host": "found by SRV lookup with --jid, 127.0.0.1 with --component",
        "port": f"{CLIENT_PORT} with --jid, {DIRECT_TLS_PORT} with --direct-tls,"
        " 5347 with --component",
        "serve": "no files are given",
        "serve-listen": "tcp:0; tcp:0:interface=127.0.0.1 on the embedded router",
        "public-url": "http, at the address that the server sees us at",
        "via": "auto",
        "join": "no rooms",
        "allow-from": "* on the embedded router, the account's domain with --jid;"
        " with --component, this or --allow-file is required",
    }
    assert "8 times as many wait" in usage
    assert "{" not in usage
    assert not re.search(r"\S  +\S", re.sub(r"^ +--\S+ +", "", usage, flags=re.MULTILINE))


@pytest.mark.parametrize(
    "option",
    [
        "download-dir",
        "listen",
        "domain",
        "secret-file",
        "max-size",
        "timeout",
        "min-rate",
        "queue-timeout",
        "file-mode",
        "dir-mode",
        "grace",
        "via",
    ],
)
def test_a_default_is_what_it_would_be_if_it_were_given(option, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    key = "grace_embedded" if option == "grace" else option.replace("-", "_")
    served = ("--serve", ".") if option == "via" else ()
    assert parsed(f"--{option}", DEFAULTS[key], *served)[option] == parsed()[option]


def test_the_demo_reports_to_the_terminal_alone():
    options = Options()
    options.parent = {"nodaemon": True}
    options.parseOptions(["--demo"])
    assert options["demo"]
    assert options.parent["logger"] == REPORT_OBSERVER


def test_the_demo_leaves_a_chosen_log_alone():
    for chosen in ({"logger": "some.observer"}, {"logfile": "file"}):
        options = Options()
        options.parent = {"nodaemon": True} | chosen
        options.parseOptions(["--demo"])
        assert options.parent == {"nodaemon": True} | chosen


def test_the_demo_does_not_daemonize():
    options = Options()
    options.parent = {"nodaemon": False}
    with pytest.raises(SystemExit, match="twistd -n"):
        options.parseOptions(["--demo"])


def test_without_the_demo_twistds_log_is_as_ever():
    options = Options()
    options.parent = {"nodaemon": True}
    options.parseOptions([])
    assert options.parent == {"nodaemon": True}
    assert not options["demo"]


def test_an_accounts_jid_keeps_its_resource(tmp_path):
    (tmp_path / "password").touch()
    options = parsed("--jid", "me@home.example/x", "--password-file", str(tmp_path / "password"))
    assert options["jid"] == JID("me@home.example/x")


def test_every_option_has_a_value_here():
    assert {*VALUED, *FLAGS} == set(NAMES)


def test_the_version_tells_ours_twisteds_and_wokkels(capsys):
    with pytest.raises(SystemExit) as raised:
        parsed("--version")
    assert raised.value.code == 0
    assert capsys.readouterr().out.splitlines() == [
        f"twisted_oob {twisted_oob.__version__}",
        f"Twisted {twisted.__version__}",
        f"Wokkel {version('wokkel')}",
    ]


def test_direct_tls_goes_with_an_account_alone_or_with_its_host(tmp_path):
    (tmp_path / "password").touch()
    words = ("--jid", "me@home.example", "--password-file", str(tmp_path / "password"))
    assert not parsed(*words)["direct-tls"]
    assert parsed(*words, "--direct-tls")["direct-tls"]
    assert parsed(*words, "--direct-tls", "--host", "a")["direct-tls"]

"""The options of ``twistd oob-responder``, and what they make."""

from __future__ import annotations

import stat
from ipaddress import ip_network
from pathlib import Path

import pytest

from twisted_oob.commands import tap
from twisted_oob.commands.demo import Demo
from twisted_oob.commands.report import REPORT_OBSERVER
from twisted_oob.commands.secret_file import read_or_create_secret


def parsed(*words):
    options = tap.Options()
    options.parseOptions(list(words))
    return options


def refusal(*words):
    """Give the one line that the options are refused with."""
    with pytest.raises(SystemExit) as raised:
        parsed(*words)
    line = raised.value.code  # a str: the interpreter prints it and exits with 1
    assert isinstance(line, str)
    assert "\n" not in line
    return line


def test_defaults(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = parsed()
    assert {name: options[name] for name in options if name != "demo"} == {
        "download-dir": tmp_path / "oob-downloads",
        "listen": "tcp:5347:interface=127.0.0.1",
        "domain": "oob.localhost",
        "secret-file": tmp_path / "oob-responder.secret",
        "allow-from": ["*"],
        "allow-network": [],
        "max-size": 100_000_000,
        "timeout": 600.0,
        "stall-timeout": 30.0,
        "concurrency": 8,
        "grace": 0.0,
        **dict.fromkeys(("jid", "password-file", "ca-file", "component", "host", "port")),
    }
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        (["--max-size", "1"], "max-size", 1),
        (["--max-size", "500K"], "max-size", 500_000),
        (["--max-size", "2M"], "max-size", 2_000_000),
        (["--max-size", "3G"], "max-size", 3_000_000_000),
        (["--max-size", "1Ki"], "max-size", 1024),
        (["--max-size", "1Mi"], "max-size", 1024**2),
        (["--max-size", "4Gi"], "max-size", 4 * 1024**3),
        (["--timeout", "1.5"], "timeout", 1.5),
        (["--stall-timeout", "7"], "stall-timeout", 7.0),
        (["--concurrency", "3"], "concurrency", 3),
        (["--domain", "Files.Example.org"], "domain", "files.example.org"),
        (["--listen", "tcp:0"], "listen", "tcp:0"),
        (["--grace", "0"], "grace", 0.0),
        (["--grace", "2.5"], "grace", 2.5),
        (["--allow-from", "a@b.c", "--allow-from", "d"], "allow-from", ["a@b.c", "d"]),
        (
            ["--allow-network", "10.0.0.0/8", "--allow-network", "::1/128"],
            "allow-network",
            [ip_network("10.0.0.0/8"), ip_network("::1/128")],
        ),
    ],
)
def test_good_values(words, name, value):
    assert parsed(*words)[name] == value


@pytest.mark.parametrize(
    ("option", "value", "right"),
    [
        *[
            ("--max-size", wrong, "100M")
            for wrong in ("", "0", "-1", "1T", "1KB", "1.5M", "x", "1 M", "٣")
        ],
        *[
            (option, wrong, "seconds above 0")
            for option in ("--timeout", "--stall-timeout")
            for wrong in ("", "0", "0.0", "-1", "nan", "inf", "1e3", "soon", "9" * 400)
        ],
        *[("--grace", wrong, "seconds, 0 or more") for wrong in ("", "-1", "x")],
        *[("--jid", wrong, "files@example.org") for wrong in ("", "example.org", "a@", "@b")],
        *[("--component", wrong, "oob.example.org") for wrong in ("", "a@b")],
        *[
            ("--host", wrong, "name or address")
            for wrong in ("", "a b", "a/b", "u@h", "a..b", "a:1", "x" * 70)
        ],
        *[("--port", wrong, "1 to 65535") for wrong in ("", "0", "65536", "-1", "x")],
        *[
            (option, "/none/such", "a file that is there")
            for option in ("--password-file", "--ca-file")
        ],
        *[("--concurrency", wrong, "whole number above 0") for wrong in ("0", "-1", "1.5", "many")],
        *[("--domain", wrong, "oob.example.org") for wrong in ("", "a@b", "a/b", "a b")],
        *[
            ("--listen", wrong, "tcp:5347")
            for wrong in ("", "5347", "tcp:port", "bogus:1", "tcp:99999", "tcp:-1")
        ],
        *[("--allow-from", wrong, "a JID, a domain or *") for wrong in ("", "a@b@c d", "@")],
        *[("--allow-network", wrong, "10.0.0.0/8") for wrong in ("", "10", "10.0.0.1/8", "a/8")],
    ],
)
def test_a_bad_value_is_named_with_what_would_be_right(option, value, right):
    line = refusal(option, value)
    assert option in line
    assert repr(value) in line
    assert right in line


def test_defaults_of_an_account(tmp_path):
    (tmp_path / "password").touch()
    options = parsed("--jid", "me@home.example", "--password-file", str(tmp_path / "password"))
    assert (options["host"], options["port"], options["grace"]) == (None, None, 30.0)
    assert options["allow-from"] == ["home.example"]


def test_defaults_of_a_component():
    options = parsed("--component", "a.b", "--secret-file", "s", "--allow-from", "c")
    assert (options["host"], options["port"], options["grace"]) == ("127.0.0.1", 5347, 30.0)
    assert options["allow-from"] == ["c"]


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (["--ca-file", "empty"], "no certificate in PEM format"),
        (["--jid", f"a@{'x' * 70}.example"], "no certificate can name"),
    ],
)
def test_what_no_account_can_be_made_of_ends_before_anything_starts(tmp_path, options, part):
    for name in ("empty", "password"):
        (tmp_path / name).write_text("secret\n" if name == "password" else "")
        (tmp_path / name).chmod(0o600)
    given = ["--jid", "a@b.example"] if "--jid" not in options else []
    given += ["--password-file", str(tmp_path / "password")]
    given += [str(tmp_path / one) if one == "empty" else one for one in options]
    with pytest.raises(SystemExit) as raised:
        tap.makeService(parsed(*given))
    assert part in raised.value.code
    assert "\n" not in raised.value.code


def test_a_download_dir_that_is_a_file_is_refused(tmp_path):
    assert "--download-dir" in refusal("--download-dir", "")
    file = tmp_path / "file"
    file.touch()
    for path in (file, file / "below"):
        assert "--download-dir" in refusal("--download-dir", str(path))


@pytest.mark.parametrize(
    "option", ["--download-dir", "--secret-file", "--password-file", "--ca-file"]
)
def test_a_path_that_can_not_be_looked_at_is_refused(option):
    assert "File name too long" in refusal(option, "x" * 300)


def test_a_secret_file_that_can_not_be_is_refused(tmp_path):
    assert "folder" in refusal("--secret-file", str(tmp_path))
    assert "folder" in refusal("--secret-file", str(tmp_path / "no" / "secret"))


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--bogus"], "--bogus"),
        (["--timeout"], "--timeout"),
        (["file"], "'file'"),
        (["--timeout", "1", "--timeout", "2"], "--timeout is given twice"),
        (["--jid", "a@b"], "--password-file must be given with --jid"),
        (["--component", "a.b"], "--secret-file must be given with --component"),
        (["--component", "a.b", "--secret-file", "s"], "--allow-from must be given"),
        (["--component", "a.b", "--jid", "a@b"], "--jid and --component are two ways"),
        (["--jid", "a@b", "--listen", "tcp:0"], "--listen goes with the embedded router, not"),
        (["--jid", "a@b", "--secret-file", "s"], "--secret-file goes with the embedded router or"),
        (["--component", "a.b", "--ca-file", __file__], "--ca-file goes with --jid, not"),
        (["--host", "a"], "--host goes with --jid or --component, not with the embedded"),
        (
            ["--jid", "a@b", "--password-file", __file__, "--port", "5222"],
            "--host must be given with --port",
        ),
        (["--demo", "--timeout", "1"], "--demo goes with no other option, not with --timeout"),
    ],
)
def test_misuse_is_one_line(words, part):
    assert part in refusal(*words)


def test_the_demo_reports_to_the_terminal_alone():
    options = tap.Options()
    options.parent = {"nodaemon": True}
    options.parseOptions(["--demo"])
    assert options.parent["logger"] == REPORT_OBSERVER
    assert isinstance(tap.makeService(options), Demo)


def test_the_demo_leaves_a_chosen_log_alone():
    for chosen in ({"logger": "some.observer"}, {"logfile": "file"}):
        options = tap.Options()
        options.parent = {"nodaemon": True} | chosen
        options.parseOptions(["--demo"])
        assert options.parent == {"nodaemon": True} | chosen


def test_the_demo_does_not_daemonize():
    options = tap.Options()
    options.parent = {"nodaemon": False}
    with pytest.raises(SystemExit, match="twistd -n"):
        options.parseOptions(["--demo"])


def test_a_missing_secret_is_made_private_and_random(tmp_path):
    made = [read_or_create_secret(tmp_path / name) for name in ("a", "b")]
    assert made[0] != made[1]
    assert min(map(len, made)) >= 32
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600
    assert read_or_create_secret(tmp_path / "a") == made[0]


def test_a_secret_that_others_can_read_is_refused(tmp_path):
    path = tmp_path / "secret"
    path.write_text("secret\n")
    path.chmod(0o644)
    with pytest.raises(ValueError, match="chmod 600"):
        read_or_create_secret(path)


@pytest.mark.parametrize("content", [b"", b"\n", b"  \nsecret\n"])
def test_an_empty_secret_is_refused(tmp_path, content):
    path = tmp_path / "secret"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ValueError, match="no secret"):
        read_or_create_secret(path)


def test_a_bad_secret_file_ends_before_anything_starts(tmp_path):
    path = tmp_path / "secret"
    path.write_bytes(b"\xff\xfe")
    path.chmod(0o600)
    options = parsed("--secret-file", str(path), "--download-dir", str(tmp_path / "landed"))
    with pytest.raises(SystemExit, match="--secret-file"):
        tap.makeService(options)
    assert not (tmp_path / "landed").exists()


def test_every_option_is_in_the_readme():
    readme = (Path(__file__).resolve().parents[2] / "README.rst").read_text()
    options = tap.Options()
    names = {name for name in options.longOpt if not name.startswith(("help", "version"))}
    assert {f"--{name.rstrip('=')}" for name in names} <= {
        word for line in readme.splitlines() if line.startswith("--") for word in line.split()
    }

"""The command line of ``oob send``, up to what it opens."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import click
import pytest

from twisted_oob.commands.send import open_all

pytest_plugins = ["tests.support.commands"]


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


def opened(*sources):
    """Open sources and close them again; gives what they are."""
    items = open_all(sources)
    for item in items:
        if item.source is not None:
            item.source.close()
    return [(item.given, None if item.source is None else item.source.size) for item in items]


def test_files_and_urls_are_told_apart(write):
    path = str(write("a.txt", "abc"))
    url = "https://example.org/a%20b"
    assert opened(path, url, path) == [(path, 3), (url, None), (path, 3)]


@pytest.mark.parametrize(
    "name", ["https:", "a\nb", 'quo"te', "\N{PARTY POPPER}", "-x", os.fsdecode(b"\xff")]
)
def test_any_name_of_a_file_will_do(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(b"")
    assert opened(name) == [(name, 0)]


def test_a_file_that_is_named_like_a_url_is_given_as_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "http:").mkdir()
    (tmp_path / "http:" / "a").write_bytes(b"abc")
    assert opened("./http://a") == [("./http://a", 3)]


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("missing", "missing: No such file or directory"),
        ("folder", "folder: it is a folder; pack it into one file first: tar -czf folder.tar.gz f"),
        ("fifo", "fifo: it is not a regular file"),
        ("x" * 300, "File name too long"),
        ("a\x1b[2J", "a\ufffd[2J: No such file or directory"),
        ("a\0b", "embedded null"),
        ("http://", "http://: url has no host"),
        ("http://u:secret@h/\x01?key=secret", "h/"),
        ("", "the name of a file is empty"),
    ],
)
def test_what_can_not_be_sent_is_one_line_and_nothing_stays_open(
    write, tmp_path, monkeypatch, name, line
):
    monkeypatch.chdir(tmp_path)
    write("good", "x")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    before = open_files()
    with pytest.raises(click.UsageError) as raised:
        open_all(("good", name))
    assert line in raised.value.message
    assert "secret" not in raised.value.message
    assert open_files() == before


def test_a_file_that_may_not_be_read_is_one_line(typed, write, monkeypatch):
    write("a.txt", "abc")

    def forbidden(*_words):
        raise PermissionError(errno.EACCES, "Permission denied")  # root may read everything

    monkeypatch.setattr("twisted_oob.files.source.os.open", forbidden)
    assert typed("send", "a.txt", "b@c").errors == "oob send: a.txt: Permission denied\n"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("a.txt",), "oob send: give a FILE or URL, and behind it the JID that gets it\n"),
        ((), "oob send: give a FILE or URL, and behind it the JID that gets it\n"),
        (
            ("a.txt", "b b@c"),
            "oob send: JID 'b b@c' is not valid: expected a JID, such as bob@example.org: its lo",
        ),
        (("a.txt", "b@c", "--listen", "unix:x"), "oob send: --public-url must be given with --l"),
        (("a.txt", ""), "oob send: JID '' is not valid: expected a JID"),
        (("missing", "b@c"), "oob send: missing: No such file or directory"),
        (
            ("a.txt", "b@c", "--timeout", "0"),
            "oob send: --timeout '0' is not valid: expected a",
        ),
        (("a.txt", "b@c", "--listen", "x:"), "oob send: --listen 'x:' is not valid: expected a"),
        (
            ("a.txt", "b@c", "--public-url", "x"),
            "oob send: --public-url 'x' is not valid:",
        ),
        (
            ("a.txt", "b@c", "--desc", "\1"),
            "oob send: --desc '\\x01' is not valid: it has",
        ),
        (("a.txt", "b@c", "--allow-network", "x"), "oob send: --allow-network 'x' is not valid"),
        (
            ("a.txt", "b@c", "--via", "upload"),
            "oob send: --via upload goes with --jid",
        ),
    ],
)
def test_a_wrong_command_line_is_one_line_and_status_2(typed, write, words, line):
    write("a.txt", "abc")
    shown = typed("send", *words)
    assert shown.errors.startswith(line)
    assert shown.errors.count("\n") == 1
    assert (shown.status, shown.output) == (2, "")


def test_files_are_opened_before_a_password_is_asked_for(typed, tmp_path):
    shown = typed("send", "missing", "b@c", "--jid", "a@b", "--password-command", "touch asked")
    assert shown.errors == "oob send: missing: No such file or directory\n"
    assert not (tmp_path / "asked").exists()


def test_nobody_to_connect_to_is_status_3(typed, write):
    write("a.txt", "abc")
    shown = typed("send", "a.txt", "oob.localhost")
    assert shown.status == 3
    assert shown.errors.startswith("oob send: there is no ")
    assert "twistd -n oob-responder" in shown.errors

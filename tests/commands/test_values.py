"""Parsers of option values: what is good, and what each says of what is not."""

from __future__ import annotations

import os
from ipaddress import ip_network
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.words.protocols.jabber.jid import JID

from twisted_oob.commands import values


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (values.parse_size, "1", 1),
        (values.parse_size, "500K", 500_000),
        (values.parse_size, "2M", 2_000_000),
        (values.parse_size, "3G", 3_000_000_000),
        (values.parse_size, "1Ki", 1024),
        (values.parse_size, "1Mi", 1024**2),
        (values.parse_size, "4Gi", 4 * 1024**3),
        (values.parse_seconds, "1.5", 1.5),
        (values.parse_seconds, "7", 7.0),
        (values.parse_seconds, "0.000000001", 1e-9),
        (values.parse_seconds, "9" * 9, 999_999_999.0),
        (values.parse_grace, "0", 0.0),
        (values.parse_grace, "2.5", 2.5),
        (values.parse_rate, "0", 0),
        (values.parse_rate, "1000", 1000),
        (values.parse_rate, "50K", 50_000),
        (values.parse_rate, "1Mi", 1024**2),
        (values.parse_user_agent, "bot/1.0 (+https://a.example)", "bot/1.0 (+https://a.example)"),
        (values.parse_file_mode, "640", 0o640),
        (values.parse_file_mode, "0640", 0o640),
        (values.parse_file_mode, "0o664", 0o664),
        (values.parse_file_mode, "0440", 0o440),
        (values.parse_file_mode, "444", 0o444),
        (values.parse_dir_mode, "750", 0o750),
        (values.parse_dir_mode, "2750", 0o2750),
        (values.parse_dir_mode, "02770", 0o2770),
        (values.parse_count, "1", 1),
        (values.parse_count, "30", 30),
        (values.parse_network, "10.0.0.0/8", ip_network("10.0.0.0/8")),
        (values.parse_network, "::1/128", ip_network("::1/128")),
        (values.parse_allowed, "*", "*"),
        (values.parse_allowed, "home.example", "home.example"),
        (values.parse_allowed, "me@home.example/desk", "me@home.example/desk"),
        (values.parse_domain, "Files.Example.org", "files.example.org"),
        (values.parse_account, "me@home.example", JID("me@home.example")),
        (values.parse_account, "me@home.example/desk", JID("me@home.example/desk")),
        (values.parse_endpoint, "tcp:0", "tcp:0"),
        (values.parse_endpoint, "tcp:65535", "tcp:65535"),
        (values.parse_endpoint, "tcp:port=1", "tcp:port=1"),
        (values.parse_endpoint, "unix:/some/where", "unix:/some/where"),
        (values.parse_host, "xmpp.example.org", "xmpp.example.org"),
        (values.parse_host, "192.0.2.1", "192.0.2.1"),
        (values.parse_host, "2001:db8::1", "2001:db8::1"),
        (values.parse_host, "bücher.example", "bücher.example"),
        (values.parse_recipient, "Example.org", JID("example.org")),
        (values.parse_recipient, "me@home.example/desk", JID("me@home.example/desk")),
        (values.parse_public_url, "https://a.example", "https://a.example"),
        (values.parse_public_url, "HTTP://a.example:8080/b c/", "HTTP://a.example:8080/b%20c/"),
        (values.parse_room, "Plans@c.example/A Nick", JID("plans@c.example/A Nick")),
        (values.parse_via, "share", "share"),
        (values.parse_text, "two\nlines \N{PARTY POPPER}", "two\nlines \N{PARTY POPPER}"),
        (values.parse_port, "1", 1),
        (values.parse_port, "65535", 65535),
    ],
)
def test_a_good_value_is_parsed(parse, text, value):
    parsed = parse(text)
    assert (parsed, type(parsed)) == (value, type(value))


@pytest.mark.parametrize(
    ("parse", "wrong", "right"),
    [
        (
            values.parse_size,
            ["", "0", "0K", "-1", "1T", "1KB", "1.5M", "x", "1 M", "1i", "٣", "1K\n"],
            "a size above 0, such as 500K, 100M or 2Gi",
        ),
        (
            values.parse_seconds,
            ["", "0", "0.0", "-1", "nan", "inf", "1e3", "1_0", "soon", ".5", "1.", "1" * 10, "٣"],
            "seconds above 0",
        ),
        (values.parse_grace, ["", "-1", "x", "nan", "1" * 10], "seconds, 0 or more"),
        (
            values.parse_rate,
            ["", "-1", "1.5", "x", "1T", "1KB", "1 K", "1K\n", "٣", "1" * 16],
            "bytes a second, such as 1000 or 50K, or 0 for no limit",
        ),
        (
            values.parse_user_agent,
            ["", " ", " bot", "bot ", "a\r\nb", "a\n", "a\tb", "b\xf6t", "\x7f"],
            "printable ASCII in one line, without spaces around it",
        ),
        (
            values.parse_file_mode,
            [
                "",
                "0",
                "40",
                "200",
                "416",
                "420",
                "432",
                "066",
                "4755",
                "1644",
                "648",
                "0x1a0",
                "٦٤٠",
            ],
            "octal mode such as 640, in which the owner may read, and others no more",
        ),
        (
            values.parse_dir_mode,
            ["", "0", "600", "640", "077", "4755", "6750", "0x1e8", "750\n", "u=rwx", "488"],
            "octal mode such as 750 or 2750, in which the owner may do everything",
        ),
        (values.parse_count, ["", "0", "-1", "1.5", "many"], "whole number above 0"),
        (values.parse_network, ["", "10", "10.0.0.1/8", "a/8"], "10.0.0.0/8 or fd00::/8"),
        (values.parse_allowed, ["", "a@b@c d", "@", "a@"], "a JID, a domain or *"),
        (values.parse_domain, ["", "a@b", "a/b", "a b"], "a domain such as oob.example.org"),
        (values.parse_account, ["", "example.org", "a@", "@b"], "such as files@example.org"),
        (
            values.parse_endpoint,
            ["", "5347", "tcp:port", "bogus:1", "tcp:65536", "tcp6:port=65536", "tcp:-1"],
            "such as tcp:5347:interface=127.0.0.1",
        ),
        (
            values.parse_host,
            ["", "a b", "a/b", "u@h", "a..b", "a:1", "a\0", "x" * 70],
            "name or address of a host",
        ),
        (values.parse_recipient, ["", "a@@b", "@b", "a@"], "a JID, such as bob@example.org"),
        (
            values.parse_public_url,
            [
                "",
                "a.example",
                "ftp://a.example",
                "http://",
                "http://a?b",
                "http://a#b",
                "http://u@a",
            ],
            "a URL such as https://files.example.org/shared",
        ),
        (values.parse_room, ["", "a@b", "a@b/", "b/n", "a@@b/n"], "a room with a nick, such as "),
        (values.parse_via, ["", "Share", "iq"], "auto, share or upload"),
        (values.parse_port, ["", "0", "65536", "-1", "x", "1.0", "000001"], "1 to 65535"),
        (values.parse_directory, [""], "the path of a directory"),
        (values.parse_served_folder, [""], "the path of a directory"),
    ],
)
def test_a_bad_value_is_told_what_would_be_right(parse, wrong, right):
    for text in wrong:
        with pytest.raises(ValueError, match=r"^expected ") as raised:
            parse(text)
        assert right in str(raised.value), text


def test_a_bad_port_of_an_endpoint_is_told_its_range():
    with pytest.raises(ValueError, match="a port is 0 to 65535"):
        values.parse_endpoint("tcp:65536")


@settings(deadline=None)
@given(st.integers(1, 10**13))
def test_a_formatted_size_parses_to_the_same(size):
    assert values.parse_size(values.format_size(size)) == size


def test_a_size_is_formatted_in_its_largest_unit():
    sizes = [1, 999, 1001, 2_000, 100_000_000, 3_000_000_000, 1500]
    shown = ["1", "999", "1001", "2K", "100M", "3G", "1500"]
    assert [values.format_size(size) for size in sizes] == shown


PATHS = [values.parse_directory, values.parse_file, values.parse_existing_file]


@pytest.mark.parametrize("parse", PATHS)
def test_a_path_is_absolute_and_nothing_is_made(parse, tmp_path, monkeypatch):
    (tmp_path / "here").touch() if parse is values.parse_existing_file else None
    before = list(tmp_path.iterdir())
    monkeypatch.chdir(tmp_path)
    assert parse("here") == tmp_path / "here"
    assert list(tmp_path.iterdir()) == before


@pytest.mark.parametrize("parse", PATHS)
def test_a_name_that_is_too_long_is_an_oserror(parse):
    with pytest.raises(OSError, match="File name too long"):
        parse("x" * 300)


def test_a_directory_may_be_missing_with_its_parents(tmp_path):
    for path in (tmp_path, tmp_path / "a", tmp_path / "a" / "b"):
        assert values.parse_directory(str(path)) == path
    assert values.parse_directory(".") == Path.cwd()


def test_a_directory_can_not_be_a_file_nor_below_one(tmp_path):
    file = tmp_path / "file"
    file.touch()
    for path in (file, file / "below", file / "far" / "below"):
        with pytest.raises(ValueError, match=rf"^not a directory: {file}$"):
            values.parse_directory(str(path))


@pytest.mark.parametrize(
    ("parse", "what", "mode"),
    [
        (values.parse_directory, "write", os.W_OK | os.X_OK),
        (values.parse_served_folder, "read", os.R_OK | os.X_OK),
    ],
)
def test_a_directory_must_be_open_to_us(tmp_path, monkeypatch, parse, what, mode):
    asked = []

    def access(path, mode):
        asked.append((path, mode))
        return False

    # Root may do anything anywhere, so the system's answer is given in its place.
    monkeypatch.setattr(os, "access", access)
    with pytest.raises(ValueError, match=rf"^no permission to {what} in {tmp_path}$"):
        parse(str(tmp_path))
    assert asked == [(tmp_path, mode)]


def test_a_file_may_be_missing_but_not_its_directory(tmp_path):
    assert values.parse_file(str(tmp_path / "secret")) == tmp_path / "secret"
    with pytest.raises(ValueError, match=rf"^no such directory: {tmp_path / 'no'}$"):
        values.parse_file(str(tmp_path / "no" / "secret"))


def test_an_existing_file_must_be_there(tmp_path):
    with pytest.raises(ValueError, match=rf"^no such file: {tmp_path / 'password'}$"):
        values.parse_existing_file(str(tmp_path / "password"))


@pytest.mark.parametrize("parse", [values.parse_file, values.parse_existing_file])
def test_a_file_is_no_directory_or_device(parse, tmp_path):
    for path in (tmp_path, "/dev/null"):
        with pytest.raises(ValueError, match="a file, not a directory or device"):
            parse(str(path))


def test_an_oserror_is_a_reason_like_any_other():
    with pytest.raises(ValueError, match="File name too long"):
        values.parsed("x" * 300, values.parse_existing_file)
    assert values.parsed("5", values.parse_port) == 5


def test_what_is_wrong_is_said_with_the_option_and_its_value():
    assert values.not_valid("--port", "x\n", "why") == "--port 'x\\n' is not valid: why"
    error = FileNotFoundError(2, "No such file", "elsewhere")
    assert values.not_usable("--f", Path("a"), error) == "--f 'a' can't be used: No such file"
    assert values.not_usable("--f", "a b", ValueError("why")) == "--f 'a b' can't be used: why"

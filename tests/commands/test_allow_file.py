"""Files of entries for an AllowList: what counts, what is told, and a second reading."""

from __future__ import annotations

import pytest

from twisted_oob.commands.allow_file import AllowFile, parse_allow_file


@pytest.fixture
def path(tmp_path):
    return tmp_path / "allowed"


@pytest.mark.parametrize(
    ("data", "entries"),
    [
        (b"", ()),
        (b"me@home.example", ("me@home.example",)),
        (b"me@home.example\nhome.example\n*\n", ("me@home.example", "home.example", "*")),
        (b"\xef\xbb\xbfa.example\r\n\r\n  b.example\t\r\n", ("a.example", "b.example")),
        (b"# all of us\na.example # since May\n #\n", ("a.example",)),
        # An address may have it, but not after a space.
        (b"irc#twisted@gate.example\n", ("irc#twisted@gate.example",)),
        (b"me@home.example/#1\n", ("me@home.example/#1",)),
        ("b\u00fccher.example\n".encode(), ("b\u00fccher.example",)),
    ],
)
def test_each_line_is_an_entry(path, data, entries):
    path.write_bytes(data)
    assert AllowFile(path).entries == entries


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"a.example\n*@b.example\n", r"^line 2: '\*@b\.example': expected a JID, a domain or \*"),
        (b"# one\n\na b@c\n", r"^line 3: 'a b@c': "),
        (b"\xff\xfe", "^it is not UTF-8 text$"),
    ],
)
def test_what_is_wrong_is_told_with_its_line_and_changes_nothing(path, data, reason):
    path.write_bytes(b"before.example\n")
    file = AllowFile(path)
    path.write_bytes(data)
    with pytest.raises(ValueError, match=reason):
        file.read()
    assert file.entries == ("before.example",)
    with pytest.raises(ValueError, match=reason):
        parse_allow_file(str(path))


def test_it_is_read_again(path):
    path.write_bytes(b"before.example\n")
    file = parse_allow_file(str(path))
    path.write_bytes(b"after.example\n")
    file.read()
    assert file.entries == ("after.example",)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        file.read()
    assert file.entries == ("after.example",)

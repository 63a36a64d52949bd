"""Secrets in files: private, whole, and the same for all who make one at the same time."""

from __future__ import annotations

import base64
import contextlib
import os
import stat

import pytest

from tests.support.processes import started
from twisted_oob.commands.secret_file import read_or_create_secret, read_secret


@pytest.fixture
def path(tmp_path):
    return tmp_path / "secret"


def write(path, content, mode=0o600):
    path.write_bytes(content)
    path.chmod(mode)


@pytest.mark.parametrize("mode", [0o600, 0o400])
@pytest.mark.parametrize("read", [read_secret, read_or_create_secret])
def test_a_private_secret_is_read(path, read, mode):
    write(path, b"the secret\n", mode)
    assert read(path) == "the secret"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620, 0o602, 0o610, 0o601])
@pytest.mark.parametrize("read", [read_secret, read_or_create_secret])
def test_a_secret_that_others_have_access_to_is_an_error(path, read, mode):
    write(path, b"the secret\n", mode)
    with pytest.raises(ValueError, match=f"chmod 600 {path}$") as raised:
        read(path)
    assert "the secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "secret"),
    [
        (b"no end of line", "no end of line"),
        (b"first\nsecond\n", "first"),
        (b"of Windows\r\n", "of Windows"),
        (b" spaces count \n", " spaces count "),
        ("Gr\u00fc\u00dfe\n".encode(), "Gr\u00fc\u00dfe"),
    ],
)
def test_the_secret_is_the_first_line(path, content, secret):
    write(path, content)
    assert read_secret(path) == secret


@pytest.mark.parametrize("content", [b"", b"\n", b"  \nsecret\n", b"\r\n"])
def test_an_empty_first_line_is_no_secret(path, content):
    write(path, content)
    with pytest.raises(ValueError, match="its first line is empty"):
        read_or_create_secret(path)


def test_what_is_not_text_is_no_secret(path):
    write(path, b"\xff\xfe")
    with pytest.raises(ValueError, match="not UTF-8"):
        read_secret(path)


def test_a_large_file_is_not_read_whole(path):
    write(path, b"x" * 100_000)
    assert len(read_secret(path)) == 65536


def test_only_one_of_the_two_creates_a_file(path):
    with pytest.raises(FileNotFoundError):
        read_secret(path)
    assert not path.exists()


def test_a_missing_secret_is_created_private_and_random(tmp_path):
    umask = os.umask(0)
    try:
        made = [read_or_create_secret(tmp_path / name) for name in ("a", "b")]
    finally:
        os.umask(umask)
    assert made[0] != made[1]
    assert min(map(len, made)) >= 32
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600
    assert (tmp_path / "a").read_text() == made[0] + "\n"
    assert read_or_create_secret(tmp_path / "a") == made[0]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a", "b"]


def test_a_link_to_nowhere_is_an_error_and_stays(path, tmp_path):
    path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError):
        read_or_create_secret(path)
    assert path.is_symlink()
    assert list(tmp_path.iterdir()) == [path]


def test_whoever_comes_second_gets_the_secret_of_the_first(path, tmp_path, monkeypatch):
    link, of_the_first = os.link, []

    def slow_link(source, target):
        monkeypatch.setattr(os, "link", link)
        of_the_first.append(read_or_create_secret(path))
        link(source, target)

    monkeypatch.setattr(os, "link", slow_link)
    assert [read_or_create_secret(path)] == of_the_first
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("function", ["write", "link"])
def test_what_goes_wrong_leaves_nothing(path, tmp_path, monkeypatch, function):
    def fail(*_):
        raise OSError("no room")

    monkeypatch.setattr(*{"write": ("os.fdopen", fail), "link": ("os.link", fail)}[function])
    with pytest.raises(OSError, match="no room"):
        read_or_create_secret(path)
    assert list(tmp_path.iterdir()) == []


def test_processes_that_create_it_at_once_all_get_the_same(path, tmp_path):
    code = f"""
import sys
from pathlib import Path
from twisted_oob.commands.secret_file import read_or_create_secret
print("ready", flush=True)
sys.stdin.readline()
print(read_or_create_secret(Path({str(path)!r})))
"""
    with contextlib.ExitStack() as stack:
        processes = [started(stack, "-c", code) for _ in range(3)]
        for process in processes:
            assert process.stdout.readline() == "ready\n", process.stderr.read()
        for process in processes:
            process.stdin.write("\n")
            process.stdin.flush()
        secrets = {process.stdout.readline() for process in processes}
    assert secrets == {path.read_text()}
    assert list(tmp_path.iterdir()) == [path]


def test_a_secret_that_is_created_has_256_random_bits(tmp_path):
    secrets = {read_or_create_secret(tmp_path / f"secret{number}") for number in range(2)}
    assert len(secrets) == 2
    assert {len(base64.urlsafe_b64decode(f"{secret}=")) for secret in secrets} == {32}

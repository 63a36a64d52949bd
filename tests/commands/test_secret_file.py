"""Secrets in files: private, whole, and the same for all who make one at the same time."""

from __future__ import annotations

import base64
import contextlib
import errno
import fcntl
import os
import stat
import tempfile
from pathlib import Path

import pytest

from tests.support.processes import started
from twisted_oob.commands.secret_file import User, find_secret, read_or_create_secret, read_secret


@pytest.fixture
def path(tmp_path):
    return tmp_path / "secret"


def write(path, content, mode=0o600):
    path.write_bytes(content)
    path.chmod(mode)


def created_in(path):
    secret, created = read_or_create_secret(path)
    assert created
    return secret


def read_or_fill(path):
    secret, created = read_or_create_secret(path)
    assert not created
    return secret


both = pytest.mark.parametrize("read", [read_secret, read_or_fill])


def give_to(path, *, group=None, owner=None):
    """Give the file to others, or skip: only root may."""
    try:
        os.chown(path, -1 if owner is None else owner, -1 if group is None else group)
    except PermissionError:
        pytest.skip("only root can give files away")


# Of a group of our own: systemd, Docker and Kubernetes hand secrets to a service so.
@pytest.mark.parametrize("mode", [0o600, 0o400, 0o640, 0o440, 0o700])
@both
def test_a_private_secret_is_read(path, read, mode):
    write(path, b"the secret\n", mode)
    assert read(path) == "the secret"


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o444, 0o660, 0o620, 0o602, 0o610, 0o650, 0o601])
@both
def test_a_secret_that_others_have_access_to_is_an_error(path, read, mode):
    write(path, b"the secret\n", mode)
    with pytest.raises(ValueError, match=f"chmod 600 {path}$") as raised:
        read(path)
    assert "the secret" not in str(raised.value)


@pytest.mark.parametrize("mode", [0o640, 0o440])
@both
def test_a_group_that_is_not_our_own_may_not_read_it(path, read, mode):
    write(path, b"the secret\n", mode)
    give_to(path, group=os.getegid() + 12345)
    with pytest.raises(ValueError, match="chmod 600"):
        read(path)
    path.chmod(0o600)
    assert read(path) == "the secret"


@both
def test_root_takes_no_secret_of_another_user(path, read):
    write(path, b"chosen by somebody\n")
    give_to(path, owner=12345)
    with pytest.raises(ValueError, match=f"another user.*chown root {path}$"):
        read(path)


@pytest.mark.parametrize("read", [read_secret, find_secret])
def test_root_takes_that_of_the_user_that_it_will_be(path, read):
    write(path, b"the secret\n")
    give_to(path, owner=12345)
    assert read(path, User(12345, None)) == "the secret"
    with pytest.raises(ValueError, match="another user"):
        read(path, User(12346, None))


def test_the_group_of_that_user_may_read_it(path):
    group = os.getegid() + 12345
    write(path, b"the secret\n", 0o640)
    give_to(path, group=group)
    assert read_secret(path, User(12345, group)) == "the secret"
    with pytest.raises(ValueError, match="chmod 600"):
        read_secret(path, User(12345, None))


@pytest.mark.parametrize("content", [None, b"", b"\0\0"])
def test_a_secret_that_would_be_created_is_not_found_and_not_created(path, content):
    if content is not None:
        write(path, content)
    assert find_secret(path) is None
    assert (path.read_bytes() if path.exists() else None) == content


def test_a_secret_that_could_not_be_created_is_told_at_once(tmp_path):
    (tmp_path / "link").symlink_to("nowhere")
    for name in ("link", "missing/secret"):
        with pytest.raises(FileNotFoundError):
            find_secret(tmp_path / name)


def test_root_fills_no_empty_file_of_another_user(path):
    write(path, b"")
    give_to(path, owner=12345)
    with pytest.raises(ValueError, match="another user"):
        read_or_create_secret(path)
    assert path.read_bytes() == b""


@both
def test_what_systemd_gave_to_this_service_is_taken(path, read, monkeypatch):
    write(path, b"the secret\n", 0o444)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(path.parent / "other"))
    with pytest.raises(ValueError, match="other users"):
        read(path)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(path.parent))
    assert read(path) == "the secret"


@both
def test_a_secret_is_read_from_a_pipe(read):
    reading, writing = os.pipe()
    os.write(writing, b"the secret\n")
    os.close(writing)
    try:
        assert read(Path(f"/dev/fd/{reading}")) == "the secret"
    finally:
        os.close(reading)


def read_as(path, groups):
    """Read a secret as another user, in a process that is in some groups; only root can do that."""
    if os.geteuid() != 0:
        pytest.skip("only root can be another user")
    reading, writing = os.pipe()
    told = "nothing"
    child = os.fork()
    if child == 0:
        try:
            os.setgroups(groups)
            os.setgid(12345)
            os.setuid(12345)
            told = read_secret(path)
        except Exception as error:
            told = str(error)
        finally:
            os.write(writing, told.encode())
            os._exit(0)
    os.waitpid(child, 0)
    told = os.read(reading, 10_000).decode()
    os.close(reading)
    os.close(writing)
    return told


@pytest.fixture
def reachable():
    """Give a path for a secret that every user can reach."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder) / "secret"


def test_another_group_of_ours_may_read_it_if_root_says_so(reachable):
    write(reachable, b"the secret\n", 0o440)
    give_to(reachable, group=54321)
    assert read_as(reachable, [54321]) == "the secret"
    assert "denied" in read_as(reachable, [])
    # Who else is in the group is not for a user to choose.
    give_to(reachable, owner=12345)
    assert "chmod 600" in read_as(reachable, [54321])
    give_to(reachable, owner=0)
    reachable.chmod(0o460)
    assert "chmod 600" in read_as(reachable, [54321])


def test_a_pipe_that_another_user_opened_for_us_is_read():
    reading, writing = os.pipe()
    os.write(writing, b"the secret\n")
    os.close(writing)
    try:
        assert read_as(Path(f"/dev/fd/{reading}"), []) == "the secret"
    finally:
        os.close(reading)


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


@pytest.mark.parametrize("content", [b"\n", b"  \nsecret\n", b"\r\n"])
@both
def test_an_empty_first_line_is_no_secret(path, read, content):
    write(path, content)
    with pytest.raises(ValueError, match="its first line is empty"):
        read(path)


# What a power cut leaves of a file that was not synced: nothing, or zeros.
@pytest.mark.parametrize("content", [b"", bytes(44)])
def test_an_empty_file_of_our_own_is_filled(path, tmp_path, content):
    write(path, content)
    secret, created = read_or_create_secret(path)
    assert created
    assert path.read_text() == f"{secret}\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_secret(path) == secret
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("mode", [0o644, 0o666, 0o660])
def test_one_that_others_may_have_opened_is_replaced(path, tmp_path, mode):
    write(path, b"", mode)
    with path.open("rb") as opened_before:
        secret = created_in(path)
        assert opened_before.read() == b""
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_secret(path) == secret
    assert list(tmp_path.iterdir()) == [path]


def assert_second(path, monkeypatch):
    """Assert that who comes second gets the secret that the first one makes in the meantime."""
    lock, of_the_first = fcntl.flock, []

    def slow_lock(fd, operation):
        monkeypatch.setattr(fcntl, "flock", lock)
        of_the_first.append(created_in(path))
        lock(fd, operation)

    monkeypatch.setattr(fcntl, "flock", slow_lock)
    assert read_or_create_secret(path) == (of_the_first[0], False)


def test_one_that_somebody_else_has_just_replaced_stays(path, monkeypatch):
    write(path, b"", 0o644)
    assert_second(path, monkeypatch)


def test_one_of_the_user_that_root_will_be_is_filled_later(path):
    write(path, b"")
    give_to(path, owner=12345)
    assert find_secret(path, User(12345, None)) is None
    with pytest.raises(ValueError, match="another user"):
        find_secret(path, User(12346, None))


# Whoever reads it again must not take zeros, which everybody knows, for the secret.
@pytest.mark.parametrize(
    ("content", "reason"),
    [(bytes(44), "is empty"), (b"\0\n", "is empty"), (b"a\0b\n", "NUL"), (b"ab\0\0", "NUL")],
)
def test_zeros_are_no_secret(path, content, reason):
    write(path, content)
    with pytest.raises(ValueError, match=f"first line .*{reason}"):
        read_secret(path)


def test_an_empty_file_is_not_filled_for_a_server(path):
    write(path, b"")
    with pytest.raises(ValueError, match="its first line is empty"):
        read_secret(path)


def test_what_is_not_text_is_no_secret(path):
    write(path, b"\xff\xfe")
    with pytest.raises(ValueError, match="not UTF-8"):
        read_secret(path)


def test_a_line_that_is_too_long_is_no_secret(path):
    write(path, b"x" * 65536)
    assert len(read_secret(path)) == 65536
    write(path, b"x" * 65537)
    with pytest.raises(ValueError, match="over 64 KiB"):
        read_secret(path)


def test_only_one_of_the_two_creates_a_file(path):
    with pytest.raises(FileNotFoundError):
        read_secret(path)
    assert not path.exists()


@pytest.mark.parametrize("masked", [0, 0o777])
def test_a_missing_secret_is_created_private_and_random(tmp_path, masked):
    umask = os.umask(masked)
    try:
        made = [created_in(tmp_path / name) for name in ("a", "b")]
    finally:
        os.umask(umask)
    assert made[0] != made[1]
    assert min(map(len, made)) >= 32
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600
    assert (tmp_path / "a").read_text() == made[0] + "\n"
    assert read_or_create_secret(tmp_path / "a") == (made[0], False)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a", "b"]


def test_a_link_to_nowhere_is_an_error_and_stays(path, tmp_path):
    path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError):
        read_or_create_secret(path)
    assert path.is_symlink()
    assert list(tmp_path.iterdir()) == [path]


def test_whoever_comes_second_gets_the_secret_of_the_first(path, tmp_path, monkeypatch):
    assert_second(path, monkeypatch)
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_system_without_locks_and_hard_links_will_do(path, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.EOPNOTSUPP, "not supported")

    monkeypatch.setattr(fcntl, "flock", fail)
    monkeypatch.setattr(os, "link", fail)
    assert created_in(path) == read_secret(path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_new_secret_is_on_the_disk_before_it_is_used(path, tmp_path, monkeypatch):
    synced = []

    def fsync(fd):
        synced.append(Path(f"/proc/self/fd/{fd}").readlink())
        assert path.read_text().endswith("\n")

    monkeypatch.setattr(os, "fsync", fsync)
    created_in(path)
    assert synced == [path, tmp_path]


@pytest.mark.parametrize("function", ["os.fdopen", "fcntl.flock", "os.fsync"])
def test_what_goes_wrong_leaves_nothing(path, tmp_path, monkeypatch, function):
    def fail(*_):
        raise OSError("no room")

    monkeypatch.setattr(function, fail)
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
print(read_or_create_secret(Path({str(path)!r}))[0])
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
    secrets = {created_in(tmp_path / f"secret{number}") for number in range(2)}
    assert len(secrets) == 2
    assert {len(base64.urlsafe_b64decode(f"{secret}=")) for secret in secrets} == {32}

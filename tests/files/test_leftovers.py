"""Part files that a process left behind, and those of the living, on the real file system."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.fetching import descriptors_in, names
from tests.support.landing import commit, fail_at, leftover, opened
from twisted_oob.files import landing
from twisted_oob.files.landing import remove_leftovers

NO_LOCKS = ["ENOLCK", "EOPNOTSUPP", "ENOTSUP", "ENOSYS"]


@pytest.fixture(autouse=True)
def _nothing_stays_open(tmp_path):
    yield
    assert descriptors_in(tmp_path) == []


def test_leftovers_of_the_dead_are_removed(tmp_path):
    leftover(tmp_path, 1)
    leftover(tmp_path, 2)
    assert remove_leftovers(tmp_path) == 2
    assert names(tmp_path) == []
    assert remove_leftovers(tmp_path) == 0


def test_the_temporary_files_of_the_living_are_left_alone(tmp_path):
    file = opened(tmp_path)
    assert remove_leftovers(tmp_path) == 0
    assert commit(file, tmp_path).exists()


def test_those_of_another_living_process_too(tmp_path):
    code = (
        "import sys; from pathlib import Path; from twisted_oob.files.landing import Landing\n"
        "file = Landing(Path(sys.argv[1])); file.open(); print('open', flush=True)\n"
        "sys.stdin.read()"
    )
    root = Path(landing.__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=root,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout.readline() == b"open\n"
        assert remove_leftovers(tmp_path) == 0
        other.kill()
        other.wait()
    assert remove_leftovers(tmp_path) == 1
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("owner", "name", "code"),
    [
        (os, "open", "EACCES"),
        (os, "open", "ENOENT"),
        (os, "fstat", "EIO"),
        (fcntl, "flock", "EWOULDBLOCK"),
        (fcntl, "flock", "ENOLCK"),
        (Path, "unlink", "ENOENT"),
        (Path, "unlink", "EROFS"),
    ],
)
def test_a_leftover_that_cannot_be_removed_is_left(*, tmp_path, monkeypatch, owner, name, code):
    kept, removed = leftover(tmp_path, 1), leftover(tmp_path, 2)
    monkeypatch.setattr(owner, name, fail_at(1, code, getattr(owner, name)))
    assert remove_leftovers(tmp_path) == 1
    assert names(tmp_path) in ([kept.name], [removed.name])


def test_a_leftover_is_opened_without_following_waiting_or_inheriting(tmp_path, monkeypatch):
    seen = []
    real = os.open

    def spying(path, flags, *args, **kwargs):
        seen.append(flags)
        return real(path, flags, *args, **kwargs)

    leftover(tmp_path)
    monkeypatch.setattr(os, "open", spying)
    remove_leftovers(tmp_path)
    wanted = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    assert [flags & wanted for flags in seen] == [wanted]


def test_only_our_own_kind_of_file_is_removed(tmp_path):
    kept = [".oob-.part", ".oob-x.part", f".oob-{0:032x}.part.txt", f"oob-{0:032x}.part", "a.part"]
    for name in kept:
        (tmp_path / name).write_bytes(b"kept")
    (tmp_path / f".oob-{1:032x}.part").mkdir()
    (tmp_path / f".oob-{2:032x}.part").symlink_to(tmp_path / "a.part")
    os.mkfifo(tmp_path / f".oob-{3:032x}.part")
    before = names(tmp_path)
    assert remove_leftovers(tmp_path) == 0
    assert names(tmp_path) == before


def test_a_temporary_file_lost_before_its_lock_is_given_up_for_another(tmp_path, monkeypatch):
    real = fcntl.flock
    lost = []

    def raced(fd, operation):
        # Another process takes the new file for a leftover, just before its lock.
        monkeypatch.setattr(fcntl, "flock", real)
        lost.extend(tmp_path.iterdir())
        assert remove_leftovers(tmp_path) == 1
        real(fd, operation)

    monkeypatch.setattr(fcntl, "flock", raced)
    file = opened(tmp_path)
    [temporary] = tmp_path.iterdir()
    assert [temporary] != lost
    assert remove_leftovers(tmp_path) == 0
    assert commit(file, tmp_path).exists()


def test_a_temporary_file_locked_by_another_is_given_up_for_another(tmp_path, monkeypatch):
    real = fcntl.flock
    holder, taken = [], []

    def raced(fd, operation):
        monkeypatch.setattr(fcntl, "flock", real)
        [path] = tmp_path.iterdir()
        holder.append(os.open(path, os.O_RDWR))
        taken.append(path)
        real(holder[0], operation)
        real(fd, operation)

    monkeypatch.setattr(fcntl, "flock", raced)
    file = opened(tmp_path)
    assert list(tmp_path.iterdir()) != taken
    assert commit(file, tmp_path).exists()
    os.close(holder[0])
    assert names(tmp_path) == ["a.txt"]

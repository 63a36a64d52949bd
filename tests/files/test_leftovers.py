"""Parts that a process left behind, and those of the living, on the real file system."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.fetching import descriptors_in, names
from tests.support.landing import commit, fail, fail_at, leftover, opened
from twisted_oob.files import landing
from twisted_oob.files.leftovers import remove_leftovers


@pytest.fixture(autouse=True)
def _nothing_stays_open(tmp_path):
    yield
    assert descriptors_in(tmp_path) == []


def dead(directory, number=1, *, lock=True, parts=2):
    """What a process that was killed leaves."""
    private = directory / ".oob"
    private.mkdir(mode=0o700, exist_ok=True)
    token = f"{number:032x}"
    if lock:
        (private / f"owner-{token}.lock").write_bytes(b"")
    for part in range(parts):
        (private / f"{token}-{part:x}.part").write_bytes(b"left")
    return private


def test_those_of_the_dead_are_removed(tmp_path):
    dead(tmp_path, 1)
    dead(tmp_path, 2, parts=30)
    dead(tmp_path, 3, parts=0)
    leftover(tmp_path, 4)  # of an earlier version
    assert remove_leftovers(tmp_path) == 33
    assert names(tmp_path) == []
    assert remove_leftovers(tmp_path) == 0


def test_those_whose_lock_is_gone_are_removed(tmp_path):
    dead(tmp_path, lock=False)
    assert remove_leftovers(tmp_path) == 2
    assert names(tmp_path) == []


def test_those_of_a_process_that_began_while_the_names_were_read_are_left_alone(
    tmp_path, monkeypatch
):
    file = opened(tmp_path)
    listdir = os.listdir
    monkeypatch.setattr(
        os, "listdir", lambda fd: [name for name in listdir(fd) if not name.endswith(".lock")]
    )
    assert remove_leftovers(tmp_path) == 0
    assert commit(file).exists()


def test_those_of_the_living_are_left_alone(tmp_path):
    file = opened(tmp_path)
    dead(tmp_path)
    assert remove_leftovers(tmp_path) == 2
    assert len(names(tmp_path / ".oob")) == 2
    assert commit(file).exists()


LIVING = """
import sys
from pathlib import Path
from twisted_oob.files.folder import Folder
from twisted_oob.files.landing import Landing
file = Landing(Folder(Path(sys.argv[1])))
file.open()
print("open", flush=True)
sys.stdin.read()
"""


def test_those_of_another_living_process_too(tmp_path):
    root = Path(landing.__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", LIVING, str(tmp_path)],
        cwd=root,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout.readline() == b"open\n"
        assert remove_leftovers(tmp_path) == 0
        other.kill()
        other.wait()
    assert len(names(tmp_path / ".oob")) == 2
    assert remove_leftovers(tmp_path) == 1
    assert names(tmp_path) == []


def test_a_living_process_of_an_earlier_version_keeps_its_parts(tmp_path):
    kept = leftover(tmp_path)
    with kept.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert remove_leftovers(tmp_path) == 0
    assert remove_leftovers(tmp_path) == 1


@pytest.mark.parametrize(
    ("owner", "name", "code"),
    [
        (os, "open", "EACCES"),
        (fcntl, "flock", "EWOULDBLOCK"),
        (fcntl, "flock", "ENOLCK"),
        (os, "unlink", "ENOENT"),
        (os, "unlink", "EROFS"),
    ],
)
def test_what_cannot_be_removed_is_left(*, tmp_path, monkeypatch, owner, name, code):
    leftover(tmp_path, 1)
    leftover(tmp_path, 2)
    number = 2 if name == "open" else 1  # the first one opens the folder
    monkeypatch.setattr(owner, name, fail_at(number, code, getattr(owner, name)))
    assert remove_leftovers(tmp_path) == 1
    assert len(names(tmp_path)) == 1


@pytest.mark.parametrize("code", ["ENOLCK", "EOPNOTSUPP", "ENOSYS"])
@pytest.mark.parametrize("lock", [True, False])
def test_without_locks_nothing_is_taken_for_a_leftover(tmp_path, monkeypatch, code, lock):
    private = dead(tmp_path, lock=lock)
    leftover(tmp_path)
    before = names(private)
    monkeypatch.setattr(fcntl, "flock", fail(code))
    assert remove_leftovers(tmp_path) == 0
    assert names(private) == before


def test_a_missing_folder_has_none(tmp_path):
    assert remove_leftovers(tmp_path / "missing") == 0


# --- strangers


def plant(directory, kept):
    """Everything that could be in the way, under each name of ours."""
    token = iter(range(100))
    for pattern in ("owner-{:032x}.lock", "{:032x}-1.part"):
        (directory / pattern.format(next(token))).mkdir()
        (directory / pattern.format(next(token))).symlink_to(kept)
        (directory / pattern.format(next(token))).symlink_to(directory)
        os.mkfifo(directory / pattern.format(next(token)))


def test_what_is_no_regular_file_is_no_trap(tmp_path):
    kept = tmp_path / "kept"
    kept.write_bytes(b"kept")
    private = tmp_path / ".oob"
    private.mkdir()
    plant(private, kept)
    (tmp_path / f".oob-{1:032x}.part").mkdir()
    (tmp_path / f".oob-{2:032x}.part").symlink_to(kept)
    os.mkfifo(tmp_path / f".oob-{3:032x}.part")
    before = names(tmp_path), names(private)
    assert remove_leftovers(tmp_path) == 0
    assert (names(tmp_path), names(private)) == before
    assert kept.read_bytes() == b"kept"
    assert commit(opened(tmp_path)).exists()


def test_under_the_lock_of_the_dead_too(tmp_path):
    kept = tmp_path / "kept"
    kept.write_bytes(b"kept")
    private = dead(tmp_path, 9)
    token = f"{9:032x}"
    (private / f"{token}-a.part").symlink_to(kept)
    (private / f"{token}-b.part").mkdir()
    os.mkfifo(private / f"{token}-c.part")
    assert remove_leftovers(tmp_path) == 2
    assert names(private) == [f"{token}-{end}.part" for end in "abc"]


@pytest.mark.parametrize("kind", ["link", "file", "FIFO"])
def test_a_private_folder_that_is_none_is_no_trap(tmp_path, kind):
    directory, elsewhere = tmp_path / "folder", tmp_path / "elsewhere"
    directory.mkdir()
    elsewhere.mkdir()
    private = dead(elsewhere)
    if kind == "link":
        (directory / ".oob").symlink_to(private)
    elif kind == "file":
        (directory / ".oob").write_bytes(b"")
    else:
        os.mkfifo(directory / ".oob")
    assert remove_leftovers(directory) == 0
    assert len(names(private)) == 3


def test_only_our_own_kind_of_name_is_removed(tmp_path):
    private = tmp_path / ".oob"
    private.mkdir()
    kept = {
        tmp_path: [".oob-.part", ".oob-x.part", f".oob-{0:032x}.part.txt", "a.part"],
        private: ["a.part", f"{0:032x}.part", f"{0:032x}-.part", f"{0:032x}-1.part.txt", "a.lock"],
    }
    for directory, files in kept.items():
        for name in files:
            (directory / name).write_bytes(b"kept")
    before = names(tmp_path), names(private)
    assert remove_leftovers(tmp_path) == 0
    assert (names(tmp_path), names(private)) == before


def test_it_is_opened_without_following_waiting_or_inheriting(tmp_path, monkeypatch):
    seen = []
    real = os.open

    def spying(path, flags, *args, **kwargs):
        seen.append((str(path), flags))
        return real(path, flags, *args, **kwargs)

    dead(tmp_path, lock=False)
    dead(tmp_path, 2)
    leftover(tmp_path)
    monkeypatch.setattr(os, "open", spying)
    remove_leftovers(tmp_path)
    wanted = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    files = [flags & wanted for path, flags in seen if path.endswith((".part", ".lock"))]
    assert files == [wanted] * 4

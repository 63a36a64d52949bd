"""The folder in which files land: its private folder, the lock of a process, and strangers."""

from __future__ import annotations

import fcntl
import os
import re
import stat

import pytest

from tests.support.fetching import descriptors_in, names, step
from tests.support.landing import commit, fail, fail_at, landed, opened, parts
from twisted_oob.errors import NoRoom
from twisted_oob.files.folder import Folder, Place
from twisted_oob.files.landing import Landing
from twisted_oob.files.leftovers import remove_leftovers

pytest_plugins = ["tests.support.python_process"]

NO_LOCKS = ["ENOLCK", "EOPNOTSUPP", "ENOTSUP", "ENOSYS"]
NOT_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")


@pytest.fixture(autouse=True)
def _nothing_stays_open(tmp_path):
    yield
    assert descriptors_in(tmp_path) == []


def private(directory):
    return names(directory / ".oob")


def test_one_lock_for_all_files_of_a_process_and_nothing_when_they_have_ended(tmp_path):
    one = Folder(tmp_path)
    files = [Landing(one) for _ in range(3)]
    for file in files:
        file.open()
    lock, *own = sorted(private(tmp_path), key=lambda name: name.endswith(".part"))
    [token] = re.fullmatch(r"owner-([0-9a-f]{32})\.lock", lock).groups()
    assert own == [f"{token}-{number}.part" for number in (1, 2, 3)]
    assert stat.S_IMODE((tmp_path / ".oob").stat().st_mode) == 0o700
    commit(files[0])
    files[1].discard()
    assert private(tmp_path) == [own[2], lock]
    files[2].discard()
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("umask", [0o777, 0o333, 0o111])
def test_its_owner_can_use_what_is_there_whatever_the_umask(tmp_path, umask):
    old = os.umask(umask)
    try:
        file = opened(tmp_path)
    finally:
        os.umask(old)
    [lock] = (tmp_path / ".oob").glob("*.lock")
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / ".oob", lock)]
    assert modes == [0o700, 0o600]
    file.discard()


def test_two_folders_of_a_process_and_two_processes_do_no_harm_to_each_other(tmp_path):
    one, other = opened(tmp_path), opened(tmp_path)
    assert remove_leftovers(tmp_path) == 0
    one.discard()
    assert len(parts(tmp_path)) == 1
    assert commit(other).exists()
    assert names(tmp_path) == ["a.txt"]


def test_a_folder_that_was_closed_takes_no_further_file_and_lets_the_others_end(tmp_path):
    one = Folder(tmp_path)
    file = Landing(one)
    file.open()
    one.close()
    with pytest.raises(NoRoom, match="nothing is stored any more"):
        Landing(one).open()
    assert commit(file).exists()
    assert names(tmp_path) == ["a.txt"]


# --- locks


@pytest.mark.parametrize("code", NO_LOCKS)
def test_a_file_system_without_locks_will_do(tmp_path, monkeypatch, code):
    monkeypatch.setattr(fcntl, "flock", fail(code))
    file = opened(tmp_path)
    assert remove_leftovers(tmp_path) == 0
    assert commit(file).exists()
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("code", ["EIO", "EBADF"])
def test_trouble_with_the_lock_leaves_nothing(tmp_path, monkeypatch, code):
    with monkeypatch.context() as patched:
        patched.setattr(fcntl, "flock", fail(code))
        with pytest.raises(OSError, match=r".+"):
            opened(tmp_path)
    assert names(tmp_path) == []
    assert landed(tmp_path).exists()


def test_a_lock_taken_for_a_leftover_before_it_is_held_is_given_up_for_another(
    tmp_path, monkeypatch
):
    real = fcntl.flock
    lost = []

    def raced(fd, operation):
        monkeypatch.setattr(fcntl, "flock", real)
        lost.extend(private(tmp_path))
        remove_leftovers(tmp_path)
        real(fd, operation)

    monkeypatch.setattr(fcntl, "flock", raced)
    file = opened(tmp_path)
    assert lost[0] not in private(tmp_path)
    assert remove_leftovers(tmp_path) == 0
    assert commit(file).exists()
    assert names(tmp_path) == ["a.txt"]


def test_a_lock_held_by_another_is_given_up_for_another(tmp_path, monkeypatch):
    real = fcntl.flock
    holder, taken = [], []

    def raced(fd, operation):
        monkeypatch.setattr(fcntl, "flock", real)
        taken.extend(private(tmp_path))
        holder.append(os.open(tmp_path / ".oob" / taken[0], os.O_RDWR))
        real(holder[0], operation)
        real(fd, operation)

    monkeypatch.setattr(fcntl, "flock", raced)
    file = opened(tmp_path)
    os.close(holder[0])
    assert taken[0] not in private(tmp_path)
    assert commit(file).exists()
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("call", ["mkdir", "open"])
def test_the_private_folder_may_be_removed_by_another_process_at_any_step(
    tmp_path, monkeypatch, call
):
    real = getattr(os, call)
    left = [5]

    def raced(path, *args, **kwargs):
        if call == "open" and not str(path).endswith(".lock"):
            return real(path, *args, **kwargs)
        if call == "mkdir":
            real(path, *args, **kwargs)
        if left[0]:
            left[0] -= 1
            (tmp_path / ".oob").rmdir()
        return real(path, *args, **kwargs) if call == "open" else None

    monkeypatch.setattr(os, call, raced)
    assert landed(tmp_path).exists()
    assert left == [0]
    assert names(tmp_path) == ["a.txt"]


# --- forks


@step
async def test_a_forked_child_has_a_lock_of_its_own_and_leaves_the_parents_alone(python, tmp_path):
    landing = tmp_path / "landing"
    landing.mkdir()
    program = python(f"""
import os
from pathlib import Path
from twisted_oob.files.folder import Folder
from twisted_oob.files.landing import Landing, commit_all
path = Path({str(landing)!r})
folder = Folder(path)
file = Landing(folder, length=1000)
file.write(b"parent")
[lock] = path.rglob("*.lock")
if child := os.fork():
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert lock.exists()
    [outcome] = commit_all([(file, "parent", b"")])
    assert outcome == path / "parent", outcome
    print(*sorted(entry.name for entry in path.iterdir()))
else:
    file.discard()  # it is the parent's
    assert len(list(path.rglob("*.part"))) == 1
    other = Landing(folder, length=1000)
    other.write(b"child")
    assert len(list(path.rglob("*.lock"))) == 2
    [outcome] = commit_all([(other, "child", b"")])
    assert outcome == path / "child", outcome
    os._exit(0)
""")
    assert await program.finished() == 0, program.output
    assert program.output.endswith("child parent\n")


@step
async def test_parts_of_a_dead_parent_are_leftovers_though_its_child_lives(python, tmp_path):
    landing = tmp_path / "landing"
    landing.mkdir()
    program = python(f"""
import os
from pathlib import Path
from twisted_oob.files.folder import Folder
from twisted_oob.files.landing import Landing
from twisted_oob.files.leftovers import remove_leftovers
path = Path({str(landing)!r})
reading, writing = os.pipe()
begun, begins = os.pipe()
if parent := os.fork():
    os.waitpid(parent, 0)
    print(remove_leftovers(path), list(path.iterdir()))
else:
    os.close(writing)
    file = Landing(Folder(path))
    file.write(b"parent")
    if os.fork() == 0:
        os.write(begins, b"x")
        os.read(reading, 1)  # until the first process ends
    else:
        os.read(begun, 1)  # until the child lives, without what it was born with
    os._exit(0)
""")
    assert await program.finished() == 0
    assert program.output.endswith("1 []\n")


# --- a private folder that is not to be trusted


@pytest.mark.parametrize("kind", ["link", "dangling link", "file", "FIFO"])
def test_a_private_folder_that_is_none_is_refused(tmp_path, kind):
    directory, elsewhere = tmp_path / "folder", tmp_path / "elsewhere"
    directory.mkdir()
    elsewhere.mkdir()
    planted = directory / ".oob"
    if kind == "file":
        planted.write_bytes(b"")
    elif kind == "FIFO":
        os.mkfifo(planted)
    else:
        planted.symlink_to(elsewhere if kind == "link" else tmp_path / "missing")
    with pytest.raises(NoRoom) as caught:
        opened(directory)
    assert caught.value.detail == (
        f"the folder {directory}: .oob in it is no folder of ours, but a link or a file; remove it"
    )
    assert remove_leftovers(directory) == 0
    assert names(elsewhere) == []
    planted.unlink()
    assert landed(directory).exists()


@NOT_ROOT
def test_a_private_folder_of_another_user_is_refused(tmp_path):
    planted = tmp_path / ".oob"
    planted.mkdir()
    os.chown(planted, 12345, 12345)
    with pytest.raises(NoRoom) as caught:
        opened(tmp_path)
    assert caught.value.detail == (
        f"the folder {tmp_path}: .oob in it belongs to another user (number 12345); remove it"
    )
    assert names(planted) == []
    planted.rmdir()
    assert landed(tmp_path).exists()


def test_a_network_file_system_may_know_us_by_another_number(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert landed(tmp_path).exists()


def test_a_private_folder_that_others_can_read_is_closed_and_keeps_its_group_bit(tmp_path):
    planted = tmp_path / ".oob"
    planted.mkdir()
    planted.chmod(0o2777)
    file = opened(tmp_path)
    assert stat.S_IMODE(planted.stat().st_mode) == 0o2700
    file.discard()


def test_a_folder_that_gives_its_group_to_new_files_does_so(tmp_path):
    tmp_path.chmod(0o2775)
    file = opened(tmp_path)
    assert stat.S_IMODE((tmp_path / ".oob").stat().st_mode) == 0o2700
    file.discard()
    tmp_path.chmod(0o700)


# --- a folder that can't be used


@pytest.mark.parametrize("kind", ["missing", "file", "loop"])
def test_no_folder(tmp_path, kind):
    path = tmp_path / "folder"
    if kind == "file":
        path.write_bytes(b"")
    elif kind == "loop":
        path.symlink_to(path)
    one = Folder(path)
    with pytest.raises(NoRoom, match=f"the folder {path}: "):
        Landing(one).open()
    if kind != "missing":
        path.unlink()
    path.mkdir()
    assert commit(Landing(one)).exists()


@pytest.mark.parametrize("code", ["EROFS", "EACCES", "EPERM", "EDQUOT"])
def test_a_folder_that_cannot_be_written_to_is_no_room_and_works_again(tmp_path, monkeypatch, code):
    one = Folder(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(os, "mkdir", fail(code))
        with pytest.raises(NoRoom, match=f"the folder {tmp_path}: "):
            Landing(one).open()
    assert names(tmp_path) == []
    assert commit(Landing(one)).exists()


def test_a_file_system_whose_numbers_never_stay_the_same_will_do(tmp_path, monkeypatch):
    monkeypatch.setattr(os.path, "samestat", lambda one, other: False)
    assert landed(tmp_path).read_bytes() == b"data"
    assert names(tmp_path) == ["a.txt"]


def test_the_private_folder_is_not_open_for_those_we_start(tmp_path):
    file = opened(tmp_path)
    assert len(descriptors_in(tmp_path)) == 4
    assert not any(map(os.get_inheritable, descriptors_in(tmp_path)))
    file.discard()


def test_a_place_that_cannot_be_opened_leaves_nothing(tmp_path, monkeypatch):
    for call in ("open", "mkdir", "fstat"):
        for number in range(1, 5):
            with monkeypatch.context() as patched:
                patched.setattr(os, call, fail_at(number, "EIO", getattr(os, call)))
                try:
                    place = Place(tmp_path)
                except OSError:
                    pass
                else:
                    place.close()
            assert descriptors_in(tmp_path) == []
            assert names(tmp_path) == []

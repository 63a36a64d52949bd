"""One file on its way to the disk, on the real file system."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.fetching import descriptors_in, names
from tests.support.landing import commit, fail, fail_at, landed, opened
from twisted_oob.errors import NoRoom
from twisted_oob.files import landing
from twisted_oob.files.landing import Landing, commit_all, remove_leftovers

# Written out once more, as a list that is only compared with itself lacks no member.
NO_ROOM = ["ENOSPC", "EDQUOT", "EFBIG", "EMFILE", "ENFILE"]
NO_LINKS = ["EPERM", "EOPNOTSUPP", "ENOTSUP", "ENOSYS", "EMLINK"]
NO_LOCKS = ["ENOLCK", "EOPNOTSUPP", "ENOTSUP", "ENOSYS"]
OTHERS = ["EACCES", "EIO", "EROFS", "ENOENT", "EXDEV", "EINVAL", "ENAMETOOLONG", "EBADF"]


@pytest.fixture(autouse=True)
def _nothing_stays_open(tmp_path):
    """Whatever way a test ends: what it did not give back would be lost for months."""
    yield
    assert descriptors_in(tmp_path) == []


def spy_on_syncs(monkeypatch):
    """A list that gets each fsync and each link, in their order."""
    steps = []

    def spying(name):
        real = getattr(os, name)

        def spy(*args, **kwargs):
            if name == "fsync":
                steps.append("sync folder" if stat.S_ISDIR(os.fstat(args[0]).st_mode) else "sync")
            else:
                steps.append(name)
            return real(*args, **kwargs)

        monkeypatch.setattr(os, name, spy)

    for name in ("fsync", "link"):
        spying(name)
    return steps


def test_a_file_lands_under_its_name(tmp_path):
    file = opened(tmp_path)
    file.write(b"one ")
    file.write(bytearray(b"two"))
    assert commit(file) == tmp_path / "a.txt"
    assert names(tmp_path) == ["a.txt"]
    assert (tmp_path / "a.txt").read_bytes() == b"one two"
    assert file.size == 7
    assert file.sha256 == hashlib.sha256(b"one two").hexdigest()


def test_only_its_owner_may_read_it_before_and_after(tmp_path):
    old = os.umask(0)
    try:
        file = opened(tmp_path)
        [temporary] = tmp_path.rglob("*.part")
        assert stat.S_IMODE(temporary.stat().st_mode) == 0o600
        final = commit(file)
    finally:
        os.umask(old)
    assert stat.S_IMODE(final.stat().st_mode) == 0o600
    assert final.stat().st_nlink == 1


def test_the_temporary_file_is_hidden_and_not_inherited(tmp_path):
    file = opened(tmp_path)
    [temporary] = names(tmp_path)
    assert temporary.startswith(".oob-")
    assert temporary.endswith(".part")
    [fd] = descriptors_in(tmp_path)
    assert not os.get_inheritable(fd)
    file.discard()


def test_the_temporary_file_is_opened_exclusively_and_follows_no_link(tmp_path, monkeypatch):
    seen = []
    real = os.open

    def spying(path, flags, *args, **kwargs):
        seen.append(flags)
        return real(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", spying)
    file = opened(tmp_path)
    wanted = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    assert seen[0] & wanted == wanted
    file.discard()


def test_it_replaces_nothing(tmp_path):
    paths = [landed(tmp_path, data) for data in (b"1", b"2", b"3")]
    assert [path.name for path in paths] == ["a.txt", "a (2).txt", "a (3).txt"]
    assert [path.read_bytes() for path in paths] == [b"1", b"2", b"3"]


@pytest.mark.parametrize("kind", ["directory", "dangling link", "link to a file"])
def test_it_replaces_nothing_of_another_kind(tmp_path, kind):
    taken = tmp_path / "a.txt"
    other = tmp_path / "other"
    if kind == "directory":
        taken.mkdir()
    else:
        taken.symlink_to(other)
        if kind == "link to a file":
            other.write_bytes(b"kept")
    assert landed(tmp_path).name == "a (2).txt"
    assert other.exists() is (kind == "link to a file")
    if other.exists():
        assert other.read_bytes() == b"kept"


@pytest.mark.parametrize("code", NO_LINKS)
def test_without_hard_links_it_still_replaces_nothing(tmp_path, monkeypatch, code):
    monkeypatch.setattr(os, "link", fail(code))
    (tmp_path / "a.txt").write_bytes(b"kept")
    path = landed(tmp_path)
    assert path.name == "a (2).txt"
    assert path.read_bytes() == b"data"
    assert (tmp_path / "a.txt").read_bytes() == b"kept"
    assert names(tmp_path) == ["a (2).txt", "a.txt"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("code", OTHERS)
def test_a_link_that_fails_for_another_reason_is_trouble(tmp_path, monkeypatch, code):
    monkeypatch.setattr(os, "link", fail(code))
    file = opened(tmp_path)
    with pytest.raises(OSError, match=re.escape(os.strerror(getattr(errno, code)))):
        commit(file)
    assert len(names(tmp_path)) == 1
    file.discard()
    assert names(tmp_path) == []


@pytest.mark.parametrize("code", ["EIO", "ENOSPC"])
def test_without_hard_links_a_failed_rename_leaves_no_empty_file(tmp_path, monkeypatch, code):
    monkeypatch.setattr(os, "link", fail("EPERM"))
    monkeypatch.setattr(Path, "replace", fail(code))
    file = opened(tmp_path)
    with pytest.raises(OSError if code == "EIO" else NoRoom):
        commit(file)
    assert len(names(tmp_path)) == 1
    file.discard()
    assert names(tmp_path) == []


def test_without_hard_links_a_failed_rename_is_told_though_the_reservation_is_gone(
    tmp_path, monkeypatch
):
    def failing(self, target):
        target.unlink()
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "link", fail("EPERM"))
    monkeypatch.setattr(Path, "replace", failing)
    file = opened(tmp_path)
    with pytest.raises(OSError, match="Input/output"):
        commit(file)
    file.discard()


def test_without_hard_links_a_reservation_that_fails_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", fail("EPERM"))
    file = opened(tmp_path)
    monkeypatch.setattr(os, "open", fail("EACCES"))
    with pytest.raises(PermissionError):
        commit(file)
    monkeypatch.undo()
    file.discard()
    assert names(tmp_path) == []


def test_without_hard_links_the_reservation_is_the_owners_alone_and_closed(tmp_path, monkeypatch):
    seen = []
    replace = Path.replace

    def spying(self, target):
        seen.append(stat.S_IMODE(target.stat().st_mode))
        assert len(descriptors_in(tmp_path)) == 1  # the part file's
        return replace(self, target)

    monkeypatch.setattr(os, "link", fail("EPERM"))
    monkeypatch.setattr(Path, "replace", spying)
    old = os.umask(0)
    try:
        landed(tmp_path)
    finally:
        os.umask(old)
    assert seen == [0o600]


def test_it_is_on_the_disk_before_it_has_its_name_and_the_name_after(tmp_path, monkeypatch):
    file = opened(tmp_path)
    file.write(b"data")
    steps = spy_on_syncs(monkeypatch)
    commit(file)
    assert steps == ["sync", "link", "sync folder"]


def test_a_file_that_nothing_was_written_to_is_an_empty_one(tmp_path):
    assert commit(Landing(tmp_path), tmp_path).read_bytes() == b""
    assert names(tmp_path) == ["a.txt"]


# --- several at once


def test_several_take_each_step_together_and_share_the_sync_of_their_folder(tmp_path, monkeypatch):
    steps = spy_on_syncs(monkeypatch)
    files = [(Landing(tmp_path), f"{data}.txt", b"%d" % data) for data in (1, 2)]
    paths = commit_all(tmp_path, files)
    assert steps == ["sync", "sync", "link", "link", "sync folder"]
    assert [(path.name, path.read_bytes()) for path in paths] == [
        ("1.txt", b"1"),
        ("2.txt", b"2"),
    ]
    assert [file.sha256 for file, *_ in files] == [
        hashlib.sha256(data).hexdigest() for data in (b"1", b"2")
    ]
    assert descriptors_in(tmp_path) == []


@pytest.mark.parametrize("name", ["open", "write", "fsync", "link"])
def test_the_trouble_of_one_is_not_that_of_the_others(tmp_path, monkeypatch, name):
    files = [(Landing(tmp_path), name, b"data") for name in ("a", "b", "c")]
    monkeypatch.setattr(os, name, fail_at(2, "ENOSPC", getattr(os, name)))
    first, second, third = commit_all(tmp_path, files)
    assert (first.name, third.name) == ("a", "c")
    assert isinstance(second, NoRoom)
    files[1][0].discard()
    assert names(tmp_path) == ["a", "c"]


def test_the_trouble_of_their_folder_is_that_of_all(tmp_path, monkeypatch):
    files = [(Landing(tmp_path), name, b"data") for name in ("a", "b", "c")]
    monkeypatch.setattr(os, "link", fail_at(2, "EROFS", os.link))
    monkeypatch.setattr(os, "fsync", fail_at(4, "ENOSPC", os.fsync))
    first, second, third = commit_all(tmp_path, files)
    assert isinstance(first, NoRoom)
    assert isinstance(third, NoRoom)
    assert second.errno == errno.EROFS
    for file, *_ in files:
        file.discard()
    assert names(tmp_path) == []


# --- trouble


def test_short_writes_are_continued(tmp_path, monkeypatch):
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, bytes(data)[:3]))
    assert landed(tmp_path, b"ten bytes.").read_bytes() == b"ten bytes."


@pytest.mark.parametrize("code", [*NO_ROOM, "EIO"])
@pytest.mark.parametrize("step", ["open", "write", "fsync", "link", "fsync folder", "open folder"])
def test_trouble_at_any_step_leaves_nothing(tmp_path, monkeypatch, step, code):
    expected = NoRoom if code in NO_ROOM else OSError
    file = Landing(tmp_path)
    if step == "open":
        monkeypatch.setattr(os, "open", fail(code))
        with pytest.raises(expected):
            file.open()
    elif step == "write":
        file.open()
        monkeypatch.setattr(os, "write", fail(code))
        with pytest.raises(expected):
            file.write(b"data")
    else:
        file.open()
        name = step.partition(" ")[0]
        number = 2 if step == "fsync folder" else 1
        monkeypatch.setattr(os, name, fail_at(number, code, getattr(os, name)))
        with pytest.raises(expected) as caught:
            commit(file)
        if expected is NoRoom:
            assert caught.value.text == "no room for the file now"
    monkeypatch.undo()
    file.discard()
    assert names(tmp_path) == []
    assert descriptors_in(tmp_path) == []


def test_a_folder_that_cannot_be_synced_is_no_trouble(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", fail_at(2, "EINVAL", os.fsync))
    assert landed(tmp_path).read_bytes() == b"data"


def test_a_file_that_cannot_be_synced_is(tmp_path, monkeypatch):
    file = opened(tmp_path)
    monkeypatch.setattr(os, "fsync", fail_at(1, "EINVAL", os.fsync))
    with pytest.raises(OSError, match="Invalid"):
        commit(file)
    file.discard()
    assert names(tmp_path) == []


@pytest.mark.parametrize(("owner", "name"), [(fcntl, "flock"), (os, "fstat")])
def test_trouble_with_a_new_part_file_leaves_nothing(tmp_path, monkeypatch, owner, name):
    for code in OTHERS:
        monkeypatch.setattr(owner, name, fail(code))
        with pytest.raises(OSError, match=re.escape(os.strerror(getattr(errno, code)))):
            opened(tmp_path)
        monkeypatch.undo()
        assert names(tmp_path) == []
        assert descriptors_in(tmp_path) == []


@pytest.mark.parametrize("missing", [True, False])
def test_trouble_after_the_name_is_given_leaves_nothing(tmp_path, monkeypatch, missing):
    file = opened(tmp_path)
    monkeypatch.setattr(Path, "unlink", fail("EIO"))
    with pytest.raises(OSError, match="Input/output"):
        commit(file)
    monkeypatch.undo()
    assert len(names(tmp_path)) == 2
    if missing:  # somebody cleared up meanwhile
        for path in tmp_path.iterdir():
            path.unlink()
    file.discard()
    assert names(tmp_path) == []


def test_a_part_file_that_cannot_be_removed_is_closed_all_the_same(tmp_path, monkeypatch):
    file = opened(tmp_path)
    monkeypatch.setattr(Path, "unlink", fail("EIO"))
    with pytest.raises(OSError, match="Input/output"):
        file.discard()
    assert descriptors_in(tmp_path) == []
    monkeypatch.undo()
    assert remove_leftovers(tmp_path) == 1


@pytest.mark.parametrize("code", NO_LOCKS)
def test_a_file_system_without_locks_will_do(tmp_path, monkeypatch, code):
    monkeypatch.setattr(fcntl, "flock", fail(code))
    file = opened(tmp_path)
    assert remove_leftovers(tmp_path) == 0
    assert commit(file).exists()


def test_a_daemon_without_standard_input_gets_descriptor_0(tmp_path):
    code = (
        "import os, sys; from pathlib import Path; from twisted_oob.files.landing import Landing\n"
        "os.close(0); folder = Path(sys.argv[1]); file = Landing(folder)\n"
        "file.write(b'one'); file.write(b'two'); os.fstat(0)\n"
        "[part] = folder.iterdir(); assert part.read_bytes() == b'onetwo'\n"
        "file.discard(); assert not list(folder.iterdir())\n"
        "try: os.fstat(0)\n"
        "except OSError: print('closed')"
    )
    root = Path(landing.__file__).parents[2]
    told = subprocess.check_output(
        [sys.executable, "-c", code, str(tmp_path)], cwd=root, stdin=subprocess.DEVNULL
    )
    assert told == b"closed\n"


def test_discard_removes_what_is_there_once_or_twice(tmp_path):
    file = opened(tmp_path)
    file.discard()
    file.discard()
    assert names(tmp_path) == []


def test_discard_removes_what_was_committed(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"kept")
    file = opened(tmp_path)
    commit(file)
    file.discard()
    assert names(tmp_path) == ["a.txt"]


def test_discard_leaves_what_took_the_committed_place(tmp_path):
    file = opened(tmp_path)
    final = commit(file)
    other = tmp_path / "other"
    other.write_bytes(b"kept")
    other.replace(final)
    file.discard()
    assert final.read_bytes() == b"kept"

"""A file that is whole before it is written has no name but its final one, on the real disk."""

from __future__ import annotations

import errno
import hashlib
import os
import stat

import pytest

from tests.disk import NO_ROOM, descriptors_in, fail, fail_at, names, publish, spy_on_syncs
from twisted_oob import landing
from twisted_oob.errors import NoRoom
from twisted_oob.landing import Landing, publish_all

UNKNOWN = ["EOPNOTSUPP", "EISDIR", "EINVAL", "ENOENT", "ENOSYS", "EPERM", "EACCES", "EXDEV"]
DATA = b"all of it"

pytestmark = pytest.mark.skipif(landing._UNNAMED is None, reason="this system has no O_TMPFILE")


def land(directory, name="a.txt"):
    """Publish a file of which nothing was written before."""
    file = Landing(directory)
    return file, publish(file, directory, name, DATA)


def spy_on_names(monkeypatch, directory):
    """A list that gets the names in the folder at each sync of a file."""
    seen = []
    real = os.fsync

    def spy(fd):
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            seen.append(names(directory))
        real(fd)

    monkeypatch.setattr(os, "fsync", spy)
    return seen


def refuse(monkeypatch, code):
    """Let nobody open a file without a name; give a list of the tries."""
    real = os.open
    tries = []

    def refusing(path, flags, *args, **kwargs):
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            tries.append(path)
            raise OSError(getattr(errno, code), os.strerror(getattr(errno, code)))
        return real(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", refusing)
    return tries


def refuse_link(monkeypatch, code):
    """Let nobody name a file by its descriptor; give a list of the tries."""
    real = os.link
    tries = []

    def refusing(source, target, **kwargs):
        if str(source).startswith("/proc/"):
            tries.append(source)
            raise OSError(getattr(errno, code), os.strerror(getattr(errno, code)))
        real(source, target, **kwargs)

    monkeypatch.setattr(os, "link", refusing)
    return tries


def test_it_has_no_name_until_its_final_one(tmp_path, monkeypatch):
    seen = spy_on_names(monkeypatch, tmp_path)
    file, path = land(tmp_path)
    assert seen == [[]]
    assert names(tmp_path) == ["a.txt"]
    assert path.read_bytes() == DATA
    assert (file.size, file.sha256) == (len(DATA), hashlib.sha256(DATA).hexdigest())
    assert descriptors_in(tmp_path) == []


def test_a_file_written_in_pieces_has_one(tmp_path, monkeypatch):
    seen = spy_on_names(monkeypatch, tmp_path)
    file = Landing(tmp_path)
    file.write(DATA)
    publish(file, tmp_path)
    [[temporary]] = seen
    assert temporary.endswith(".part")


def test_only_its_owner_may_read_it(tmp_path):
    old = os.umask(0)
    try:
        _, path = land(tmp_path)
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.stat().st_nlink == 1


def test_its_descriptor_is_not_inherited(tmp_path, monkeypatch):
    inherited = []
    real = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda fd: (inherited.append(os.get_inheritable(fd)), real(fd))
    )
    land(tmp_path)
    assert inherited == [False, False]


def test_it_is_on_the_disk_before_it_has_its_name_and_the_name_after(tmp_path, monkeypatch):
    steps = spy_on_syncs(monkeypatch)
    land(tmp_path)
    assert steps == ["sync", "link", "sync folder"]


@pytest.mark.parametrize("kind", ["file", "directory", "dangling link"])
def test_it_replaces_nothing(tmp_path, kind):
    taken = tmp_path / "a.txt"
    if kind == "file":
        taken.write_bytes(b"kept")
    elif kind == "directory":
        taken.mkdir()
    else:
        taken.symlink_to(tmp_path / "other")
    before = taken.lstat()
    _, path = land(tmp_path)
    assert path.name == "a (2).txt"
    assert path.read_bytes() == DATA
    assert os.path.samestat(taken.lstat(), before)
    assert names(tmp_path) == ["a (2).txt", "a.txt"]


def test_discard_removes_what_was_published_and_only_that(tmp_path):
    file, path = land(tmp_path)
    other, replaced = land(tmp_path, "b.txt")
    (tmp_path / "c.txt").write_bytes(b"kept")
    (tmp_path / "c.txt").replace(replaced)
    file.discard()
    other.discard()
    assert not path.exists()
    assert replaced.read_bytes() == b"kept"


# --- where it can't be done


@pytest.mark.parametrize("code", UNKNOWN)
@pytest.mark.parametrize("hinder", [refuse, refuse_link])
def test_where_there_is_no_such_file_it_has_a_temporary_name(tmp_path, monkeypatch, hinder, code):
    tries = hinder(monkeypatch, code)
    (tmp_path / "a.txt").write_bytes(b"kept")
    seen = spy_on_names(monkeypatch, tmp_path)
    file, path = land(tmp_path)
    assert len(tries) == 1
    assert seen[-1][0].endswith(".part")
    assert path.name == "a (2).txt"
    assert path.read_bytes() == DATA
    assert (file.size, file.sha256) == (len(DATA), hashlib.sha256(DATA).hexdigest())
    assert names(tmp_path) == ["a (2).txt", "a.txt"]
    assert (tmp_path / "a.txt").read_bytes() == b"kept"
    assert descriptors_in(tmp_path) == []


def test_where_the_system_knows_no_such_flag_too(tmp_path, monkeypatch):
    monkeypatch.setattr(landing, "_UNNAMED", None)
    seen = spy_on_names(monkeypatch, tmp_path)
    _, path = land(tmp_path)
    assert path.read_bytes() == DATA
    [[temporary]] = seen
    assert temporary.endswith(".part")


def test_without_hard_links_it_still_replaces_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", fail("EPERM"))
    (tmp_path / "a.txt").write_bytes(b"kept")
    _, path = land(tmp_path)
    assert path.name == "a (2).txt"
    assert path.read_bytes() == DATA
    assert (tmp_path / "a.txt").read_bytes() == b"kept"
    assert names(tmp_path) == ["a (2).txt", "a.txt"]


# --- trouble


@pytest.mark.parametrize("code", [*NO_ROOM, "EIO"])
@pytest.mark.parametrize("step", ["open", "write", "fsync", "link", "fsync folder", "open folder"])
def test_trouble_at_any_step_leaves_nothing(tmp_path, monkeypatch, step, code):
    name, _, folder = step.partition(" ")
    number = 2 if folder else 1
    monkeypatch.setattr(os, name, fail_at(number, code, getattr(os, name)))
    file = Landing(tmp_path)
    with pytest.raises(NoRoom if code in NO_ROOM else OSError):
        publish(file, tmp_path, data=DATA)
    monkeypatch.undo()
    file.discard()
    assert names(tmp_path) == []
    assert descriptors_in(tmp_path) == []


def test_a_folder_that_is_gone_is_told(tmp_path):
    file = Landing(tmp_path / "gone")
    [outcome] = publish_all(tmp_path, [(file, "a.txt", DATA)])
    assert isinstance(outcome, FileNotFoundError)
    file.discard()
    assert descriptors_in(tmp_path) == []

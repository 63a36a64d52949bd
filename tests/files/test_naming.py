"""The final name, in each of the three ways to give it, on the real file system."""

from __future__ import annotations

import ctypes
import errno
import os
import re
import stat

import pytest

from tests.support.fetching import descriptors_in, names
from tests.support.landing import commit, fail, landed, opened, without
from twisted_oob.errors import NoRoom
from twisted_oob.files import naming, renameat2
from twisted_oob.files.leftovers import remove_leftovers
from twisted_oob.files.naming import Part
from twisted_oob.files.renameat2 import rename_without_replacing

NO_LINKS = ["EPERM", "EXDEV", "EOPNOTSUPP", "ENOTSUP", "ENOSYS", "EMLINK"]
UNKNOWN = ["ENOSYS", "EINVAL", "EPERM", "EOPNOTSUPP", "ENOTSUP"]
WAYS = {"renameat2": (), "link": ("renameat2",), "reservation": ("renameat2", "link")}


@pytest.fixture(autouse=True)
def _nothing_stays_open(tmp_path):
    yield
    assert descriptors_in(tmp_path) == []
    assert ".oob" not in names(tmp_path)


@pytest.fixture(params=WAYS)
def way(request, monkeypatch):
    """One of the three, as it is the first that the file system knows."""
    with without(monkeypatch, *WAYS[request.param]):
        yield request.param


@pytest.fixture
def only_links(monkeypatch):
    monkeypatch.setattr(renameat2, "_CALL", None)


@pytest.fixture
def only_reservations(monkeypatch, only_links):
    monkeypatch.setattr(os, "link", fail("EPERM"))


def test_it_replaces_nothing(tmp_path, way):
    paths = [landed(tmp_path, data) for data in (b"1", b"2", b"3")]
    assert [path.name for path in paths] == ["a.txt", "a (2).txt", "a (3).txt"]
    assert [path.read_bytes() for path in paths] == [b"1", b"2", b"3"]
    assert {path.stat().st_nlink for path in paths} == {1}


@pytest.mark.parametrize("kind", ["directory", "dangling link", "link to a file"])
def test_it_replaces_nothing_of_another_kind(tmp_path, way, kind):
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


def test_it_is_one_rename_where_the_system_has_it(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", fail("EIO"))
    monkeypatch.setattr(os, "rename", fail("EIO"))
    assert landed(tmp_path).read_bytes() == b"data"


@pytest.mark.parametrize("code", [*UNKNOWN, "EXDEV"])
def test_a_kernel_or_a_file_system_without_renameat2_gets_a_link(tmp_path, monkeypatch, code):
    links = []
    link = os.link
    monkeypatch.setattr(naming, "rename_without_replacing", fail(code))
    monkeypatch.setattr(os, "link", lambda *args, **fds: (links.append(args), link(*args, **fds)))
    assert landed(tmp_path).read_bytes() == b"data"
    assert names(tmp_path) == ["a.txt"]
    assert len(links) == 1


@pytest.mark.parametrize("code", NO_LINKS)
def test_without_hard_links_it_still_replaces_nothing(tmp_path, monkeypatch, only_links, code):
    monkeypatch.setattr(os, "link", fail(code))
    (tmp_path / "a.txt").write_bytes(b"kept")
    path = landed(tmp_path)
    assert path.name == "a (2).txt"
    assert path.read_bytes() == b"data"
    assert (tmp_path / "a.txt").read_bytes() == b"kept"
    assert names(tmp_path) == ["a (2).txt", "a.txt"]


@pytest.mark.parametrize(("owner", "name"), [(naming, "rename_without_replacing"), (os, "link")])
@pytest.mark.parametrize("code", ["EIO", "EBUSY"])
def test_another_error_is_trouble(tmp_path, monkeypatch, owner, name, code):
    if owner is os:
        monkeypatch.setattr(renameat2, "_CALL", None)
    monkeypatch.setattr(owner, name, fail(code))
    file = opened(tmp_path)
    with pytest.raises(OSError, match=re.escape(os.strerror(getattr(errno, code)))):
        commit(file)
    file.discard()
    assert names(tmp_path) == []


# --- what a network file system does, and says of it


@pytest.mark.parametrize("code", ["EEXIST", "ENOENT", "EIO", "ETIMEDOUT"])
def test_a_rename_that_was_done_though_it_is_told_otherwise(tmp_path, monkeypatch, code):
    def asked_twice(*args):
        rename_without_replacing(*args)
        fail(code)()

    monkeypatch.setattr(naming, "rename_without_replacing", asked_twice)
    assert landed(tmp_path).name == "a.txt"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("code", ["EEXIST", "EIO", "ETIMEDOUT"])
def test_a_link_that_was_made_though_it_is_told_otherwise(tmp_path, monkeypatch, only_links, code):
    link = os.link

    def asked_twice(*args, **descriptors):
        link(*args, **descriptors)
        fail(code)()

    monkeypatch.setattr(os, "link", asked_twice)
    path = landed(tmp_path)
    assert path.name == "a.txt"
    assert path.stat().st_nlink == 1
    assert names(tmp_path) == ["a.txt"]


def test_a_file_whose_number_changes_at_its_link_leaves_nothing_behind(
    tmp_path, monkeypatch, only_links
):
    monkeypatch.setattr(os.path, "samestat", lambda one, other: stat.S_ISDIR(one.st_mode))
    (tmp_path / "a.txt").write_bytes(b"kept")
    file = opened(tmp_path)
    assert commit(file).name == "a (2).txt"
    file.discard()
    assert names(tmp_path) == ["a (2).txt", "a.txt"]


def test_a_part_name_that_stays_does_not_undo_the_final_one(tmp_path, monkeypatch, only_links):
    file = opened(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(os, "unlink", fail("EIO"))
        assert commit(file).name == "a.txt"
    assert len(list((tmp_path / ".oob").glob("*.part"))) == 1

    assert remove_leftovers(tmp_path) == 1
    assert (tmp_path / "a.txt").stat().st_nlink == 1


# --- with a reservation


@pytest.mark.parametrize("code", ["EIO", "ENOSPC"])
def test_a_rename_that_fails_leaves_no_empty_file(tmp_path, monkeypatch, only_reservations, code):
    monkeypatch.setattr(os, "rename", fail(code))
    file = opened(tmp_path)
    with pytest.raises(OSError if code == "EIO" else NoRoom):
        commit(file)
    assert names(tmp_path) == [".oob"]
    file.discard()
    assert names(tmp_path) == []


def test_a_rename_that_fails_is_told_though_the_reservation_is_gone(
    tmp_path, monkeypatch, only_reservations
):
    def failing(source, target, **descriptors):
        (tmp_path / target).unlink()
        fail("EIO")()

    monkeypatch.setattr(os, "rename", failing)
    file = opened(tmp_path)
    with pytest.raises(OSError, match="Input/output"):
        commit(file)
    file.discard()


def test_a_rename_that_was_done_though_it_is_told_otherwise_keeps_its_file(
    tmp_path, monkeypatch, only_reservations
):
    rename = os.rename

    def asked_twice(*args, **descriptors):
        rename(*args, **descriptors)
        fail("ENOENT")()

    monkeypatch.setattr(os, "rename", asked_twice)
    assert landed(tmp_path).read_bytes() == b"data"
    assert names(tmp_path) == ["a.txt"]


def test_the_reservation_is_the_owners_alone(tmp_path, monkeypatch, only_reservations):
    seen = []
    rename = os.rename

    def spying(source, target, **descriptors):
        seen.append(stat.S_IMODE((tmp_path / target).stat().st_mode))
        rename(source, target, **descriptors)

    monkeypatch.setattr(os, "rename", spying)
    old = os.umask(0)
    try:
        landed(tmp_path, mode=0o666)
    finally:
        os.umask(old)
    assert seen == [0o600]


# --- the system call


def test_the_call_replaces_nothing_and_says_so(tmp_path):
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        (tmp_path / "a").write_bytes(b"a")
        (tmp_path / "ü").write_bytes(b"kept")
        with pytest.raises(FileExistsError):
            rename_without_replacing("a", fd, "ü", fd)
        with pytest.raises(FileNotFoundError):
            rename_without_replacing("missing", fd, "b", fd)
        with pytest.raises(ValueError, match="null"):
            rename_without_replacing("a", fd, "b\0c", fd)
        rename_without_replacing("a", fd, "ö", fd)
    finally:
        os.close(fd)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        "ü": b"kept",
        "ö": b"a",
    }


@pytest.mark.parametrize("library", [OSError, object()])
def test_a_c_library_without_it(monkeypatch, library):
    def load(name, use_errno):
        if library is OSError:
            raise OSError
        return library

    monkeypatch.setattr(ctypes, "CDLL", load)
    monkeypatch.setattr(renameat2, "_CALL", renameat2._library_call())
    with pytest.raises(OSError, match="not implemented"):
        rename_without_replacing("a", 0, "b", 0)


def test_a_part_needs_no_more_than_descriptors(tmp_path):
    parts = tmp_path / "parts"
    parts.mkdir()
    (parts / "p").write_bytes(b"data")
    opened = [os.open(path, os.O_RDONLY) for path in (parts / "p", parts, tmp_path)]
    assert Part(opened[0], "p", opened[1], opened[2]).give_name("a") == "a"
    for fd in opened:
        os.close(fd)
    assert (tmp_path / "a").read_bytes() == b"data"

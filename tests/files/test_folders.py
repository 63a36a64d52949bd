"""Folders: which mode they get, and which of them go again."""

from __future__ import annotations

import os
import stat

import pytest

from twisted_oob.files.folders import Folders


@pytest.fixture(autouse=True)
def _umask():
    """A daemon's."""
    before = os.umask(0o077)
    yield
    os.umask(before)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("wanted", [0o700, 0o750, 0o2750, 0o1777])
def test_each_folder_that_is_made_has_the_mode_whatever_the_umask(tmp_path, wanted):
    Folders(wanted).make(tmp_path / "a" / "b", parents=True)
    assert (mode(tmp_path / "a"), mode(tmp_path / "a" / "b")) == (wanted, wanted)


def test_a_folder_that_is_there_keeps_its_mode_and_stays(tmp_path):
    there = tmp_path / "there"
    there.mkdir(mode=0o700)
    folders = Folders(0o750)
    folders.make(there, parents=True)
    folders.remove_empty()
    assert mode(there) == 0o700


def test_parents_are_made_only_if_that_is_wanted(tmp_path):
    with pytest.raises(FileNotFoundError):
        Folders().make(tmp_path / "a" / "b")


@pytest.mark.parametrize("path", ["file", "file/a", "file/a/b"])
def test_a_file_in_the_way_is_an_error(tmp_path, path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"exists|Not a directory"):
        Folders().make(tmp_path / path, parents=True)
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


def test_what_was_made_goes_again_if_it_is_empty(tmp_path):
    folders = Folders()
    folders.make(tmp_path / "a" / "b", parents=True)
    folders.make(tmp_path / "a" / "b" / "room")
    folders.make(tmp_path / "a" / "kept")
    (tmp_path / "a" / "kept" / "file").touch()
    folders.remove_empty()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "file", "kept"]
    (tmp_path / "a" / "kept" / "file").unlink()
    # It knows of nothing any more.
    folders.remove_empty()
    assert (tmp_path / "a" / "kept").is_dir()

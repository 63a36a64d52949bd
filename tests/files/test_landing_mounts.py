"""Files that land on real file systems, mounted from an image; only where root may do that."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from tests.support.fetching import descriptors_in, names
from tests.support.landing import commit, without
from tests.support.processes import IN_CI
from twisted_oob.errors import NoRoom
from twisted_oob.files.folder import Folder
from twisted_oob.files.landing import Landing
from twisted_oob.files.leftovers import remove_leftovers

pytestmark = IN_CI

MIB = 1024 * 1024
# The size of the image in MiB, as each file system has a least one.
KINDS = {"ext2": 30, "ext4": 30, "xfs": 330, "btrfs": 130, "vfat": 30}


def run(*command):
    """Run a command of the system, or skip the test with what it says."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"{' '.join(map(str, command))}: {done.stderr.strip()}")


def image(tmp_path, kind):
    path = tmp_path / f"{kind}.image"
    with path.open("wb") as file:
        file.truncate(KINDS[kind] * MIB)
    run(f"mkfs.{kind}", path)
    return path


@pytest.fixture
def mounted(tmp_path):
    """Mounts a new file system of a kind; gives its folder. Nothing of ours may keep it busy."""
    folder = tmp_path / "mounted"
    folder.mkdir()
    mounts = []

    def mount(kind):
        run("mount", "-o", "loop", image(tmp_path, kind), folder)
        mounts.append(folder)
        return folder

    yield mount
    assert descriptors_in(folder) == []
    for each in mounts:
        subprocess.run(["umount", each], check=True)


@pytest.mark.parametrize("ways", [(), ("renameat2",), ("renameat2", "link")])
@pytest.mark.parametrize("kind", KINDS)
def test_files_land_in_each_way(mounted, monkeypatch, kind, ways):
    folder = Folder(mounted(kind))
    with without(monkeypatch, *ways):
        for number in range(3):
            file = Landing(folder, length=100_000, mode=0o640)
            file.write(bytes([number]) * 100_000)
            assert commit(file).read_bytes() == bytes([number]) * 100_000
    found = [name for name in names(folder.path) if name != "lost+found"]
    assert found == ["a (2).txt", "a (3).txt", "a.txt"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_will_not_fit_is_refused_and_one_that_fits_lands(mounted, kind):
    folder = Folder(mounted(kind))
    before = names(folder.path)
    with pytest.raises(NoRoom, match="bytes are declared"):
        Landing(folder, length=KINDS[kind] * MIB).open()
    assert names(folder.path) == before
    file = Landing(folder, length=5 * MIB)
    for _ in range(5):
        file.write(bytes(MIB))
    with pytest.raises(NoRoom, match="bytes are declared"):
        Landing(folder, length=(KINDS[kind] - 4) * MIB).open()
    assert commit(file).stat().st_size == 5 * MIB


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_a_full_disk_leaves_nothing_and_works_again(mounted, kind):
    folder = Folder(mounted(kind))
    before = names(folder.path)
    file = Landing(folder)
    with pytest.raises(NoRoom):
        file.write(bytes(KINDS[kind] * MIB))
    file.discard()
    assert names(folder.path) == before
    assert commit(Landing(folder)).exists()


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_a_disk_that_turns_read_only_and_back(mounted, kind):
    folder = Folder(mounted(kind))
    commit(Landing(folder), "before")
    run("mount", "-o", "remount,ro", folder.path)
    with pytest.raises(NoRoom, match=f"the folder {folder.path}: Read-only file system"):
        Landing(folder).open()
    assert remove_leftovers(folder.path) == 0
    run("mount", "-o", "remount,rw", folder.path)
    assert commit(Landing(folder), "after").exists()


def test_a_disk_that_is_unmounted_between_two_files(tmp_path, mounted):
    path = mounted("ext4")
    folder = Folder(path)
    commit(Landing(folder), "before")
    # Nothing keeps it busy, as nothing is on its way.
    subprocess.run(["umount", path], check=True)
    path.chmod(0o500)
    run("mount", "-o", "loop", tmp_path / "ext4.image", path)
    assert commit(Landing(folder), "after").exists()
    assert {"before", "after"} <= set(names(path))


def test_a_disk_that_is_taken_away_from_under_a_file(mounted):
    path = mounted("ext4")
    folder = Folder(path)
    file = Landing(folder)
    file.write(b"data")
    run("umount", "-l", path)
    with pytest.raises(NoRoom, match="it was moved or removed while a file came"):
        commit(file)
    file.discard()
    run("mount", "-t", "tmpfs", "tmpfs", path)
    assert commit(Landing(folder)).exists()

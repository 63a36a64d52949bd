"""One file on its way to the disk, on the real file system."""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.fetching import descriptors_in, names
from tests.support.landing import commit, fail, fail_at, landed, new, opened, parts, without
from twisted_oob._file_info import FileInfo
from twisted_oob.errors import FetchFailed, NoRoom
from twisted_oob.files import landing, naming, space
from twisted_oob.files.folder import Folder, Place
from twisted_oob.files.landing import Landing, commit_all
from twisted_oob.files.leftovers import remove_leftovers

# Written out once more, as a list that is only compared with itself lacks no member.
NO_ROOM = ["ENOSPC", "EDQUOT", "EFBIG", "EMFILE", "ENFILE"]
NO_FOLDER = ["ENOENT", "ENOTDIR", "EROFS", "EACCES", "ESTALE", "ENODEV", "ENOTCONN"]
OTHERS = ["EIO", "EXDEV", "EBADF"]


@pytest.fixture(autouse=True)
def _nothing_stays_open(tmp_path):
    """Whatever way a test ends: what it did not give back would be lost for months."""
    yield
    assert descriptors_in(tmp_path) == []
    assert not [name for name in names(tmp_path) if name.startswith(".oob")]


@pytest.fixture
def promised(tmp_path):
    """What is promised on the file system of the test."""
    one = space.space_of(tmp_path.stat().st_dev)
    assert one._promised == 0
    yield lambda: one._promised
    assert one._promised == 0


def spy_on_steps(monkeypatch):
    """A list that gets each fsync and each final name, in their order."""
    steps = []
    fsync, rename = os.fsync, naming.rename_without_replacing

    def spy_on_fsync(fd):
        steps.append("sync folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else "sync")
        fsync(fd)

    def spy_on_rename(*args):
        steps.append("name")
        rename(*args)

    monkeypatch.setattr(os, "fsync", spy_on_fsync)
    monkeypatch.setattr(naming, "rename_without_replacing", spy_on_rename)
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


def test_its_part_is_hidden_and_the_owners_alone_and_not_inherited(tmp_path):
    old = os.umask(0)
    try:
        file = opened(tmp_path, mode=0o666)
    finally:
        os.umask(old)
    [part] = (tmp_path / ".oob").glob("*.part")
    assert stat.S_IMODE(part.stat().st_mode) == 0o600
    assert stat.S_IMODE(part.parent.stat().st_mode) == 0o700
    assert not any(map(os.get_inheritable, descriptors_in(tmp_path)))
    file.discard()


@pytest.mark.parametrize("ways", [(), ("renameat2",), ("renameat2", "link")])
@pytest.mark.parametrize(("mode", "umask"), [(0o600, 0o377), (0o664, 0o77), (0o440, 0)])
def test_it_has_its_mode_whatever_the_umask(*, tmp_path, monkeypatch, mode, umask, ways):
    folder = Folder(tmp_path)
    keeps = Landing(folder)
    keeps.open()  # a umask that takes our own rights would be in the way of the private folder
    old = os.umask(umask)
    try:
        with without(monkeypatch, *ways):
            file = Landing(folder, mode=mode)
            file.write(b"data")
            path = commit(file)
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert path.stat().st_nlink == 1
    keeps.discard()


@pytest.mark.parametrize("code", ["EPERM", "EOPNOTSUPP", "ENOSYS"])
def test_a_file_system_without_modes_will_do(tmp_path, monkeypatch, code):
    monkeypatch.setattr(os, "fchmod", fail(code))
    assert landed(tmp_path, mode=0o644).read_bytes() == b"data"


def test_a_mode_that_cannot_be_set_is_trouble(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fchmod", fail("EIO"))
    file = opened(tmp_path, mode=0o644)
    with pytest.raises(OSError, match="Input/output"):
        commit(file)
    file.discard()
    assert names(tmp_path) == []


def test_the_mode_is_set_before_it_is_synced_and_named(tmp_path, monkeypatch):
    file = opened(tmp_path, mode=0o644)
    steps = spy_on_steps(monkeypatch)
    fchmod = os.fchmod
    monkeypatch.setattr(os, "fchmod", lambda *args: (steps.append("mode"), fchmod(*args)))
    commit(file)
    assert steps == ["mode", "sync", "name", "sync folder"]


def test_the_temporary_file_is_opened_exclusively_and_follows_no_link(tmp_path, monkeypatch):
    seen = {}
    real = os.open

    def spying(path, flags, *args, **kwargs):
        seen[Path(path).suffix] = flags
        return real(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", spying)
    file = opened(tmp_path)
    wanted = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    assert seen[".part"] & wanted == seen[".lock"] & wanted == wanted
    file.discard()


def test_it_is_on_the_disk_before_it_has_its_name_and_the_name_after(tmp_path, monkeypatch):
    file = opened(tmp_path)
    file.write(b"data")
    steps = spy_on_steps(monkeypatch)
    commit(file)
    assert steps == ["sync", "name", "sync folder"]


def test_a_file_that_nothing_was_written_to_is_an_empty_one(tmp_path):
    assert commit(new(tmp_path)).read_bytes() == b""
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("info", [FileInfo(size=5), FileInfo(sha256="ab" * 32)])
def test_a_file_that_was_not_offered_gets_no_name(tmp_path, info):
    file = opened(tmp_path, info=info)
    file.write(b"data")
    with pytest.raises(FetchFailed):
        commit(file)
    file.discard()
    assert names(tmp_path) == []


# --- several at once


def test_several_take_each_step_together_and_share_the_sync_of_their_folder(tmp_path, monkeypatch):
    steps = spy_on_steps(monkeypatch)
    folder = Folder(tmp_path)
    files = [(Landing(folder), f"{data}.txt", b"%d" % data) for data in (1, 2)]
    paths = commit_all(files)
    assert steps == ["sync", "sync", "name", "name", "sync folder"]
    assert [(path.name, path.read_bytes()) for path in paths] == [
        ("1.txt", b"1"),
        ("2.txt", b"2"),
    ]
    assert [file.sha256 for file, *_ in files] == [
        hashlib.sha256(data).hexdigest() for data in (b"1", b"2")
    ]


def test_several_are_all_on_their_way_to_the_disk_before_the_first_one_is_waited_for(
    tmp_path, monkeypatch
):
    steps = spy_on_steps(monkeypatch)
    fadvise = os.posix_fadvise
    monkeypatch.setattr(os, "posix_fadvise", lambda *a: (steps.append("begin"), fadvise(*a)))
    folder = Folder(tmp_path)
    commit_all([(Landing(folder), f"{number}", b"data") for number in range(2)])
    commit_all([(Landing(folder), "alone", b"data")])
    assert steps[:4] == ["begin", "begin", "sync", "sync"]
    assert steps[-3:] == ["sync", "name", "sync folder"]
    assert (tmp_path / "0").read_bytes() == b"data"


def test_a_file_system_that_takes_no_advice_will_do(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "posix_fadvise", fail("EINVAL"))
    folder = Folder(tmp_path)
    paths = commit_all([(Landing(folder), f"{number}", b"data") for number in range(2)])
    assert [path.name for path in paths] == ["0", "1"]


@pytest.mark.parametrize(
    ("owner", "name"),
    [(Place, "create"), (os, "write"), (os, "fsync"), (naming, "rename_without_replacing")],
)
def test_the_trouble_of_one_is_not_that_of_the_others(tmp_path, monkeypatch, owner, name):
    folder = Folder(tmp_path)
    files = [(Landing(folder), name, b"data") for name in ("a", "b", "c")]
    real = getattr(owner, name)
    failing = fail_at(2, "ENOSPC", real)
    monkeypatch.setattr(owner, name, failing)
    first, second, third = commit_all(files)
    assert (first.name, third.name) == ("a", "c")
    assert isinstance(second, NoRoom)
    files[1][0].discard()
    assert names(tmp_path) == ["a", "c"]


@pytest.mark.parametrize("code", ["ENOSPC", "EIO", "EROFS"])
def test_if_their_folder_cannot_be_synced_they_stay_and_nobody_is_told_of_success(
    tmp_path, monkeypatch, code
):
    folder = Folder(tmp_path)
    files = [(Landing(folder), name, b"data") for name in ("a", "b")]
    monkeypatch.setattr(os, "fsync", fail_at(3, code, os.fsync))
    for error in commit_all(files):
        assert isinstance(error, NoRoom)
        assert error.detail == (
            f"the folder {tmp_path}: a file has its name, but it could not be synced: "
            f"{os.strerror(getattr(errno, code))}"
        )
    for file, *_ in files:
        file.discard()
    assert names(tmp_path) == ["a", "b"]


# --- trouble


def written(file):
    file.write(b"data")
    return commit(file)


def test_short_writes_are_continued(tmp_path, monkeypatch):
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, bytes(data)[:3]))
    assert landed(tmp_path, b"ten bytes.").read_bytes() == b"ten bytes."


@pytest.mark.parametrize(
    ("step", "code"),
    [
        *(("open", code) for code in (*NO_ROOM, *NO_FOLDER, *OTHERS)),
        *itertools.product(("write", "fsync", "name"), ("EDQUOT", "EROFS", "EIO")),
    ],
)
def test_trouble_at_any_step_leaves_nothing(tmp_path, monkeypatch, step, code):
    expected = OSError if code in OTHERS else NoRoom
    file = new(tmp_path)
    if step != "open":
        file.open()
    owner, name = (naming, "rename_without_replacing") if step == "name" else (os, step)
    monkeypatch.setattr(owner, name, fail(code))
    with pytest.raises(expected) as caught:
        written(file)
    if expected is NoRoom:
        assert caught.value.text == "no room for the file now"
        assert caught.value.detail == f"the folder {tmp_path}: {os.strerror(getattr(errno, code))}"
    monkeypatch.undo()
    file.discard()
    assert names(tmp_path) == []


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


def test_a_part_that_cannot_be_removed_is_closed_all_the_same(tmp_path, monkeypatch):
    file = opened(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(os, "unlink", fail("EIO"))
        with pytest.raises(OSError, match="Input/output"):
            file.discard()
    assert descriptors_in(tmp_path) == []
    assert remove_leftovers(tmp_path) == 1


def test_a_daemon_without_standard_input_gets_descriptor_0(tmp_path):
    code = (
        "import os, sys; from pathlib import Path\n"
        "from twisted_oob.files.folder import Folder\n"
        "from twisted_oob.files.landing import Landing\n"
        "os.close(0); folder = Path(sys.argv[1]); file = Landing(Folder(folder))\n"
        "file.write(b'one'); file.write(b'two'); os.fstat(0)\n"
        "[part] = folder.rglob('*.part'); assert part.read_bytes() == b'onetwo'\n"
        "file.discard(); assert not list(folder.iterdir())\n"
        "try: os.fstat(0)\n"
        "except OSError: print('closed')"
    )
    root = Path(landing.__file__).parents[2]
    told = subprocess.check_output(
        [sys.executable, "-c", code, str(tmp_path)], cwd=root, stdin=subprocess.DEVNULL
    )
    assert told == b"closed\n"


# --- what is given up


def test_discard_removes_what_is_there_once_or_twice(tmp_path):
    file = opened(tmp_path)
    assert file.opened
    file.discard()
    assert not file.opened
    file.discard()
    assert names(tmp_path) == []


def test_discard_of_what_was_never_opened_touches_no_disk(tmp_path, monkeypatch):
    file = new(tmp_path / "missing")
    assert not file.opened
    for name in ("open", "stat", "unlink", "close", "mkdir", "rmdir"):
        monkeypatch.setattr(os, name, fail("EIO"))
    file.discard()


def test_discard_leaves_what_was_committed(tmp_path):
    file = opened(tmp_path)
    commit(file)
    file.discard()
    assert names(tmp_path) == ["a.txt"]


# --- a folder that comes and goes


def test_in_a_renamed_folder_a_part_is_removed(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    file = opened(folder)
    folder.rename(tmp_path / "elsewhere")
    assert len(parts(tmp_path)) == 1
    file.discard()
    assert names(tmp_path / "elsewhere") == []


@pytest.mark.parametrize("again", ["missing", "another", "link"])
def test_in_a_renamed_folder_a_file_gets_no_name(tmp_path, again):
    path, elsewhere = tmp_path / "folder", tmp_path / "elsewhere"
    path.mkdir()
    folder = Folder(path)
    file = Landing(folder)
    file.write(b"data")
    path.rename(elsewhere)
    if again == "another":
        path.mkdir()
    elif again == "link":
        path.symlink_to(elsewhere)
        # The path leads to the folder, so the file is at the path that is told.
        assert commit(file).read_bytes() == b"data"
        assert names(elsewhere) == ["a.txt"]
        return
    with pytest.raises(NoRoom, match="it was moved or removed while a file came"):
        commit(file)
    file.discard()
    assert names(elsewhere) == []
    if again == "missing":
        with pytest.raises(NoRoom, match=f"the folder {path}: No such file"):
            Landing(folder).open()
        path.mkdir()
    later = Landing(folder)
    later.write(b"later")
    assert commit(later) == path / "a.txt"
    assert names(path) == ["a.txt"]


def test_a_folder_that_is_removed_while_a_file_comes(tmp_path):
    path = tmp_path / "folder"
    path.mkdir()
    folder = Folder(path)
    file = Landing(folder)
    file.write(b"data")
    subprocess.run(["rm", "-rf", path], check=True)
    file.write(b"more")
    with pytest.raises(NoRoom, match=f"the folder {path}: "):
        commit(file)
    file.discard()
    path.mkdir()
    later = Landing(folder)
    assert commit(later) == path / "a.txt"


def test_the_private_folder_is_removed_while_a_file_comes(tmp_path):
    folder = Folder(tmp_path)
    file = Landing(folder)
    file.write(b"data")
    subprocess.run(["rm", "-rf", tmp_path / ".oob"], check=True)
    later = Landing(folder)
    later.write(b"later")
    with pytest.raises(NoRoom):
        commit(file)
    file.discard()
    assert commit(later).read_bytes() == b"later"


# --- room for a declared length


def free(monkeypatch, size):
    monkeypatch.setattr(space, "_free", lambda fd: size)


def test_a_length_that_does_not_fit_is_refused_before_the_first_byte(
    tmp_path, monkeypatch, promised
):
    free(monkeypatch, 99)
    with pytest.raises(NoRoom) as caught:
        new(tmp_path, length=100).open()
    assert caught.value.detail == (
        "100 bytes are declared, 99 are free on the disk, and 0 of these are promised to other "
        "files"
    )
    assert names(tmp_path) == []
    free(monkeypatch, 100)
    opened(tmp_path, length=100).discard()


def test_what_others_still_have_to_write_is_not_free(tmp_path, monkeypatch, promised):
    free(monkeypatch, 100)
    file = opened(tmp_path, length=80)
    with pytest.raises(NoRoom):
        new(tmp_path, length=21).open()
    file.write(bytes(10))
    assert promised() == 70
    free(monkeypatch, 90)
    other = opened(tmp_path, length=20)
    assert promised() == 90
    file.discard()
    assert promised() == 20
    other.write(bytes(20))
    assert promised() == 0
    other.write(bytes(20))
    assert promised() == 0
    commit(other)


@pytest.mark.parametrize("step", ["create", "commit"])
def test_a_promise_ends_with_its_file(tmp_path, monkeypatch, promised, step):
    file = new(tmp_path, length=1000)
    if step == "create":
        monkeypatch.setattr(Place, "create", fail("ENOSPC"))
        with pytest.raises(NoRoom):
            file.open()
    else:
        file.write(b"less")
        assert promised() == 996
        commit(file)
    assert promised() == 0


def test_without_a_length_nothing_is_asked(tmp_path, monkeypatch, promised):
    free(monkeypatch, 0)
    landed(tmp_path)
    landed(tmp_path, length=0)


def test_the_real_disk_has_no_room_for_everything(tmp_path, promised):
    with pytest.raises(NoRoom):
        new(tmp_path, length=2**62).open()
    opened(tmp_path, length=1).discard()


@pytest.mark.parametrize("answer", ["zeros", OSError(errno.ENOSYS, "")])
def test_a_file_system_that_does_not_tell_what_is_free_will_do(tmp_path, monkeypatch, answer):
    def fstatvfs(fd):
        if isinstance(answer, OSError):
            raise answer
        return os.statvfs_result((4096, 4096, 0, 0, 0, 0, 0, 0, 0, 255))

    monkeypatch.setattr(os, "fstatvfs", fstatvfs)
    landed(tmp_path, length=2**62)

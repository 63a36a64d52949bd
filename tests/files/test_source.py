"""SourceFile: the inode and the size that were there when it was opened."""

from __future__ import annotations

import hashlib
import os
import socket
import stat
import threading

import pytest

from tests.support.fetching import descriptors_in
from twisted_oob.errors import WrongType
from twisted_oob.files.source import SourceFile, media_type_of

CONTENT = bytes(range(256)) * 1000


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "file.bin"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def source(path):
    source = SourceFile(path)
    yield source
    source.close()


# --- opening


def test_what_is_known_of_it(path):
    os.utime(path, (5, 1000000.5))
    source = SourceFile(str(path))
    assert (source.path, source.name) == (path, "file.bin")
    assert (source.size, source.modified) == (len(CONTENT), 1000000.5)
    assert source.media_type == "application/octet-stream"
    source.close()


def test_it_stays_the_same_file_whatever_happens_to_the_path(path, source):
    path.unlink()
    path.write_bytes(b"another")
    assert source.read(0, 1000) == CONTENT[:1000]


def test_in_an_open_folder_only_the_name_counts_and_no_link_is_followed(tmp_path, path):
    (tmp_path / "link").symlink_to(path)
    (tmp_path / "folder").mkdir()
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        source = SourceFile("/nowhere/file.bin", folder=folder)
        assert (str(source.path), source.size) == ("/nowhere/file.bin", len(CONTENT))
        source.close()
        with pytest.raises(OSError, match="symbolic links"):
            SourceFile(tmp_path / "link", folder=folder)
        with pytest.raises(IsADirectoryError):
            SourceFile(tmp_path / "folder", folder=folder)
    finally:
        os.close(folder)


def test_the_identity_tells_whether_it_is_the_same_file_unchanged(tmp_path, path):
    def identity(name="file.bin"):
        source = SourceFile(tmp_path / name)
        source.close()
        return source.identity

    first = identity()
    assert identity() == first
    status = path.stat()
    path.with_name("copy").write_bytes(CONTENT)
    os.utime(path.with_name("copy"), ns=(status.st_atime_ns, status.st_mtime_ns))
    assert identity("copy") != first
    # As large as before, and as old. Some file systems tell only so many times a second apart.
    for _ in range(10_000):
        path.write_bytes(CONTENT[::-1])
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        if identity() != first:
            break
    assert identity() != first
    assert identity()[:4] == first[:4]


def test_a_symbolic_link_is_followed_once(tmp_path, path):
    link = tmp_path / "link.txt"
    link.symlink_to(path)
    source = SourceFile(link)
    link.unlink()
    link.symlink_to("/etc/passwd")
    assert source.name == "link.txt"
    assert source.sha256() == hashlib.sha256(CONTENT).hexdigest()
    source.close()


def test_a_folder_is_an_error_that_names_tar(tmp_path):
    with pytest.raises(IsADirectoryError, match=f"tar -czf {tmp_path.name}.tar.gz {tmp_path}"):
        SourceFile(tmp_path)
    assert descriptors_in(tmp_path) == []


def test_a_fifo_is_an_error_and_holds_nobody_up(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError, match="not a regular file"):
        SourceFile(tmp_path / "fifo")
    assert descriptors_in(tmp_path) == []


@pytest.mark.parametrize("place", ["/dev/null", "/dev/zero"])
def test_a_device_is_an_error(place):
    with pytest.raises(OSError, match="not a regular file"):
        SourceFile(place)


@pytest.mark.parametrize(
    ("name", "error"),
    [("missing", FileNotFoundError), ("file.bin/x", NotADirectoryError), ("loop", OSError)],
)
def test_what_cannot_be_opened_is_an_os_error(tmp_path, path, name, error):
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(error):
        SourceFile(tmp_path / name)


@pytest.mark.parametrize("wrong", [None, 5, b"file.bin"])
def test_what_is_no_path_is_a_type_error(wrong):
    with pytest.raises(WrongType, match=r"^path must be a path, not"):
        SourceFile(wrong)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.png", "image/png"),
        ("A.JPG", "image/jpeg"),
        ("a.txt", "text/plain"),
        ("a.html", "text/html"),
        ("a.tar.gz", "application/octet-stream"),
        ("a", "application/octet-stream"),
        (".png", "application/octet-stream"),
        ("", "application/octet-stream"),
        ("data:,x.png", "image/png"),
        ("data:text/html,x", "application/octet-stream"),
        ("a:b.png", "image/png"),
    ],
)
def test_media_types(name, kind):
    assert media_type_of(name) == kind


# --- reading


@pytest.mark.parametrize(
    ("offset", "count", "expected"),
    [
        (0, 10, CONTENT[:10]),
        (100, 200, CONTENT[100:300]),
        (len(CONTENT) - 5, 100, CONTENT[-5:]),
        (len(CONTENT), 10, b""),
        (len(CONTENT) + 10, 10, b""),
        (0, 0, b""),
    ],
)
def test_pieces(source, offset, count, expected):
    assert source.read(offset, count) == expected


def test_a_file_that_grew_has_its_old_size(path, source):
    with path.open("ab") as file:
        file.write(b"more")
    assert source.size == len(CONTENT)
    assert source.read(len(CONTENT) - 5, 100) == CONTENT[-5:]
    assert source.sha256() == hashlib.sha256(CONTENT).hexdigest()


def test_a_file_that_got_shorter_has_an_empty_piece_and_no_hash(path, source):
    os.truncate(path, 1000)
    assert source.read(0, 5000) == CONTENT[:1000]
    assert source.read(1000, 5000) == b""
    with pytest.raises(OSError, match="got shorter"):
        source.sha256()


def test_progress_of_hashing(tmp_path):
    path = tmp_path / "large"
    path.write_bytes(bytes(2_500_000))
    source, seen = SourceFile(path), []
    source.sha256(lambda *step: seen.append(step))
    assert seen == [(1 << 20, 2_500_000), (2 << 20, 2_500_000), (2_500_000, 2_500_000)]
    source.close()


def test_a_file_that_does_not_tell_its_size_is_an_error():
    with pytest.raises(OSError, match="it does not tell its size; copy it first"):
        SourceFile("/proc/self/status")


def test_an_empty_file_has_a_hash(tmp_path):
    (tmp_path / "empty").touch()
    source = SourceFile(tmp_path / "empty")
    assert source.sha256() == hashlib.sha256().hexdigest()
    source.close()


def test_a_sparse_file_that_is_huge(tmp_path):
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(5 << 30)
    source = SourceFile(path)
    assert source.size == 5 << 30
    assert source.read((5 << 30) - 3, 10) == bytes(3)
    source.close()


def test_the_kernel_hands_a_piece_to_a_socket(path, source):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        assert source.send_to(ours.fileno(), 300, 50) == 50
        assert theirs.recv(1000) == CONTENT[300:350]
        assert source.send_to(ours.fileno(), len(CONTENT) - 5, 50) == 5
        assert theirs.recv(1000) == CONTENT[-5:]
        os.truncate(path, 100)
        assert source.send_to(ours.fileno(), 100, 50) == 0
        with pytest.raises(BlockingIOError):
            all(source.send_to(ours.fileno(), 0, 100) for _ in range(100_000))


def test_what_was_loaded_is_in_memory(path, source):
    os.fsync(source._fd)
    os.posix_fadvise(source._fd, 0, 0, os.POSIX_FADV_DONTNEED)
    source.load(0, source.size)
    assert source.in_memory(0, source.size)


def test_what_the_system_cannot_tell_is_not_in_memory(source, monkeypatch):
    monkeypatch.delattr(os, "RWF_NOWAIT")
    assert not source.in_memory(0, 100)


def test_what_is_not_in_memory(source, monkeypatch):
    def preadv(fd, buffers, offset, flags):
        if offset >= 128 * 1024:
            raise BlockingIOError
        return 1

    monkeypatch.setattr(os, "preadv", preadv)
    assert source.in_memory(0, 128 * 1024)
    assert not source.in_memory(0, 128 * 1024 + 1)
    assert not source.in_memory(100 * 1024, 60 * 1024)


# --- closing


def test_it_is_closed_once(tmp_path, path):
    source = SourceFile(path)
    assert not source.closed
    source.close()
    source.close()
    assert source.closed
    assert descriptors_in(tmp_path) == []


@pytest.mark.parametrize(
    "use",
    [
        lambda source: source.read(0, 1),
        lambda source: source.send_to(1, 0, 1),
        lambda source: source.in_memory(0, 1),
        lambda source: source.load(0, 1),
        lambda source: source.sha256(),
    ],
)
def test_nothing_can_be_read_once_it_is_closed(source, use):
    source.close()
    with pytest.raises(ValueError, match="is closed"):
        use(source)


def test_a_thread_that_reads_while_it_is_closed_never_gets_another_file(
    tmp_path, path, monkeypatch
):
    source = SourceFile(path)
    fd, pread = source._fd, os.pread
    begun, go_on = threading.Event(), threading.Event()
    got = []

    def slow(*arguments):
        begun.set()
        go_on.wait(10)
        return pread(*arguments)

    monkeypatch.setattr(os, "pread", slow)
    thread = threading.Thread(target=lambda: got.append(source.read(0, 10)))
    thread.start()
    begun.wait(10)
    source.close()
    (tmp_path / "secret").write_bytes(b"a secret of somebody")
    with (tmp_path / "secret").open() as other:
        assert other.fileno() != fd
        go_on.set()
        thread.join(10)
    assert got == [CONTENT[:10]]
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_a_piece_that_was_being_read_closes_it_once_the_last_one_is_done(source):
    with source._reading() as fd:
        with source._reading():
            source.close()
            assert stat.S_ISREG(os.fstat(fd).st_mode)
        assert stat.S_ISREG(os.fstat(fd).st_mode)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)

"""Fetching to a disk that is slow, full or broken."""

from __future__ import annotations

import errno
import os
import threading
import tracemalloc

import pytest
from twisted.logger import globalLogPublisher

from tests.support.fetching import failure_of, names, step
from tests.support.hostile_http import answer, chunked, then_close
from tests.support.landing import fail
from tests.support.waiting import until
from twisted_oob._file_info import FileInfo
from twisted_oob.errors import FetchFailed, NoRoom
from twisted_oob.files import naming, space, transfer
from twisted_oob.files.fetch import Fetcher
from twisted_oob.files.folder import Place
from twisted_oob.files.policy import FetchPolicy


@step
async def test_only_threads_touch_the_disk(fetcher, web, monkeypatch):
    seen = {}

    def spy(name):
        real = getattr(os, name)

        def spying(*args, **kwargs):
            seen.setdefault(name, set()).add(threading.current_thread())
            return real(*args, **kwargs)

        monkeypatch.setattr(os, name, spying)

    web.answers = [answer(b"x" * 600_000), answer(b"short", length=1_000_000)]
    ours = fetcher()
    for name in ("open", "write", "fsync", "mkdir", "unlink"):
        spy(name)
    await ours.fetch(web.url())
    fetching = ours.fetch(web.url())
    await web.arrivals.get()
    (await web.arrivals.get()).close()
    await failure_of(fetching, FetchFailed)
    assert set(seen) >= {"open", "write", "fsync", "mkdir", "unlink"}
    assert threading.main_thread() not in set.union(*seen.values())


@step
async def test_memory_does_not_grow_with_the_file(fetcher, web):
    size = 32 * 1024 * 1024
    block = bytes(64 * 1024)

    class Producer:
        left = size // len(block)

        def __init__(self, transport):
            self.transport = transport

        def resumeProducing(self):
            self.transport.write(block)
            self.left -= 1
            if not self.left:
                self.transport.unregisterProducer()

        def stopProducing(self):
            pass

    def reply(connection):
        connection.write(answer(length=size))
        connection.transport.registerProducer(Producer(connection.transport), False)

    web.answers = [reply]
    ours = fetcher()
    tracemalloc.start()
    try:
        got = await ours.fetch(web.url())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert got.size == size
    assert peak < 6 * 1024 * 1024


@pytest.mark.parametrize("code", ["ENOSPC", "EDQUOT"])
@pytest.mark.parametrize("name", ["write", "fsync", "mkdir"])
@step
async def test_no_room(*, fetcher, web, folder, monkeypatch, name, code):
    def failing(*args, **kwargs):
        raise OSError(getattr(errno, code), "full")

    web.answers = [answer(b"x" * 600_000)]
    if name == "write":
        real = os.write  # the reactor wakes itself with single bytes
        monkeypatch.setattr(
            os, name, lambda fd, data: (failing if len(data) > 99 else real)(fd, data)
        )
    else:
        monkeypatch.setattr(os, name, failing)
    error = await failure_of(fetcher().fetch(web.url()), NoRoom)
    assert error.condition == "resource-constraint"
    monkeypatch.undo()
    assert names(folder) == []


@step
async def test_no_descriptor_left_for_a_connection(fetcher, web, net, monkeypatch):
    from twisted.internet import tcp  # it installs a reactor

    def failing(*args):
        raise OSError(errno.EMFILE, "Too many open files")

    ours = fetcher()
    url = web.url()
    monkeypatch.setattr(tcp.Client, "createInternetSocket", failing)
    await failure_of(ours.fetch(url), NoRoom)


@pytest.mark.parametrize(
    ("code", "kind"), [("EROFS", NoRoom), ("EIO", OSError)], ids=["read-only", "broken"]
)
@step
async def test_trouble_at_the_name(*, fetcher, web, folder, monkeypatch, code, kind):
    web.answers = [answer(b"x")]
    monkeypatch.setattr(naming, "rename_without_replacing", fail(code))
    error = await failure_of(fetcher().fetch(web.url()), kind)
    if kind is NoRoom:
        assert error.detail == f"the folder {folder}: Read-only file system"
    else:
        assert error.errno == errno.EIO
    assert names(folder) == []


@step
async def test_a_folder_that_comes_and_goes(fetcher, web, folder):
    ours = fetcher()
    web.answers = [answer(b"x")] * 3
    await ours.fetch(web.url())
    folder.rename(folder.with_name("elsewhere"))
    error = await failure_of(ours.fetch(web.url()), NoRoom)
    assert error.detail == f"the folder {folder}: No such file or directory"
    folder.mkdir()
    assert (await ours.fetch(web.url())).path.read_bytes() == b"x"


@step
async def test_a_folder_that_is_renamed_keeps_no_part(fetcher, web, folder):
    elsewhere = folder.with_name("elsewhere")
    fetching = fetcher().fetch(web.url())
    connection = await web.arrivals.get()
    connection.write(answer(bytes(300_000), length=300_001))
    await until(lambda: list(folder.rglob("*.part")))
    folder.rename(elsewhere)
    folder.mkdir()
    connection.write(b"x")
    error = await failure_of(fetching, NoRoom)
    assert error.detail == f"the folder {folder}: it was moved or removed while a file came"
    assert names(folder) == names(elsewhere) == []


@step
async def test_a_file_that_will_not_fit_is_refused_before_its_first_byte(
    fetcher, web, folder, monkeypatch
):
    monkeypatch.setattr(space, "_free", lambda fd: 400_000)
    ours = fetcher()
    first = ours.fetch(web.url())
    connection = await web.arrivals.get()
    connection.write(answer(length=300_000))
    await until(lambda: list(folder.rglob("*.part")))
    web.answers = [answer(length=300_000)]
    await failure_of(ours.fetch(web.url()), NoRoom)
    connection.write(b"x" * 300_000)
    await first


@step
async def test_a_file_that_was_offered_as_too_large_is_refused_before_its_first_byte(
    fetcher, web, folder, monkeypatch
):
    monkeypatch.setattr(space, "_free", lambda fd: 400_000)
    web.answers = [chunked(end=b"")]
    fetching = fetcher().fetch(web.url(), info=FileInfo(size=400_001))
    assert "400001 bytes are declared" in (await failure_of(fetching, NoRoom)).detail
    assert names(folder) == []


@step
async def test_a_file_that_cannot_be_removed_is_logged_and_the_error_stays(
    fetcher, web, monkeypatch
):
    def failing(*args, **kwargs):
        raise OSError(errno.EIO, "broken")

    events = []
    web.answers = [then_close(answer(bytes(300_000), length=300_001))]
    monkeypatch.setattr(Place, "remove", failing)
    globalLogPublisher.addObserver(events.append)
    ours = fetcher()
    try:
        await failure_of(ours.fetch(web.url()), FetchFailed)
    finally:
        globalLogPublisher.removeObserver(events.append)
    assert [event["log_failure"].value.errno for event in events if "log_failure" in event] == [
        errno.EIO
    ]
    assert ours.remove_leftovers() == 1


@step
async def test_a_bug_is_told_as_it_is(fetcher, web, folder, monkeypatch):
    def failing(*args, **kwargs):
        raise ZeroDivisionError

    web.answers = [answer(b"x")]
    monkeypatch.setattr(transfer, "read_answer", failing)
    await failure_of(fetcher().fetch(web.url()), ZeroDivisionError)
    assert names(folder) == []


@pytest.mark.parametrize(
    ("reply", "checks"),
    [(answer(b"x" * 100), 2), (chunked(b"x" * 100), 1)],
    ids=["length", "chunk"],
)
@step
async def test_bytes_that_were_not_kept_make_no_whole_file(
    *, fetcher, web, folder, monkeypatch, reply, checks
):
    left = iter(range(checks - 1, -1, -1))

    def failing(*args):
        if not next(left):
            raise MemoryError

    web.answers = [reply]
    monkeypatch.setattr(FetchPolicy, "check_size", failing)
    await failure_of(fetcher().fetch(web.url()), MemoryError)
    assert names(folder) == []


def test_the_folder_must_be_there(net, tmp_path):
    with pytest.raises(NotADirectoryError, match="existing folder"):
        Fetcher(net, FetchPolicy(), tmp_path / "missing")


@pytest.mark.parametrize(
    ("policy", "directory", "named"),
    [
        (None, "folder", "policy must be a FetchPolicy, not NoneType"),
        ({"max_size": 5}, "folder", "policy must be a FetchPolicy, not dict"),
        (FetchPolicy(), None, "directory must be a path, not NoneType"),
        (FetchPolicy(), 5, "directory must be a path, not int"),
    ],
)
def test_an_argument_of_the_wrong_type_is_named(net, policy, directory, named):
    with pytest.raises(TypeError, match=f"^{named}$"):
        Fetcher(net, policy, directory)


def test_a_relative_folder_stays_where_it_was(net, folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    ours = Fetcher(net, FetchPolicy(), "downloads")
    (folder / f".oob-{0:032x}.part").write_bytes(b"left")
    monkeypatch.chdir("/")
    assert ours.remove_leftovers() == 1


@step
async def test_leftovers_are_not_the_transfers_of_now(fetcher, web, folder, gate):
    ours = fetcher()
    (folder / f".oob-{0:032x}.part").write_bytes(b"left")
    gated = gate(os, "fsync")
    web.answers = [answer(b"x" * 300_000)]
    fetching = ours.fetch(web.url())
    await gated.entered
    assert len(list(folder.rglob("*.part"))) == 2
    assert ours.remove_leftovers() == 1
    gated.open()
    assert (await fetching).path.read_bytes() == b"x" * 300_000

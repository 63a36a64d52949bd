"""Committing many files at once, in few threads that share what is slow."""

from __future__ import annotations

import errno
import os
import threading

import pytest

from tests.support.fetching import ends_of, failure_of, names, step
from tests.support.hostile_http import answer
from twisted_oob.errors import NoRoom
from twisted_oob.files import commit, landing
from twisted_oob.files.commit import Committer
from twisted_oob.files.landing import Landing

# --- step by step, in a pool whose threads run when the test says so


class Pool:
    """A reactor and its pool: what they are given waits until ``run`` or ``turn`` is called."""

    def __init__(self):
        self.threads = []
        self.calls = []

    def getThreadPool(self):
        return self

    def callInThread(self, function):
        self.threads.append(function)

    def callFromThread(self, function, *args):
        self.calls.append((function, args))

    def run(self):
        self.threads.pop(0)()

    def turn(self):
        calls, self.calls = self.calls, []
        for function, args in calls:
            function(*args)


@pytest.fixture
def pool():
    return Pool()


@pytest.fixture
def committer(pool, folder):
    return Committer(pool, folder)


@pytest.fixture
def shares(monkeypatch):
    """The names of the files that were committed together, each time."""
    seen = []
    real = commit.commit_all

    def spying(directory, files):
        seen.append([name for _, name, _ in files])
        return real(directory, files)

    monkeypatch.setattr(commit, "commit_all", spying)
    return seen


def commit_one(committer, name="a.txt", rest=b"rest"):
    return ends_of(committer.commit(committer.landing(), name, bytearray(rest)))


def test_a_file_is_committed_in_a_thread_and_told_in_the_reactor(committer, pool, folder):
    file = committer.landing()
    file.write(b"written, ")
    ends = ends_of(committer.commit(file, "a.txt", bytearray(b"rest")))
    assert len(pool.threads) == 1
    pool.run()
    assert ends == []
    pool.turn()
    assert ends == [folder / "a.txt"]
    assert (folder / "a.txt").read_bytes() == b"written, rest"
    assert file.size == 13


def test_no_more_threads_than_two(committer, pool):
    for number in range(10):
        commit_one(committer, f"{number}")
    assert len(pool.threads) == 2


def test_each_thread_takes_its_share_of_what_waits(committer, pool, shares):
    ends = [commit_one(committer, f"{number}") for number in range(5)]
    pool.run()
    assert shares == [["0", "1", "2"], ["3"], ["4"]]
    pool.run()
    assert len(shares) == 3
    pool.turn()
    assert [path.name for [path] in ends] == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize(
    ("count", "sizes"),
    [(1, [1]), (2, [1, 1]), (63, [32, 16, 8, 4, 2, 1]), (65, [32, 17, 8, 4, 2, 1, 1])],
)
def test_a_share_is_bounded(*, committer, pool, shares, count, sizes):
    for number in range(count):
        commit_one(committer, f"{number}")
    pool.run()
    assert [len(share) for share in shares] == sizes


def test_a_thread_that_ended_is_begun_again(committer, pool, shares):
    for _ in range(3):
        for _ in range(5):
            commit_one(committer)
        assert len(pool.threads) == 2
        pool.run()
        pool.run()
        assert pool.threads == []
    assert sum(map(len, shares)) == 15


def test_what_comes_while_a_thread_works_is_not_forgotten(committer, pool, monkeypatch):
    real = commit.commit_all
    late = []

    def slow(directory, files):
        if not late:
            late.append(commit_one(committer, "late"))
        return real(directory, files)

    monkeypatch.setattr(commit, "commit_all", slow)
    commit_one(committer)
    pool.run()
    pool.turn()
    assert [path.name for path in late[0]] == ["late"]


def test_each_owner_is_told_the_trouble_of_its_own_file(committer, pool, folder, monkeypatch):
    real = os.link

    def failing(source, target):
        if target.name == "bad":
            raise OSError(errno.ENOSPC, "full")
        real(source, target)

    monkeypatch.setattr(os, "link", failing)
    files = [committer.landing() for _ in range(3)]
    ends = [
        ends_of(committer.commit(file, name, bytearray()).addErrback(lambda failure: failure.value))
        for file, name in zip(files, ["good", "bad", "fine"], strict=True)
    ]
    pool.run()
    pool.turn()
    files[1].discard()
    [[good], [bad], [fine]] = ends
    assert (good, fine) == (folder / "good", folder / "fine")
    assert isinstance(bad, NoRoom)


# --- through a Fetcher


@step
async def test_few_threads_commit_and_what_waits_for_them_shares_a_sync(
    fetcher, web, folder, monkeypatch, gate
):
    gated = gate(Landing, "commit")
    syncs = []
    sync = landing._sync_directory
    monkeypatch.setattr(landing, "_sync_directory", lambda path: (syncs.append(path), sync(path)))
    ours = fetcher()
    contents = [bytes([number]) * 10 for number in range(20)]
    web.answers = [answer(content) for content in contents]
    fetching = [ours.fetch(web.url()) for _ in contents]
    for connection in [await web.arrivals.get() for _ in contents]:
        await connection.lost  # the client has what it wants
    assert gated.calls <= 4
    gated.open()
    got = [await each for each in fetching]
    assert sorted(file.path.read_bytes() for file in got) == contents
    assert len({file.path for file in got}) == 20
    assert 4 <= len(syncs) <= 12
    assert set(syncs) == {folder}


@step
async def test_a_share_is_bounded_as_all_of_it_is_open_at_once(
    fetcher, web, folder, monkeypatch, gate
):
    shares = []
    commit_all = commit.commit_all
    monkeypatch.setattr(
        commit,
        "commit_all",
        lambda folder, files: (shares.append(len(files)), commit_all(folder, files))[1],
    )
    gated = gate(Landing, "commit")
    ours = fetcher()
    web.answers = [answer(b"x")] * 140  # so that a full share waits when two are held
    fetching = [ours.fetch(web.url(f"/{number}")) for number in range(140)]
    for connection in [await web.arrivals.get() for _ in fetching]:
        await connection.lost
    gated.open()
    for each in fetching:
        await each
    assert len(names(folder)) == sum(shares) == 140
    assert max(shares) == 32


@step
async def test_large_files_keep_no_small_one_from_being_committed(
    fetcher, web, folder, monkeypatch
):
    held = threading.Event()
    sync = Landing.sync

    def slow(self):
        assert self.size < 300_000 or held.wait(10)
        sync(self)

    monkeypatch.setattr(Landing, "sync", slow)
    ours = fetcher()
    web.answers = [answer(b"x" * 300_000)] * 5
    large = [ours.fetch(web.url("/large")) for _ in range(5)]
    for connection in [await web.arrivals.get() for _ in large]:
        await connection.lost
    web.answers = [answer(b"x")]
    assert (await ours.fetch(web.url("/small"))).path.name == "small"
    held.set()
    for each in large:
        await each
    assert len(names(folder)) == 6


@step
async def test_after_trouble_the_threads_commit_again(fetcher, web, folder, monkeypatch):
    def failing(*args, **kwargs):
        raise OSError(errno.ENOSPC, "full")

    ours = fetcher()
    web.answers = [answer(b"x") for _ in range(12)]
    monkeypatch.setattr(os, "link", failing)
    for _ in range(6):
        await failure_of(ours.fetch(web.url()), NoRoom)
    monkeypatch.undo()
    for each in [ours.fetch(web.url()) for _ in range(6)]:
        await each
    assert len(names(folder)) == 6

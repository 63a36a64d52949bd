"""Committing many files at once, in one thread that shares what is slow."""

from __future__ import annotations

import errno
import os
import threading

import pytest
from twisted.internet.defer import CancelledError

from tests.support.fetching import ends_of, failure_of, names, step
from tests.support.hostile_http import answer
from tests.support.waiting import until
from twisted_oob.errors import NoRoom
from twisted_oob.files import commit, naming
from twisted_oob.files.commit import Committer
from twisted_oob.files.folder import Folder, Place
from twisted_oob.files.landing import Landing

# --- step by step, in a thread that runs when the test says so


class Steps:
    """Stands for the reactor and the committer's thread."""

    def __init__(self, committer):
        self.calls = []
        self.threads = []
        committer._reactor = committer._threads = self

    def start(self, job):
        self.threads.append(job)
        return True

    def callFromThread(self, function, *args):
        self.calls.append((function, args))

    def run(self):
        self.threads.pop(0).run()

    def turn(self):
        calls, self.calls = self.calls, []
        for function, args in calls:
            function(*args)


@pytest.fixture
def committer():
    return Committer(None)


@pytest.fixture
def steps(committer):
    return Steps(committer)


@pytest.fixture
def landing(folder):
    """Makes a Landing, all of them in one Folder."""
    one = Folder(folder)
    return lambda: Landing(one)


@pytest.fixture
def shares(monkeypatch):
    """The names of the files that were committed together, each time."""
    seen = []
    real = commit.commit_all

    def spying(files):
        seen.append([name for _, name, _ in files])
        return real(files)

    monkeypatch.setattr(commit, "commit_all", spying)
    return seen


@pytest.fixture
def commit_one(committer, landing):
    """Commits a small file; gives a list that gets its end."""

    def commit_one(name="a.txt", rest=b"rest"):
        return ends_of(committer.commit(landing(), name, bytearray(rest)).done)

    return commit_one


def test_a_file_is_committed_in_a_thread_and_told_in_the_reactor(committer, steps, landing, folder):
    file = landing()
    file.write(b"written, ")
    ends = ends_of(committer.commit(file, "a.txt", bytearray(b"rest")).done)
    assert len(steps.threads) == 1
    steps.run()
    assert ends == []
    assert names(folder) == ["a.txt"]
    steps.turn()
    assert ends == [folder / "a.txt"]
    assert (folder / "a.txt").read_bytes() == b"written, rest"
    assert file.size == 13


def test_one_thread_takes_all_that_waits(steps, commit_one, shares):
    ends = [commit_one(f"{number}") for number in range(5)]
    assert len(steps.threads) == 1
    steps.run()
    assert shares == [["0", "1", "2", "3", "4"]]
    steps.turn()
    assert [path.name for [path] in ends] == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize(("count", "sizes"), [(1, [1]), (32, [32]), (65, [32, 32, 1])])
def test_a_share_is_bounded(*, steps, commit_one, shares, count, sizes):
    for number in range(count):
        commit_one(f"{number}")
    steps.run()
    assert [len(share) for share in shares] == sizes


def test_a_thread_that_ended_is_begun_again(steps, commit_one, shares):
    for _ in range(3):
        for _ in range(5):
            commit_one()
        assert len(steps.threads) == 1
        steps.run()
        assert steps.threads == []
    assert sum(map(len, shares)) == 15


def test_what_comes_while_the_thread_works_is_not_forgotten(steps, commit_one, monkeypatch):
    real = commit.commit_all
    late = []

    def slow(files):
        if not late:
            late.append(commit_one("late"))
        return real(files)

    monkeypatch.setattr(commit, "commit_all", slow)
    commit_one()
    steps.run()
    steps.turn()
    assert [path.name for path in late[0]] == ["late"]


def test_each_owner_is_told_the_trouble_of_its_own_file(
    *, committer, steps, landing, folder, monkeypatch
):
    real = naming.rename_without_replacing

    def failing(source, source_fd, target, target_fd):
        if target == "bad":
            raise OSError(errno.ENOSPC, "full")
        real(source, source_fd, target, target_fd)

    monkeypatch.setattr(naming, "rename_without_replacing", failing)
    files = [landing() for _ in range(3)]
    ends = [
        ends_of(committer.commit(file, name, b"").done.addErrback(lambda failure: failure.value))
        for file, name in zip(files, ["good", "bad", "fine"], strict=True)
    ]
    steps.run()
    steps.turn()
    files[1].discard()
    [[good], [bad], [fine]] = ends
    assert (good, fine) == (folder / "good", folder / "fine")
    assert isinstance(bad, NoRoom)


@pytest.mark.parametrize("way", ["take_back", "cancel"])
@step
async def test_what_waits_can_be_taken_back_and_is_never_committed(
    *, committer, steps, landing, folder, way
):
    gone, stays = (committer.commit(landing(), name, b"") for name in ("gone", "stays"))
    if way == "cancel":
        gone.done.cancel()
    else:
        assert gone.take_back()
    assert not gone.take_back()
    await failure_of(gone.done, CancelledError)
    steps.run()
    steps.turn()
    assert names(folder) == ["stays"]
    assert await stays.done == folder / "stays"


@step
async def test_what_the_committer_has_taken_is_told_as_it_ends(committer, steps, landing, folder):
    file = landing()
    taken = committer.commit(file, "a.txt", b"")
    steps.run()
    assert not taken.take_back()
    file.discard()
    assert names(folder) == ["a.txt"]
    steps.turn()
    assert await taken.done == folder / "a.txt"
    assert not taken.take_back()


@step
async def test_no_thread_is_to_be_had(committer, steps, landing, monkeypatch):
    def start(job):
        raise NoRoom("no room for the file now")

    with monkeypatch.context() as patched:
        patched.setattr(steps, "start", start)
        await failure_of(committer.commit(landing(), "a", b"").done, NoRoom)
    committer.commit(landing(), "b", b"")
    steps.run()


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize("owner", [(Landing, "sync"), (Place, "sync"), (commit, "commit_all")])
@step
async def test_what_would_end_the_thread_is_an_error_of_its_files(
    *, committer, steps, landing, monkeypatch, owner, kind
):
    def die(*args):
        raise kind

    file = landing()
    with monkeypatch.context() as patched:
        patched.setattr(*owner, die)
        dying = committer.commit(file, "a.txt", b"")
        steps.run()
        steps.turn()
    error = await failure_of(dying.done, RuntimeError)
    assert isinstance(error.__cause__, kind)
    file.discard()
    living = committer.commit(landing(), "b.txt", b"")
    steps.run()
    steps.turn()
    assert (await living.done).name == "b.txt"


# --- through a Fetcher


@step
async def test_what_waits_for_the_thread_shares_a_sync(fetcher, web, monkeypatch, gate):
    gated = gate(Landing, "commit")
    syncs = []
    sync = Place.sync
    monkeypatch.setattr(Place, "sync", lambda self: (syncs.append(self.path), sync(self)))
    ours = fetcher()
    contents = [bytes([number]) * 10 for number in range(20)]
    web.answers = [answer(content) for content in contents]
    fetching = [ours.fetch(web.url()) for _ in contents]
    for connection in [await web.arrivals.get() for _ in contents]:
        await connection.lost  # the client has what it wants
    await until(lambda: gated.calls and len(ours._tools.committer._waiting) < 20)
    gated.open()
    got = [await each for each in fetching]
    assert sorted(file.path.read_bytes() for file in got) == contents
    assert len({file.path for file in got}) == 20
    assert 1 <= len(syncs) <= 4


@step
async def test_a_share_is_bounded_as_all_of_it_is_open_at_once(
    fetcher, web, folder, monkeypatch, gate
):
    shares = []
    commit_all = commit.commit_all
    monkeypatch.setattr(
        commit,
        "commit_all",
        lambda files: (shares.append(len(files)), commit_all(files))[1],
    )
    gated = gate(Landing, "commit")
    ours = fetcher(options={"concurrency": 140})
    web.answers = [answer(b"x")] * 140
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
    web.answers = [answer(b"x" * 300_000)] * 4  # as many as there are writers
    large = [ours.fetch(web.url("/large")) for _ in range(4)]
    for connection in [await web.arrivals.get() for _ in large]:
        await connection.lost
    web.answers = [answer(b"x")]
    assert (await ours.fetch(web.url("/small"))).path.name == "small"
    held.set()
    for each in large:
        await each
    assert len(names(folder)) == 5


@step
async def test_after_trouble_the_threads_commit_again(fetcher, web, folder, monkeypatch):
    def failing(*args, **kwargs):
        raise OSError(errno.ENOSPC, "full")

    ours = fetcher()
    web.answers = [answer(b"x") for _ in range(12)]
    monkeypatch.setattr(os, "fsync", failing)
    for _ in range(6):
        await failure_of(ours.fetch(web.url()), NoRoom)
    monkeypatch.undo()
    for each in [ours.fetch(web.url()) for _ in range(6)]:
        await each
    assert len(names(folder)) == 6

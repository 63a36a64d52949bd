"""Files that were late, told as failed, and there after all."""

from __future__ import annotations

import gc
import os
import threading
import weakref

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import formatEvent

from tests.support.scripted import fetched
from tests.support.streams import URL, outcome
from tests.transfer.test_fair_fetcher import Fair
from twisted_oob import FetchedFile, FileInfo
from twisted_oob.errors import CommitPending, FetchFailed
from twisted_oob.transfer import late_files
from twisted_oob.transfer.late_files import KEPT, LONGEST_WAIT, LateFiles
from twisted_oob.transfer.wanted import Wanted


class Late(Fair):
    """A file whose disk is slow: ``later`` is its end, ``file`` what it is then."""

    def __init__(self, folder, **options):
        super().__init__(**options)
        path = folder / "a.png"
        path.write_bytes(b"late")
        self.file = FetchedFile(path=path, size=4, sha256="0" * 64, url=URL)
        self.fail()

    def fail(self):
        self.later = Deferred()
        self.fetcher.outcome = CommitPending(self.later)
        one = outcome(self.want(url=URL, patient=False))
        assert (one.condition, one.type) == ("resource-constraint", "wait")
        assert one.text == "the disk is slow; offer it again later"
        self.fetcher.outcome = None

    def known(self):
        """Whether the file, offered again, is answered without a fetch."""
        fetches = len(self.fetcher.urls)
        again = self.want(url=URL, patient=False)
        if len(self.fetcher.urls) > fetches:
            self.finish()
            return False
        assert outcome(again) == self.file
        return True


@pytest.fixture
def late(tmp_path):
    return Late(tmp_path)


def test_what_ended_well_later_is_answered_at_once(late, log):
    late.later.callback(late.file)
    [line] = [formatEvent(event) for event in log.ours() if "after all" in formatEvent(event)]
    assert line == (
        f"Offer from friend@home.example/phone is there after all: {URL}: "
        f"4 bytes in {late.file.path}"
    )
    assert late.known()
    assert late.known()
    assert outcome(late.want(url=URL)) == late.file
    assert late.fetcher.urls == [URL]
    assert not late.kept


def test_until_then_it_is_told_so_soon_and_not_fetched_again(late):
    offered_again = late.want(url=URL, patient=False)
    late.clock.advance(LONGEST_WAIT)
    again = outcome(offered_again)
    assert (again.condition, again.type) == ("resource-constraint", "wait")
    assert late.fetcher.urls == [URL]
    late.later.callback(late.file)
    assert late.known()


def test_it_waits_a_moment_for_the_end(late):
    ending = late.want(url=URL, patient=False)
    late.later.callback(late.file)
    assert outcome(ending) == late.file
    assert late.fetcher.urls == [URL]


def test_if_it_fails_in_that_moment_it_is_fetched_again(late):
    late.want(url=URL, patient=False)
    late.later.errback(FetchFailed("no"))
    assert late.fetcher.urls == [URL] * 2
    late.finish()


def test_nothing_is_left_of_a_wait_that_is_cancelled(late):
    ending = late.want(url=URL, patient=False)
    ending.cancel()
    outcome(ending)
    late.later.callback(late.file)
    assert not late.clock.getDelayedCalls()


def test_a_look_at_the_disk_that_is_cancelled_ends_all(late, monkeypatch):
    late.later.callback(late.file)
    monkeypatch.setattr(late.fetches._late, "_look", lambda _path: Deferred())
    ending = late.want(url=URL, patient=False)
    ending.cancel()
    outcome(ending)
    assert late.fetcher.urls == [URL]
    assert not late.kept


def test_what_is_expected_keeps_nothing_of_its_transfer():
    files = LateFiles(Clock())
    wanted = Wanted("Offer", None, "", URL)
    error = CommitPending(Deferred())
    files.expect(wanted, wanted.key, error)
    error = weakref.ref(error)
    gc.collect()
    assert error() is None


def test_what_failed_later_is_fetched_again(late, log):
    late.later.errback(FetchFailed("no", detail="Input/output error"))
    assert "failed after all" in formatEvent(log.ours()[-1])
    assert "Input/output error" in formatEvent(log.ours()[-1])
    assert not late.known()
    assert not log.failures()


@pytest.mark.parametrize("end", ["gone", "another", "longer", "a folder", "written"])
def test_what_is_not_there_unchanged_is_fetched_again(late, end):
    path = late.file.path
    late.later.callback(late.file)
    if end in ("gone", "another", "a folder"):
        path.rename(path.with_name("b"))
    if end == "another":
        path.write_bytes(b"late")
    elif end == "a folder":
        path.mkdir()
    elif end == "longer":
        path.write_bytes(b"later")
    elif end == "written":
        path.write_bytes(b"tale")
        os.utime(path, (1, 1))
    assert not late.known()


@pytest.mark.parametrize(
    "other",
    [{"name": "other@home.example"}, {"url": f"{URL}?2"}, {"info": FileInfo(size=5)}],
)
def test_it_is_for_the_same_file_of_the_same_sender(late, other):
    late.later.callback(late.file)
    late.want(**({"url": URL} | other))
    assert len(late.fetcher.urls) == 2


@pytest.mark.parametrize("pending", [False, True])
def test_it_is_known_for_an_hour(late, pending):
    if not pending:
        late.later.callback(late.file)
        late.clock.advance(KEPT - 1)
        assert late.known()
    late.clock.advance(KEPT if pending else 1)
    assert not late.known()


def test_few_are_known(tmp_path, monkeypatch):
    monkeypatch.setattr(late_files, "MOST", 10)
    clock = Clock()
    files = LateFiles(clock)
    for number in range(100):
        wanted = Wanted("Offer", None, "", f"{URL}?{number}")
        files.expect(wanted, wanted.key, CommitPending(Deferred()))
    assert len(files._known) == 10
    assert wanted.key in files


@pytest_twisted.ensureDeferred
async def test_a_disk_that_hangs_keeps_nobody_waiting(tmp_path, monkeypatch):
    from twisted.internet import reactor

    frozen = threading.Event()

    def hang(_path):
        frozen.wait(20)

    monkeypatch.setattr(late_files, "_identify", hang)
    monkeypatch.setattr(late_files, "LONGEST_LOOK", 0.01)
    files = LateFiles(reactor)
    later = Deferred()
    wanted = Wanted("Offer", None, "", URL)
    files.expect(wanted, wanted.key, CommitPending(later))
    later.callback(fetched())
    while wanted.key in files:
        moment = Deferred()
        reactor.callLater(0.01, moment.callback, None)
        await moment
    assert await files.find(wanted.key) is None
    frozen.set()

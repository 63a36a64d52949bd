"""SharedFile: its hash, its ETag, and who waits for its first read."""

from __future__ import annotations

import hashlib
import os
import threading

import pytest
import pytest_twisted
from twisted.internet.defer import CancelledError
from twisted.internet.task import deferLater

from tests.support.sharing import Answer, MemoryShare, get
from tests.support.waiting import in_time
from twisted_oob.files.source import SourceFile

CONTENT = bytes(range(256)) * 20_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "file.bin"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def memory():
    memory = MemoryShare()
    yield memory
    memory.share.stopService()


@pytest_twisted.ensureDeferred
async def test_a_hash_is_known_once_it_was_computed(memory, path):
    shared = memory.share.add(path)
    first = Answer(memory.ask(get(shared.url, method="HEAD"))).headers["etag"]
    assert shared.info.sha256 is None
    seen = []
    assert await in_time(shared.hash(lambda *step: seen.append(step))) == SHA256
    assert seen == [
        (min(done, len(CONTENT)), len(CONTENT)) for done in range(1 << 20, 6 << 20, 1 << 20)
    ]
    assert shared.info.sha256 == SHA256
    assert (shared.info.name, shared.info.size) == ("file.bin", len(CONTENT))
    etag = Answer(memory.ask(get(shared.url, method="HEAD"))).headers["etag"]
    assert etag == f'"{SHA256}"' != first
    # Both mean the same bytes.
    for known in (first, etag):
        answer = Answer(memory.ask(get(shared.url, "Range: bytes=0-4", f"If-Range: {known}")))
        assert answer.status == 206
    seen.clear()
    assert await in_time(shared.hash(lambda *step: seen.append(step))) == SHA256
    assert seen == []


@pytest_twisted.ensureDeferred
async def test_two_may_ask_for_the_hash_at_once(memory, path):
    shared = memory.share.add(path)
    both = [shared.hash(), shared.hash()]
    assert [await in_time(each) for each in both] == [SHA256, SHA256]


@pytest_twisted.ensureDeferred
async def test_a_file_that_got_shorter_has_no_hash(memory, path):
    shared = memory.share.add(path)
    os.truncate(path, 100)
    with pytest.raises(OSError, match="got shorter"):
        await in_time(shared.hash())
    assert shared.info.sha256 is None


@pytest_twisted.ensureDeferred
async def test_a_file_that_is_closed_has_no_hash(memory, path):
    shared = memory.share.add(path)
    hashing = shared.hash()
    shared.close()
    with pytest.raises(ValueError, match="is closed"):
        await in_time(hashing)


@pytest_twisted.ensureDeferred
async def test_a_hash_that_nobody_wants_any_more(memory, path, monkeypatch):
    from twisted.internet import reactor

    read, pieces, told = SourceFile.read, [], []
    cancelled = threading.Event()

    def reading(self, offset, count):
        if offset == 2000:
            reactor.callFromThread(lambda: (hashing.cancel(), cancelled.set()))
            cancelled.wait(10)
        pieces.append(offset)
        return read(self, offset, 1000)

    monkeypatch.setattr(SourceFile, "read", reading)
    hashing = memory.share.add(path).hash(lambda *step: told.append(step))
    with pytest.raises(CancelledError):
        await in_time(hashing)
    while reactor.getThreadPool().working:
        await deferLater(reactor, 0.001)
    assert pieces == [0, 1000, 2000]
    assert len(told) <= 2


def test_what_tells_progress_must_be_callable(memory, path):
    with pytest.raises(TypeError, match=r"^on_progress must be callable"):
        memory.share.add(path).hash(5)


def test_the_first_read(memory, path):
    shared, fired = memory.share.add(path), []
    shared.when_read().addCallback(fired.append)
    memory.ask(get(shared.url, method="HEAD"))
    memory.ask(get(shared.url, "Range: bytes=0-99"))
    memory.ask(get(shared.url, method="POST"))
    assert (fired, shared.reads) == ([], 0)
    memory.ask(get(shared.url, "Range: bytes=100-"))
    assert (fired, shared.reads) == ([None], 1)
    shared.when_read().addCallback(fired.append)
    assert fired == [None, None]
    shared.close()
    shared.when_read().addCallback(fired.append)
    assert fired == [None, None, None]


def test_a_read_ends_when_nothing_waits_in_the_transport(memory, tmp_path):
    (tmp_path / "small").write_bytes(b"small")
    shared = memory.share.add(tmp_path / "small")
    transport = memory.connect()
    transport.protocol.dataReceived(get(shared.url))
    assert Answer(transport.value()).body == b"small"
    assert shared.reads == 0
    transport.producer.resumeProducing()
    assert shared.reads == 1


def test_progress(memory, path):
    seen = []
    shared = memory.share.add(path, on_progress=lambda *step: seen.append(step))
    memory.ask(get(shared.url, method="HEAD"))
    assert seen == []
    memory.ask(get(shared.url))
    memory.ask(get(shared.url))
    read = [done for done, size in seen]
    assert read == sorted(set(read))
    assert seen[-1] == (len(CONTENT), len(CONTENT))


def test_whoever_is_told_of_a_read_may_close_everything(memory, path):
    shared = memory.share.add(path)
    shared.when_read().addCallback(lambda _: memory.share.stopService())
    answer = Answer(memory.ask(get(shared.url)))
    assert answer.body == CONTENT


def test_no_repr_has_the_url(memory, path):
    shared = memory.share.add(path)
    assert repr(shared) == f"<SharedFile of {path}>"


def test_when_it_ends_can_be_said_again(memory, path):
    shared, other = memory.share.add(path, expires=10), memory.share.add(path)
    memory.clock.advance(9)
    memory.share.expire(shared, 10)
    memory.share.expire(other, 5)
    memory.clock.advance(5)
    assert (shared.source.closed, other.source.closed) == (False, True)
    memory.clock.advance(5)
    assert shared.source.closed
    memory.share.expire(shared, 10)
    assert memory.clock.getDelayedCalls() == []

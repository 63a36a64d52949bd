"""A file is hashed in a thread, and the reactor's thread is told how far that is."""

from __future__ import annotations

import hashlib
import os
import threading

import pytest
from twisted.internet.defer import CancelledError

from tests.support.fetching import descriptors_in, failure_of, step
from tests.support.streams import logged
from tests.support.waiting import until
from twisted_oob.files.hashing import hash_in_thread
from twisted_oob.files.source import SourceFile

SIZE = 3_000_000


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(os.urandom(SIZE))
    source = SourceFile(path)
    yield source
    source.close()
    assert descriptors_in(tmp_path) == []


@step
async def test_it_gives_the_sha256_and_tells_the_progress_in_the_reactors_thread(source):
    told = []

    def tell(*news):
        told.append((news, threading.current_thread()))

    sha256 = await hash_in_thread(source, tell)
    assert sha256 == hashlib.sha256(source.path.read_bytes()).hexdigest()
    assert told[-1] == ((SIZE, SIZE), threading.main_thread())
    assert [done for (done, _size), _thread in told] == [1 << 20, 2 << 20, SIZE]


@step
async def test_an_error_of_on_progress_is_logged_once_and_the_hash_comes(source):
    with logged() as events:
        sha256 = await hash_in_thread(source, lambda *_: 1 // 0)
        [failure] = events.failures()
    assert sha256 == source.sha256()
    assert isinstance(failure, ZeroDivisionError)


@step
async def test_to_cancel_stops_the_thread(source):
    reads, told, ended = [], [], []
    read, sha256 = source.read, source.sha256
    cancelled = threading.Event()

    def waiting(*piece):
        reads.append(piece)
        cancelled.wait(10)
        return read(*piece)

    def noted(step):
        try:
            return sha256(step)
        finally:
            ended.append(True)

    source.read, source.sha256 = waiting, noted
    hashing = hash_in_thread(source, lambda *news: told.append(news))
    await until(lambda: reads)
    hashing.cancel()
    cancelled.set()
    await failure_of(hashing, CancelledError)
    await until(lambda: ended)
    assert len(reads) == 1
    assert told == []

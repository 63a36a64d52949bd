"""What a Receiver does with what was said of a file: it checks it, and it tells the progress."""

from __future__ import annotations

import pytest

from tests.support.receiving import URL, Receiving
from twisted_oob import FileInfo


def test_what_was_said_of_the_file_goes_to_the_fetcher():
    given = Receiving(decision=True)
    info = FileInfo("a.png", 5, "image/png", "ab" * 32)
    given.peer.oob.send_url(given.end.jid, URL, info=info)
    given.message("https://files.example/other.png")
    assert [arrival.info for arrival, _ in given.asked] == [info, None]
    assert given.fetcher.infos == [info, None]


@pytest.mark.parametrize(
    ("size", "total", "told"), [(None, None, None), (None, 9, 9), (9, None, 9), (9, 9, 9)]
)
def test_progress_is_told_of_each_arrival(size, total, told):
    seen = []
    given = Receiving(decision=True, on_progress=lambda *of: seen.append(of))
    info = None if size is None else FileInfo(size=size)
    given.peer.oob.send_url(given.end.jid, URL, info=info)
    [(arrival, _)] = given.asked
    [on_progress] = given.fetcher.on_progress
    on_progress(4, total)
    assert seen == [(arrival, 4, told)]


def test_without_an_observer_of_progress_the_fetcher_needs_none():
    given = Receiving(decision=True)
    given.peer.offer(URL)
    assert given.fetcher.on_progress == [None]

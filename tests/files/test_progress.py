"""Progress that is told to an application, whatever that does."""

from __future__ import annotations

from tests.support.streams import logged
from twisted_oob.files.progress import ProgressObserver


def test_it_tells_what_it_is_told():
    told = []
    progress = ProgressObserver(lambda *news: told.append(news))
    progress(4, None)
    progress("read", 9, 9)
    assert told == [(4, None), ("read", 9, 9)]


def test_without_on_progress_nothing_is_told():
    ProgressObserver(None)(4, 9)


def test_an_error_is_logged_once_and_nothing_more_is_told():
    told = []

    def failing(*news):
        told.append(news)
        raise ZeroDivisionError

    progress = ProgressObserver(failing)
    with logged() as events:
        progress(4, 9)
        progress(9, 9)
        [failure] = events.failures()
    assert told == [(4, 9)]
    assert isinstance(failure, ZeroDivisionError)

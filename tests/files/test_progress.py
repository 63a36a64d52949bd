"""Progress that is told to an application, whatever that does."""

from __future__ import annotations

import pytest

from tests.support.streams import logged
from twisted_oob.files.progress import Progress


@pytest.mark.parametrize("total", [None, 0, 9])
def test_it_tells_what_is_done_and_the_total(total):
    told = []
    progress = Progress(lambda *given: told.append(given), total)
    progress(4)
    progress(9)
    assert told == [(4, total), (9, total)]


def test_an_error_is_logged_once_and_nothing_more_is_told():
    told = []

    def failing(*given):
        told.append(given)
        raise ZeroDivisionError

    progress = Progress(failing, 9)
    with logged() as events:
        progress(4)
        progress(9)
        [failure] = events.failures()
    assert told == [(4, 9)]
    assert isinstance(failure, ZeroDivisionError)

"""A folder that can't be used: what is told, to whom, and how often."""

from __future__ import annotations

import errno
import os

import pytest
from twisted.logger import LogLevel, formatEvent

from tests.support.scripted import Served
from tests.support.streams import outcome
from tests.transfer.test_fair_fetcher import Fair
from twisted_oob.errors import FolderUnusable


def system_error(number):
    return OSError(number, os.strerror(number), "/srv/files/.oob/secret.part")


def no_room(number):
    error = FolderUnusable("/srv/files", os.strerror(number))
    error.__cause__ = system_error(number)
    return error


@pytest.fixture
def fair():
    fair = Fair()
    fair.fetcher.directory = "/srv/files"
    return fair


def warnings(log):
    return [formatEvent(event) for event in log.ours() if event["log_level"] is LogLevel.warn]


@pytest.mark.parametrize("make", [system_error, no_room])
@pytest.mark.parametrize("number", [errno.ENOENT, errno.EROFS, errno.EACCES, errno.EIO])
def test_each_is_told_to_wait_and_the_operator_once_a_minute(fair, log, make, number):
    for minute in range(2):
        for _ in range(30):
            fair.fetcher.outcome = make(number)
            error = outcome(fair.want(patient=False))
            assert (error.condition, error.type) == ("resource-constraint", "wait")
            assert "srv" not in error.text
            fair.clock.advance(1 if minute == 0 else 3)
        fair.clock.advance(30)
    reason = os.strerror(number)
    first, second, *_more = warnings(log)
    assert first == f"The folder /srv/files can't be used: {reason}"
    assert second == f"{first}; 29 more files have failed since the last warning"
    ended = [formatEvent(event) for event in log.ours() if " ended: " in formatEvent(event)]
    assert len(ended) == 60
    assert all("resource-constraint" in line and reason in line for line in ended)
    assert not log.failures()


def test_one_more_file_is_one(fair, log):
    for seconds in (1, 60, 0):
        fair.fetcher.outcome = system_error(errno.EROFS)
        outcome(fair.want(patient=False))
        fair.clock.advance(seconds)
    _first, second = warnings(log)
    assert second.endswith("; 1 more file has failed since the last warning")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EMFILE])
def test_a_full_disk_is_no_trouble_with_the_folder(fair, log, number):
    fair.fetcher.outcome = no_room(number)
    assert outcome(fair.want()) is fair.fetcher.outcome
    assert warnings(log) == []


@pytest.mark.parametrize("error", [ConnectionRefusedError(111, "no"), OSError("x"), ValueError()])
def test_what_nobody_expected_is_no_trouble_with_the_folder(fair, log, error):
    fair.fetcher.outcome = error
    assert outcome(fair.want()) is error
    assert warnings(log) == []


def test_on_a_stream_there_is_no_traceback(log):
    served = Served()
    served.fetcher.outcome = system_error(errno.EROFS)
    assert served.offer(count=3) == ["resource-constraint"] * 3
    served.fetcher.outcome = None
    assert len(log.ours()) == 7
    assert not log.failures()
    # It is used again as soon as it can be.
    served.offer()
    assert len(served.fetcher.transfers) == 1

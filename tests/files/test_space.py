"""Room that is promised, counted from many threads."""

from __future__ import annotations

import os
import threading

import pytest

from twisted_oob.errors import NoRoom
from twisted_oob.files import space
from twisted_oob.files.space import Space, space_of


def test_each_file_system_has_one_for_the_whole_process(tmp_path):
    device = tmp_path.stat().st_dev
    assert space_of(device) is space_of(device)
    assert space_of(device) is not space_of(device + 1)


def test_no_more_is_promised_than_is_free_whoever_asks_at_once(monkeypatch):
    one = Space()
    monkeypatch.setattr(space, "_free", lambda fd: 1000)
    promised = []

    def ask():
        for _ in range(100):
            try:
                one.promise(30, 0)
            except NoRoom:
                continue
            promised.append(30)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(promised) == 990
    for size in promised:
        one.end(size)
    one.promise(1000, 0)


def test_what_is_free_is_what_the_file_system_gives_to_us(monkeypatch):
    told = os.statvfs_result((1024, 512, 1000, 900, 700, 0, 0, 0, 0, 255))
    monkeypatch.setattr(os, "fstatvfs", lambda fd: told)
    one = Space()
    one.promise(700 * 512, 0)
    with pytest.raises(NoRoom, match="358400 are free"):
        one.promise(1, 0)

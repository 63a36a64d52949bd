"""What is read again on SIGHUP, and what is told of it."""

from __future__ import annotations

import os

import pytest
from twisted.logger import Logger, formatEvent

from twisted_oob.commands.rereading import Rereading


class Reread:
    def __init__(self, folder):
        self.folder = folder
        self.read = []
        self.lines = []
        log = Logger(observer=lambda event: self.lines.append(self._line(event)))
        self.rereading = Rereading(log)

    def _line(self, event):
        return f"{event['log_level'].name}: {formatEvent(event)}"

    def add(self, name, error=None):
        path = self.folder / name

        def read():
            if error is not None:
                raise error
            self.read.append(path)

        self.rereading.add("--file", path, read)
        return path


@pytest.fixture
def reread(tmp_path):
    return Reread(tmp_path)


def test_one_line_tells_what_was_read_also_of_what_is_created_later(reread):
    a, b = reread.add("a"), reread.add("b")
    a.touch()
    reread.rereading()
    assert reread.read == [a, b]
    assert reread.lines == [f"info: Read again: --file {a}, --file {b}"]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (PermissionError(13, "Permission denied"), "Permission denied"),
        (ValueError("line 2: no"), "line 2: no"),
    ],
)
def test_what_can_not_be_read_is_a_warning_and_the_rest_is_read(reread, error, reason):
    a, b = reread.add("a", error), reread.add("b")
    reread.rereading()
    assert reread.read == [b]
    assert reread.lines == [
        f"warn: --file '{a}' can't be used: {reason}; what was read before holds",
        f"info: Read again: --file {b}",
    ]


def test_a_pipe_is_left_alone_quietly(reread):
    reading, writing = os.pipe()
    os.mkfifo(reread.folder / "fifo")
    with (reread.folder / "file").open("wb") as file:
        for one in (f"/dev/fd/{reading}", f"/proc/self/fd/{file.fileno()}", reread.folder / "fifo"):
            reread.add(one)
        reread.rereading()
    os.close(reading)
    os.close(writing)
    assert reread.read == []
    assert reread.lines == ["info: Read again: nothing"]


def test_a_pipe_in_the_place_of_a_file_keeps_nobody_waiting(reread):
    path = reread.add("a")
    os.mkfifo(path)
    reread.rereading()
    assert reread.read == []
    assert "it is no file any more" in reread.lines[0]

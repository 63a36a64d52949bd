"""Progress bars: what a terminal shows, and that nothing else is written to."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import sys
import termios

import pytest

from twisted_oob.commands.output import Output
from twisted_oob.commands.progress import Progress


class Terminal:
    """A terminal as standard error."""

    def __init__(self, monkeypatch, rows, columns):
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self._file = os.fdopen(theirs, "w", encoding="utf-8")
        monkeypatch.setattr(sys, "stderr", self._file)

    def shown(self):
        """Give all that was written, one after the other."""
        self._file.flush()
        pieces = []
        while select.select([self._ours], [], [], 0)[0]:
            pieces.append(os.read(self._ours, 65536))
        # Whatever moves the cursor to another line ends one.
        return re.split(r"(?:\r|\n|\x1b\[A)+", b"".join(pieces).decode())

    def close(self):
        self._file.close()
        os.close(self._ours)


@pytest.fixture
def terminal(monkeypatch):
    made = []

    def make(rows=24, columns=100):
        made.append(Terminal(monkeypatch, rows, columns))
        return made[-1]

    yield make
    monkeypatch.undo()
    for one in made:
        one.close()


def test_without_a_terminal_nothing_is_shown(capsys):
    progress = Progress(Output("oob"), "bob")
    assert progress.watch(0, "a.txt") is None
    progress.done(0)
    progress.close()
    assert capsys.readouterr() == ("", "")


def test_only_errors_leave_no_room_for_bars(terminal):
    terminal()
    assert Progress(Output("oob", quiet=True), "bob").watch(0, "a.txt") is None


@pytest.mark.parametrize("size", [(24, 100), (0, 0)])
def test_each_phase_is_shown(terminal, size):
    screen = terminal(*size)
    progress = Progress(Output("oob"), "bob@example.org")
    watch = progress.watch(0, "a.txt")
    for phase in ("hash", "upload", "read"):
        watch(phase, 1000, 2000)
        watch(phase, 2000, 2000)
    progress.close()
    shown = "\n".join(screen.shown())
    for label in ("hashing", "uploading", "sending", "waiting for bob@example.org"):
        assert f"a.txt: {label}:" in shown
    assert "2.00k/2.00k" in shown


def test_a_reader_that_begins_anew_begins_at_nothing(terminal):
    screen = terminal()
    progress = Progress(Output("oob"), "bob")
    watch = progress.watch(0, "a.txt")
    watch("read", 2000, 2000)
    watch("read", 0, 2000)
    assert "sending:   0%" in screen.shown()[-1]
    progress.close()


def test_a_name_can_not_steer_the_terminal(terminal):
    screen = terminal()
    progress = Progress(Output("oob"), "bob")
    progress.watch(0, "a\x1b[2J\n.txt")("hash", 1, 2)
    assert any("a\ufffd[2J\ufffd.txt: hashing" in line for line in screen.shown())
    progress.close()


def test_lines_and_bars_do_not_mix(terminal):
    screen = terminal()
    output = Output("oob")
    progress = Progress(output, "bob")
    progress.watch(0, "a.txt")("hash", 1, 2)
    output.error("wrong")
    assert "oob: wrong" in screen.shown()
    progress.close()
    # The last thing on the terminal is an empty line.
    assert screen.shown()[-1].strip() == ""

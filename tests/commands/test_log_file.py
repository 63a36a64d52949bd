"""The service's log: what it shows, and a file that is moved away."""

from __future__ import annotations

import io
import os
import socket
import stat
import sys

import pytest
import pytest_twisted
from twisted.internet.defer import maybeDeferred
from twisted.internet.protocol import DatagramProtocol, Factory
from twisted.logger import Logger, LogPublisher, globalLogPublisher
from twisted.python import log as old_log

from twisted_oob.commands.appended_file import LONGEST
from twisted_oob.commands.log_file import ServiceLog, service_log


def logger(observer):
    return Logger("test", observer=LogPublisher(observer))


@pytest.fixture
def file(tmp_path):
    return tmp_path / "service.log"


@pytest.fixture
def log(file):
    return ServiceLog({"logfile": str(file), "nodaemon": True})


def test_lines_for_developers_are_left_out(log, file):
    out = logger(log.observer())
    out.debug("for a developer")
    out.info("for an operator")
    out.warn("for an operator, too")
    assert [line.rpartition("] ")[2] for line in file.read_text().splitlines()] == [
        "for an operator",
        "for an operator, too",
    ]


@pytest_twisted.ensureDeferred
async def test_what_twisted_says_of_ports_is_left_out_and_errors_are_not(log, file):
    from twisted.internet import reactor

    observer = log.observer()
    globalLogPublisher.addObserver(observer)
    try:
        for listen, protocol in (
            (reactor.listenTCP, Factory()),
            (reactor.listenUDP, DatagramProtocol()),
        ):
            await maybeDeferred(listen(0, protocol, interface="127.0.0.1").stopListening)
        old_log.msg("what went wrong", isError=True)
    finally:
        globalLogPublisher.removeObserver(observer)
    [line] = file.read_text().splitlines()
    assert line.endswith("what went wrong")


def test_no_line_is_lost_that_can_not_be_encoded(log, file, monkeypatch):
    logger(log.observer()).info("in {folder}", folder="gr\xfcn/\udcff")
    assert file.read_text().endswith("in gr\xfcn/\\udcff\n")
    ascii_only = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", ascii_only)
    logger(ServiceLog({"nodaemon": True}).observer()).info("in {folder}", folder="gr\xfcn")
    assert ascii_only.buffer.getvalue().endswith(b"in gr\\xfcn\n")


def test_a_file_that_was_moved_away_gets_no_more_lines(log, file, tmp_path):
    out = logger(log.observer())
    out.info("first")
    file.rename(tmp_path / "old")
    out.info("second")
    log.reopen()
    out.info("third")
    assert [line.split()[-1] for line in (tmp_path / "old").read_text().splitlines()] == [
        "first",
        "second",
    ]
    assert file.read_text().split()[-1] == "third"


def test_a_file_that_was_not_moved_goes_on(log, file):
    out = logger(log.observer())
    out.info("first")
    log.reopen()
    out.info("second")
    assert len(file.read_text().splitlines()) == 2


def test_the_log_goes_on_if_there_can_be_no_new_file(log, file, tmp_path):
    out = logger(log.observer())
    out.info("first")
    file.rename(tmp_path / "old")
    file.mkdir()
    with pytest.raises(OSError, match="directory"):
        log.reopen()
    out.info("second")
    assert len((tmp_path / "old").read_text().splitlines()) == 2


def test_it_rotates(log, file, tmp_path):
    out = logger(log.observer())
    out.info("first")
    log.rotate()
    out.info("second")
    assert "first" in (tmp_path / "service.log.1").read_text()
    assert "second" in file.read_text()


def test_a_file_that_was_copied_and_made_empty_begins_anew(log, file):
    out = logger(log.observer())
    out.info("first")
    os.truncate(file, 0)
    out.info("second")
    assert [line.split()[-1] for line in file.read_text().splitlines()] == ["second"]


def test_a_long_file_gets_a_number_and_each_new_one_has_its_mode(log, file, tmp_path):
    out = logger(log.observer())
    file.chmod(0o640)
    for text in ("first", "second", "third"):
        out.info(text)
        with file.open("a") as end:
            end.write("x" * LONGEST)
    for name, text in (
        ("service.log", "third"),
        ("service.log.1", "second"),
        ("service.log.2", "first"),
    ):
        path = tmp_path / name
        assert text in path.read_text()
        assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_the_log_may_be_a_pipe(tmp_path):
    reader, writer = os.pipe()
    log = ServiceLog({"logfile": f"/dev/fd/{writer}", "nodaemon": True})
    out = logger(log.observer())
    os.close(writer)
    out.info("first")
    log.reopen()
    log.rotate()
    out.info("second")
    read = os.read(reader, 4096).decode().splitlines()
    os.close(reader)
    assert [line.split()[-1] for line in read] == ["first", "second"]


def test_the_log_may_be_a_descriptor_that_can_not_be_opened_anew():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        log = ServiceLog({"logfile": f"/dev/fd/{theirs.fileno()}", "nodaemon": True})
        logger(log.observer()).info("shown")
        assert ours.recv(4096).endswith(b"shown\n")


def test_a_descriptor_that_is_not_open_is_told():
    with pytest.raises(SystemExit, match="twistd's --logfile '/dev/fd/987654' can't be used: Bad"):
        ServiceLog({"logfile": "/dev/fd/987654", "nodaemon": True}).observer()


def test_a_pipe_without_a_reader_is_told_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SystemExit, match="twistd's --logfile"):
        ServiceLog({"logfile": str(tmp_path / "pipe")}).observer()


@pytest.mark.parametrize("options", [{"nodaemon": True}, {"logfile": "-", "nodaemon": True}])
def test_in_the_foreground_it_is_standard_output(options, monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    log = ServiceLog(options)
    logger(log.observer()).info("shown")
    log.reopen()
    log.rotate()
    assert "shown" in sys.stdout.getvalue()


def test_a_daemon_has_the_file_that_twistd_would_take(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    observer = ServiceLog({"logfile": None, "nodaemon": 0}).observer()
    monkeypatch.chdir("/")
    logger(observer).info("shown")
    assert "shown" in (tmp_path / "twistd.log").read_text()


def test_a_file_that_cannot_be_written_is_one_line(tmp_path):
    with pytest.raises(SystemExit, match=r"twistd's --logfile .*nowhere\.log"):
        ServiceLog({"logfile": str(tmp_path / "missing" / "nowhere.log")}).observer()


@pytest.mark.parametrize(
    "options",
    [None, {"logger": "some.factory"}, {"syslog": 1}, {"logfile": "-", "nodaemon": 0}],
)
def test_what_twistd_was_told_counts(options):
    assert service_log(options) is None

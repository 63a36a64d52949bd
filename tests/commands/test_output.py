"""What a command writes on standard error."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from twisted_oob.commands.output import Output


def logger_to(output):
    return Logger("somebody", observer=output.log)


def failure():
    try:
        raise KeyError("x")
    except KeyError:
        return Failure()


def test_an_error_is_one_line_that_begins_with_the_command(capsys):
    Output("oob send", quiet=True).error("a\nb\x1b[2J")
    assert capsys.readouterr() == ("", "oob send: a\ufffdb\ufffd[2J\n")


@pytest.mark.parametrize("quiet", [False, True])
def test_a_warning_comes_once_and_not_if_only_errors_count(capsys, quiet):
    output = Output("oob", quiet=quiet)
    for text in ("a", "b", "a"):
        output.warn(text)
    assert capsys.readouterr().err == ("" if quiet else "oob: warning: a\noob: warning: b\n")


def test_news_are_no_errors(capsys):
    Output("oob").say("it goes on")
    Output("oob", quiet=True).say("it goes on")
    assert capsys.readouterr().err == "it goes on\n"


@pytest.mark.parametrize(
    ("options", "lines"),
    [
        ({}, ["oob: warning: w 2", "oob: error: e", "oob: critical: f: KeyError: 'x'"]),
        ({"quiet": True}, ["oob: error: e", "oob: critical: f: KeyError: 'x'"]),
    ],
)
def test_the_log_shows_what_went_wrong(capsys, options, lines):
    log = logger_to(Output("oob", **options))
    log.debug("d")
    log.info("i")
    log.emit(LogLevel.warn, "w {x}", x=2)
    log.error("e")
    log.failure("f", failure=failure())
    assert capsys.readouterr().err.splitlines() == lines


def test_all_of_the_log_has_tracebacks(capsys):
    log = logger_to(Output("oob", verbose=True))
    log.debug("d")
    log.failure("f", failure=failure())
    written = capsys.readouterr().err
    assert written.startswith("oob: debug: d\noob: critical: f: KeyError: 'x'\nTraceback")


@pytest.mark.parametrize("verbose", [False, True])
def test_a_fault_is_one_line_unless_more_is_wanted(capsys, verbose):
    Output("oob", verbose=verbose).fault(failure())
    line, *more = capsys.readouterr().err.splitlines()
    assert line.startswith("oob: a fault of oob's own: KeyError: 'x'")
    assert ("--verbose" in line) is not verbose
    assert bool(more) is verbose


def test_every_line_is_written_aside(capsys):
    output = Output("oob")
    aside = []

    @contextmanager
    def note():
        aside.append("begin")
        yield
        aside.append("end")

    output.aside = note
    output.error("a")
    assert aside == ["begin", "end"]

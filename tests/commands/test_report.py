"""What a person sees of the demonstration: its own lines, and what goes wrong."""

from __future__ import annotations

import io

import pytest
from twisted.logger import ILogObserver, Logger, LogLevel, LogPublisher
from twisted.python.reflect import namedAny
from zope.interface.verify import verifyObject

from twisted_oob.commands import demo
from twisted_oob.commands.report import REPORT_NAMESPACE, REPORT_OBSERVER, ReportObserver


class Terminal(io.StringIO):
    """Keeps what was flushed."""

    seen = ""

    def flush(self):
        self.seen = self.getvalue()


@pytest.fixture
def shown():
    """Logs an event; gives what is shown of it: as the report, and as errors."""

    def show(namespace, level, text, **values):
        report, errors = Terminal(), io.StringIO()
        publisher = LogPublisher(ReportObserver(report, errors))
        Logger(namespace, observer=publisher).emit(level, text, **values)
        return report.seen, errors.getvalue()

    return show


def test_the_demonstrations_lines_are_shown_bare(shown):
    line = shown(REPORT_NAMESPACE, LogLevel.info, "demo: {what}", what="a file")
    assert line == ("demo: a file\n", "")


@pytest.mark.parametrize("level", [LogLevel.debug, LogLevel.info])
def test_what_twistd_says_is_not_shown(shown, level):
    assert shown("twisted.scripts", level, "Server Shut Down.") == ("", "")


@pytest.mark.parametrize("level", [LogLevel.warn, LogLevel.error, LogLevel.critical])
@pytest.mark.parametrize("namespace", ["anybody", REPORT_NAMESPACE])
def test_what_goes_wrong_is_shown_whoever_says_it(shown, namespace, level):
    report, errors = shown(namespace, level, "it {what}", what="broke")
    assert report == ""
    assert errors.endswith("it broke\n")
    assert namespace in errors


def test_an_event_of_no_namespace_is_not_shown(shown):
    report = Terminal()
    ReportObserver(report, report)({"log_level": LogLevel.info, "log_format": "x"})
    assert report.getvalue() == ""


def test_it_shows_on_standard_output_and_error(capsys):
    observer = ReportObserver()
    publisher = LogPublisher(observer)
    Logger(REPORT_NAMESPACE, observer=publisher).info("a line")
    Logger("anybody", observer=publisher).warn("a warning")
    said = capsys.readouterr()
    assert said.out == "a line\n"
    assert "a warning" in said.err
    assert verifyObject(ILogObserver, observer)


def test_its_names_are_those_of_the_modules():
    assert namedAny(REPORT_OBSERVER) is ReportObserver
    assert demo.__name__ == REPORT_NAMESPACE

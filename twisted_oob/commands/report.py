"""ReportObserver: shows the demonstration's report on a terminal, without twistd's own lines."""

from __future__ import annotations

import sys
from typing import Any, Final, TextIO

from twisted.logger import ILogObserver, LogLevel, formatEvent, textFileLogObserver
from zope.interface import implementer

REPORT_NAMESPACE: Final = "twisted_oob.commands.demo"
"""The namespace of the log events that make the report."""
REPORT_OBSERVER: Final = "twisted_oob.commands.report.ReportObserver"
"""What twistd's --logger takes to show the report alone."""


@implementer(ILogObserver)
class ReportObserver:
    """Writes the demonstration's lines without time and namespace, and warnings of anybody.

    Everything else, such as twistd's "Server Shut Down.", is dropped.

    Args:
        report: Where the lines go; standard output by default.
        errors: Where warnings and errors go; standard error by default.
    """

    def __init__(self, report: TextIO | None = None, errors: TextIO | None = None) -> None:
        self._report = sys.stdout if report is None else report
        self._errors = textFileLogObserver(sys.stderr if errors is None else errors)

    def __call__(self, event: Any) -> None:
        """Write one event, if it is of the demonstration or a warning."""
        if event["log_level"] >= LogLevel.warn:
            self._errors(event)
        elif event.get("log_namespace") == REPORT_NAMESPACE:
            self._report.write(formatEvent(event) + "\n")
            # A person watches, and a pipe would keep the lines until the end.
            self._report.flush()

"""ReportObserver: shows a person what a demonstration came to, without twistd's own lines."""

from __future__ import annotations

import sys
from typing import Any, Final, TextIO

from twisted.logger import ILogObserver, LogLevel, formatEvent, textFileLogObserver
from zope.interface import implementer

REPORT_NAMESPACE: Final = "twisted_oob.commands.demo"
"""The namespace of the log events that are shown."""
REPORT_OBSERVER: Final = "twisted_oob.commands.report.ReportObserver"
"""What twistd's --logger takes to show a person the demonstration alone."""


@implementer(ILogObserver)
class ReportObserver:
    """Shows a person the demonstration's lines, bare, and warnings; all else is twistd's chatter.

    ``report``: where the lines go. ``errors``: where warnings and errors go.
    """

    def __init__(self, report: TextIO | None = None, errors: TextIO | None = None) -> None:
        self._report = sys.stdout if report is None else report
        self._errors = textFileLogObserver(sys.stderr if errors is None else errors)

    def __call__(self, event: Any) -> None:
        """Show one event, or not."""
        if event["log_level"] >= LogLevel.warn:
            self._errors(event)
        elif event.get("log_namespace") == REPORT_NAMESPACE:
            self._report.write(formatEvent(event) + "\n")
            self._report.flush()

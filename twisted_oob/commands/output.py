"""Output: what a command writes on standard error, each in one line.

========  =========================================  =====================
what      written                                    not written
========  =========================================  =====================
errors    always
warnings  by default                                 with ``--quiet``
the log   warnings and errors; all of it with        warnings, with
          ``--verbose``, with tracebacks             ``--quiet``
========  =========================================  =====================

Results go to standard output: see events.py.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

import click

from twisted_oob.commands.events import printable

FAULT: Final = 70
"""The exit status of a fault of ours (``EX_SOFTWARE`` of sysexits.h)."""


class Output:
    """Writes the errors, the warnings and the log of a command.

    Args:
        command: The command's name, such as ``oob send``. Each line begins with it.
        as_json: Whether standard output gets JSON.
        quiet: Whether only errors are written.
        verbose: Whether all of the log is written.

    Attributes:
        as_json: As the argument.
        quiet: As the argument.
        aside: Makes a context for each line, in which nothing else is on the terminal's last line.
    """

    def __init__(
        self, command: str, *, as_json: bool = False, quiet: bool = False, verbose: bool = False
    ) -> None:
        self.as_json = as_json
        self.quiet = quiet
        self.aside: Callable[[], AbstractContextManager[object]] = nullcontext
        self._command = command
        self._verbose = verbose

    def error(self, text: str) -> None:
        """Write what went wrong."""
        self._write(f"{self._command}: {printable(text)}")

    def warn(self, text: str) -> None:
        """Write what may be wrong."""
        if not self.quiet:
            self.error(f"warning: {text}")

    def log(self, event: Any) -> None:
        """Write an event of the log, if it is one to be seen (ILogObserver)."""
        # Not above: whoever asks for help should not wait for Twisted.
        from twisted.logger import LogLevel, formatEvent  # noqa: PLC0415

        lowest = LogLevel.error if self.quiet else LogLevel.warn
        level = event["log_level"]
        if not self._verbose and level < lowest:
            return
        text = formatEvent(event)
        failure = event.get("log_failure")
        if failure is not None:
            text = f"{text}: {failure.type.__name__}: {failure.getErrorMessage()}"
        self.error(f"{level.name}: {text}")
        if failure is not None and self._verbose:
            self._write(failure.getTraceback().rstrip())

    def _write(self, text: str) -> None:
        with self.aside():
            click.echo(text, err=True)

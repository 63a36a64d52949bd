"""Output: what a command writes on standard error, each in one line.

========  =========================================  =====================
what      written                                    not written
========  =========================================  =====================
errors    always
warnings  by default, as what goes on                with ``--quiet``
the log   warnings and errors; all of it with        warnings, with
          ``--verbose``, with tracebacks             ``--quiet``
========  =========================================  =====================

Results go to standard output: see events.py.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Final

import click

from twisted_oob._shown import printable

if TYPE_CHECKING:
    from twisted.python.failure import Failure

FAULT: Final = 70
"""The exit status of a fault of ours (``EX_SOFTWARE`` of sysexits.h)."""
NOT_WRITTEN: Final = 74
"""The exit status if the results can't be written, as on a full disk (``EX_IOERR``)."""


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
        self._warned: set[str] = set()

    def error(self, text: str) -> None:
        """Write what went wrong."""
        self._write(f"{self._command}: {printable(text)}")

    def warn(self, text: str) -> None:
        """Write what may be wrong; once, however many files it is true of."""
        if not self.quiet and text not in self._warned:
            self._warned.add(text)
            self.error(f"warning: {text}")

    def say(self, text: str) -> None:
        """Write what goes on."""
        if not self.quiet:
            self._write(printable(text))

    def fault(self, failure: Failure) -> None:
        """Write that something of ours is wrong."""
        self.error(f"a fault of oob's own: {_said(failure)}{'' if self._verbose else _MORE}")
        self._trace(failure)

    def log(self, event: Any) -> None:
        """Write an event of the log, if it is one to be seen (ILogObserver)."""
        # Not above: whoever asks for help should not wait for Twisted.
        from twisted.logger import LogLevel, formatEvent  # noqa: PLC0415

        level = event["log_level"]
        if level < LogLevel.warn and not self._verbose:
            return
        text = formatEvent(event)
        failure = event.get("log_failure")
        if failure is not None:
            text = f"{text}: {_said(failure)}"
        if level == LogLevel.warn:
            self.warn(text)
        else:
            self.error(f"{level.name}: {text}")
        if failure is not None:
            self._trace(failure)

    def _trace(self, failure: Failure) -> None:
        if self._verbose:
            self._write(failure.getTraceback().rstrip())

    def _write(self, text: str) -> None:
        with self.aside():
            click.echo(text, err=True)


_MORE: Final = "; --verbose shows where"


def _said(failure: Failure) -> str:
    return f"{type(failure.value).__name__}: {failure.getErrorMessage()}"

"""ServiceLog: where the service's log goes, and how it follows a file that was moved away.

It takes the place of twistd's own log, by the means that twistd has for that: it is the
ILogObserver of the application. Lines for developers (debug) are left out, and what Twisted says of
each port and protocol, by its class and its place in memory. Whoever gives ``--logger`` or
``--syslog`` gets what twistd makes of it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    LogLevel,
    LogLevelFilterPredicate,
    textFileLogObserver,
)

from twisted_oob.commands.appended_file import AppendedFile
from twisted_oob.commands.checked_options import exit_with_error
from twisted_oob.commands.values import not_usable

_DEFAULT: Final = "twistd.log"
_STANDARD_OUTPUT: Final = "-"
# The first is that of all who have no Logger, as the ports have none.
_OF_PORTS: Final = ("log_legacy", "twisted.internet.protocol.Factory")


class ServiceLog:
    """Makes the observer that twistd logs to, and reopens its file.

    Args:
        twistd: The options of twistd, which say whether there is a file.

    Raises:
        ValueError: The working directory, in which the file would be, is gone.
    """

    def __init__(self, twistd: Mapping[str, Any]) -> None:
        name = twistd.get("logfile")
        if not name and not (twistd.get("nodaemon") or twistd.get("debug")):
            name = _DEFAULT
        # Absolute from the start: a daemon changes its working directory.
        try:
            self._path = None if name in {None, "", _STANDARD_OUTPUT} else Path(name).absolute()
        except OSError as error:
            raise ValueError(not_usable("twistd's --logfile", str(name), error)) from None
        self._file: AppendedFile | None = None

    def observer(self) -> ILogObserver:
        """Open the file, or take standard output; call this once, before twistd daemonizes.

        Raises:
            SystemExit: The file can't be written; its text is the one line that says so.
        """
        shown: Any = sys.stdout
        if self._path is not None:
            try:
                shown = self._file = AppendedFile(self._path)
            except OSError as error:
                exit_with_error(not_usable("twistd's --logfile", self._path, error))
        # Twisted's classes don't tell a type checker which interfaces they implement.
        whole: Any = _Whole(shown)
        observer: Any = textFileLogObserver(whole)
        for_operators: Any = LogLevelFilterPredicate(defaultLogLevel=LogLevel.info)
        for namespace in _OF_PORTS:
            for_operators.setLogLevelForNamespace(namespace, LogLevel.warn)
        return cast(ILogObserver, FilteringLogObserver(observer, [for_operators]))

    def reopen(self) -> None:
        """Write to a file of the same name from now on: another program has moved the old one.

        Raises:
            OSError: The file can't be opened. The log goes on where it went.
        """
        if self._file is not None:
            self._file.reopen()

    def rotate(self) -> None:
        """Rename the file, and begin another one, as twistd does on SIGUSR1."""
        if self._file is not None:
            self._file.rotate()


class _Whole:
    """Writes each line, with what its encoding lacks as ``\\xfc``, where a line would be lost.

    Args:
        out: A text stream, or an AppendedFile.
    """

    def __init__(self, out: Any) -> None:
        self._out = out
        self._encoding = getattr(out, "encoding", None) or "utf-8"

    def write(self, text: str) -> None:
        self._out.write(text.encode(self._encoding, "backslashreplace").decode(self._encoding))

    def flush(self) -> None:
        self._out.flush()


def service_log(twistd: Mapping[str, Any] | None) -> ServiceLog | None:
    """Make the log of the service, unless the options of twistd say who else has it.

    Args:
        twistd: The options of twistd; None if there is no twistd.

    Returns:
        The log; None if it is another one's.

    Raises:
        ValueError: As for ServiceLog.
    """
    if twistd is None or twistd.get("logger") or twistd.get("syslog"):
        return None
    if twistd.get("logfile") == _STANDARD_OUTPUT and not twistd.get("nodaemon"):
        # twistd has an error for that.
        return None
    return ServiceLog(twistd)

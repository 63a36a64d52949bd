"""What twistd itself needs of the machine: judged before, as twistd would show a traceback.

By its defaults, it writes a pidfile into the working directory, wherever that is.
"""

from __future__ import annotations

import errno
import os
import pwd
import stat
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any, Final

from twisted_oob.commands.appended_file import descriptor
from twisted_oob.commands.values import not_usable

_PIDFILE: Final = "twistd.pid"
_RUNDIR: Final = "."
_STANDARD_OUTPUT: Final = "-"


def settle(twistd: MutableMapping[str, Any]) -> None:
    """Leave out the defaults of twistd that can't work here.

    Args:
        twistd: The options of twistd, which this changes.

    Raises:
        ValueError: A log or a pidfile that is needed can't be written, or there is no directory to
            change to, or no such user to become.
    """
    rundir = str(twistd.get("rundir") or _RUNDIR)
    try:
        Path.cwd()
    except OSError:
        # It is gone, and much of what libraries do fails without one.
        if rundir == _RUNDIR:
            twistd["rundir"] = "/"
    _check_log_file(twistd)
    if not twistd.get("chroot"):
        # Where a path leads in another root shows only there, and who is known.
        _check_user(twistd.get("uid"))
        if rundir != _RUNDIR:
            _check_rundir(rundir)
        _settle_pidfile(twistd)


def _check_log_file(twistd: Mapping[str, Any]) -> None:
    name = twistd.get("logfile")
    if not name or name == _STANDARD_OUTPUT or twistd.get("logger") or twistd.get("syslog"):
        return
    path = Path(name).absolute()
    try:
        if descriptor(path) is None:
            _check_writable(path)
    except OSError as error:
        raise ValueError(not_usable("twistd's --logfile", name, error)) from None


def _check_user(uid: int | None) -> None:
    if uid is None or uid == os.getuid():
        return
    try:
        # twistd asks for its groups.
        pwd.getpwuid(uid)
    except KeyError:
        raise ValueError(
            f"twistd's --uid {uid} can't be used: the system knows no user with this number"
        ) from None


def _check_rundir(rundir: str) -> None:
    try:
        if not stat.S_ISDIR(Path(rundir).stat().st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if not os.access(rundir, os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise ValueError(not_usable("twistd's --rundir", rundir, error)) from None


def _settle_pidfile(twistd: MutableMapping[str, Any]) -> None:
    # In the foreground, nobody needs it: whoever started the process knows it.
    name = twistd.get("pidfile")
    if not name:
        return
    try:
        # twistd makes it absolute before it changes its directory.
        _check_writable(Path(name).absolute())
    except OSError as error:
        if name == _PIDFILE and (twistd.get("nodaemon") or twistd.get("debug")):
            twistd["pidfile"] = ""
        else:
            raise ValueError(not_usable("twistd's --pidfile", name, error)) from None


def _check_writable(path: Path) -> None:
    """Raise the OSError that writing to a path would raise, and create nothing."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES)) from None

"""What twistd itself needs of the machine: judged before, as twistd would show a traceback.

By its defaults, it writes a pidfile into the working directory, wherever that is.
"""

from __future__ import annotations

import errno
import os
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any, Final

from twisted_oob.commands.values import not_usable

_PIDFILE: Final = "twistd.pid"
_RUNDIR: Final = "."


def settle(twistd: MutableMapping[str, Any]) -> None:
    """Leave out the defaults of twistd that can't work here.

    Args:
        twistd: The options of twistd, which this changes.

    Raises:
        ValueError: A pidfile that is needed can't be written.
    """
    try:
        Path.cwd()
    except OSError:
        # It is gone, and much of what libraries do fails without one.
        if twistd.get("rundir") == _RUNDIR:
            twistd["rundir"] = "/"
    _settle_pidfile(twistd)


def _settle_pidfile(twistd: MutableMapping[str, Any]) -> None:
    # In the foreground, nobody needs it: whoever started the process knows it.
    name = twistd.get("pidfile")
    if not name or twistd.get("chroot"):
        # Where a path leads in another root shows only there.
        return
    try:
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

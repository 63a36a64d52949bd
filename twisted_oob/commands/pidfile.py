"""The pidfile that twistd writes: judged before it is written, as twistd would show a traceback."""

from __future__ import annotations

import errno
import os
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any, Final

from twisted_oob.commands.values import not_usable

_DEFAULT: Final = "twistd.pid"


def settle_pidfile(twistd: MutableMapping[str, Any]) -> None:
    """Leave out the default pidfile if it can't be written and nobody needs it.

    That is in the foreground: whoever started the process knows it.

    Args:
        twistd: The options of twistd, which this changes.

    Raises:
        ValueError: A pidfile that is needed can't be written.
    """
    name = twistd.get("pidfile")
    if not name or twistd.get("chroot"):
        # Where a path leads in another root shows only there.
        return
    try:
        _check_writable(Path(name).absolute())
    except OSError as error:
        if name == _DEFAULT and (twistd.get("nodaemon") or twistd.get("debug")):
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

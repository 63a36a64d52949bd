"""Secrets in files: on a command line, every process of the machine could see them."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path
from typing import Final

_LONGEST: Final = 65536  # bytes of a secret; a larger file is not one


def read_secret(path: Path) -> str:
    """Read a password or secret from the first line of a file.

    Args:
        path: The file; nobody but its owner may have any access to it.

    Raises:
        OSError: The file can't be read.
        ValueError: Other users have access to it, or its first line is empty or not UTF-8.
    """
    with path.open("rb") as file:
        # The mode of what was opened: the name may mean another file a moment later.
        if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
            raise ValueError(f"other users have access to it; run: chmod 600 {path}")
        line = file.readline(_LONGEST)
    return secret_in(line)


def secret_in(line: bytes) -> str:
    """Read a password or secret from a line.

    Raises:
        ValueError: It is empty or not UTF-8.
    """
    try:
        secret = line.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise ValueError("its first line is not UTF-8 text") from None
    if not secret.strip():
        raise ValueError("its first line is empty; the secret must be there")
    return secret


def read_or_create_secret(path: Path) -> str:
    """Read a secret, or create the file with a random one, mode 0600, if it does not exist.

    Processes that do this at the same time all get the same secret.

    Args:
        path: The file, in an existing directory.

    Raises:
        OSError: The file can't be read or created.
        ValueError: As ``read_secret`` raises it.
    """
    # Not exists(): a dangling symbolic link is the operator's mistake, to be reported.
    if os.path.lexists(path):
        return read_secret(path)
    secret = secrets.token_urlsafe(32)
    # The file gets its name only when it is whole: a process that is killed meanwhile leaves no
    # empty secret, and link() fails, instead of replacing, if another process was faster.
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    fd = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(fd, "w") as file:
            file.write(f"{secret}\n")
        os.link(unfinished, path)
    except FileExistsError:
        return read_secret(path)
    finally:
        unfinished.unlink()
    return secret

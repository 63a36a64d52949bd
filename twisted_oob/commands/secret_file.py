"""Secrets that are kept in files: never on a command line, where every process can see them."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path


def read_secret(path: Path) -> str:
    """Read a password or secret from the first line of a file.

    Raises an OSError where it can't be read; a ValueError where others can read it too, or where
    it holds no secret.
    """
    with path.open("rb") as file:
        if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
            raise ValueError(f"others can read it; make it private: chmod 600 {path}")
        line = file.readline(65536)
    try:
        secret = line.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise ValueError("its first line is no UTF-8 text") from None
    if not secret.strip():
        raise ValueError("its first line holds no secret")
    return secret


def read_or_create_secret(path: Path) -> str:
    """Read a secret, or put a random one into a new file, mode 0600, where there is none."""
    if os.path.lexists(path):
        return read_secret(path)
    secret = secrets.token_urlsafe(32)
    # It gets its name when it is whole: a process killed meanwhile leaves no empty secret.
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

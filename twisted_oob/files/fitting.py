"""Names that a folder can hold: as long as its file system takes, in the locale's encoding."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

from twisted_oob.files.names import (
    NAME_BYTES,
    SHORTEST_LIMIT,
    SPARE_BYTES,
    encodable,
    shortened,
)


def fitting_name(name: str, directory: Path, *, folder: bool = False) -> str:
    """Give the name, or one that a folder can hold, too, with the same suffix. Blocks.

    Args:
        name: A safe name.
        directory: The folder, which exists.
        folder: It is a folder's name.

    Returns:
        A safe name, with room for a number.
    """
    return fitted(name, name_bytes(directory), folder=folder)


def fitted(name: str, size: int, *, folder: bool = False) -> str:
    """Give the name, or one of at most so many bytes in the locale's encoding.

    Args:
        name: A safe name.
        size: What ``name_bytes`` told.
        folder: It is a folder's name.

    Returns:
        A safe name with the same suffix.
    """
    # In the C locale, a Python without its UTF-8 mode takes ASCII only.
    name = encodable(name, sys.getfilesystemencoding(), folder=folder)
    return name if len(name.encode()) <= size else shortened(name, size, folder=folder)


def easier_name(name: str, refusal: OSError) -> str:
    """Give a name that a file system may take which refused another one.

    Args:
        name: The name that it refused.
        refusal: How it did so.

    Returns:
        Another safe name with the same suffix; the same name if no other would help.
    """
    if refusal.errno == errno.ENAMETOOLONG:
        return shortened(name, max(SHORTEST_LIMIT, len(name.encode()) // 2))
    if refusal.errno in {errno.EINVAL, errno.EILSEQ}:
        # Mounted with a character set of its own, as FAT is.
        return encodable(name, "ascii")
    return name


def name_bytes(directory: Path | int) -> int:
    """Ask for the bytes that a name in this folder may have, without what follows it. Blocks.

    Args:
        directory: The folder, or its descriptor.
    """
    try:
        limit = os.pathconf(directory, "PC_NAME_MAX")
    except OSError:
        return NAME_BYTES
    if limit < 0:  # there is no limit
        return NAME_BYTES
    return max(SHORTEST_LIMIT, min(NAME_BYTES, limit - SPARE_BYTES))

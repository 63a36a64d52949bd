"""What an offer says of a file, held against what its server gives.

A file that is not the one that was offered is not found (XEP-0066 section 2): who offered it is
told so, and a result means "I have these very bytes".
"""

from __future__ import annotations

from typing import Final

from twisted_oob._file_info import FileInfo
from twisted_oob._shown import counted
from twisted_oob.errors import FetchFailed

NOT_THE_FILE: Final = "not the file that was offered"


def check_declared(info: FileInfo | None, length: int | None) -> None:
    """Check a declared Content-Length, before the body comes.

    Args:
        info: What was offered; None if nobody said anything.
        length: The length in bytes; None if the server declares no length.

    Raises:
        FetchFailed: It is another size than the offered one.
    """
    if info is not None and info.size is not None and length not in (None, info.size):
        raise _wrong(
            f"the declared size is {counted(length, 'byte')}, but {info.size} were offered"
        )


def check_so_far(info: FileInfo | None, received: int) -> None:
    """Check how many bytes came, while more may follow.

    Raises:
        FetchFailed: They are more than were offered.
    """
    if info is not None and info.size is not None and received > info.size:
        offered = "byte that was" if info.size == 1 else "bytes that were"
        raise _wrong(f"the size is more than the {info.size} {offered} offered")


def check_whole(info: FileInfo | None, size: int, sha256: str) -> None:
    """Check a whole file.

    Args:
        info: What was offered; None if nobody said anything.
        size: The file's size in bytes.
        sha256: The SHA-256 of its content, in hex, in lower case.

    Raises:
        FetchFailed: It has another size or another SHA-256 than the offered one.
    """
    if info is None:
        return
    if info.size not in (None, size):
        raise _wrong(f"the size is {counted(size, 'byte')}, but {info.size} were offered")
    if info.sha256 not in (None, sha256):
        raise _wrong(f"the SHA-256 hash is {sha256}, but {info.sha256} was offered")


def _wrong(detail: str) -> FetchFailed:
    return FetchFailed(NOT_THE_FILE, detail=detail)

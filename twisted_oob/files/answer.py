"""What a server says of its file in the headers of its answer, before the file comes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from twisted.web.iweb import UNKNOWN_LENGTH

from twisted_oob._file_info import FileInfo
from twisted_oob.files.expected import check_declared
from twisted_oob.files.names import file_name
from twisted_oob.files.policy import FetchPolicy


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that may be followed by its file.

    Attributes:
        length: The declared length in bytes; None if the server declares no length.
        name: One safe path segment, under which the file lands.
        media_type: The file's media type without parameters, in lower case; None if nobody tells.
    """

    length: int | None
    name: str
    media_type: str | None


def read_answer(response: Any, path: str, policy: FetchPolicy, info: FileInfo | None) -> Answer:
    """Judge and read the headers of an answer.

    Args:
        response: The IResponse, which is no redirect.
        path: The path of the URL that it answers.
        policy: What is accepted.
        info: What was offered; None if nobody said anything. Its name comes first: whoever offers a
            file names it, and a server may not know the name. Its media type comes last: it is the
            server that has the file.

    Raises:
        FetchFailed: The file will not come, not as it is, or not as it was offered.
        TooLarge: The file is larger than the policy allows.
    """
    headers = response.headers
    length = None if response.length is UNKNOWN_LENGTH else response.length
    policy.check_answer(response.code, headers.getRawHeaders(b"content-encoding", []), length)
    check_declared(info, length)
    info = FileInfo() if info is None else info
    [disposition] = headers.getRawHeaders(b"content-disposition", [None])[:1]
    [content_type] = headers.getRawHeaders(b"content-type", [b""])[:1]
    return Answer(
        length,
        file_name(disposition, path, offered=info.name),
        _media_type(content_type) or info.media_type,
    )


def _media_type(content_type: bytes) -> str | None:
    """Read a Content-Type (RFC 9110 section 8.3); None if it is not valid."""
    # Latin-1 has a character for each byte, and none beyond ASCII is valid.
    text = content_type.partition(b";")[0].strip().decode("latin-1")
    try:
        return FileInfo(media_type=text).media_type
    except ValueError:
        return None

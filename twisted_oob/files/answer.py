"""What a server says of its file in the headers of its answer, before the file comes."""

from __future__ import annotations

from dataclasses import dataclass

from twisted_oob._file_info import FileInfo
from twisted_oob.files.codings import check_codings
from twisted_oob.files.expected import check_declared
from twisted_oob.files.names import file_name, last_segment
from twisted_oob.files.policy import FetchPolicy
from twisted_oob.files.response_head import ResponseHead


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


def read_answer(
    head: ResponseHead, path: str, policy: FetchPolicy, info: FileInfo | None
) -> Answer:
    """Judge and read the head of an answer.

    Args:
        head: The head, which is no redirect's.
        path: The path of the URL that it answers.
        policy: What is accepted.
        info: What was offered; None if nobody said anything. Its name comes first: whoever offers a
            file names it, and a server may not know the name. Its media type comes last: it is the
            server that has the file.

    Raises:
        FetchFailed: The file will not come, not as it is, or not as it was offered.
        TooLarge: The file is larger than the policy allows.
    """
    policy.check_answer(head.status, head.length)
    info = FileInfo() if info is None else info
    media_type = _media_type(head.first(b"content-type") or b"") or info.media_type
    disposition = head.first(b"content-disposition")
    name = file_name(disposition, path, offered=info.name, media_type=media_type)
    # Before the length: that of an encoded file would only mislead.
    check_codings(head.values(b"content-encoding"), (name, last_segment(path)), media_type)
    check_declared(info, head.length)
    return Answer(head.length, name, media_type)


def _media_type(content_type: bytes) -> str | None:
    """Read a Content-Type (RFC 9110 section 8.3); None if it is not valid."""
    # Latin-1 has a character for each byte, and none beyond ASCII is valid.
    text = content_type.partition(b";")[0].strip().decode("latin-1")
    try:
        return FileInfo(media_type=text).media_type
    except ValueError:
        return None

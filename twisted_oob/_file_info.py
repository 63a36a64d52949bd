"""FileInfo: what is known of a file before anybody has it; for every wing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from twisted_oob._checks import check_not_empty, wrong_type

MAX_SIZE: Final = 2**63 - 1
"""The largest size of a file, in bytes: file systems and HTTP servers count in 64 bits."""

_SHA256: Final = re.compile("[0-9A-Fa-f]{64}")
# RFC 6838 section 4.2, without the parameters.
_RESTRICTED_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+\-]{0,126}"
_MEDIA_TYPE: Final = re.compile(f"{_RESTRICTED_NAME}/{_RESTRICTED_NAME}")


@dataclass(frozen=True, slots=True)
class FileInfo:
    """What somebody says of a file (XEP-0446). Each part may be unknown. Valid once made.

    Args:
        name: The file's name, without a folder.
        size: Its size in bytes, at most MAX_SIZE.
        media_type: Its media type without parameters (RFC 6838), such as ``image/jpeg``. It is
            kept in lower case.
        sha256: The SHA-256 of the whole file in hex (XEP-0300 has it as ``sha-256``). It is kept in
            lower case.

    Raises:
        WrongType: A part has the wrong type. It is a TypeError, and names the part.
        ValueError: A part can't be what it should be. The message names it.
    """

    name: str | None = None
    size: int | None = None
    media_type: str | None = None
    sha256: str | None = None

    def __post_init__(self) -> None:
        """Check the parts, so that a mistake shows where it is made."""
        if self.name is not None:
            check_not_empty("name", self.name)
        if self.size is not None:
            if type(self.size) is not int:
                raise wrong_type("size", "an int or None", self.size)
            if not 0 <= self.size <= MAX_SIZE:
                raise ValueError(f"size must be a number of bytes from 0 to {MAX_SIZE}")
        for part, pattern, example in (
            ("media_type", _MEDIA_TYPE, "a media type such as 'image/jpeg'"),
            ("sha256", _SHA256, "64 hexadecimal digits"),
        ):
            value = getattr(self, part)
            if value is None:
                continue
            if not isinstance(value, str):
                raise wrong_type(part, "a str or None", value)
            if pattern.fullmatch(value) is None:
                raise ValueError(f"{part} must be {example}, not {value[:100]!r}")
            object.__setattr__(self, part, value.lower())  # it is frozen to everybody else

"""Names of files: made safe of what strangers wrote, and numbered where they are taken."""

from __future__ import annotations

import itertools
import re
import secrets
import unicodedata
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote, unquote_to_bytes

_FALLBACK_NAME: Final = "file"
_NAME_BYTES: Final = 200  # of the 255 a file system takes, with room for a counter
_SUFFIX_BYTES: Final = 32  # what is longer is no suffix, only a dot in a name
_HEADER_BYTES: Final = 4096  # of a Content-Disposition; a longer one is not worth the search
_PARAMETER: Final = re.compile(
    r""";\s*(?P<name>[^\s;="]+)\s*=\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<token>[^;"]*))""",
    re.DOTALL,
)
# Characters without a shape of their own that are not of the categories below.
_INVISIBLE: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8"
    "\U000e0000-\U000e0fff]"
)
_DROPPED: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_RESERVED: Final = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9\u00b9\u00b2\u00b3])\s*(\.|\Z)", re.IGNORECASE
)


def file_name(disposition: bytes | None, path: str) -> str:
    """Choose the name a file lands under: safe in any folder, never empty.

    ``disposition``: the Content-Disposition header (RFC 6266), None where there is none. Its
        ``filename*`` (RFC 8187) wins over ``filename``; a broken one is ignored.
    ``path``: the path of the URL, for its last segment where the header gives no name.
    """
    names = [] if disposition is None else _names_in(disposition[:_HEADER_BYTES])
    names.append(unquote(path.partition("?")[0].rpartition("/")[2]))
    return next(filter(None, map(_safe, names)), _FALLBACK_NAME)


def _names_in(disposition: bytes) -> list[str]:
    try:
        header = disposition.decode("utf-8")
    except UnicodeDecodeError:
        header = disposition.decode("latin-1")
    extended, plain = [], []
    for match in _PARAMETER.finditer(f";{header}"):
        quoted, token, name = match["quoted"], match["token"], match["name"].lower()
        value = token.strip() if quoted is None else re.sub(r"(?s)\\(.)", r"\1", quoted)
        if name == "filename":
            plain.append(value)
        elif name == "filename*":
            extended.append(_extended(value))
    return extended + plain


def _extended(value: str) -> str:
    """Decode an extended parameter value, ``charset'language'text``; empty where it is broken."""
    charset, _, rest = value.partition("'")
    if charset.lower() not in {"utf-8", "iso-8859-1"}:
        return ""
    try:
        return unquote_to_bytes(rest.partition("'")[2]).decode(charset)
    except UnicodeDecodeError:
        return ""


def _safe(name: str) -> str:
    """Make one harmless path segment of a stranger's name; empty where nothing is left."""
    name = _INVISIBLE.sub("", re.split(r"[/\\]", name)[-1])
    name = "".join(c for c in name if unicodedata.category(c) not in _DROPPED)
    name = unicodedata.normalize("NFC", name)
    # A leading dot would hide the file, and the names of temporary files begin with one.
    name = re.sub(r'[<>:"|?*]', "_", re.sub(r"\s+", " ", name)).lstrip(" .").rstrip(" .")
    if _RESERVED.match(name):
        name = f"_{name}"
    stem, suffix = _split(name)
    stem = _cut(stem, _NAME_BYTES - len(suffix.encode()))
    return stem + suffix


def _split(name: str) -> tuple[str, str]:
    stem, dot, suffix = name.rpartition(".")
    if not stem or len(suffix.encode()) >= _SUFFIX_BYTES:
        return name, ""
    return stem, dot + suffix


def _cut(text: str, size: int) -> str:
    if len(text.encode()) <= size:
        return text
    return text.encode()[:size].decode(errors="ignore").rstrip(" .")


def numbered_names(name: str) -> Iterator[str]:
    """Give names to try until one is free: ``a.txt``, ``a (2).txt``, ... without end.

    From the hundredth on the number is random, so many files of one name cost no long search.
    """
    yield name
    stem, suffix = _split(name)
    for number in range(2, 100):
        yield f"{stem} ({number}){suffix}"
    for token in map(secrets.token_hex, itertools.repeat(6)):
        yield f"{stem} ({token}){suffix}"

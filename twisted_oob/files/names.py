"""Names of files: made safe from what strangers wrote, and numbered if they are taken.

A name from a header or a URL can say anything: ``../../.ssh/config``, a name that a terminal or a
file manager shows as another one, a device of Windows, ten thousand letters. What comes out of here
is one segment of a path, which is safe to use and to show on the systems that the folder may be
shared with.
"""

from __future__ import annotations

import itertools
import re
import secrets
import unicodedata
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote, unquote_to_bytes

_FALLBACK_NAME: Final = "file"
# File systems take 255 bytes. The rest is for a counter.
_NAME_BYTES: Final = 200
# A suffix that is longer is no suffix, but a dot within a name.
_SUFFIX_BYTES: Final = 32
# Bytes of a Content-Disposition, or characters of an offered name. Who sends more names no file.
LONGEST_NAME: Final = 4096
# One parameter of a header (RFC 9110 section 5.6.6): a token, or a quoted string, in which a
# backslash protects the next character. A token may have spaces here: servers often forget the
# quotes.
_PARAMETER: Final = re.compile(
    r""";\s*(?P<name>[^\s;="]+)\s*=\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<token>[^;"]*))""",
    re.DOTALL,
)
# Unicode categories that a name is better without: Cc controls terminals, Cf hides or reorders text
# (with U+202E before it, ``gpj.exe`` is shown as ``exe.jpg``), Cs can't be encoded, and Zl and Zp
# break lines.
_DROPPED: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# Characters of other categories that are not seen either: two names could look the same. Fillers of
# Hangul, inherent vowels of Khmer, the blank of Braille, selectors of variations, the tags' plane.
_INVISIBLE: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8"
    "\U000e0000-\U000e0fff]"
)
# Windows opens a device by these names, with any suffix and with spaces before it.
_RESERVED: Final = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9\u00b9\u00b2\u00b3])\s*(\.|\Z)", re.IGNORECASE
)


def file_name(disposition: bytes | None, path: str, *, offered: str | None = None) -> str:
    """Choose the name under which a file lands.

    Args:
        disposition: The Content-Disposition header (RFC 6266), or None. Its ``filename*`` (RFC
            8187) is preferred to ``filename`` (RFC 6266 section 4.3). A broken one is ignored.
        path: The path of the URL. Its last segment is the name if the header gives no usable one.
        offered: The name in an offer, or None. It is preferred to both: who offers a file names it.

    Returns:
        A name that is safe in any folder, never empty, of at most 200 bytes.
    """
    names = [] if offered is None else [offered[:LONGEST_NAME]]
    names += [] if disposition is None else _names_in(disposition[:LONGEST_NAME])
    names.append(unquote(path.partition("?")[0].rpartition("/")[2]))
    return next(filter(None, map(_safe, names)), _FALLBACK_NAME)


def _names_in(disposition: bytes) -> list[str]:
    """Read the names in a Content-Disposition, the preferred ones first."""
    try:
        # RFC 6266 allows no bytes beyond ASCII here. Servers send them all the same, in UTF-8 today
        # and in Latin-1 when HTTP said so (RFC 2616 section 2.2).
        header = disposition.decode("utf-8")
    except UnicodeDecodeError:
        header = disposition.decode("latin-1")
    extended, plain = [], []
    # The semicolon lets the header begin with a parameter, as some do that lack the type.
    for match in _PARAMETER.finditer(f";{header}"):
        quoted, token, name = match["quoted"], match["token"], match["name"].lower()
        value = token.strip() if quoted is None else re.sub(r"(?s)\\(.)", r"\1", quoted)
        if name == "filename":
            plain.append(value)
        elif name == "filename*":
            extended.append(_extended(value))
    return extended + plain


def _extended(value: str) -> str:
    """Decode an extended value, ``charset'language'text`` (RFC 8187); empty if it is broken."""
    charset, _, rest = value.partition("'")
    if charset.lower() not in {"utf-8", "iso-8859-1"}:
        return ""
    try:
        return unquote_to_bytes(rest.partition("'")[2]).decode(charset)
    except UnicodeDecodeError:
        return ""


def _safe(name: str) -> str:
    """Make one harmless path segment of a stranger's name; empty if nothing is left."""
    # Both slashes, whatever system this is: only what follows the last one is the name.
    name = _INVISIBLE.sub("", re.split(r"[/\\]", name)[-1])
    name = "".join(c for c in name if unicodedata.category(c) not in _DROPPED)
    name = unicodedata.normalize("NFC", name)
    # Windows takes none of these characters in a name, and a colon for a stream of another file.
    name = re.sub(r'[<>:"|?*]', "_", re.sub(r"\s+", " ", name))
    # A leading dot hides a file, and our own part files begin with one; two dots are the folder
    # above. A leading dash makes an option of it, as in "rm *". Windows drops trailing dots and
    # spaces, so "con." would be "con".
    name = name.lstrip(" .-").rstrip(" .")
    if _RESERVED.match(name):
        name = f"_{name}"
    # Cut the stem: the suffix tells programs how to open the file.
    stem, suffix = _split(name)
    stem = _cut(stem, _NAME_BYTES - len(suffix.encode()))
    return stem + suffix


def _split(name: str) -> tuple[str, str]:
    """Split a name into its stem and its suffix, which begins with a dot or is empty."""
    stem, dot, suffix = name.rpartition(".")
    if not stem or len(suffix.encode()) >= _SUFFIX_BYTES:
        return name, ""
    return stem, dot + suffix


def _cut(text: str, size: int) -> str:
    """Cut a text to so many bytes of UTF-8, between characters."""
    if len(text.encode()) <= size:
        return text
    return text.encode()[:size].decode(errors="ignore").rstrip(" .")


def numbered_names(name: str) -> Iterator[str]:
    """Yield names to try until one is free: ``a.txt``, ``a (2).txt`` and so on, without end.

    From the hundredth on, the number is random: a thousand files of one name would otherwise cost a
    thousand attempts for the next one.
    """
    yield name
    stem, suffix = _split(name)
    for number in range(2, 100):
        yield f"{stem} ({number}){suffix}"
    for token in map(secrets.token_hex, itertools.repeat(6)):
        yield f"{stem} ({token}){suffix}"

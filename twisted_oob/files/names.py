"""Names of files: made safe from what strangers wrote, and numbered if they are taken.

A name from a header or a URL can say anything: ``../../.ssh/config``, a name that a terminal or a
file manager shows as another one, an option of the next command, ten thousand letters. What comes
out of here is one segment of a path, which is safe to use and to show on the systems that the
folder may be shared with (``bad_names`` has the table). A second pass changes nothing.
"""

from __future__ import annotations

import itertools
import re
import secrets
import unicodedata
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote, unquote_to_bytes

from twisted_oob.files.bad_names import harmless
from twisted_oob.files.encoded_words import without_encoded_words
from twisted_oob.files.suffixes import suffix_of

_FALLBACK_NAME: Final = "file"
NAME_BYTES: Final = 200
"""The longest name in bytes of UTF-8. File systems take 255. The rest is for a number."""
SHORTEST_LIMIT: Final = 24
"""The least bytes that a name can be shortened to; a harmless suffix has room there."""
SPARE_BYTES: Final = 20
"""The bytes that stay free behind a name for a number, or for the hash of a room."""
# A suffix that is longer is no suffix, but a dot within a name.
_SUFFIX_BYTES: Final = 32
# Nor is a year, a day or the number of a paper.
_NUMBER: Final = re.compile(r"\.[0-9]{4,}")
# Bytes of a Content-Disposition, or characters of another name. Who sends more names no file.
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


def file_name(
    disposition: bytes | None,
    path: str,
    *,
    offered: str | None = None,
    media_type: str | None = None,
) -> str:
    """Choose the name under which a file lands.

    Args:
        disposition: The Content-Disposition header (RFC 6266), or None. Its ``filename*`` (RFC
            8187) is preferred to ``filename`` (RFC 6266 section 4.3). A broken one is ignored.
        path: The path of the URL. Its last segment is the name if the header gives no usable one.
        offered: The name in an offer, or None. It is preferred to both: who offers a file names it.
        media_type: The file's media type, or None. A name that the offer does not give, and that
            has no suffix, gets the suffix of this type.

    Returns:
        A name that is safe in any folder, never empty, of at most NAME_BYTES.
    """
    if offered is not None and (name := _safe(offered[:LONGEST_NAME])):
        return name
    names = [] if disposition is None else _names_in(disposition[:LONGEST_NAME])
    names.append(last_segment(path))
    name = next(filter(None, map(_safe, names)), _FALLBACK_NAME)
    # "Mr. Smith" and "2301.12345" have no suffix, but "v1.2" may have one.
    suffix = _split(name)[1]
    if suffix and " " not in suffix and _NUMBER.fullmatch(suffix) is None:
        return name
    return shortened(name + suffix_of(media_type), NAME_BYTES)


def last_segment(path: str) -> str:
    """Give the last segment of a URL's path, decoded and cut to LONGEST_NAME characters.

    It is empty if the path ends in a slash.
    """
    # A Location can be long, and to normalize a name takes more than linear time.
    return unquote(path.partition("?")[0].rpartition("/")[2])[:LONGEST_NAME]


def safe_folder_name(text: str) -> str:
    """Make the name of a folder from a stranger's text: by the same rules but those of suffixes."""
    return _safe(text, folder=True) or _FALLBACK_NAME


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
            plain.append(without_encoded_words(value))
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


def _safe(name: str, *, folder: bool = False) -> str:
    """Make one harmless path segment of a stranger's name; empty if nothing is left."""
    # Both slashes, whatever system this is: only what follows the last one is the name.
    name = _INVISIBLE.sub("", re.split(r"[/\\]", name)[-1])
    name = "".join(c for c in name if unicodedata.category(c) not in _DROPPED)
    name = unicodedata.normalize("NFC", name)
    # Windows takes none of these characters in a name, and a colon for a stream of another file.
    # Programs of it that use its old code pages get a quote for one in full width ("best fit"), and
    # what follows is another argument. Perl opens a pipe for a bar.
    name = re.sub('[<>:"\uff02|?*]', "_", re.sub(r"\s+", " ", name))
    return shortened(name, NAME_BYTES, folder=folder)


def shortened(name: str, size: int, *, folder: bool = False) -> str:
    """Shorten a name, and make it harmless, which a name that is cut may no longer be.

    Args:
        name: The name; its characters are safe.
        size: The bytes of UTF-8 that it may have, at least SHORTEST_LIMIT.
        folder: It is a folder's name (see ``harmless``).
    """
    name = harmless(name, folder=folder)
    # This ends: what is added is added once, and fits.
    while (cut := harmless(_cut(name, size), folder=folder)) != name:
        name = cut
    return name


def encodable(name: str, encoding: str, *, folder: bool = False) -> str:
    """Replace what an encoding can't have in a safe name: by its letter without marks, or by "_".

    Args:
        name: A name that ``file_name`` made.
        encoding: The name of the encoding, such as ``ascii``.
        folder: It is a folder's name (see ``harmless``).
    """
    try:
        name.encode(encoding)
    except UnicodeEncodeError:
        plain = "".join(_encodable_character(c, encoding) for c in name)
        return shortened(plain, NAME_BYTES, folder=folder) or _FALLBACK_NAME
    return name


def _encodable_character(character: str, encoding: str) -> str:
    try:
        character.encode(encoding)
    except UnicodeEncodeError:
        # Only letters and digits: others, like U+2024, would become dots or dashes.
        decomposed = unicodedata.normalize("NFKD", character)
        letters = "".join(c for c in decomposed if not unicodedata.combining(c))
        if letters.isascii() and (letters.isalnum() or not letters):
            return letters
        return "_"
    return character


def _split(name: str) -> tuple[str, str]:
    """Split a name into its stem and its suffix, which begins with a dot or is empty."""
    stem, dot, suffix = name.rpartition(".")
    if not stem or len(suffix.encode()) >= _SUFFIX_BYTES:
        return name, ""
    return stem, dot + suffix


def _cut(name: str, size: int) -> str:
    """Cut a name to so many bytes of UTF-8, between characters."""
    if len(name.encode()) <= size:
        return name
    # Cut the stem: the suffix tells programs how to open the file.
    stem, suffix = _split(name)
    room = size - len(suffix.encode())
    if room < size // 2:
        stem, suffix, room = name, "", size
    return stem.encode()[:room].decode(errors="ignore").rstrip(" .") + suffix


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

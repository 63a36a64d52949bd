"""FileInfo as XML: ``<file/>`` (XEP-0446 0.2.0), with its hash (XEP-0300 1.0.0).

It goes beside the URL of a file, in an offer and in messages, so that the recipient knows what it
will get, and can check what it got. Whoever does not know it ignores it (RFC 6120 section 8.4).

Reading is lenient: a part that is malformed, that is of no use or that nobody knows is as unknown
as one that is missing. A stranger chooses all of it. A name is only text, which may have slashes:
whoever makes a file of that name cleans it first.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from typing import Any, Final

from twisted.words.xish.domish import Element

from twisted_oob._checks import wrong_type
from twisted_oob._file_info import FileInfo
from twisted_oob.xmpp.characters import replace_non_xml

__all__ = ["NS_FILE", "FileInfo", "check_info", "file_element", "read_file"]

NS_FILE: Final = "urn:xmpp:file:metadata:0"
NS_HASH: Final = "urn:xmpp:hashes:2"

# The older one has the same content.
_HASHES: Final = frozenset((NS_HASH, "urn:xmpp:hashes:1"))
_SHA256: Final = "sha-256"
_DIGITS: Final = re.compile("[0-9]{1,19}")


def check_info(info: object) -> FileInfo:
    """Check an argument that must be a FileInfo.

    Raises:
        WrongType: It is something else.
    """
    if not isinstance(info, FileInfo):
        raise wrong_type("info", "a FileInfo or None", info)
    return info


def file_element(info: FileInfo, namespace: str = NS_FILE) -> Element:
    """Build ``<file/>`` with the parts that are known.

    Args:
        info: What is known. In its name, characters that XML can't hold are replaced: a file's name
            may have any.
        namespace: That of ``<file/>``. Jingle's has the same children.
    """
    file = Element((namespace, "file"), namespace)
    if info.media_type is not None:
        file.addElement("media-type", content=info.media_type)
    if info.name is not None:
        file.addElement("name", content=replace_non_xml(info.name))
    if info.size is not None:
        file.addElement("size", content=str(info.size))
    if info.sha256 is not None:
        encoded = b64encode(bytes.fromhex(info.sha256)).decode("ascii")
        file.addElement((NS_HASH, "hash"), NS_HASH, content=encoded)["algo"] = _SHA256
    return file


def read_file(file: Element) -> FileInfo:
    """Read ``<file/>``, of any namespace whose elements have these children.

    Of several, the first that is usable counts. Nothing that a peer may have sent raises.
    """
    parts: dict[str, Any] = {}
    for child in file.elements():
        part, value = _part(child, file.uri)
        if value is None or part in parts:
            continue
        try:
            FileInfo(**{part: value})
        except ValueError:
            continue
        parts[part] = value
    return FileInfo(**parts)


def text_of(element: Element) -> str:
    """Give the text right inside an element."""
    return "".join([text for text in element.children if isinstance(text, str)])


def _part(child: Element, namespace: str | None) -> tuple[str, Any]:
    """Give the part of FileInfo that an element has, and its value; None if it has no value.

    What FileInfo can check is not checked here.
    """
    text = text_of(child)
    if child.uri in _HASHES:
        if child.name == "hash" and child.getAttribute("algo") == _SHA256:
            return "sha256", _decoded(text)
    elif child.uri == namespace:
        if child.name == "name":
            return "name", text if text.strip() else None
        if child.name == "size":
            digits = _DIGITS.fullmatch(text.strip())
            return "size", None if digits is None else int(digits[0])
        if child.name == "media-type":
            # Some write parameters, too, which tell nothing of the file as such.
            return "media_type", text.partition(";")[0].strip()
    return "", None


def _decoded(text: str) -> str | None:
    """Give the hex digits of base64; None if it is not base64."""
    try:
        # XEP-0300 section 3: white space is ignored.
        return b64decode("".join(text.split()), validate=True).hex()
    except ValueError:
        return None

"""Files that one message describes, and a later one says where to get (XEP-0447 section 3.3).

A client may send ``<file-sharing/>`` before it has uploaded the file, and attach ``<sources/>``
once it has. What is known of the file, its name, size and hash, is only in the first message.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from twisted.words.xish.domish import Element

from twisted_oob.protocol.data import OOBData
from twisted_oob.protocol.file_sharing import NS_SFS, targets
from twisted_oob.protocol.metadata import NS_FILE, FileInfo, read_file
from twisted_oob.protocol.same_file import file_key

NS_ATTACHING: Final = "urn:xmpp:message-attaching:1"

# Such a description is remembered. No file system has longer names.
_LONGEST_NAME: Final = 255


def described_in(message: Element) -> Iterator[tuple[str, FileInfo]]:
    """Give the files that a message describes, without a URL.

    Returns:
        The id of each, which is empty if it has none, and what is known of it.
    """
    for sharing in message.elements(NS_SFS, "file-sharing"):
        file = next(sharing.elements(NS_FILE, "file"), None)
        if file is not None and not targets(sharing.elements(NS_SFS, "sources")):
            info = read_file(file)
            if info != FileInfo() and len(info.name or "") <= _LONGEST_NAME:
                yield sharing.getAttribute("id", ""), info


def attached_to(message: Element) -> str | None:
    """Give the id of the message to which this one attaches something (XEP-0367)."""
    attaching = next(message.elements(NS_ATTACHING, "attach-to"), None)
    return None if attaching is None else attaching.getAttribute("id") or None


def attached_in(message: Element) -> dict[str, str]:
    """Give the ``file_key`` of each URL that is attached, with the id of the file that it is of."""
    attached = {}
    for sources in message.elements(NS_SFS, "sources"):
        for target in targets([sources]):
            try:
                key = file_key(OOBData(target).url)
            except ValueError:
                continue
            attached[key] = sources.getAttribute("id", "")
    return attached

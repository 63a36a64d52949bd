"""Slots of HTTP File Upload (XEP-0363 1.2.0) as values: what is asked, and what is answered.

A slot is a pair of URLs, one to PUT a file to and one to give away, and some headers for the PUT.
All of it comes from a server, so nothing here trusts it: each answer is read element by element,
and gives a value or a ValueError.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from twisted.words.protocols.jabber.error import StanzaError
from twisted.words.xish.domish import Element

from twisted_oob._urls import shown_text, shown_url, to_uri
from twisted_oob.errors import FileTooLarge, SlotRefused
from twisted_oob.xmpp.characters import NON_XML
from twisted_oob.xmpp.stanza import Payload
from twisted_oob.xmpp.times import read_stamp

NS_UPLOAD: Final = "urn:xmpp:http:upload:0"

# XEP-0363 section 5: the headers that a client may copy into its request. No other is.
_COPIED: Final = {name.lower(): name for name in ("Authorization", "Cookie", "Expires")}
# What ends a line for some reader, and what no header may hold (RFC 9110 section 5.5).
_NOT_IN_HEADERS: Final = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_SIZE: Final = re.compile("[0-9]{1,18}")
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# Bytes of UTF-8: no file system has longer names, and servers refuse them.
_NAME_BYTES: Final = 255
_SUFFIX_BYTES: Final = 32
_MOST_SHOWN: Final = 100


@dataclass(frozen=True, slots=True, repr=False)
class Slot:
    """Where a file may be put, and where others get it then. Its ``repr`` shows no secret.

    Attributes:
        put: The URL to PUT the file to, as a URI. Nobody has judged it yet.
        get: The URL to give away, likewise.
        headers: Name and value of each header of the PUT, in order; only those that may be copied.
    """

    put: str
    get: str
    headers: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        names = ", ".join(name for name, _ in self.headers)
        return (
            f"{type(self).__name__}(put={shown_url(self.put)!r}, get={shown_url(self.get)!r}, "
            f"headers={names!r})"
        )


def slot_request(name: str, size: int, media_type: str) -> Payload:
    """Make the request for a slot (XEP-0363 section 5).

    Args:
        name: The file's name, as ``slot_name`` gives it.
        size: Its size in bytes.
        media_type: Its media type.
    """
    attributes = {"filename": name, "size": str(size), "content-type": media_type}
    return Payload(NS_UPLOAD, "request", attributes=attributes)


def slot_name(name: str) -> str:
    """Make a name that a slot can be asked for: one path segment that XML can hold.

    Folders are cut. Control characters, line separators and what can't be encoded become ``_``. It
    has at most 255 bytes of UTF-8; the suffix stays.
    """
    name = name.rpartition("/")[2].replace("\\", "_")
    name = NON_XML.sub("_", _CONTROL.sub("_", name)).strip()
    if not name.strip("."):
        return "file"
    if len(name.encode()) <= _NAME_BYTES:
        return name
    stem, dot, suffix = name.rpartition(".")
    if not stem or len(suffix.encode()) >= _SUFFIX_BYTES:
        stem, dot, suffix = name, "", ""
    room = _NAME_BYTES - len((dot + suffix).encode())
    return stem.encode()[:room].decode(errors="ignore") + dot + suffix


def read_slot(iq: Element | None) -> Slot:
    """Read the answer to a request for a slot (XEP-0363 section 5).

    Of the headers, Authorization, Cookie and Expires are copied, in any case, without line breaks
    and other control characters; all others are dropped.

    Args:
        iq: The result; None if it is empty.

    Raises:
        ValueError: It has no slot, or its URLs can't be used. The message shows no secret.
    """
    slot = None if iq is None else next(_elements(iq, NS_UPLOAD, "slot"), None)
    if slot is None:
        raise ValueError("the upload service answered without a slot")
    put = next(_elements(slot, NS_UPLOAD, "put"), None)
    get = next(_elements(slot, NS_UPLOAD, "get"), None)
    if put is None or get is None:
        raise ValueError("the upload service gave a slot without both its URLs")
    headers = []
    for header in _elements(put, NS_UPLOAD, "header"):
        name = _COPIED.get(_NOT_IN_HEADERS.sub("", header.getAttribute("name", "")).strip().lower())
        if name is not None:
            headers.append((name, _NOT_IN_HEADERS.sub("", str(header)).strip()))
    return Slot(_url(put), _url(get), tuple(headers))


def _url(element: Element) -> str:
    try:
        return to_uri(element.getAttribute("url", ""))
    except ValueError as error:
        raise ValueError(f"the upload service's {element.name} {error}") from None


def read_refusal(error: StanzaError, now: datetime) -> FileTooLarge | SlotRefused:
    """Say what it means that a slot was refused (XEP-0363 sections 5 and 6).

    Args:
        error: What the service answered.
        now: The time of day, with its zone.

    Returns:
        FileTooLarge if the service says so. Else SlotRefused, with ``retry`` if it says when.
    """
    for told in _told(error, "file-too-large"):
        sizes = [str(size) for size in _elements(told, NS_UPLOAD, "max-file-size")]
        return FileTooLarge(next(filter(None, map(read_size, sizes)), None))
    stamps = [read_stamp(told.getAttribute("stamp", "")) for told in _told(error, "retry")]
    retry = next((stamp - now for stamp in stamps if stamp is not None), None)
    condition, text = error.condition[:_MOST_SHOWN], error.text
    return SlotRefused(
        condition,
        (shown_text(str(text)).strip() or None) if text else None,
        None if retry is None else max(0.0, retry.total_seconds()),
    )


def _told(error: StanzaError, name: str) -> Iterator[Element]:
    """Find what the service adds to its error, in whatever order."""
    stanza: Any = getattr(error, "stanza", None)
    for held in _elements(stanza, stanza.uri, "error") if stanza is not None else ():
        yield from _elements(held, NS_UPLOAD, name)


def read_size(text: str) -> int | None:
    """Read a number of bytes above 0; None for anything else that a server may write there."""
    found = _SIZE.fullmatch(text.strip())
    return None if found is None else int(found[0]) or None


def _elements(element: Element, uri: str | None, name: str) -> Iterator[Element]:
    found: Iterator[Element] = element.elements(uri, name)
    return found

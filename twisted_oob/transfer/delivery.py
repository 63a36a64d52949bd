"""Delivery: how the handing over of one file ended. Values only; no reactor, no I/O."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from twisted.internet.defer import CancelledError

from twisted_oob._urls import shown_text, shown_url
from twisted_oob.errors import NOT_FOUND, UNAVAILABLE, ErrorCondition, OOBError, SlotRefused

RECEIVED: Final = "received"
FETCHED: Final = "fetched"
SENT: Final = "sent"
TIMEOUT: Final = "timeout"
UPLOAD_FAILED: Final = "upload-failed"

Ending: TypeAlias = "tuple[str, str | None, str | None]"
"""How it ended: the outcome, the condition and the text of a Delivery."""


class CancelledOnceSent(CancelledError):
    """The sending was cancelled, but its message had gone out."""


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Delivery:
    """How the handing over of one file or URL ended: what is known, and no more than that.

    ==================  ========================================================================
    outcome             what is known
    ==================  ========================================================================
    ``received``        The peer answered that it has the whole file (an IQ result).
    ``fetched``         The whole file was read once from the share whose URL went in a message.
    ``sent``            The message is written, and no error came back. Nobody tells us whether
                        the file is fetched.
    ``not-found``       The peer could not retrieve it.
    ``reject``          The peer, or its server, does not want it.
    ``unavailable``     Nobody is there that takes it. So it is if a message comes back because
                        there is no such user.
    ``wait``            The peer, or its server, is busy: try again later.
    ``timeout``         The time was over, and nobody had answered or read the file.
    ``upload-failed``   The upload service did not take the file. Nothing was sent to the peer.
    ==================  ========================================================================

    Its repr shows no more of the URL than is not secret.

    Attributes:
        outcome: One of these words.
        url: The URL that was offered; None if it did not come to that.
        via: ``'share'``, ``'upload'``, or ``'url'`` if a URL was given; None if the time was over
            before that was chosen.
        how: ``'iq'`` or ``'message'``, likewise.
        condition: The condition of the error that was answered (RFC 6120 section 8.3.3); None if
            there was no such error.
        text: What the error says, for a person; None if it says nothing.
        size: The size of the file in bytes; None for a URL.
        sha256: Its SHA-256 in hex; None for a URL, or if the time was over before it was known.
    """

    outcome: str
    url: str | None = None
    via: str | None = None
    how: str | None = None
    condition: str | None = None
    text: str | None = None
    size: int | None = None
    sha256: str | None = None

    def __repr__(self) -> str:
        shown = {
            "url": self.url and shown_place(self.url, self.via),
            "text": self.text and shown_text(self.text),
        }
        parts = (
            f"{field.name}={shown.get(field.name, getattr(self, field.name))!r}"
            for field in fields(self)
        )
        return f"Delivery({', '.join(parts)})"


def shown_place(url: str, via: str | None) -> str:
    """Give the URL of a delivery as a log or repr may show it.

    Whoever knows the path of a share or an upload can read the file, so it is left out.

    Args:
        url: The URL.
        via: As a Delivery has it.
    """
    if via == "url":
        return shown_url(url)
    parts = urlsplit(url)
    return shown_url(f"{parts.scheme}://{parts.netloc}/...")


def of_answer(answer: ErrorCondition | None) -> Ending:
    """Tell how it ended by the answer to a ``jabber:iq:oob`` request."""
    if answer is None:
        return RECEIVED, None, None
    return str(answer), answer.error.condition, answer.error.text


def of_bounce(bounce: ErrorCondition) -> Ending:
    """Tell how it ended by the error that a message came back with.

    A server that has no such user may say item-not-found, which is said of the user and not of the
    file.
    """
    word = UNAVAILABLE if bounce == NOT_FOUND else str(bounce)
    return word, bounce.error.condition, bounce.error.text


def of_failed_upload(error: OOBError) -> Ending:
    """Tell how it ended by what an upload failed with."""
    return UPLOAD_FAILED, error.condition if isinstance(error, SlotRefused) else None, str(error)

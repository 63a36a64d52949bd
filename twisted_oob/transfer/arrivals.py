"""What arrives at a Receiver, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from twisted.words.protocols.jabber.jid import JID

    from twisted_oob._file_info import FileInfo
    from twisted_oob.files.fetched import FetchedFile

OFFER: Final = "offer"
"""The kind of an arrival that asks to be retrieved and waits for an answer (XEP-0066 section 2)."""
MESSAGE: Final = "message"
"""The kind of an arrival that came inside a message, which gets no answer."""


@dataclass(frozen=True, slots=True, eq=False)
class Arrival:
    """A file that somebody hands to us. Each is equal to itself alone, so it can be a key.

    Its ``repr`` shows neither the URL, which may be as secret as a password, nor what a stranger
    wrote at any length.

    Attributes:
        url: Where the file is: an absolute URI, of any scheme.
        desc: The sender's description, for people; None if it did not give one.
        info: What the sender says of the file; None if it says nothing.
        sender: The JID that it came from; None if neither the stanza nor the stream tells.
        kind: OFFER or MESSAGE.
    """

    url: str = field(repr=False)
    desc: str | None = field(repr=False)
    info: FileInfo | None = field(repr=False)
    sender: JID | None
    kind: str


@dataclass(frozen=True, slots=True)
class Received:
    """A file arrived whole.

    Attributes:
        arrival: What was received.
        file: The file, under its final name.
        seconds: How long the transfer took, without the time before it began.
    """

    arrival: Arrival
    file: FetchedFile
    seconds: float


@dataclass(frozen=True, slots=True)
class Failed:
    """A file was not taken, or did not arrive whole. Nothing of it is left.

    Attributes:
        arrival: What was not received.
        condition: Why, as a condition of RFC 6120 section 8.3.3. It is what an offer is answered.
        text: Why, in one line for a person on this side; it may tell more than the answer does.
        seconds: How long the transfer took, without the time before it began; 0 if it did not
            begin.
    """

    arrival: Arrival
    condition: str
    text: str
    seconds: float

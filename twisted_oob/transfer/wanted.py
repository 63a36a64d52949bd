"""Wanted: what somebody wants us to fetch, and which of it is the same file."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from twisted_oob.protocol.same_file import file_key

if TYPE_CHECKING:
    from twisted.words.protocols.jabber.jid import JID

    from twisted_oob._file_info import FileInfo


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody wants us to fetch.

    Attributes:
        what: What it came in, which its log lines begin with: ``'Offer'``, ``'Message'`` or
            ``'Room message'``.
        sender: Who wants it, for the log; None if nothing tells.
        name: To whose share it counts: a bare JID, ``''`` if nothing tells.
        url: Where the file is.
        info: What is said of the file; None for nothing.
        patient: Whether it waits in the longer line, as nobody waits for the answer to an IQ.
        fetcher: Fetches it, instead of the responder's own: one with another folder. None for that.
    """

    what: str
    sender: JID | None
    name: str
    url: str = field(repr=False)
    info: FileInfo | None = None
    patient: bool = False
    fetcher: Any = None

    @property
    def key(self) -> bytes:
        """What is equal if the same sender wants the same file, for the same folder.

        Another size or SHA-256 is another file. A digest: strangers make addresses and URLs as long
        as they like. It holds the identity of ``fetcher``, so whoever keeps it keeps that, too.
        """
        size = sha256 = None
        if self.info is not None:
            size, sha256 = self.info.size, self.info.sha256
        # Neither a JID nor XML holds a NUL.
        parts = (self.name, file_key(self.url), size, sha256, id(self.fetcher))
        return blake2b("\0".join(map(str, parts)).encode(), digest_size=16).digest()

"""Seen: which messages have come already, so that none is taken twice.

Theory of operation
===================

A message may come more than once: its sender's client sends it again after it lost its stream, a
server delivers it again after we lost ours, a room repeats its history when we join. What makes two
messages one is told by ids:

=================  ===================================  ==========================================
id                 who makes it                         how long it is remembered
=================  ===================================  ==========================================
``<origin-id/>``   the sender's client, once for each   a day; what is delayed by more is not
                   message (XEP-0359)                   answered anyway
``<stanza-id/>``   our server, our account's archive,   a day
                   or the room; anybody else's may be
                   made up, and does not count
``id`` and         if there is no ``<origin-id/>``;     ten minutes
content            scripts may give all the same id
=================  ===================================  ==========================================

An id counts only for the one who used it: an account, or an occupant of a room. So nobody can make
us overlook the message of somebody else.

Two kinds of new messages belong to an earlier one, so the files of each are remembered for a day:

=================================  =================================================================
a message that                     what becomes of its files
=================================  =================================================================
corrects one (XEP-0308)            those that the corrected one had are not taken again
attaches sources to one            if that one only described the file, it is known by name, size
(XEP-0447)                         and hash now; if that one had files, it is another source of
                                   those, and not taken again
=================================  =================================================================

What could not be had is forgotten by ``forget``, and the next message that names it is another try.

Memory has bounds. Each sender has a share of its own: what it sends pushes out only what it has
sent before. If there are too many in all, the sender that has most loses its oldest.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, TypeAlias

from twisted_oob._checks import check_clock
from twisted_oob.protocol.attached import attached_in, attached_to, described_in
from twisted_oob.protocol.same_file import file_key

if TYPE_CHECKING:
    from twisted.words.protocols.jabber.jid import JID

    from twisted_oob.protocol.chat_message import ChatMessage
    from twisted_oob.protocol.messages import OOBMessage
    from twisted_oob.protocol.metadata import FileInfo
    from twisted_oob.xmpp.deadlines import Clock

MOST_OF_A_SENDER: Final = 500
"""How many ids and files are remembered of one sender."""
MOST_SENDERS: Final = 2000
"""How many senders are remembered; of more, those that wrote last."""
MOST_IN_ALL: Final = 20_000
"""How many ids and files are remembered in all. It is a few megabytes, at worst some ten."""

_DAY: Final = 86400.0
_TEN_MINUTES: Final = 600.0

Traces: TypeAlias = "tuple[str, tuple[bytes, ...]]"
"""Whose file it was, and what is remembered of it."""

# When each is forgotten, the oldest first, and what else is known of it. A sender chooses how long
# an id is, so it is hashed.
_Memory: TypeAlias = "OrderedDict[bytes, tuple[float, FileInfo | None]]"


class Seen:
    """Remembers messages for a while.

    Args:
        clock: Tells the time, IReactorTime.

    Raises:
        TypeError: The clock is something else.
    """

    def __init__(self, clock: Clock) -> None:
        check_clock("clock", clock)
        self._clock = clock
        # The sender that wrote last is the last.
        self._senders: OrderedDict[str, _Memory] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        """How many ids and files are remembered."""
        return self._count

    def is_new(self, message: ChatMessage, me: JID | None = None) -> bool:
        """Whether a message has not come before. After this, it has.

        Args:
            message: The message.
            me: Our address on the stream; None for the one that the message was sent to.
        """
        memory = self._memory_of(message)
        known = [
            self._remember(memory, id_, lifetime)
            for id_, lifetime in _ids(message, me or message.recipient)
        ]
        self._trim(memory)
        return not any(known)

    def new_files(self, message: ChatMessage) -> tuple[OOBMessage, ...]:
        """Give the files of a new message, without those that an earlier message had.

        Call it once for each message, also for one without files, as it remembers them.

        Args:
            message: One that ``is_new``.

        Returns:
            Those of ``message.files`` that are to be taken. What an earlier message has said of
            them is in ``info``.
        """
        memory = self._memory_of(message)
        files = self._not_attached(memory, message)
        id_ = message.replaces or message.id
        if id_ is not None:
            known = [self._remember(memory, _file(id_, file), _DAY) for file in files]
            if files:
                self._remember(memory, _digest("files", id_), _DAY)
            if message.replaces is not None:
                files = [file for file, old in zip(files, known, strict=True) if not old]
            for number, (name, info) in enumerate(described_in(message.element)):
                self._remember(memory, _digest("described", id_, name), _DAY, info)
                if number == 0:  # an older version of the standard had no name
                    self._remember(memory, _digest("described", id_, ""), _DAY, info)
        self._trim(memory)
        return tuple(files)

    def traces(self, message: ChatMessage, file: OOBMessage) -> Traces:
        """Give what ``forget`` needs to know of a file, as its message need not be kept for that.

        Args:
            message: The message that named it.
            file: One of its ``new_files``.
        """
        id_ = message.replaces or message.id
        if id_ is None:
            return _name(message), ()
        digests = [_file(id_, file), _digest("files", id_)]
        earlier = attached_to(message.element)
        if earlier is not None:
            name = attached_in(message.element).get(file_key(file.url), "")
            digests.append(_digest("attached", earlier, name))
        return _name(message), tuple(digests)

    def forget(self, traces: Traces) -> None:
        """Forget a file that could not be had, so that a later message may name it again.

        Args:
            traces: What ``traces`` gave.
        """
        name, digests = traces
        memory = self._senders.get(name)
        if memory is not None:
            for digest in digests:
                self._count -= memory.pop(digest, None) is not None

    def _not_attached(self, memory: _Memory, message: ChatMessage) -> list[OOBMessage]:
        """Give the files of a message, but for further sources of earlier files."""
        earlier = attached_to(message.element)
        if earlier is None:
            return list(message.files)
        attached = attached_in(message.element)
        files = []
        for file in message.files:
            name = attached.get(file_key(file.url))
            if name is None:
                files.append(file)
                continue
            _known, info = self._recall(memory, _digest("described", earlier, name))
            if info is not None:
                if not self._remember(memory, _digest("attached", earlier, name), _DAY):
                    files.append(replace(file, info=file.info or info))
            elif not self._recall(memory, _digest("files", earlier))[0]:
                files.append(file)
        return files

    def _memory_of(self, message: ChatMessage) -> _Memory:
        name = _name(message)
        memory = self._senders.setdefault(name, OrderedDict())
        self._senders.move_to_end(name)
        if len(self._senders) > MOST_SENDERS:
            _sender, forgotten = self._senders.popitem(last=False)
            self._count -= len(forgotten)
        return memory

    def _recall(self, memory: _Memory, digest: bytes) -> tuple[bool, FileInfo | None]:
        """Tell whether something is remembered, and what else is known of it."""
        until, info = memory.get(digest, (0.0, None))
        return until > self._clock.seconds(), info

    def _remember(
        self, memory: _Memory, digest: bytes, lifetime: float, info: FileInfo | None = None
    ) -> bool:
        """Remember something, if it is not remembered; tells whether it was.

        To hear of it again makes it no longer: some scripts say the same once a minute.
        """
        if self._recall(memory, digest)[0]:
            return True
        self._count += digest not in memory
        memory[digest] = self._clock.seconds() + lifetime, info
        memory.move_to_end(digest)
        return False

    def _trim(self, memory: _Memory) -> None:
        """Forget what is too old or too much."""
        now = self._clock.seconds()
        while memory and (len(memory) > MOST_OF_A_SENDER or next(iter(memory.values()))[0] <= now):
            self._forget_oldest(memory)
        while self._count > MOST_IN_ALL:
            self._forget_oldest(max(self._senders.values(), key=len))

    def _forget_oldest(self, memory: _Memory) -> None:
        memory.popitem(last=False)
        self._count -= 1


def _name(message: ChatMessage) -> str:
    """Give what stands for one sender: an account, or an occupant of a room."""
    sender = message.sender
    name: str = sender.full() if message.in_room else sender.userhost()
    return name


def _ids(message: ChatMessage, me: JID | None) -> Iterator[tuple[bytes, float]]:
    """Give what makes a message the same as another, and for how many seconds."""
    trusted = set() if me is None else {me.userhost(), me.host}
    if message.in_room:
        trusted.add(message.sender.userhost())
    for by, id_ in message.stanza_ids.items():
        if by in trusted:
            yield _digest("stanza-id", by, id_), _DAY
    if message.origin_id is not None:
        yield _digest("origin-id", message.origin_id), _DAY
    elif message.id is not None:
        content = [message.body or "", *(file.url for file in message.files)]
        yield _digest("id", message.id, message.replaces or "", *content), _TEN_MINUTES


def _file(id_: str, file: OOBMessage) -> bytes:
    return _digest("file", id_, file_key(file.url))


def _digest(*parts: str) -> bytes:
    digest = blake2b(digest_size=16)
    for part in parts:
        # XML can't hold the separator, so no part can look like two.
        digest.update(part.encode("utf-8", "surrogatepass") + b"\0")
    return digest.digest()

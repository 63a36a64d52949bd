"""ChatFiles: fetches the files of chat messages, each file once, and says what became of them.

People send a file again if they see no answer soon. So each file of a message is looked up first:

==============================================  ===================================================
the same URL, from the same account or room     what is done
==============================================  ===================================================
is being fetched                                it waits for the outcome of that transfer
was stored less than a minute ago               it has the same outcome
is new, failed, or was stored longer ago        it is fetched
==============================================  ===================================================

(That a message came before, or corrects another, shows sooner; see protocol/seen.py. What was not
stored is forgotten there.)

A program may name the same file in each of its answers to ours, such as one that says for its owner
"I am away, see URL". That would never end. So an account may name a file AGAIN times, and then once
a minute, as some cameras do. What is beyond that is left out.

What is kept for this is bounded, and holds digests in the place of URLs and addresses, which
strangers make as long as they like. While a file waits, nothing is kept of the message that named
it: a message may have megabytes, and two thousand files may wait. A file that has no place to wait
in is no line of the log, but counted by the limits' tally, as a flood of them may come.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.logger import Logger
from twisted.words.protocols.jabber.error import StanzaError

from twisted_oob._shown import printable
from twisted_oob.errors import ResourceConstraint
from twisted_oob.files.names import LONGEST_NAME, file_name
from twisted_oob.files.urls import path_of
from twisted_oob.protocol.chat_message import MAX_FILES
from twisted_oob.protocol.same_file import file_key
from twisted_oob.transfer.chat_texts import BROKEN_OFF, UNEXPECTED, ChatTexts
from twisted_oob.transfer.wanted import Wanted
from twisted_oob.xmpp.buckets import Buckets
from twisted_oob.xmpp.jid import shown

if TYPE_CHECKING:
    from twisted_oob._file_info import FileInfo
    from twisted_oob.protocol.chat_message import ChatMessage
    from twisted_oob.protocol.messages import OOBMessage
    from twisted_oob.protocol.seen import Seen, Traces
    from twisted_oob.transfer.checked_texts import CheckedTexts
    from twisted_oob.transfer.fair_fetcher import FetchHost

SAME_FILE: Final = 60.0
"""Seconds after which a file that was stored is fetched again if it is sent again."""
AGAIN: Final = 10
"""How often an account may name the same file at once; after SAME_FILE once more."""
MOST_NAMED: Final = 10_000
"""How many files that were named in the last minutes are remembered."""
MOST_STORED: Final = 1000
"""How many files that were stored are remembered; the oldest is forgotten first."""
MOST_WAITING: Final = 100
"""How many messages may wait for one transfer."""

_BUSY: Final = "too many transfers at once; try again later"
_LONGEST_REASON: Final = 300
_REASONS: Final = {
    "item-not-found": "it can't be retrieved",
    "not-acceptable": "it is not wanted",
    "not-allowed": "it is not wanted",
    "forbidden": "it is not wanted",
    "resource-constraint": _BUSY,
}
"""What an error means that says nothing itself, by its condition."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file.

    Attributes:
        name: Its name in our folder; if it was not stored, the name that its sender gave it.
        size: Its size in bytes; None if it was not stored.
        reason: Why it was not stored; None if it was.
        refused: Whether nothing was tried, as there was no room.
    """

    name: str
    size: int | None = None
    reason: str | None = None
    refused: bool = False


class ChatFiles:
    """Fetches files of chat messages.

    Args:
        host: Fetches them, in fair turns.
        seen: Has taken the messages. It forgets each file that was not stored, so that a correction
            or another source of it is another try.
        what: What they come in, as log lines begin; see Wanted.
        fetcher: Fetches them, instead of the host's own; None for that.
    """

    _log = Logger()

    def __init__(
        self, host: FetchHost, seen: Seen, *, what: str = "Message", fetcher: Any = None
    ) -> None:
        self._host = host
        self._seen = seen
        self._what = what
        self._fetcher = fetcher
        self._running: dict[bytes, list[Deferred[Outcome]]] = {}
        self._stored: OrderedDict[bytes, tuple[float, Outcome]] = OrderedDict()
        self._named = Buckets(host.clock, per_second=1 / SAME_FILE, burst=AGAIN, most=MOST_NAMED)

    def not_too_often(self, message: ChatMessage, files: Iterable[OOBMessage]) -> list[OOBMessage]:
        """Give those files of a new message that its sender has not named too often already."""
        return [file for file in files if self._named.take(_key(message, file).hex())]

    def fetches(self, message: ChatMessage, files: Iterable[OOBMessage]) -> bool:
        """Whether one of these files is fetched: its outcome is not known, and there is a place."""
        if not self._host.fetches.has_patience(message.sender.userhost()):
            return False
        keys = [_key(message, file) for file in files]
        return any(key not in self._running and self._outcome_of(key) is None for key in keys)

    def fetch_all(
        self, message: ChatMessage, files: Sequence[OOBMessage]
    ) -> Deferred[list[Outcome]]:
        """Fetch files, all at once.

        Returns:
            A Deferred that fires with the outcome of each, in their order. Whatever happens is an
            outcome.
        """
        # All have begun before the first is waited for.
        traces = [self._seen.traces(message, file) for file in files]
        begun = [self._fetch(message, file) for file in files]
        return Deferred.fromCoroutine(self._all(begun, traces))

    async def _all(
        self, begun: Sequence[Deferred[Outcome]], traces: Sequence[Traces]
    ) -> list[Outcome]:
        outcomes = [await outcome for outcome in begun]
        for outcome, of_file in zip(outcomes, traces, strict=True):
            if outcome.size is None:
                self._seen.forget(of_file)
        return outcomes

    def _fetch(self, message: ChatMessage, file: OOBMessage) -> Deferred[Outcome]:
        key = _key(message, file)
        known = self._outcome_of(key)
        if known is not None:
            return succeed(known)
        outcome: Deferred[Outcome] = Deferred()
        waiting = self._running.get(key)
        if waiting is None:
            self._running[key] = [outcome]
            Deferred.fromCoroutine(self._run(key, self._wanted(message, file), _name_of(file)))
        elif len(waiting) < MOST_WAITING:
            waiting.append(outcome)
        else:
            return succeed(Outcome(_name_of(file), reason=_BUSY, refused=True))
        return outcome

    async def _run(self, key: bytes, wanted: Wanted, name: str) -> None:
        outcome = await self._retrieve(wanted, name)
        waiting = self._running.pop(key)
        if outcome.size is not None:
            self._stored.pop(key, None)  # so that it comes last
            self._stored[key] = self._host.clock.seconds(), outcome
        self._forget_old()
        for one in waiting:
            one.callback(outcome)

    def _wanted(self, message: ChatMessage, file: OOBMessage) -> Wanted:
        sender = message.sender
        return Wanted(
            self._what,
            sender,
            sender.userhost(),
            file.url,
            _short(file.info),
            patient=True,
            fetcher=self._fetcher,
        )

    async def _retrieve(self, wanted: Wanted, name: str) -> Outcome:
        if not self._host.fetches.has_patience(wanted.name):
            self._host.limits.tally.dropped(wanted.name)
            return Outcome(name, reason=_BUSY, refused=True)
        # What is told to the peer is the text of an error, never its detail.
        try:
            fetched = await self._host.fetches.fetch(wanted)
            return Outcome(printable(fetched.path.name), fetched.size)
        except StanzaError as error:
            reason = error.text or _REASONS.get(error.condition, "it could not be had")
            refused = isinstance(error, ResourceConstraint)
        except CancelledError:
            reason, refused = BROKEN_OFF, False
        except Exception:
            # The FairFetcher has told that it failed, but not how.
            who = None if wanted.sender is None else shown(wanted.sender.full())
            self._log.failure("A file of {sender} was not fetched", sender=who)
            reason, refused = UNEXPECTED, False
        line = " ".join(reason[:_LONGEST_REASON].split())
        return Outcome(name, None, printable(line), refused)

    def _outcome_of(self, key: bytes) -> Outcome | None:
        """Give the outcome of a file that was stored a short time ago."""
        at, outcome = self._stored.get(key, (0.0, None))
        return outcome if self._host.clock.seconds() - at < SAME_FILE else None

    def _forget_old(self) -> None:
        oldest_kept = self._host.clock.seconds() - SAME_FILE
        while self._stored:
            key, (at, _outcome) = next(iter(self._stored.items()))
            if at > oldest_kept and len(self._stored) <= MOST_STORED:
                return
            del self._stored[key]


def answer_of(
    texts: CheckedTexts, message: ChatMessage, outcomes: Iterable[Outcome], *, stored: bool = True
) -> str:
    """Say what became of the files of a message, a line for each.

    Args:
        texts: How it is said.
        message: What named them.
        outcomes: What became of them.
        stored: Whether files that were stored are told of.

    Returns:
        The answer; ``''`` if there is nothing to say.
    """
    lines = []
    for one in outcomes:
        if one.size is None:
            lines.append(texts.say(ChatTexts.failed, one.name, one.reason or ""))
        elif stored:
            lines.append(texts.say(ChatTexts.stored, one.name, one.size))
    if message.left_out:
        lines.append(texts.say(ChatTexts.too_many, message.left_out, MAX_FILES))
    return "\n".join(lines)


def _short(info: FileInfo | None) -> FileInfo | None:
    """Cut a file's name, which its sender makes as long as it likes, to what counts of it."""
    if info is None or info.name is None or len(info.name) <= LONGEST_NAME:
        return info
    name = info.name[:LONGEST_NAME]
    return replace(info, name=name if name.strip() else None)


def _key(message: ChatMessage, file: OOBMessage) -> bytes:
    # Neither a JID nor XML holds a NUL.
    key = f"{message.sender.userhost()}\0{file_key(file.url)}"
    return blake2b(key.encode(), digest_size=16).digest()


def _name_of(file: OOBMessage) -> str:
    """Give the name of a file that nobody has, as its sender has it. A log may show it, too."""
    offered = None if file.info is None else file.info.name
    return file_name(None, path_of(file.url), offered=offered)

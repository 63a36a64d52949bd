"""Decisions: which files ``oob receive`` takes, by its options or by what a person answers.

The first line that applies decides:

==========================================  =====================================================
if                                          then
==========================================  =====================================================
``--count`` files are received or on their  it waits until one of those fails, or until the end
way
a person answered "quit" before             it is refused
``--from`` names the sender, or ``--yes``   it is taken
a person said "always" of the sender        it is taken
there is no terminal to ask on              it is refused
the policy would refuse it                  it is refused with that error, without a question
else                                        a person is asked
==========================================  =====================================================
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from twisted.internet.defer import DeferredSemaphore

from twisted_oob._shown import human_size, printable, shown_jid, shown_name
from twisted_oob.commands.questions import Answer, Questions
from twisted_oob.files.names import file_name
from twisted_oob.files.urls import path_of, read_url
from twisted_oob.transfer.arrivals import Arrival, Failed, Received
from twisted_oob.xmpp.access import AllowList

if TYPE_CHECKING:
    from twisted_oob.files.policy import FetchPolicy

_LONGEST_DESC: Final = 120
_LONGEST_HOST: Final = 80
_MOST_PLACES: Final = 10**9


class Decisions:
    """Decides about one Arrival after the other.

    Args:
        policy: What the Fetcher will accept.
        senders: Whose files are taken: the entries of an AllowList.
        yes: Whether everybody's are.
        count: How many files are taken in all; None if there is no end.
        questions: Asks a person; None if there is nobody to ask.

    Attributes:
        taken: The files that are taken and not over yet.
        quit: Whether the person wants no more files. All are refused from then on.
    """

    def __init__(
        self,
        policy: FetchPolicy,
        *,
        senders: Iterable[str],
        yes: bool,
        count: int | None,
        questions: Questions | None,
    ) -> None:
        self._policy = policy
        self._allowed = AllowList(senders)
        self._yes = yes
        self._places = DeferredSemaphore(_MOST_PLACES if count is None else count)
        self.taken: set[Arrival] = set()
        self._questions = questions
        self._always: set[str] = set()
        self.quit = False

    async def accept(self, arrival: Arrival) -> bool:
        """Decide whether a file is taken; as ``Receiver`` wants it.

        Raises:
            Rejected: The policy forbids it.
        """
        await self._places.acquire()
        taken = False
        try:
            taken = await self._is_wanted(arrival)
        finally:
            if taken:
                self.taken.add(arrival)
            else:
                self._places.release()
        return taken

    def over(self, outcome: Received | Failed) -> None:
        """Note how a file ended: one that failed leaves its place to another."""
        if outcome.arrival in self.taken:
            self.taken.remove(outcome.arrival)
            if isinstance(outcome, Failed):
                self._places.release()

    async def _is_wanted(self, arrival: Arrival) -> bool:
        known = self._known(arrival)
        if known is None and self._questions is not None:
            read_url(arrival.url)
            if arrival.info is not None and arrival.info.size is not None:
                self._policy.check_size(arrival.info.size)
            known = await self._questions.ask(question(arrival), lambda: self._known(arrival))
            if known is Answer.ALWAYS and arrival.sender is not None:
                self._always.add(arrival.sender.userhost())
            elif known is Answer.QUIT:
                self.quit = True
        return known in {Answer.YES, Answer.ALWAYS}

    def _known(self, arrival: Arrival) -> Answer | None:
        """Return the answer that needs no question."""
        if self.quit:
            return Answer.NO
        sender = arrival.sender
        if self._yes or sender in self._allowed:
            return Answer.YES
        return Answer.YES if sender is not None and sender.userhost() in self._always else None


def question(arrival: Arrival) -> str:
    """Say what is offered, in one line for a terminal, and ask for it in the next."""
    info = arrival.info
    sender = "somebody" if arrival.sender is None else shown_jid(arrival.sender.full())
    size = "" if info is None or info.size is None else f" ({human_size(info.size)})"
    desc = "" if not arrival.desc else f', "{printable(arrival.desc[:_LONGEST_DESC])}"'
    return f"{sender} offers {shown_name(name_of(arrival))}{size}{_place(arrival)}{desc}\nTake it"


def name_of(arrival: Arrival) -> str:
    """Name a file as it will land, unless its server has another name for it."""
    offered = None if arrival.info is None else arrival.info.name
    return file_name(None, path_of(arrival.url), offered=offered)


def _place(arrival: Arrival) -> str:
    host = None
    with suppress(ValueError):
        host = urlsplit(arrival.url).hostname
    return f" from {printable(host[:_LONGEST_HOST])}" if host else ""

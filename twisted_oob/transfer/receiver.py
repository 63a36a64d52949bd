"""Receiver: takes the files that others hand to us, each after somebody said yes to it.

Theory of operation
===================

Offers (``jabber:iq:oob``) and files in messages come in. Each that is not turned away at once
becomes an Arrival, which goes through these steps:

=========  ================================================  ======================================
step       what happens                                      leads to
=========  ================================================  ======================================
asking     ``accept`` decides, however long that takes       waiting, if it is true; else told
waiting    until fewer than four transfers run               fetching
fetching   the Fetcher fetches the file, with what the       told
           sender said of it
told       ``tell`` gets a Received or a Failed, once for    answered
           each Arrival that ``accept`` has seen
answered   an offer gets a result, or the error that it
           failed with; a message gets nothing
=========  ================================================  ======================================

What is turned away at once is seen by neither ``accept`` nor ``tell``:

==================================================================  ==============================
what                                                                what it gets
==================================================================  ==============================
an offer, if ``most_open`` have no answer yet, or after a stop      resource-constraint, type wait
a message, if ``most_open`` are in work                             a log line
an error, a headline, a message of a room, or a copy of one, such   nothing
as a carbon
a message from our own address, or after a stop                     nothing
a message with a URL of the same sender that is in work, or that    nothing: it is one file, named
an offer has brought within the last minute                         in two ways
==================================================================  ==============================

Two things end the first three steps early, each with an error that is told: the loss of the stream,
for its offers (messages need no answer, so they go on), and ``stopService``. Both cancel what the
Arrival waits for. What it has at that moment goes: the Fetcher removes its part of the file. Once
an Arrival is *told*, both come too late.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredSemaphore, fail, succeed
from twisted.logger import Logger
from twisted.words.protocols.jabber.error import StanzaError

from twisted_oob._checks import check_callable, check_clock, checked_count, wrong_type
from twisted_oob._shown import counted
from twisted_oob.errors import Rejected, ResourceConstraint
from twisted_oob.protocol.chat_message import message_kind
from twisted_oob.protocol.handler import OOBHandler
from twisted_oob.transfer.arrivals import MESSAGE, OFFER, Arrival, Failed, Received
from twisted_oob.xmpp.basics import attach_basics, check_stream
from twisted_oob.xmpp.deferreds import as_deferred
from twisted_oob.xmpp.jid import shown
from twisted_oob.xmpp.own_address import OwnAddress

if TYPE_CHECKING:
    from twisted.words.protocols.jabber.jid import JID

    from twisted_oob.files.fetch import Fetcher
    from twisted_oob.files.fetched import FetchedFile
    from twisted_oob.protocol.messages import OOBMessage
    from twisted_oob.protocol.offers import Offer
    from twisted_oob.xmpp.deadlines import Clock

Accept = Callable[[Arrival], Awaitable[bool]]
Tell = Callable[[Received | Failed], object]
OnProgress = Callable[[Arrival, int, int | None], object]

_T = TypeVar("_T")

# Transfers at once: more share one line, and a person who waits wants the first file first.
_AT_ONCE: Final = 4
# Seconds for which a message counts as another name of the file that an offer has brought.
_JUST_RECEIVED: Final = 60.0


class Receiver(Service):
    """Receives files from a stream: those that are offered, and those that messages name.

    A Twisted service. ``attach`` it to a stream, and run both as a ``ServedStream`` or an
    ``EmbeddedResponder``, as an OOBResponder.

    Args:
        fetcher: Fetches the files, as for an OOBResponder. Its ``fetch`` gets ``on_progress``, too,
            if there is one.
        accept: Called with each Arrival. It returns an awaitable whose end decides: True takes the
            file, False refuses it, Rejected or another StanzaError refuses it with that error. It
            is cancelled if the Arrival ends before.
        tell: Called once for each Arrival that ``accept`` has seen, with a Received or a Failed,
            before an offer is answered.
        reactor: Tells the time, IReactorTime.
        most_open: How many offers may be without an answer at once, and how many messages may be
            in work.
        on_progress: Called with an Arrival, the bytes that came so far, and the size of the file,
            or None if nobody tells.

    What ``accept`` or ``tell`` raises by mistake is logged, and an offer gets
    internal-server-error. A file that has its name then stays.

    Raises:
        TypeError: An argument is of the wrong kind; the message names it.
        ValueError: ``most_open`` is below 1.
    """

    _log = Logger()

    def __init__(
        self,
        fetcher: Fetcher,
        *,
        accept: Accept,
        tell: Tell,
        reactor: Clock,
        most_open: int = 16,
        on_progress: OnProgress | None = None,
    ) -> None:
        if not callable(getattr(fetcher, "fetch", None)):
            raise wrong_type("fetcher", "a Fetcher", fetcher)
        for name, given in (("accept", accept), ("tell", tell)):
            if not callable(given):
                raise wrong_type(name, "callable", given)
        check_callable("on_progress", on_progress)
        check_clock("reactor", reactor)
        self._fetcher = fetcher
        self._accept = accept
        self._tell = tell
        self._clock = reactor
        self._most_open = checked_count("most_open", most_open)
        self._on_progress = on_progress
        self._turns = DeferredSemaphore(_AT_ONCE)
        self._open: set[_Work] = set()
        # When each URL of a sender was received as an offer, the oldest first.
        self._received: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._closed = False
        self._idle: list[Deferred[None]] = []

    def attach(
        self,
        manager: Any,
        *,
        identity: tuple[str, str] = ("component", "generic"),
        direct: bool = False,
    ) -> OOBHandler:
        """Take what comes on a stream, and answer what others ask of any entity.

        Args:
            manager: A stream manager that takes Wokkel's handlers.
            identity: The category and type that disco tells (XEP-0030 section 3.1).
            direct: As for OOBHandler.

        Returns:
            The handler that takes offers and messages. It can send, too.

        Raises:
            TypeError: An argument is of the wrong kind; the message names it.
        """
        check_stream(manager, identity)
        address = OwnAddress()
        handler = OOBHandler(
            self._on_offer,
            partial(self._on_message, address),
            direct=direct,
            # One more than there may be: what is beyond is refused here, with a text.
            max_open_offers=self._most_open + 1,
            # A person may take any time to decide, and the Fetcher has limits of its own.
            answer_timeout=None,
            reactor=self._clock,
        )
        for one in (address, handler):
            one.setHandlerParent(manager)
        attach_basics(manager, identity=identity, name="Out of Band receiver")
        return handler

    def startService(self) -> None:
        """Remove what a killed process left unfinished, and begin to take files."""
        removed = self._fetcher.remove_leftovers()
        if removed:
            files = counted(removed, "unfinished file")
            self._log.info("Removed {files} of an earlier run", files=files, removed=removed)
        self._closed = False
        Service.startService(self)

    def stopService(self) -> Deferred[None]:
        """Take nothing more, and cancel what is not received yet; offers get resource-constraint.

        Returns:
            A Deferred that fires when nothing runs, all was told, and every answer was sent.
        """
        Service.stopService(self)
        self._closed = True
        # A copy: each one leaves the set as it ends.
        for work in list(self._open):
            work.give_up(_stopping())
        if not self._open:
            return succeed(None)
        idle: Deferred[None] = Deferred()
        self._idle.append(idle)
        return idle

    def _on_offer(self, offer: Offer) -> Deferred[None]:
        if self._closed:
            return fail(_stopping())
        if self._is_full(OFFER, offer.sender):
            return fail(ResourceConstraint("too many offers at once; try again later"))
        work = _Work(Arrival(offer.url, offer.desc, offer.info, offer.sender, OFFER))
        # Its canceller is called as the stream is lost.
        answer: Deferred[None] = Deferred(lambda _: work.give_up(_lost()))
        self._begin(work, answer)
        return answer

    def _on_message(self, address: OwnAddress, message: OOBMessage) -> None:
        if self._closed or not _is_personal(message) or address.covers(message.sender):
            return
        arrival = Arrival(message.url, message.desc, message.info, message.sender, MESSAGE)
        if not self._is_known(arrival) and not self._is_full(MESSAGE, message.sender):
            self._begin(_Work(arrival), None)

    def _is_full(self, kind: str, sender: JID | None) -> bool:
        if sum(work.arrival.kind == kind for work in self._open) < self._most_open:
            return False
        self._log.warn(
            "Turned away a file from {sender} ({kind}): {count} wait already",
            sender=None if sender is None else shown(sender.full()),
            kind=kind,
            count=self._most_open,
        )
        return True

    def _is_known(self, arrival: Arrival) -> bool:
        """Whether the same file is in work, or came by an offer a moment ago."""
        name = _file_of(arrival)
        self._forget_received()
        return name in self._received or any(_file_of(work.arrival) == name for work in self._open)

    def _forget_received(self) -> None:
        before = self._clock.seconds() - _JUST_RECEIVED
        while self._received and next(iter(self._received.values())) < before:
            self._received.popitem(last=False)

    def _begin(self, work: _Work, answer: Deferred[None] | None) -> None:
        self._open.add(work)
        Deferred.fromCoroutine(self._receive(work, answer))

    async def _receive(self, work: _Work, answer: Deferred[None] | None) -> None:
        outcome, error = await self._outcome(work)
        try:
            self._tell(outcome)
        except Exception:
            self._log.failure("tell failed")
            error = StanzaError("internal-server-error")
        # As the stream was lost, it has fired already, and nobody would hear an answer.
        if answer is not None and not answer.called:
            if error is None:
                answer.callback(None)
            else:
                answer.errback(error)
        self._open.discard(work)
        if not self._open:
            idle, self._idle = self._idle, []
            for each in idle:
                each.callback(None)

    async def _outcome(self, work: _Work) -> tuple[Received | Failed, StanzaError | None]:
        arrival = work.arrival
        began: float | None = None
        try:
            if not await work.wait(as_deferred(self._accept(arrival))):
                raise Rejected("the recipient does not want the file")
            await work.wait(self._turns.acquire())
            began = self._clock.seconds()
            try:
                file = await work.wait(self._fetch(arrival))
            finally:
                self._turns.release()
        except Exception as caught:
            error, text = self._explained(work, caught)
            seconds = 0.0 if began is None else self._clock.seconds() - began
            return Failed(arrival, error.condition, text, seconds), error
        if arrival.kind == OFFER:
            self._forget_received()
            self._received[_file_of(arrival)] = self._clock.seconds()
        return Received(arrival, file, self._clock.seconds() - began), None

    def _fetch(self, arrival: Arrival) -> Deferred[FetchedFile]:
        on_progress = self._on_progress
        if on_progress is None:
            return self._fetcher.fetch(arrival.url, info=arrival.info)
        size = None if arrival.info is None else arrival.info.size

        def came(received: int, total: int | None) -> None:
            on_progress(arrival, received, size if total is None else total)

        return self._fetcher.fetch(arrival.url, info=arrival.info, on_progress=came)

    def _explained(self, work: _Work, error: Exception) -> tuple[StanzaError, str]:
        """Give the answer to what failed, and its text for a person on this side."""
        if work.verdict is not None:
            error = work.verdict
        if not isinstance(error, StanzaError):
            self._log.failure("A file was not received, because of an unexpected error")
            text = getattr(error, "strerror", None) or f"unexpected error: {type(error).__name__}"
            return StanzaError("internal-server-error"), text
        text = error.text or error.condition
        detail = getattr(error, "detail", None)
        return error, text if detail in (None, text) else f"{text}: {detail}"


class _Work:
    """What is done for an Arrival, and a way to end it early.

    ``verdict``: the error that ended it, if one did.
    """

    __slots__ = ("_waits_for", "arrival", "verdict")

    def __init__(self, arrival: Arrival) -> None:
        self.arrival = arrival
        self.verdict: StanzaError | None = None
        self._waits_for: Deferred[Any] | None = None

    async def wait(self, deferred: Deferred[_T]) -> _T:
        """Wait for what ``give_up`` cancels; it may have been called already."""
        self._waits_for = deferred
        if self.verdict is not None:
            deferred.cancel()
        try:
            return await deferred
        finally:
            self._waits_for = None

    def give_up(self, verdict: StanzaError) -> None:
        """Cancel what it waits for; the first verdict counts."""
        if self.verdict is not None:
            return
        self.verdict = verdict
        # If it waits for nothing, accept itself called us, and the next wait ends at once, or tell
        # did, and it is too late.
        if self._waits_for is not None:
            self._waits_for.cancel()


def _is_personal(message: OOBMessage) -> bool:
    """Whether it is a message from one person to us (RFC 6121 section 5.2.2), and no copy."""
    return message_kind(message.element) in ("chat", "normal")


def _file_of(arrival: Arrival) -> tuple[str, str]:
    """Give what makes two arrivals one file: who sent it, and from where."""
    return "" if arrival.sender is None else arrival.sender.userhost(), arrival.url


def _stopping() -> StanzaError:
    return ResourceConstraint("the receiver is stopping; try again later")


def _lost() -> StanzaError:
    return StanzaError("recipient-unavailable", type="wait", text="the connection was lost")

"""FairFetcher: fetches what many senders want fetched, and gives each of them its fair share.

Theory of operation
===================

What comes in is a Wanted: a URL, and who wants it. What comes out is the file, or the error that is
told to whoever wants it. OOBResponder makes a Wanted of each offer, ChatFrontend of each file of a
message, RoomFrontend of each file of a room.

=========  ===========================================  ==========================================
step       what happens                                 the error, if it ends here
=========  ===========================================  ==========================================
accepted   unless the fetcher is being stopped          ResourceConstraint
counted    unless its sender has its share already      ResourceConstraint
           (see turns.py)
waiting    until its sender has a turn                  ResourceConstraint, when the fetcher stops
running    the Fetcher fetches the file, which must     the fetch's error
           be the one that was announced
failing    waits if its sender has had many failures    the fetch's error, at once when the fetcher
           (see gate.py)                                stops
=========  ===========================================  ==========================================

Two kinds differ in how they wait:

- An offer is an IQ request, and its sender's client waits for the answer. So few offers wait, and
  more of them are told at once to try again later. A failing offer keeps its turn while its answer
  waits. So whoever makes many that fail fills its own share with them, and is then told so.
- For a message nobody waits, and no client sends it again. So messages are patient: many wait. A
  failing one gives its turn back, so that the next file of its sender is fetched, but it counts
  until it is answered: that bounds what is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred, succeed
from twisted.logger import Logger
from twisted.words.protocols.jabber.error import StanzaError

from twisted_oob._urls import shown_url
from twisted_oob.errors import ResourceConstraint
from twisted_oob.transfer.turns import WAITING_PER_TRANSFER, Place, Turns
from twisted_oob.xmpp.jid import shown

if TYPE_CHECKING:
    from twisted.words.protocols.jabber.jid import JID

    from twisted_oob._file_info import FileInfo
    from twisted_oob.files.fetched import FetchedFile
    from twisted_oob.xmpp.access import AllowList
    from twisted_oob.xmpp.deadlines import Clock, Timer
    from twisted_oob.xmpp.gate import Limits

_STOPPING: Final = "the responder is stopping; try again later"
_MOST_REASON: Final = 300

# Not by the name of this module: these lines are the responder's, and operators filter by it.
_log = Logger("twisted_oob.transfer.responder.OOBResponder")


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


class FetchHost(Protocol):
    """What a frontend (of a chat, of rooms) fetches with: an OOBResponder.

    Attributes:
        fetches: Fetches the files.
        allowed: Who may have files fetched.
        limits: How often each sender is answered.
        clock: Tells the time and delays calls.
    """

    fetches: FairFetcher
    allowed: AllowList
    limits: Limits
    clock: Clock


class _Work:
    """What is done for a Wanted: it waits for its turn, fetches, and may wait to fail.

    ``done`` fires at its end. To cancel it is to end what it does: then it fails, or, if it has
    failed already, it does not wait any more. ``fetching``: whether a transfer runs.
    """

    __slots__ = ("done", "fetching", "place")

    def __init__(self, place: Place) -> None:
        self.place = place
        self.fetching = False
        self.done: Deferred[FetchedFile]


class FairFetcher:
    """Fetches files, some at once, in turns that go round among those who want them.

    It fetches before ``start``, too.

    Args:
        fetcher: Fetches the files, as for OOBResponder.
        limits: Tells how long a failure waits. Its tally is started and stopped here.
        reactor: Tells the time and delays calls, IReactorTime.
        concurrency: How many transfers run at once.
        grace: Seconds that running transfers get to finish when it is stopped.

    Attributes:
        most_open: How many offers can be open at once; more are refused.
        max_size: The largest file that the fetcher takes, in bytes; None if it does not tell.
        running: How many transfers run now.
        on_running: Each is called with ``running`` whenever that has changed.
    """

    def __init__(
        self, fetcher: Any, *, limits: Limits, reactor: Clock, concurrency: int, grace: float
    ) -> None:
        self.most_open = concurrency * (1 + WAITING_PER_TRANSFER)
        self.max_size: int | None = getattr(getattr(fetcher, "policy", None), "max_size", None)
        self.running = 0
        self.on_running: list[Callable[[int], object]] = []
        self._fetcher = fetcher
        self._limits = limits
        self._clock = reactor
        self._turns = Turns(concurrency)
        self._grace = grace
        # In order of arrival: at a stop, whoever came first is told first.
        self._open: dict[_Work, None] = {}
        self._closed = False
        self._on_idle: Deferred[None] | None = None
        self._end_of_grace: Timer | None = None

    def has_room(self, name: str) -> bool:
        """Tell whether another offer of a sender would be accepted now.

        Args:
            name: Who it is, as in ``Wanted.name``.
        """
        return not self._closed and self._turns.has_room(name)

    def has_patience(self, name: str) -> bool:
        """Tell whether there is a place for another file of a sender that may wait longer.

        Args:
            name: Who it is, as in ``Wanted.name``.
        """
        return self._turns.has_patience(name)

    async def fetch(self, wanted: Wanted) -> FetchedFile:
        """Fetch a file in its turn. The log tells that it begins, and how it ended.

        Returns:
            The whole file, on disk.

        Raises:
            StanzaError: What the sender is told: FetchFailed, Rejected, ResourceConstraint, or
                another one of the Fetcher.
            CancelledError: The call was cancelled; nothing is left of it.
            Exception: Whatever else the Fetcher failed with.
        """
        began = self._clock.seconds()
        # Strangers choose addresses, URLs and servers, and so how long each is.
        about: dict[str, Any] = {
            "what": wanted.what,
            "sender": None if wanted.sender is None else shown(wanted.sender.full()),
            "url": shown_url(wanted.url),
        }
        _log.info("{what} from {sender}: {url}", **about)

        def ended(level: Callable[..., None], text: str, **more: object) -> None:
            seconds = self._clock.seconds() - began
            level(
                "{what} from {sender} ended: {url}: " + text + ", {seconds:.2f} s",
                **about,
                **more,
                seconds=seconds,
            )

        try:
            fetched = await self._retrieve(wanted)
        except StanzaError as error:
            # As a str, our errors have the detail that is for our own log; the peer gets the text.
            reason = str(error)[:_MOST_REASON]
            ended(_log.info, "{condition}: {reason}", condition=error.condition, reason=reason)
            raise
        except CancelledError:
            ended(_log.info, "cancelled, as the stream was lost")
            raise
        except Exception:
            ended(_log.error, "failed unexpectedly")
            raise
        ended(_log.info, "success: {size} bytes in {file}", size=fetched.size, file=fetched.path)
        return fetched

    def start(self) -> None:
        """Remove what a killed process left unfinished, and accept what comes."""
        removed = remove_leftovers(self._fetcher)
        if removed:
            _log.info("Removed {removed} unfinished files of an earlier run", removed=removed)
        self._closed = False
        # Started again within the grace: what still runs may go on.
        self._cancel_end_of_grace()
        self._limits.tally.start()

    def stop(self) -> Deferred[None]:
        """Accept nothing more, and let running transfers finish within the grace.

        What waits for its turn gets ResourceConstraint at once, what does not finish in time gets
        it then.

        Returns:
            A Deferred that fires when nothing is left, and whoever wanted it has been told.
        """
        self._closed = True
        self._limits.tally.stop()
        for work in list(self._open):
            if not work.fetching:
                work.done.cancel()
        if not self._open:
            return succeed(None)
        idle = self._on_idle = self._on_idle or Deferred()
        if self._grace:
            _log.info(
                "Stopping; {transfers} {grace:g} s to finish",
                transfers=_have(len(self._open)),
                grace=self._grace,
            )
            self._cancel_end_of_grace()
            self._end_of_grace = self._clock.callLater(self._grace, self._cancel_all)
        else:
            self._cancel_all()
        return idle

    def _cancel_end_of_grace(self) -> None:
        if self._end_of_grace is not None and self._end_of_grace.active():
            self._end_of_grace.cancel()
        self._end_of_grace = None

    def _cancel_all(self) -> None:
        # A copy: each one leaves the set as it is cancelled.
        for work in list(self._open):
            work.done.cancel()

    async def _retrieve(self, wanted: Wanted) -> FetchedFile:
        if self._closed:
            raise ResourceConstraint(_STOPPING)
        work = _Work(self._turns.enter(wanted.name, wanted.patient))
        if not wanted.patient:
            # OfferGate has counted it as malformed until now.
            self._limits.well_formed(wanted.name)
        self._open[work] = None
        work.done = ensureDeferred(self._in_turn(work, wanted))
        try:
            return await work.done
        except CancelledError:
            # Ours, as we stop; or that of OOBHandler, as the stream was lost.
            if self._closed:
                raise ResourceConstraint(_STOPPING) from None
            raise
        finally:
            work.place.leave()
            self._open.pop(work, None)
            if not self._open and self._on_idle is not None:
                # The answer is sent when this coroutine's caller has ended; idle comes after that.
                idle, self._on_idle = self._on_idle, None
                self._cancel_end_of_grace()
                self._clock.callLater(0, idle.callback, None)

    async def _in_turn(self, work: _Work, wanted: Wanted) -> FetchedFile:
        await work.place.turn
        if self._closed:
            # The turn of one that has just been told that it failed.
            raise ResourceConstraint(_STOPPING)
        try:
            return await self._transfer(work, wanted)
        except CancelledError:
            raise
        except Exception:
            if wanted.patient:
                work.place.step_aside()
            await self._until_it_may_fail(wanted.name)
            raise

    async def _transfer(self, work: _Work, wanted: Wanted) -> FetchedFile:
        fetcher = self._fetcher if wanted.fetcher is None else wanted.fetcher
        self._note_running(work, fetching=True)
        try:
            fetched: FetchedFile = await fetcher.fetch(wanted.url, info=wanted.info)
            return fetched
        finally:
            self._note_running(work, fetching=False)

    def _note_running(self, work: _Work, *, fetching: bool) -> None:
        work.fetching = fetching
        self.running += 1 if fetching else -1
        for callback in list(self.on_running):
            self._tell(callback)

    def _tell(self, callback: Callable[[int], object]) -> None:
        try:
            callback(self.running)
        except Exception:
            # Whoever watches must not keep a file from being fetched.
            _log.failure("Nobody was told how many transfers run")

    async def _until_it_may_fail(self, name: str) -> None:
        wait = self._limits.wait_for_failure(name)
        if not wait or self._closed:
            return
        # Cancelled as we stop, the answer is given at once; as the stream is lost, nobody hears it.
        waited: Deferred[None] = Deferred(lambda waited: waited.callback(None))
        timer = self._clock.callLater(wait, waited.callback, None)
        await waited
        if timer.active():
            timer.cancel()


def _have(count: int) -> str:
    return "1 transfer has" if count == 1 else f"{count} transfers have"


def remove_leftovers(fetcher: Any) -> int:
    """Remove what a killed process left unfinished in the folder of a fetcher.

    Args:
        fetcher: A Fetcher, or another one, which may have no ``remove_leftovers``.

    Returns:
        How many files that were.

    Raises:
        OSError: The folder can't be read.
    """
    remove = getattr(fetcher, "remove_leftovers", None)
    return 0 if remove is None else remove() or 0

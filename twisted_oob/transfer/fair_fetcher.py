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
joined     to the transfer of the same file for the     as that transfer
           same sender, if there is one (see
           joined.py); it goes on with *failing*
known      if it is there already, as it was late       CommitPending, if it is late still
           before (see late_files.py)
waiting    until its sender has a turn, an offer for    ResourceConstraint, after that time or
           ``queue_timeout`` at the most                when the fetcher stops
running    the Fetcher fetches the file, which must     the fetch's error; NoRoom if its folder
           be the one that was announced                can't be used (see folder_trouble.py);
                                                        ResourceConstraint if somebody else stops
                                                        the Fetcher
failing    waits if its sender has had many failures    the fetch's error, at once when the fetcher
           (see gate.py)                                stops
=========  ===========================================  ==========================================

Two kinds differ in how they wait:

- An offer is an IQ request, and its sender's client waits for the answer. So few offers wait, not
  for long, and more of them are told at once to try again later. A failing offer keeps its turn
  while its answer waits. So whoever makes many that fail fills its own share with them, and is then
  told so.
- For a message nobody waits, and no client sends it again. So messages are patient: many wait, for
  as long as it takes. A failing one gives its turn back, so that the next file of its sender is
  fetched, but it counts until it is answered: that bounds what is kept.

How it stops is in stopping.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.logger import Logger
from twisted.words.protocols.jabber.error import StanzaError

from twisted_oob._shown import counted
from twisted_oob._urls import shown_url
from twisted_oob.errors import CommitPending, ResourceConstraint
from twisted_oob.files.monotonic import steady
from twisted_oob.transfer.folder_trouble import FolderTrouble
from twisted_oob.transfer.joined import Member, Transfer
from twisted_oob.transfer.late_files import LateFiles
from twisted_oob.transfer.stopping import Stopping, stopping
from twisted_oob.transfer.turns import WAITING_PER_TRANSFER, Turns
from twisted_oob.transfer.wanted import Wanted
from twisted_oob.xmpp.jid import shown

if TYPE_CHECKING:
    from twisted_oob.files.fetched import FetchedFile
    from twisted_oob.xmpp.access import AllowList
    from twisted_oob.xmpp.deadlines import Clock
    from twisted_oob.xmpp.gate import Limits

QUEUE_TIMEOUT: Final = 60.0
"""Seconds for which an offer waits for its turn, by default."""

_MOST_REASON: Final = 300

__all__ = ["QUEUE_TIMEOUT", "FairFetcher", "FetchHost", "Wanted", "remove_leftovers"]

# Not by the name of this module: these lines are the responder's, and operators filter by it.
_log = Logger("twisted_oob.transfer.responder.OOBResponder")


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


class FairFetcher:
    """Fetches files, some at once, in turns that go round among those who want them.

    It fetches before ``start``, too.

    Args:
        fetcher: Fetches the files, as for OOBResponder. It is stopped and started here, if it can
            be.
        limits: Tells how long a failure waits. Its tally is started and stopped here.
        reactor: Tells the time and delays calls, IReactorTime.
        concurrency: How many transfers run at once.
        grace: Seconds that running transfers get to finish when it is stopped.
        queue_timeout: Seconds for which an offer waits for its turn.

    Attributes:
        most_open: How many offers can be open at once; more are refused.
        max_size: The largest file that the fetcher takes, in bytes; None if it does not tell.
        running: How many transfers run now.
        on_running: Each is called with ``running`` whenever that has changed.
    """

    def __init__(
        self,
        fetcher: Any,
        *,
        limits: Limits,
        reactor: Clock,
        concurrency: int,
        grace: float,
        queue_timeout: float = QUEUE_TIMEOUT,
    ) -> None:
        self.most_open = concurrency * (1 + WAITING_PER_TRANSFER)
        self.max_size: int | None = getattr(getattr(fetcher, "policy", None), "max_size", None)
        self.running = 0
        self.on_running: list[Callable[[int], object]] = []
        self._fetcher = fetcher
        self._limits = limits
        # A step of the wall clock neither ends nor prolongs anybody's wait, or our grace.
        reactor = self._clock = steady(reactor)
        self._turns = Turns(concurrency)
        self._queue_timeout = queue_timeout
        # By the key of what they fetch.
        self._transfers: dict[bytes, Transfer] = {}
        self._late = LateFiles(reactor)
        self._trouble = FolderTrouble(reactor)
        self._open: dict[Member, None] = {}
        self._stopping = Stopping(reactor, grace, self._open, lambda: self.running)
        self._stopping.add_fetcher(fetcher)

    def has_room(self, name: str) -> bool:
        """Tell whether another offer of a sender would be accepted now.

        Args:
            name: Who it is, as in ``Wanted.name``.
        """
        return not self._stopping.closed and self._turns.has_room(name)

    def has_patience(self, name: str) -> bool:
        """Tell whether there is a place for another file of a sender that may wait longer.

        Args:
            name: Who it is, as in ``Wanted.name``.
        """
        return self._turns.has_patience(name)

    def is_fetched(self, wanted: Wanted) -> bool:
        """Tell whether a transfer of the same file goes on, which it would join."""
        return wanted.key in self._transfers

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
        size, amount = fetched.size, counted(fetched.size, "byte")
        ended(_log.info, "success: {amount} in {file}", amount=amount, size=size, file=fetched.path)
        return fetched

    def add_fetcher(self, fetcher: Any) -> None:
        """Stop and start another Fetcher, too: one that a Wanted names.

        Args:
            fetcher: The Fetcher. One without ``stop`` is left alone.
        """
        self._stopping.add_fetcher(fetcher)

    def start(self) -> None:
        """Remove what a killed process left unfinished, and accept what comes.

        Within the grace of a stop, what still runs goes on.

        Raises:
            OSError: The folder can't be read.
        """
        removed = remove_leftovers(self._fetcher)
        if removed:
            files = counted(removed, "unfinished file")
            _log.info("Removed {files} of an earlier run", files=files, removed=removed)
        self._stopping.start()
        self._limits.tally.start()

    def stop(self) -> Deferred[None]:
        """Accept nothing more, and let running transfers finish within the grace.

        What waits for its turn gets ResourceConstraint at once, what does not finish in time gets
        it then. At last the Fetchers stop. Another call meanwhile changes nothing.

        Returns:
            A Deferred that fires when nothing is left, and whoever wanted it has been told: after
            the grace and LAST seconds at the latest, whatever hangs. A ``start`` ends it, too.
        """
        self._limits.tally.stop()
        return self._stopping.stop()

    async def _retrieve(self, wanted: Wanted) -> FetchedFile:
        if self._stopping.closed:
            raise stopping()
        member, begin = self._join_or_enter(wanted)
        if not wanted.patient:
            # OfferGate has counted it as malformed until now.
            self._limits.well_formed(wanted.name)
            member.limit(self._clock, self._queue_timeout, self._waited_too_long)
        member.done = ensureDeferred(self._outcome(member, wanted))
        self._stopping.begun(member)
        begin()
        try:
            return await member.done
        except CancelledError:
            # Ours, as we stop; or that of OOBHandler, as the stream was lost.
            if member.stopped:
                raise stopping() from None
            raise
        finally:
            member.place.leave()
            self._stopping.ended(member)

    def _join_or_enter(self, wanted: Wanted) -> tuple[Member, Callable[[], None]]:
        """Give whoever wants a file its place, and what begins the transfer for it."""
        key = wanted.key
        running = self._transfers.get(key)
        if running is not None:
            return running.add(self._turns.join(running.holder, wanted.patient)), _nothing

        def closed() -> None:
            if self._transfers.get(key) is transfer:
                del self._transfers[key]

        transfer = Transfer(self._turns.enter(wanted.name, wanted.patient), closed)
        member = transfer.add(transfer.holder)
        self._transfers[key] = transfer
        return member, lambda: transfer.start(self._transfer(transfer, key, wanted))

    def _waited_too_long(self) -> ResourceConstraint:
        return ResourceConstraint(
            f"too many transfers at once: the offer has waited {self._queue_timeout:g} s for its "
            "turn; offer it again later"
        )

    async def _outcome(self, member: Member, wanted: Wanted) -> FetchedFile:
        try:
            return await member.wait()
        except CancelledError:
            raise
        except Exception:
            if not member.gave_up:
                if wanted.patient:
                    member.place.step_aside()
                await self._until_it_may_fail(wanted.name)
            raise

    async def _transfer(self, transfer: Transfer, key: bytes, wanted: Wanted) -> FetchedFile:
        if key in self._late:
            known = await self._late.find(key)
            if known is not None:
                return known
        await transfer.turn
        if self._stopping.closed:
            # The turn of one that has just been told that it failed.
            raise stopping()
        transfer.begin_to_fetch()
        fetcher = self._fetcher if wanted.fetcher is None else wanted.fetcher
        self._note_running(1)
        try:
            fetched: FetchedFile = await fetcher.fetch(wanted.url, info=wanted.info)
            return fetched
        except CommitPending as error:
            self._late.expect(wanted, key, error)
            raise
        except CancelledError:
            if transfer.closed:
                raise
            # Nobody here has cancelled it, so somebody else has stopped the Fetcher.
            raise stopping() from None
        except Exception as error:
            told = self._trouble.explained(error, fetcher)
            if told is error:
                raise
            raise told from error
        finally:
            self._note_running(-1)

    def _note_running(self, change: int) -> None:
        self.running += change
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
        if not wait or self._stopping.closed:
            return
        # Cancelled as we stop, the answer is given at once; as the stream is lost, nobody hears it.
        waited: Deferred[None] = Deferred(lambda waited: waited.callback(None))
        timer = self._clock.callLater(wait, waited.callback, None)
        await waited
        if timer.active():
            timer.cancel()


def _nothing() -> None:
    """Begin nothing: the transfer that was joined has begun."""


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

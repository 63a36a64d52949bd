"""FileGiver: lists the files of a folder, and sends each to whoever asks for it.

The chat calls it (see chat.py), which knows who may ask. Folders and files are read in threads of
the reactor's pool. A giving goes through these steps:

=========  ========================================================  ============================
step       what happens                                              how it may end here
=========  ========================================================  ============================
counted    unless the recipient has its share already                ResourceConstraint
waiting    until its turn has come (see turns.py)                    CancelledError
opened     the file is opened by its name (see served_folder.py)     FileNotFoundError, OSError
sent       a FileSender sends it (see sender.py)                     a Delivery, or its errors
again      it is opened and sent again, as a message, if the offer   the same
           was answered as by one who takes none
=========  ========================================================  ============================

The last step is for those who announce ``jabber:iq:oob``, and refuse every offer all the same, as
slixmpp does unless its application handles them; and for those who have just gone: a server then
gives a message to another client of theirs.

A thread can't be stopped. So whoever cancels waits for it, and a file that it still opens is closed
at once.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore, fail, succeed
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_oob._checks import check_clock, wrong_type
from twisted_oob._shown import shown_jid, shown_name
from twisted_oob._urls import shown_text
from twisted_oob.errors import UNAVAILABLE, ResourceConstraint
from twisted_oob.files.served_folder import Listing, ServedFolder
from twisted_oob.files.source import SourceFile
from twisted_oob.files.wait_out import wait_out
from twisted_oob.protocol.arguments import check_addresses
from twisted_oob.transfer.sender import FileSender
from twisted_oob.transfer.turns import Place, Turns
from twisted_oob.xmpp.jid import parse_jid

if TYPE_CHECKING:
    from twisted.words.protocols.jabber.jid import JID

    from twisted_oob.transfer.delivery import Delivery

_T = TypeVar("_T")
_A = TypeVar("_A")

CONCURRENCY: Final = 4
"""How many files are on their way at once; one recipient has half of them."""
MOST_OF_ONE: Final = CONCURRENCY // 2 + 8
"""How many givings one recipient may have, with those that wait."""
_LISTINGS: Final = 2
"""How many listings run at once."""
_MOST_LISTINGS: Final = 200
"""How many listings there may be, with those that wait."""


class FileGiver:
    """Gives the files of a folder to those who ask for them.

    Args:
        folder: The folder.
        sender: Sends the files. It needs a share or uploads, and should keep its shares for some
            time: people look at a picture again.
        via: How a file gets its URL; as for ``FileSender.send``.
        reactor: Has the pool of threads; IReactorThreads and IReactorTime.

    Raises:
        TypeError: An argument has the wrong type. The message names it.
        ValueError: ``via`` is another word, or needs what the sender has not.
    """

    _log = Logger()

    def __init__(
        self, folder: ServedFolder, sender: FileSender, *, via: str = "auto", reactor: Any
    ) -> None:
        if not isinstance(folder, ServedFolder):
            raise wrong_type("folder", "a ServedFolder", folder)
        if not isinstance(sender, FileSender):
            raise wrong_type("sender", "a FileSender", sender)
        check_clock("reactor", reactor)
        sender.check_via(via)
        self._folder = folder
        self._sender = sender
        self._via = via
        self._reactor = reactor
        self._turns = Turns(CONCURRENCY)
        # How many givings each bare JID has.
        self._givings: dict[str, int] = {}
        self._listings = DeferredSemaphore(_LISTINGS)
        self._listing = 0
        # In the order in which they came.
        self._running: dict[Deferred[Any], None] = {}
        self._stopped = False
        self._on_idle: Deferred[None] | None = None

    def list(self, pattern: str | None = None) -> Deferred[Listing]:
        """List the folder, in a thread.

        Args:
            pattern: As for ``ServedFolder.list``.

        Returns:
            A Deferred that fires with what that gives, and fails with what it raises; with
            ResourceConstraint if too many wait for a listing, or this was stopped; and with
            CancelledError after ``cancel()``.
        """
        return self._begin(self._list(pattern))

    def give(
        self, recipient: JID | str, name: str, *, sender: JID | str | None = None
    ) -> Deferred[Delivery]:
        """Send a file of the folder.

        Args:
            recipient: Who asked, by the full JID that did: it gets the IQ if it takes it.
            name: As for ``ServedFolder.open``.
            sender: The address that was asked, for a component; None for the stream's.

        Returns:
            A Deferred. It fires and fails as that of ``FileSender.send``. It also fails with
            FileNotFoundError if there is no such file, and with another OSError if it or the folder
            can't be read; tell others its strerror alone, as its filename has the path. It fails
            with ResourceConstraint if the recipient has asked for too many files, or this was
            stopped. To cancel it leaves nothing behind.
        """
        try:
            check_addresses(recipient, sender)
            to = parse_jid(recipient)
            if not isinstance(name, str):
                raise wrong_type("name", "a str", name)
        except ValueError:
            return fail(Failure())
        return self._begin(self._give(to, name, sender))

    def start(self) -> None:
        """Give files again after a ``stop``."""
        self._stopped = False

    def stop(self) -> Deferred[None]:
        """Cancel all that goes on, and begin nothing until ``start``.

        Returns:
            A Deferred that fires when nothing is left of it, in no thread either.
        """
        self._stopped = True
        if self._on_idle is not None:
            return self._on_idle
        if not self._running:
            return succeed(None)
        idle = self._on_idle = Deferred()
        # Those that wait go first: otherwise each end would let one of them begin.
        for one in reversed(list(self._running)):
            one.cancel()
        return idle

    def _begin(self, job: Coroutine[Deferred[Any], Any, _T]) -> Deferred[_T]:
        """Let a job run, unless this was stopped."""
        if self._stopped:
            job.close()
            return fail(ResourceConstraint("no files are given at the moment; try again later"))
        running: Deferred[_T] = Deferred.fromCoroutine(job)
        self._running[running] = None
        return running.addBoth(self._ended, running)

    def _ended(self, result: _T, running: Deferred[Any]) -> _T:
        self._running.pop(running, None)
        if not self._running and self._on_idle is not None:
            # Not before the caller has the result.
            self._reactor.callLater(0, self._idle)
        return result

    def _idle(self) -> None:
        idle, self._on_idle = self._on_idle, None
        if idle is not None:
            idle.callback(None)

    async def _list(self, pattern: str | None) -> Listing:
        if self._listing >= _MOST_LISTINGS:
            raise ResourceConstraint("too many ask for the list of files; try again later")
        self._listing += 1
        try:
            await self._listings.acquire()
            try:
                return await wait_out(self._in_thread(self._folder.list, pattern))
            finally:
                self._listings.release()
        except OSError as error:
            # Whoever asked is not told the path, nor what is wrong with it.
            self._log.warn("can't list the files to give: {why}", why=error.__cause__ or error)
            raise
        finally:
            self._listing -= 1

    async def _give(self, recipient: JID, name: str, sender: JID | str | None) -> Delivery:
        log = partial(self._log.info, name=shown_name(name), recipient=shown_jid(recipient.full()))
        ended = partial(log, "Giving {name} to {recipient} ended: {end}")
        who = recipient.userhost()
        place = self._enter(who)
        try:
            log("Giving {name} to {recipient}")
            await place.turn
            delivery = await self._send(recipient, name, sender)
            if delivery.how == "iq" and delivery.outcome == UNAVAILABLE:
                delivery = await self._send(recipient, name, sender, as_="message")
        except CancelledError:
            ended(end="cancelled")
            raise
        except Exception as error:
            ended(end=_why(error))
            raise
        finally:
            place.leave()
            self._count(who, -1)
        why = "" if delivery.text is None else f": {shown_text(delivery.text)}"
        ended(end=f"{delivery.outcome}{why}")
        return delivery

    async def _send(
        self, recipient: JID, name: str, sender: JID | str | None, *, as_: str = "auto"
    ) -> Delivery:
        source = await self._open(name)
        return await self._sender.send(recipient, source, via=self._via, as_=as_, sender=sender)

    def _enter(self, who: str) -> Place:
        if self._givings.get(who, 0) >= MOST_OF_ONE:
            raise ResourceConstraint("too many files at once; try again later")
        place = self._turns.enter(who)
        self._count(who, 1)
        return place

    def _count(self, who: str, step: int) -> None:
        self._givings[who] = self._givings.get(who, 0) + step
        if not self._givings[who]:
            del self._givings[who]

    async def _open(self, name: str) -> SourceFile:
        opened: list[SourceFile] = []

        def note(source: SourceFile) -> SourceFile:
            opened.append(source)
            return source

        try:
            return await wait_out(self._in_thread(self._folder.open, name).addCallback(note))
        except CancelledError:
            for source in opened:
                source.close()
            raise

    def _in_thread(self, function: Callable[[_A], _T], argument: _A) -> Deferred[_T]:
        pool = self._reactor.getThreadPool()
        return deferToThreadPool(self._reactor, pool, function, argument)


def _why(error: Exception) -> str:
    """Tell the operator why a giving failed; of a folder that can't be read, the cause says it."""
    why = error.__cause__ or error
    if isinstance(why, OSError) and why.filename is None and why.strerror:
        return why.strerror
    return str(why)

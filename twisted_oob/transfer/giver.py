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
=========  ========================================================  ============================

A thread can't be stopped. So whoever cancels waits for it, and a file that it still opens is closed
at once.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final, TypeVar

from twisted.internet.defer import CancelledError, Deferred, DeferredList, DeferredSemaphore, fail
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_oob._checks import check_clock, wrong_type
from twisted_oob._shown import shown_jid, shown_name
from twisted_oob.errors import ResourceConstraint
from twisted_oob.files.served_folder import Listing, ServedFolder
from twisted_oob.files.source import SourceFile
from twisted_oob.files.wait_out import wait_out
from twisted_oob.protocol.arguments import check_addresses
from twisted_oob.transfer.sender import FileSender
from twisted_oob.transfer.turns import Turns
from twisted_oob.xmpp.jid import parse_jid

if TYPE_CHECKING:
    from twisted.words.protocols.jabber.jid import JID

    from twisted_oob.transfer.delivery import Delivery

_T = TypeVar("_T")
_P = TypeVar("_P")

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
        self._of: dict[str, int] = {}
        self._listings = DeferredSemaphore(_LISTINGS)
        self._listing = 0
        self._running: set[Deferred[Any]] = set()
        self._stopping = False

    def list(self, pattern: str | None = None) -> Deferred[Listing]:
        """List the folder, in a thread.

        Args:
            pattern: As for ``ServedFolder.list``.

        Returns:
            A Deferred that fires with what that gives, and fails with what it raises; with
            ResourceConstraint if too many wait for a listing, or this is being stopped; and with
            CancelledError after ``cancel()``.
        """
        return self._begin(self._list, pattern)

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
            can't be read: tell others its strerror alone, as its filename has the path. It fails
            with ResourceConstraint if the recipient has asked for too many files, or this is being
            stopped. To cancel it leaves nothing behind.
        """
        try:
            check_addresses(recipient, sender)
            to = parse_jid(recipient)
            if not isinstance(name, str):
                raise wrong_type("name", "a str", name)
        except ValueError:
            return fail(Failure())
        return self._begin(self._give, to, name, sender)

    def stop(self) -> Deferred[None]:
        """Cancel all that goes on.

        Returns:
            A Deferred that fires when nothing is left of it, in no thread either.
        """
        self._stopping = True
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        running = list(self._running)
        for one in running:
            one.cancel()
        await DeferredList([_end_of(one) for one in running])
        self._stopping = False

"""FileBot: all that ``twistd oob-responder`` is to others, on one stream.

It joins parts that know little of each other:

==================  ==============================  ==============================================
part                is there                        what it does
==================  ==============================  ==============================================
OOBResponder        always                          answers offers, and fetches for all parts
ChatFrontend        unless messages are off         takes files of messages, and answers them
FileGiver, with a   with a Serving                  hands over files to those who ask for them in
FileSender                                          a chat
FileShare           with a Serving, unless all is   has the URLs of files that are not uploaded
                    uploaded
UploadHandler       with a Serving, if the server   gives files a URL at the server
                    may have a service
RoomFrontend        with rooms                      keeps the files of rooms
PresenceHandler     on a real server                shows us to contacts, and how busy we are
==================  ==============================  ==============================================

They start in this order: the share, which may fail; the rooms' folders, which may fail; the
responder; and after all of them the stream, which is somebody else's. They stop so that each has
what it needs until its end:

1. the rooms take no more files;
2. the responder lets transfers finish within its grace, and answers all offers and messages;
3. the giver breaks off what is on its way, says so, and gives nothing more;
4. the rooms are left;
5. the share stops; no URL of it is of use any more. Then the stream may be closed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred

from twisted_oob.files.fetch import Fetcher
from twisted_oob.files.landing import FILE_MODE
from twisted_oob.files.made_folders import MadeFolders
from twisted_oob.files.monotonic import steady
from twisted_oob.files.served_folder import ServedFolder
from twisted_oob.files.share import FileShare
from twisted_oob.transfer.chat import ChatFrontend
from twisted_oob.transfer.chat_texts import ChatTexts
from twisted_oob.transfer.fair_fetcher import QUEUE_TIMEOUT
from twisted_oob.transfer.giver import FileGiver
from twisted_oob.transfer.own_server import OwnServer
from twisted_oob.transfer.responder import CONCURRENCY, OOBResponder
from twisted_oob.transfer.room_frontend import RoomFrontend
from twisted_oob.transfer.sender import FileSender
from twisted_oob.transfer.status import PresenceStatus
from twisted_oob.transfer.stopping import LAST, wait_until
from twisted_oob.transfer.uploads import UploadHandler
from twisted_oob.xmpp.presence import PresenceHandler

if TYPE_CHECKING:
    from twisted.words.protocols.jabber.jid import JID

    from twisted_oob.files.policy import FetchPolicy
    from twisted_oob.protocol.handler import OOBHandler

KEPT_FOR: Final = 24 * 3600.0
"""Seconds for which a shared file can be read once it was sent: people look at pictures again."""


@dataclass(frozen=True, slots=True)
class Serving:
    """Which files are given to those who ask for them, and how they get their URLs.

    Attributes:
        folder: The folder with the files.
        endpoint: Where the share listens: the description of a server endpoint.
        public_url: Where others reach the share; None for its own address.
        via: ``'auto'``, ``'share'`` or ``'upload'``, as for ``FileSender.send``.
    """

    folder: Path
    endpoint: str
    public_url: str | None = None
    via: str = "auto"


class FileBot(Service):
    """Fetches the files of offers, chats and rooms, gives files away, and answers for all of it.

    A Twisted service. ``attach`` it to one stream, and run both as a ServedStream or an
    EmbeddedResponder, as an OOBResponder.

    Args:
        folder: An existing folder for the files; each room has a folder of its own in there.
        policy: What may be fetched. Its networks and certificates count for uploads, too.
        allow_from: Who may hand over files, and ask for them: the entries of an AllowList.
        reactor: The reactor.
        concurrency: As for OOBResponder.
        grace: As for OOBResponder.
        queue_timeout: As for OOBResponder.
        messages: Whether messages are answered, and their files fetched.
        serving: Which files are given away; None to give nothing. It needs ``messages``.
        rooms: Each room's bare JID, and the nick that we want there.
        talk_in_rooms: Whether rooms are told, too, which of their files were stored.
        file_mode: As for Fetcher.
        folders: Makes the folders of rooms; None for private ones.
        on_server: Whether the stream leads to a real server, where there are contacts and, maybe,
            an upload service. False for the embedded router.

    Raises:
        TypeError: An argument is of the wrong kind; the message names it.
        ValueError: As for OOBResponder and FileShare.
        OSError: The folder is not there, or the certificates can't be read.
    """

    def __init__(
        self,
        folder: Path,
        policy: FetchPolicy,
        *,
        allow_from: Iterable[str],
        reactor: Any,
        concurrency: int = CONCURRENCY,
        grace: float = 0.0,
        queue_timeout: float = QUEUE_TIMEOUT,
        messages: bool = True,
        serving: Serving | None = None,
        rooms: Iterable[tuple[JID, str]] = (),
        talk_in_rooms: bool = False,
        file_mode: int = FILE_MODE,
        folders: MadeFolders | None = None,
        on_server: bool = True,
    ) -> None:
        self._policy = policy
        self._file_mode = file_mode
        self._grace = grace
        self._concurrency = concurrency
        self._reactor = reactor
        self._messages = messages
        self._serving = serving
        self._on_server = on_server
        # The chat, the rooms and the presence speak one language.
        self._texts = ChatTexts()
        self._responder = OOBResponder(
            self._make_fetcher(folder),
            allow_from=allow_from,
            concurrency=concurrency,
            grace=grace,
            queue_timeout=queue_timeout,
            reactor=reactor,
            messages=False,
        )
        self._share: FileShare | None = None
        if serving is not None and serving.via != "upload":
            self._share = FileShare(
                serving.endpoint, public_url=serving.public_url, reactor=reactor
            )
        self._rooms: RoomFrontend | None = None
        if rooms := tuple(rooms):
            self._rooms = RoomFrontend(
                self._responder,
                rooms,
                folder=folder,
                make_fetcher=self._make_fetcher,
                talk=talk_in_rooms,
                texts=self._texts,
                folders=folders,
            )
        self._giver: FileGiver | None = None

    def allow_from(self, entries: Iterable[str]) -> None:
        """Allow others from now on, instead of those before: the next stanza is judged by it.

        Raises:
            TypeError: As for an AllowList; whoever was allowed before still is.
            ValueError: Likewise.
        """
        self._responder.allowed.replace(entries)

    async def listen(self) -> None:
        """Begin to listen for readers of files, if files may be shared.

        Call it before anything else starts, to learn whether that is possible.

        Raises:
            Exception: Whatever the endpoint failed with, such as CannotListenError.
        """
        if self._share is not None:
            ready = self._share.ready  # before it fails, or it would log that, too
            self._share.startService()
            await ready

    def attach(
        self,
        manager: Any,
        *,
        identity: tuple[str, str] = ("component", "generic"),
        direct: bool = False,
    ) -> OOBHandler:
        """Serve a stream; as ``OOBResponder.attach``.

        Args:
            manager: As there.
            identity: As there.
            direct: As there.
        """
        handler = self._responder.attach(manager, identity=identity, direct=direct)
        if self._on_server:
            presence = PresenceHandler(self._responder.allowed, reactor=self._reactor)
            PresenceStatus(self._responder.fetches, presence, self._texts)
            presence.setHandlerParent(manager)
        if self._serving is not None:
            self._giver = self._make_giver(self._serving, handler, manager)
        if self._messages:
            chat = ChatFrontend(self._responder, texts=self._texts, giver=self._giver)
            chat.setHandlerParent(manager)
        if self._rooms is not None:
            self._rooms.setHandlerParent(manager)
        return handler

    def startService(self) -> None:
        """Begin to listen, unless that was begun, and to accept what comes.

        Raises:
            OSError: The folder of a room can't be made or read.
        """
        if self._share is not None and not self._share.running:
            self._share.startService()
        if self._rooms is not None:
            self._rooms.start()
        if self._giver is not None:
            self._giver.start()
        self._responder.startService()
        Service.startService(self)

    def stopService(self) -> Deferred[None]:
        """Accept nothing more, answer everything, and stop listening.

        Returns:
            A Deferred that fires when all was answered, and nobody reads a file any more: after the
            grace and LAST seconds at the latest.
        """
        Service.stopService(self)
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        if self._rooms is not None:
            self._rooms.stop()
        # A disk that hangs may keep each part from its end.
        clock = steady(self._reactor)
        deadline = clock.seconds() + self._grace + LAST
        await self._responder.stopService()
        if self._giver is not None and not self.running:
            await wait_until(deadline, clock, self._giver.stop())
        if self.running:
            # Somebody has started us again meanwhile.
            return
        if self._rooms is not None:
            self._rooms.leave()
        if self._share is not None and self._share.running:
            await wait_until(deadline, clock, self._share.stopService())

    def _make_fetcher(self, folder: Path) -> Fetcher:
        return Fetcher(
            self._reactor,
            self._policy,
            folder,
            # The responder gives the turns.
            concurrency=self._concurrency,
            file_mode=self._file_mode,
        )

    def _make_giver(self, serving: Serving, handler: OOBHandler, manager: Any) -> FileGiver:
        uploads: UploadHandler | None = None
        if self._on_server and serving.via != "share":
            uploads = UploadHandler(
                self._reactor,
                allow_networks=self._policy.allow_networks,
                deny_networks=self._policy.deny_networks,
                ca_file=self._policy.ca_file,
                timeout=self._policy.timeout,
                stall_timeout=self._policy.stall_timeout,
            )
            uploads.setHandlerParent(manager)
            OwnServer(uploads).setHandlerParent(manager)
        sender = FileSender(handler, share=self._share, uploads=uploads, keep=KEPT_FOR)
        folder = ServedFolder(serving.folder)
        return FileGiver(folder, sender, via=serving.via, reactor=self._reactor)

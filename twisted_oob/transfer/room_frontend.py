"""RoomFrontend: keeps the files that people share in rooms, each room's in a folder of its own.

Theory of operation
===================

What comes in is what people say in the rooms that the operator joined. (What is history, or comes
from ourselves or from the room, is left out before; see xmpp/rooms.py.) What goes out are files in
folders, and a word in the room if one could not be had. Whoever is in a room may share files there:
the operator chose the room, and the room chooses its occupants.

========  =====================================================  =================================
step      what goes on                                           what becomes of all else
========  =====================================================  =================================
read      messages with files: x:oob, SFS, SIMS. A URL in a      nothing: people talk to each other
          sentence is no file, as people link web pages          in a room, not to us
new       what was not seen before (see protocol/seen.py), and   nothing
          of a correction what it adds
fetched   each file, in fair turns, as a file of a message: all  the answer says why not
          of a room have the share of one sender
answered  with what failed; with ``talk``, also with what was    nothing
          stored. Once for a message, as a reply to it
========  =====================================================  =================================

A room hears ANSWERS of ours a minute. What is beyond them is not said, and one line of the log
tells.
"""

from __future__ import annotations

import stat
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from twisted_oob._checks import check_flag, wrong_type
from twisted_oob._shown import counted
from twisted_oob.files.fitting import fitting_name
from twisted_oob.files.made_folders import MadeFolders
from twisted_oob.files.names import safe_folder_name
from twisted_oob.protocol.chat_answer import answerable, build_answer
from twisted_oob.protocol.chat_message import read_chat_message
from twisted_oob.protocol.seen import Seen
from twisted_oob.transfer.chat_files import ChatFiles, answer_of
from twisted_oob.transfer.checked_texts import CheckedTexts
from twisted_oob.transfer.fair_fetcher import remove_leftovers
from twisted_oob.xmpp.occupancy import PAUSE
from twisted_oob.xmpp.rooms import RoomHandler

if TYPE_CHECKING:
    from twisted.words.protocols.jabber.jid import JID
    from twisted.words.xish.domish import Element

    from twisted_oob.protocol.chat_message import ChatMessage
    from twisted_oob.transfer.chat_files import Outcome
    from twisted_oob.transfer.chat_texts import ChatTexts
    from twisted_oob.transfer.fair_fetcher import FetchHost
    from twisted_oob.xmpp.deadlines import Clock

ANSWERS: Final = 5
"""How many answers a room gets in a MINUTE."""
MINUTE: Final = 60.0
"""Seconds for which answers are counted."""

_HASH_DIGITS: Final = 16


class RoomFrontend(RoomHandler):
    """Joins rooms, and keeps the files that people share there.

    A handler of its own, beside an OOBResponder on the same stream. ``start`` it before the stream,
    and before that is closed ``stop`` it, stop the responder, and ``leave``.

    Args:
        responder: The OOBResponder that fetches the files.
        rooms: Each room's bare JID, and the nick that we want there.
        folder: An existing folder, in which each room has a folder of its own.
        make_fetcher: Makes the Fetcher for the folder of a room, which exists.
        talk: Whether the room is told, too, which files were stored.
        texts: What is said; None for ChatTexts.
        folders: Makes the rooms' folders; None for private ones.
        pause: As for RoomHandler.

    Raises:
        TypeError: An argument is of the wrong kind; the message names it.
        ValueError: As for RoomHandler.
    """

    _log = Logger()

    def __init__(
        self,
        responder: FetchHost,
        rooms: Iterable[tuple[JID | str, str]],
        *,
        folder: Path,
        make_fetcher: Callable[[Path], Any],
        talk: bool = False,
        texts: ChatTexts | None = None,
        folders: MadeFolders | None = None,
        pause: float = PAUSE,
    ) -> None:
        if not hasattr(responder, "fetches"):
            raise wrong_type("responder", "an OOBResponder", responder)
        if not isinstance(folder, Path):
            raise wrong_type("folder", "a Path", folder)
        if not callable(make_fetcher):
            raise wrong_type("make_fetcher", "callable", make_fetcher)
        RoomHandler.__init__(self, rooms, self._take, reactor=responder.clock, pause=pause)
        self._talk = check_flag("talk", talk)
        self._responder = responder
        # A daemon changes its working directory.
        self._folder = folder.absolute()
        self._make_fetcher = make_fetcher
        self._folders = MadeFolders() if folders is None else folders
        self._texts = CheckedTexts(texts)
        self._seen = Seen(responder.clock)
        # By the room's bare JID. Without one, nothing is taken.
        self._kept: dict[str, _Room] = {}
        self._fetchers: dict[str, Any] = {}

    def start(self) -> None:
        """Make the rooms' folders, remove what a killed process left in them, and take files.

        Rooms that we left are joined again.

        Raises:
            OSError: A folder can't be made or read. NotADirectoryError if something else is in its
                place.
        """
        for room in self.rooms:
            path = self._folder / folder_name(room, self._folder)
            self._make_folder(path, room)
            fetcher = self._fetcher_of(room, path)
            removed = remove_leftovers(fetcher)
            if removed:
                self._log.info(
                    "Removed {files} of an earlier run from {folder}",
                    files=counted(removed, "unfinished file"),
                    removed=removed,
                    folder=path,
                )
            self._kept[room.full()] = _Room(room, self._responder, self._seen, fetcher)
            self._log.info("Files of {room} land in {folder}", room=room.full(), folder=path)
        self.join()

    def _make_folder(self, path: Path, room: JID) -> None:
        """Make the folder of a room, unless it is there.

        Raises:
            NotADirectoryError: Something else is there; a link, too, as others may have put it
                there.
            OSError: It can't be made.
        """
        try:
            self._folders.make(path)
        except FileExistsError:
            is_folder = False
        else:
            is_folder = stat.S_ISDIR(path.lstat().st_mode)
        if not is_folder:
            raise NotADirectoryError(
                f"the files of the room {room.full()} go to the folder {path}, but that is no "
                "folder: move it away"
            )

    def _fetcher_of(self, room: JID, path: Path) -> Any:
        """Give the Fetcher of a room, which the responder stops and starts from now on."""
        fetcher = self._fetchers.get(room.full())
        if fetcher is None:
            fetcher = self._fetchers[room.full()] = self._make_fetcher(path)
            self._responder.fetches.add_fetcher(fetcher)
        return fetcher

    def stop(self) -> None:
        """Take no more files. What is being fetched is answered when it ends."""
        self._kept.clear()

    def _take(self, occupant: JID, stanza: Element) -> None:
        """Take what somebody said in a room."""
        room = self._kept.get(occupant.userhost())
        if room is None:
            return
        message = read_chat_message(stanza)
        if message is None or not self._seen.is_new(message, self.me):
            return
        # Also of one without files, as a later message may attach what it describes (XEP-0447).
        files = room.files.not_too_often(message, self._seen.new_files(message))
        if files:
            fetched = room.files.fetch_all(message, files)
            kept = answerable(message, self.me).without_contents()
            _begin(self._answer_files(room, kept, fetched))

    async def _answer_files(
        self, room: _Room, message: ChatMessage, fetched: Deferred[list[Outcome]]
    ) -> None:
        answer = answer_of(self._texts, message, await fetched, stored=self._talk)
        if answer and room.may_hear():
            self.say(room.jid, build_answer(message, answer))


class _Room:
    """A room whose files are kept: where they go, and how much of us it has heard.

    Args:
        jid: Its bare JID.
        host: Fetches the files, in fair turns.
        seen: As for ChatFiles.
        fetcher: Fetches them into its folder.
    """

    _log = Logger()

    def __init__(self, jid: JID, host: FetchHost, seen: Seen, fetcher: Any) -> None:
        self.jid = jid
        self.files = ChatFiles(host, seen, what="Room message", fetcher=fetcher)
        self._clock: Clock = host.clock
        self._answered: deque[float] = deque()
        self._quiet_until = 0.0

    def may_hear(self) -> bool:
        """Tell whether another answer may be sent to it now, and count it."""
        now = self._clock.seconds()
        while self._answered and self._answered[0] <= now - MINUTE:
            self._answered.popleft()
        if len(self._answered) < ANSWERS:
            self._answered.append(now)
            return True
        if now >= self._quiet_until:
            self._log.warn(
                "Too much to answer in {room}: it hears {most} answers a minute",
                room=self.jid.full(),
                most=ANSWERS,
            )
        # As long as the flood goes on, that was the only line.
        self._quiet_until = now + MINUTE
        return False


def folder_name(room: JID, within: Path) -> str:
    """Give the name of a room's folder: its bare JID, if that is a name that is safe and fits.

    If it is not, then the name has a hash of the JID at its end. No two rooms have the same one: a
    JID has no space before its resource.

    Args:
        room: The room.
        within: The folder that it will be in, which exists.
    """
    bare = room.userhost()
    # To a file's name, what is before a backslash would be a folder.
    name = fitting_name(safe_folder_name(bare.replace("\\", "_")), within, folder=True)
    if name == bare:
        return name
    return f"{name} ({sha256(bare.encode()).hexdigest()[:_HASH_DIGITS]})"


def _begin(fetching: Coroutine[Deferred[Any], Any, None]) -> None:
    Deferred.fromCoroutine(fetching).addErrback(
        lambda failure: RoomFrontend._log.failure("A file of a room was lost", failure=failure)
    )

"""RoomHandler: is in rooms (XEP-0045), and gives what people say there.

=================================================  ================================================
comes in from a room                               what is done with it
=================================================  ================================================
presence                                           it goes to the room's Occupancy, which knows
                                                   from it whether we are in
a message of an occupant, while we are in          it goes to ``on_message``
a message of ours, which each room sends back      nothing
a message that is delayed: the room's history      nothing
a message of the room itself: subject, settings    nothing
a message while we are not in, or of another type  nothing
=================================================  ================================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeAlias

from twisted.words.protocols.jabber.jid import JID
from twisted.words.xish.domish import Element
from wokkel.disco import DiscoFeature
from wokkel.iwokkel import IDisco
from zope.interface import implementer

from twisted_oob._checks import check_not_empty, checked_reactor, checked_seconds, wrong_type
from twisted_oob.xmpp.asking import AskingHandler
from twisted_oob.xmpp.jid import parse_jid
from twisted_oob.xmpp.occupancy import PAUSE, Occupancy
from twisted_oob.xmpp.room_presence import NS_MUC
from twisted_oob.xmpp.times import is_delayed

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from twisted_oob.xmpp.deadlines import Clock
    from twisted_oob.xmpp.stream import BoundStream

OnRoomMessage: TypeAlias = "Callable[[JID, Element], object]"
"""Called with the address of an occupant in the room (ROOM/NICK) and the message as it came."""


@implementer(IDisco)
class RoomHandler(AskingHandler):
    """Joins rooms whenever a stream is up, and joins them again when they have put us out.

    It works for an account and for a component, which joins as its domain.

    Args:
        rooms: Each room's bare JID, and the nick that we want there.
        on_message: Called with what occupants say; see OnRoomMessage.
        reactor: Tells the time and runs the timers, IReactorTime; None for the global reactor.
        pause: Seconds until the second attempt to join a room; each later one takes twice as long
            as the one before, up to an hour.

    Raises:
        TypeError: An argument is of the wrong kind; the message names it.
        ValueError: A room's JID is not that of a room, a nick can't be one, a room is named twice,
            or the pause is not above 0.

    Attributes:
        rooms: The rooms' bare JIDs.
    """

    def __init__(
        self,
        rooms: Iterable[tuple[JID | str, str]],
        on_message: OnRoomMessage,
        *,
        reactor: Clock | None = None,
        pause: float = PAUSE,
    ) -> None:
        if not callable(on_message):
            raise wrong_type("on_message", "callable", on_message)
        clock: Clock = checked_reactor(reactor)
        seconds = checked_seconds("pause", pause) or PAUSE
        AskingHandler.__init__(self, clock)
        self._on_message = on_message
        self._left = False
        # By the room's bare JID.
        self._occupancies: dict[str, Occupancy] = {}
        for room, nick in checked_rooms(rooms):
            self._occupancies[room.full()] = Occupancy(room, nick, self, clock, pause=seconds)
        self.rooms = tuple(one.room for one in self._occupancies.values())

    def getDiscoInfo(
        self, requestor: JID, target: JID, nodeIdentifier: str = ""
    ) -> list[DiscoFeature]:
        """Return the feature of those who are in rooms (XEP-0045 section 6.7), if we are."""
        return [DiscoFeature(NS_MUC)] if self._occupancies and not nodeIdentifier else []

    def getDiscoItems(self, requestor: JID, target: JID, nodeIdentifier: str = "") -> list[object]:
        """Return no items: which rooms we are in is nobody's business."""
        return []

    def join(self) -> None:
        """Join the rooms after a ``leave``, now and on each later stream."""
        if self._left:
            self._left = False
            self._join_all()

    def leave(self) -> None:
        """Leave all rooms, before the stream is closed. No stream joins them again."""
        self._left = True
        if self.bound_stream is not None:
            for occupancy in self._occupancies.values():
                occupancy.leave()

    def is_in(self, room: JID) -> bool:
        """Tell whether we are in a room, as far as we know.

        Args:
            room: Its bare JID.
        """
        occupancy = self._occupancies.get(room.full())
        return occupancy is not None and occupancy.is_in

    def say(self, room: JID, message: Element) -> bool:
        """Send a message to a room.

        Args:
            room: Its bare JID.
            message: A message of type groupchat to the room.

        Returns:
            False if we are not in the room; then nothing was sent.
        """
        if not self.is_in(room):
            return False
        self.send(message)
        return True

    def send(self, stanza: Element) -> None:
        """Send a stanza, if there is a stream."""
        if self.bound_stream is not None:
            self.bound_stream.send(stanza)

    def _stream_opened(self, stream: BoundStream) -> None:
        """Join the rooms."""
        AskingHandler._stream_opened(self, stream)
        if self._occupancies:
            self.observe_stream("/presence", self._on_presence)
            self.observe_stream("/message", self._on_stanza)
        if not self._left:
            self._join_all()

    def _stream_lost(self, stream: BoundStream, reason: Failure) -> None:
        """Be in no room any more."""
        AskingHandler._stream_lost(self, stream, reason)
        for occupancy in self._occupancies.values():
            occupancy.stream_lost()

    def _join_all(self) -> None:
        stream = self.bound_stream
        for occupancy in self._occupancies.values():
            # What is sent may lose the stream.
            if stream is not None and self.bound_stream is stream:
                occupancy.join()

    def _sent_by(self, stanza: Element) -> tuple[Occupancy | None, JID | None]:
        """Give the room that a stanza came through, and its sender; None for others."""
        try:
            sender = parse_jid(stanza.getAttribute("from"))
        except ValueError:
            return None, None
        occupancy = self._occupancies.get(sender.userhost())
        if occupancy is not None:
            occupancy.heard()
        return occupancy, sender

    def _on_presence(self, presence: Element) -> None:
        occupancy, sender = self._sent_by(presence)
        if occupancy is not None and sender is not None:
            occupancy.take_presence(sender, presence)

    def _on_stanza(self, message: Element) -> None:
        occupancy, sender = self._sent_by(message)
        if (
            occupancy is None
            or sender is None
            or not occupancy.is_in
            or sender.resource in (None, occupancy.nick)
            or message.getAttribute("type") != "groupchat"
            or is_delayed(message)
        ):
            return
        self._on_message(sender, message)


def checked_rooms(rooms: Iterable[tuple[JID | str, str]]) -> list[tuple[JID, str]]:
    """Check rooms and nicks, and give them as they are compared.

    Raises:
        WrongType: They are not pairs of a JID and a nick. It is a TypeError.
        ValueError: A room's JID is not that of a room, a nick can't be one, or a room is named
            twice. The message says which.
    """
    if isinstance(rooms, str) or not isinstance(rooms, Iterable):
        raise wrong_type("rooms", "an iterable of pairs of a JID and a nick", rooms)
    checked: dict[str, tuple[JID, str]] = {}
    for each in rooms:
        if not isinstance(each, tuple | list) or len(each) != 2:  # noqa: PLR2004
            raise wrong_type("rooms", "an iterable of pairs of a JID and a nick", each)
        room, nick = parse_jid(each[0]), check_not_empty("nick", each[1])
        if not room.user or room.resource is not None:
            raise ValueError(
                f"{room.full()!r} is not the JID of a room, such as plans@rooms.example"
            )
        if room.full() in checked:
            raise ValueError(f"the room {room.full()} is named twice: one nick has to do")
        try:
            occupant = parse_jid(f"{room.full()}/{nick}")
        except ValueError as error:
            raise ValueError(f"{nick!r} can't be a nick in {room.full()}: {error}") from None
        checked[room.full()] = room, str(occupant.resource)
    return list(checked.values())

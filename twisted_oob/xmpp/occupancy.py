"""Occupancy: our place in one room (XEP-0045), and how we get it back whenever it is lost.

Theory of operation
===================

What comes in: the streams that are up and lost, and what the room sends on them. What goes out:
presence that joins and leaves, pings, and lines in the log. There is at most one timer, and one
request. Both belong to a state, and end with it.

=======  ========================================  ================================================
state    how it is entered                         what ends it
=======  ========================================  ================================================
away     no stream, or we left                     ``join``: joining
joining  presence to our address in the room,      our own presence from the room: in. An error, or
         which wants no history                    ANSWER without either: waiting
in       our own presence from the room            our own unavailable presence: waiting. SILENCE
                                                   without any stanza: a ping, see below
waiting  the room does not let us in, or has put   its pause: joining. Our own presence, which came
         us out                                    late: in
=======  ========================================  ================================================

``leave`` and the loss of the stream end each of them: away.

A pause is twice as long as the one before, up to LONGEST_PAUSE. Who was in for STEADY begins anew
with the first. What keeps us out is logged once, and again only after such a time: a room that we
are banned from is one line, however often we try.

A room that restarts forgets its occupants, and does not tell them. So if it is silent, we ping our
own address in it (XEP-0410 section 3.1.2):

=================================================  ================================================
answer                                             meaning
=================================================  ================================================
result, service-unavailable,                       we are in
feature-not-implemented
item-not-found, and our nick has changed           we are in
remote-server-not-found, remote-server-timeout,    nobody knows: after another SILENCE we ask again
or no answer
any other error                                    we are out: joining
=================================================  ================================================

To the standard, item-not-found always means that the nick has changed. Prosody and ejabberd answer
it for a room that is gone, too; and to join a room that we are in does no harm.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Protocol

from twisted.logger import Logger
from twisted.words.protocols.jabber.error import StanzaError
from twisted.words.xish.domish import Element
from wokkel.ping import NS_PING

from twisted_oob._shown import human_time, printable, shown_jid
from twisted_oob.xmpp.room_presence import (
    NS_MUC,
    Present,
    Refused,
    Removed,
    Renamed,
    read_room_presence,
)
from twisted_oob.xmpp.stanza import Payload
from twisted_oob.xmpp.tracker import new_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.defer import Deferred
    from twisted.python.failure import Failure
    from twisted.words.protocols.jabber.jid import JID

    from twisted_oob.xmpp.deadlines import Clock, Timer

NS_MUC_OWNER: Final = NS_MUC + "#owner"
_NS_FORMS: Final = "jabber:x:data"

ANSWER: Final = 30.0
"""Seconds in which a room must answer."""
PAUSE: Final = 60.0
"""Seconds until the first new attempt to join."""
LONGEST_PAUSE: Final = 3600.0
"""Seconds between two attempts in the end."""
STEADY: Final = 600.0
"""Seconds in a room after which an earlier trouble counts no more."""
SILENCE: Final = 600.0
"""Seconds without any stanza from a room until we ask whether we are in it."""

_MOST_REASON: Final = 200
_NO_ANSWER: Final = "it does not answer"
# What a ping of our own address in the room is answered with; see above.
_STILL_IN: Final = frozenset(("service-unavailable", "feature-not-implemented"))
_UNDECIDED: Final = frozenset(("remote-server-not-found", "remote-server-timeout"))


class Line(Protocol):
    """The way to a room, while there is a stream."""

    def send(self, stanza: Element) -> None:
        """Send a stanza."""

    def ask(
        self, kind: str, payload: Payload, recipient: JID | str | None, *, timeout: float | None
    ) -> Deferred[Any]:
        """Send a request; see AskingHandler."""


class _State(Enum):
    AWAY = "away"
    JOINING = "joining"
    IN = "in"
    WAITING = "waiting"


class Occupancy:
    """What we are in one room, on one stream after the other.

    Args:
        room: The room's bare JID.
        nick: The nick that we want there.
        line: The way to it.
        clock: Tells the time and runs the timer.
        pause: Seconds until the first new attempt to join.

    Attributes:
        room: The same.
        nick: The nick that we have, or want to have.
    """

    _log = Logger()

    def __init__(self, room: JID, nick: str, line: Line, clock: Clock, *, pause: float) -> None:
        self.room = room
        self.nick = self._wanted = nick
        self._line = line
        self._clock = clock
        self._first_pause = self._pause = pause
        self._state = _State.AWAY
        self._timer: Timer | None = None
        self._ping: Deferred[Any] | None = None
        self._join_id = ""
        # Whether the room may be ours to unlock: once for each join, whatever it tells.
        self._may_have_created = False
        self._heard = 0.0
        self._since = 0.0
        # What keeps us out, as far as it is logged, and whether it is news that we are in.
        self._told: set[str] = set()
        self._is_news = True

    @property
    def is_in(self) -> bool:
        """Whether we are in the room, as far as we know."""
        return self._state is _State.IN

    def join(self) -> None:
        """Ask the room to let us in; the stream is up."""
        self.nick = self._wanted
        self._enter(_State.JOINING)
        self._set_timer(ANSWER, lambda: self._wait(_NO_ANSWER))
        self._join_id = new_id()
        self._may_have_created = True
        presence = self._presence()
        presence["id"] = self._join_id
        history = presence.addElement((NS_MUC, "x")).addElement("history")
        history["maxstanzas"] = "0"
        self._line.send(presence)

    def leave(self) -> None:
        """Leave the room, on a stream that is up."""
        left = self._state
        self._enter(_State.AWAY)
        if left in (_State.IN, _State.JOINING):
            presence = self._presence()
            presence["type"] = "unavailable"
            self._line.send(presence)

    def stream_lost(self) -> None:
        """Forget the stream, and with it that we were in the room."""
        self._enter(_State.AWAY)
        self._is_news = True

    def heard(self) -> None:
        """Note that the room has sent something."""
        self._heard = self._clock.seconds()

    def take_presence(self, sender: JID, presence: Element) -> None:
        """Learn from presence whether we are in the room.

        Args:
            sender: Whom it is from, an address of this room.
            presence: What came.
        """
        state = self._state
        match read_room_presence(presence, sender, self.nick):
            case Present() as present if state is not _State.AWAY:
                self._entered(present)
            case Renamed(nick) if state is _State.IN:
                self.nick = nick
            # While joining, it is the end of an earlier stay.
            case Removed(reason, detail) if state is _State.IN:
                self._wait(reason, detail)
            # With another id, it answers an attempt that we have given up.
            case Refused(id_, reason, detail) if state is _State.JOINING and id_ in (
                None,
                self._join_id,
            ):
                self._wait(reason, detail)

    def _presence(self) -> Element:
        presence = Element((None, "presence"))
        presence["to"] = self._address()
        return presence

    def _address(self) -> str:
        return f"{self.room.full()}/{self.nick}"

    def _entered(self, present: Present) -> None:
        self.nick = present.nick
        if self._state is _State.IN:
            return
        self._enter(_State.IN)
        self._since = self._heard = self._clock.seconds()
        self._set_timer(SILENCE, self._look)
        if self._is_news:
            self._is_news = False
            self._log.info("Joined {address}", address=shown_jid(self._address()))
        if present.created and self._may_have_created:
            self._may_have_created = False
            self._unlock()

    def _unlock(self) -> None:
        """Make a room that our presence has created an instant room (XEP-0045 section 10.1.2).

        It lets nobody else in before.
        """
        self._log.info("{room} did not exist: created it", room=self.room.full())
        form = Element((_NS_FORMS, "x"))
        form["type"] = "submit"
        payload = Payload(NS_MUC_OWNER, "query", nested=form)

        def failed(failure: Failure) -> None:
            self._log.debug("{room} stays locked: {why}", room=self.room.full(), why=failure.value)

        self._line.ask("set", payload, self.room, timeout=ANSWER).addErrback(failed)

    def _wait(self, reason: str, detail: str = "") -> None:
        """Try again after the pause.

        Args:
            reason: Why we are not in the room, one of a few texts of ours.
            detail: What the room says of it; empty for nothing.
        """
        self._enter(_State.WAITING)
        pause, self._pause = self._pause, min(2 * self._pause, LONGEST_PAUSE)
        self._set_timer(pause, self.join)
        if reason in self._told:
            return
        self._told.add(reason)
        self._is_news = True
        self._log.warn(
            "Not in the room {address}: {reason}{detail}; next attempt in {pause}",
            address=shown_jid(self._address()),
            reason=reason,
            detail=f" ({printable(detail[:_MOST_REASON])})" if detail else "",
            pause=human_time(pause),
        )

    def _look(self) -> None:
        """Ask whether we are in, if nothing came for so long."""
        self._timer = None
        left = self._heard + SILENCE - self._clock.seconds()
        if left > 0:
            self._set_timer(left, self._look)
            return
        self._set_timer(SILENCE, self._look)
        # The request before has ended: it has less time.
        self._ping = self._line.ask(
            "get", Payload(NS_PING, "ping"), self._address(), timeout=ANSWER
        )
        self._ping.addCallbacks(self._pong, self._judge, errbackArgs=(self.nick,))

    def _pong(self, _result: object) -> None:
        self._ping = None

    def _judge(self, failure: Failure, nick: str) -> None:
        self._ping = None
        error = failure.value
        # Otherwise there was no answer: time, the stream or the state is over.
        if not isinstance(error, StanzaError):
            return
        condition = error.condition
        if condition in _STILL_IN or condition in _UNDECIDED:
            return
        if condition == "item-not-found" and nick != self.nick:
            return
        self._log.info(
            "{room} does not know us any more ({condition}): joining again",
            room=self.room.full(),
            condition=printable(condition[:_MOST_REASON]),
        )
        self._is_news = True
        self.join()

    def _enter(self, state: _State) -> None:
        """Enter a state, and end what belongs to the one before."""
        if self._state is _State.IN and self._clock.seconds() - self._since >= STEADY:
            self._pause = self._first_pause
            self._told.clear()
        self._state = state
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()
        if self._ping is not None:
            self._ping.cancel()

    def _set_timer(self, seconds: float, call: Callable[[], None]) -> None:
        self._timer = self._clock.callLater(seconds, call)

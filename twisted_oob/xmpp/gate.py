"""Who may ask us for something, and how often they are answered.

Theory of operation
===================

An answer is longer than its question, and a server reads no faster from us than it chooses. So
whoever asks without end would fill the way out, and keep back our answers to others, and our
pings. That is why answers are bounded in rate, and why what is asked beyond that is dropped
without an answer (RFC 6120 section 13.12).

What comes in is the ``from`` of each request. What goes out is a Verdict. ``Senders`` tells who it
is, ``Limits`` keeps the buckets:

==============  ==================================  ===============================================
sender          its offers                          its other requests (disco, ping, version, ...)
==============  ==================================  ===============================================
our own server  admitted if it is allowed,          always admitted: a server that gets no answer
                denied otherwise; never dropped     to its ping may close the stream
a stranger      denied as long as there are tokens  admitted as long as there are tokens in the
                in its bucket and in that of all    same two buckets
                strangers
an allowed one  admitted while there is room in     admitted as long as there are tokens in its
                its share (see below)               bucket
==============  ==================================  ===============================================

An offer of an allowed sender takes no token to be fetched, but each answer that is cheap to provoke
does:

- Without room in its share, the refusal takes a token of the bucket of failures.
- A fetch that fails takes one there, too, also one for a message. If there is no token, the answer
  waits for one, and the offer keeps its place in the share meanwhile. (FairFetcher does that, with
  ``Limits``.)
- What is not well-formed takes a token of the bucket of malformed offers. As that shows only after
  the verdict, each offer takes one, and gives it back when it is well-formed.

The answer repeats the sender's address and the id, which may be long. So a stranger pays a token
for each CHARACTERS of them.

All buckets are bounded in number. A sender is a bare JID; all addresses that are not valid are one
sender.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from twisted.logger import Logger

from twisted_oob.xmpp.buckets import Buckets
from twisted_oob.xmpp.jid import parse_jid, shown
from twisted_oob.xmpp.tally import Tally

if TYPE_CHECKING:
    from twisted.words.protocols.jabber.jid import JID

    from twisted_oob.xmpp.access import AllowList
    from twisted_oob.xmpp.deadlines import Clock

PER_SECOND: Final = 2.0
"""How many answers a second one sender gets in the long run, of each kind."""
STRANGER_BURST: Final = 10
"""How many answers a stranger gets at once."""
STRANGERS_PER_SECOND: Final = 4.0
"""How many answers a second all strangers together get in the long run.

The slowest server that is known, ejabberd with the limits that it comes with, reads 3,000 bytes a
second from us: these are a quarter of that.
"""
STRANGERS_BURST: Final = 20
"""How many answers all strangers together get at once."""
REQUEST_BURST: Final = 30
"""How many answers to disco, ping, version and other requests an allowed sender gets at once."""
FAILURE_BURST: Final = 100
"""How many of its offers an allowed sender may see refused or failing at once."""
MALFORMED_BURST: Final = 100
"""How many malformed offers of an allowed sender are answered at once."""

CHARACTERS: Final = 250
"""How many characters of a stranger's address and id a token pays for."""

_NOT_VALID: Final = "an address that is not valid"
_EVERYBODY: Final = "everybody"


class Verdict(Enum):
    """What is done with a request before anything else is done with it."""

    ADMIT = "admit"
    """Handle it."""
    DENY = "deny"
    """Answer with a short error: its sender may not ask."""
    DROP = "drop"
    """Answer nothing, deliberately (RFC 6120 section 13.12): its sender asks too often."""


_ADMIT, _DENY, _DROP = Verdict


class Gate(Protocol):
    """Judges the requests of one kind by their sender."""

    def judge(self, sender: str | None, id_: str | None = None) -> Verdict:
        """Judge the next request, and count it.

        Args:
            sender: Its ``from`` as it came, which may be no JID; None if it has no ``from``.
            id_: Its ``id``; None if it has no ``id``.
        """


class Sender(NamedTuple):
    """Who sent a request.

    Attributes:
        name: Its bare JID after stringprep; some other text if there is no valid one.
        allowed: Whether it may make offers.
        own: Whether it is our own server, or whoever else speaks for our account or domain.
        tokens: What its request costs a stranger.
    """

    name: str
    allowed: bool
    own: bool
    tokens: int = 1


class Senders:
    """Tells who the senders on one stream are.

    Args:
        allowed: Those who may make offers.

    Attributes:
        me: Who we are on the stream: the full JID of a client or the domain of a component. None
            if nothing tells.
    """

    def __init__(self, allowed: AllowList) -> None:
        self._allowed = allowed
        self.me: JID | None = None

    def look_up(self, address: str | None, id_: str | None = None) -> Sender:
        """Tell who sent a request.

        Args:
            address: Its ``from`` as it came; None if there is no ``from``.
            id_: Its ``id``; None if there is no ``id``.
        """
        tokens = 1 + (len(address or "") + len(id_ or "")) // CHARACTERS
        me = self.me
        if address is None:
            # It comes from our own account (RFC 6120 section 8.1.2.1).
            if me is None:
                return Sender("", None in self._allowed, own=True)
            address = me.userhost()
        try:
            jid = parse_jid(address)
        except ValueError:
            return Sender(_NOT_VALID, allowed=False, own=False, tokens=tokens)
        own = (
            me is not None
            and jid.host == me.host
            and jid.resource is None
            and jid.user in (None, me.user)
        )
        return Sender(jid.userhost(), jid in self._allowed, own, tokens)


class Limits:
    """The buckets of all senders to one service, and the tally of what was refused.

    Args:
        clock: Tells the time.

    Attributes:
        tally: Counts what was denied and dropped; the service starts and stops it.
    """

    _log = Logger()

    def __init__(self, clock: Clock) -> None:
        self.tally = Tally(clock)
        self._stranger = Buckets(clock, per_second=PER_SECOND, burst=STRANGER_BURST)
        self._strangers = Buckets(
            clock, per_second=STRANGERS_PER_SECOND, burst=STRANGERS_BURST, most=1
        )
        self._requests = Buckets(clock, per_second=PER_SECOND, burst=REQUEST_BURST)
        self._failures = Buckets(clock, per_second=PER_SECOND, burst=FAILURE_BURST)
        self._malformed = Buckets(clock, per_second=PER_SECOND, burst=MALFORMED_BURST)

    def wait_for_failure(self, name: str) -> float:
        """Count a fetch that failed.

        Args:
            name: The ``Sender.name`` of who wanted the file.

        Returns:
            The seconds until it may be answered.
        """
        return self._failures.reserve(name)

    def well_formed(self, name: str) -> None:
        """Note that an admitted offer of this sender, which found room, is well-formed."""
        self._malformed.give_back(name)

    def judge_offer(self, sender: Sender, *, has_room: bool) -> Verdict:
        """Judge an offer; ``has_room`` tells whether its sender's share has room for it."""
        name = sender.name
        if sender.allowed:
            bucket = self._malformed if has_room else self._failures
            if sender.own or bucket.take(name):
                return _ADMIT
        elif sender.own or self._take_as_stranger(sender):
            self.tally.denied(name)
            self._log.debug("Denied an offer of {sender}", sender=shown(name))
            return _DENY
        self.tally.dropped(name)
        return _DROP

    def judge_request(self, sender: Sender, tokens: int = 1) -> Verdict:
        """Judge a request that is no offer; ``tokens``: what it costs one who is allowed."""
        name = sender.name
        if sender.own or (
            self._requests.take(name, tokens) if sender.allowed else self._take_as_stranger(sender)
        ):
            return _ADMIT
        self.tally.dropped(name)
        return _DROP

    def refund_request(self, name: str, tokens: int) -> None:
        """Give back what a request of somebody who is allowed has not cost."""
        self._requests.give_back(name, tokens)

    def _take_as_stranger(self, sender: Sender) -> bool:
        # Its own bucket first: one who floods must not use up what is for all.
        name, tokens = sender.name, sender.tokens
        if not self._stranger.take(name, tokens):
            return False
        if self._strangers.take(_EVERYBODY, tokens):
            return True
        self._stranger.give_back(name, tokens)
        return False


class OfferGate:
    """The Gate of the offers on one stream.

    Args:
        senders: Tells who they are.
        limits: The buckets.
        has_room: Whether the share of an allowed sender, by its ``Sender.name``, has room for
            another offer.
    """

    def __init__(self, senders: Senders, limits: Limits, has_room: Callable[[str], bool]) -> None:
        self._senders = senders
        self._limits = limits
        self._has_room = has_room

    def judge(self, sender: str | None, id_: str | None = None) -> Verdict:
        """Judge the next offer (see Gate)."""
        known = self._senders.look_up(sender, id_)
        has_room = known.allowed and self._has_room(known.name)
        return self._limits.judge_offer(known, has_room=has_room)


class RequestGate:
    """The Gate of all requests on one stream that are not offers.

    Args:
        senders: Tells who they are.
        limits: The buckets.
    """

    def __init__(self, senders: Senders, limits: Limits) -> None:
        self._senders = senders
        self._limits = limits

    def judge(self, sender: str | None, id_: str | None = None) -> Verdict:
        """Judge the next request (see Gate)."""
        return self._limits.judge_request(self._senders.look_up(sender, id_))

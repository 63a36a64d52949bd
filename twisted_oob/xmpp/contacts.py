"""Contacts: which resources of others are available, by the presence that comes (RFC 6121).

A server tells an account of its contacts' resources, and of the account's own other ones, after it
has sent its initial presence (section 4.2.2), which is PresenceHandler's part. Then each resource
is told of when it comes and when it goes. Nothing is asked for here, and nothing is sent.

==============  ==========================================
presence        what becomes of it
==============  ==========================================
available       the resource is kept, with its priority
unavailable     it is forgotten; from a bare JID, so are
                all of that account
any other type  ignored
==============  ==========================================

Strangers can send presence, too (section 4.6). So what is kept has a bound, and when it is full,
newcomers are not kept: who was told of first, after our initial presence, are our contacts.

Whoever needs them takes those of the stream (``Contacts.of``), so that all share one. On a stream
that is up before they join it, what came before is not known.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred, succeed

from twisted_oob._checks import checked_reactor
from twisted_oob.xmpp.jid import parse_jid
from twisted_oob.xmpp.stream_handler import StreamHandler

if TYPE_CHECKING:
    from twisted.python.failure import Failure
    from twisted.words.protocols.jabber.jid import JID
    from twisted.words.xish.domish import Element

    from twisted_oob.xmpp.deadlines import Clock, Timer
    from twisted_oob.xmpp.stream import BoundStream

MOST_ACCOUNTS: Final = 2000
"""Accounts of which resources are kept at once."""
MOST_RESOURCES: Final = 16
"""Resources of one account that are kept at once."""
SETTLING: Final = 0.25
"""Seconds after an account's first presence in which its others come: they are sent together."""

_PRIORITIES: Final = range(-128, 128)  # RFC 6121 section 4.7.2.3


class _Waiting:
    """One who waits for an account's resources."""

    __slots__ = ("account", "deferred", "due", "timer")

    account: str
    deferred: Deferred[list[JID]]
    due: float
    timer: Timer


class Contacts(StreamHandler):
    """Knows which resources of other accounts are available, as far as we are told.

    ``of`` adds it to a stream, best before that is connected. Without presence of our own, nobody's
    comes.

    Args:
        reactor: An IReactorTime; None for the global reactor.

    Raises:
        TypeError: The reactor has the wrong type.
    """

    def __init__(self, reactor: Clock | None = None) -> None:
        StreamHandler.__init__(self)
        self._clock: Clock = checked_reactor(reactor)
        self._me: JID | None = None
        self._began: float | None = None
        self._joining = False
        # By the bare JID, then by the full one, in the order in which they became available.
        self._known: dict[str, dict[str, int]] = {}
        self._waiting: list[_Waiting] = []

    @classmethod
    def of(cls, manager: Any, reactor: Clock) -> Contacts:
        """Give the Contacts on a manager's stream. If it has none, they are added.

        Args:
            manager: Any stream manager that takes Wokkel's handlers.
            reactor: As for the constructor, if they are made.
        """
        for handler in manager:
            if isinstance(handler, cls):
                return handler
        contacts = cls(reactor)
        contacts.setHandlerParent(manager)
        return contacts

    def resources(self, bare: JID) -> list[JID]:
        """Give the available resources of an account.

        Args:
            bare: Any JID of the account; its resource is not looked at.

        Returns:
            Full JIDs, the best priority first. Of the same priority, the one that was heard of last
            is first. Our own is not among them.
        """
        known = self._known.get(bare.userhost(), {})
        latest_first = reversed(known.items())
        best_first = sorted(latest_first, key=lambda item: item[1], reverse=True)
        return [parse_jid(full) for full, _priority in best_first]

    def wait_for(self, bare: JID, seconds: float) -> Deferred[list[JID]]:
        """Give the available resources of an account, also if its presence is still on its way.

        Args:
            bare: As for ``resources``.
            seconds: How long presence takes to come after the stream is up. Whoever is not known
                after that is not available, and nothing is waited for. Nor is it on a stream that
                was up before this joined it: its presence has come.

        Returns:
            A Deferred. It fires with what ``resources`` gives: at once, if that is not empty; else
            once the account's presence has come, or after the time. It can be cancelled.
        """
        known = self.resources(bare)
        now = self._clock.seconds()
        due = (now if self._began is None else self._began) + seconds
        # A component is told of nobody.
        component = self._me is not None and self._me.user is None
        if known or component or due <= now:
            return succeed(known)
        waiting = _Waiting()
        waiting.account = bare.userhost()
        waiting.deferred = Deferred(lambda _: self._forget(waiting))
        waiting.due = due
        waiting.timer = self._clock.callLater(due - now, self._tell, waiting)
        self._waiting.append(waiting)
        return waiting.deferred

    def setHandlerParent(self, parent: Any) -> None:
        """Join a stream manager, whose stream may be up."""
        self._joining = True
        try:
            StreamHandler.setHandlerParent(self, parent)
        finally:
            self._joining = False

    def _stream_opened(self, stream: BoundStream) -> None:
        """Begin to listen."""
        self._me = stream.me
        self._began = -math.inf if self._joining else self._clock.seconds()
        self._known.clear()
        self.observe_stream("/presence", self._on_presence)

    def _stream_lost(self, stream: BoundStream, reason: Failure) -> None:
        """Forget everybody: what they do from now on is not told to us."""
        self._me = self._began = None
        self._known.clear()
        for waiting in list(self._waiting):
            if waiting in self._waiting:
                self._tell(waiting)

    def _on_presence(self, presence: Element) -> None:
        kind = presence.getAttribute("type")
        if kind not in (None, "unavailable"):
            return
        try:
            sender = parse_jid(presence.getAttribute("from"))
        except ValueError:
            return
        if self._me is not None and sender == self._me:
            return  # a server gives our own presence back
        account = sender.userhost()
        if kind is None and sender.resource:
            self._keep(account, sender.full(), _priority(presence))
        elif kind == "unavailable" and account in self._known:
            self._drop(account, sender)

    def _keep(self, account: str, full: str, priority: int) -> None:
        if account not in self._known and len(self._known) >= MOST_ACCOUNTS:
            return
        resources = self._known.setdefault(account, {})
        resources.pop(full, None)
        if len(resources) < MOST_RESOURCES:
            resources[full] = priority
        for waiting in self._waiting:
            if waiting.account == account:
                self._settle(waiting)

    def _drop(self, account: str, sender: JID) -> None:
        resources = self._known[account]
        if sender.resource:
            resources.pop(sender.full(), None)
        if not (sender.resource and resources):
            del self._known[account]

    def _settle(self, waiting: _Waiting) -> None:
        soon = self._clock.seconds() + SETTLING
        if soon < waiting.due:
            waiting.due = soon
            waiting.timer.cancel()
            waiting.timer = self._clock.callLater(SETTLING, self._tell, waiting)

    def _tell(self, waiting: _Waiting) -> None:
        self._forget(waiting)
        waiting.deferred.callback(self.resources(parse_jid(waiting.account)))

    def _forget(self, waiting: _Waiting) -> None:
        self._waiting.remove(waiting)
        if waiting.timer.active():
            waiting.timer.cancel()


def _priority(presence: Element) -> int:
    """Read a presence's priority; 0 if it has none that counts (RFC 6121 section 4.7.2.3)."""
    for given in presence.elements(presence.uri, "priority"):
        try:
            priority = int(str(given)[:8])
        except ValueError:
            return 0
        return priority if priority in _PRIORITIES else 0
    return 0

"""PresenceHandler: shows an account as online, to those who are allowed to see it.

A server delivers IQs only to a full JID, and messages to a bare JID only if a resource is available
(RFC 6121 section 8.5). Presence makes the resource available, and a subscription to it is how
others learn the full JID. Without both, no offer would come.

A component gets everything for its domain at any time. It answers all the same, so that people can
have it among their contacts. It has no server that would keep subscriptions and answer for it, and
keeps none itself: whoever is allowed counts as subscribed. So it answers as a server does, from the
address that was asked.

=========== ======= ======================== ==============================
comes in    from    an account answers       a component answers
=========== ======= ======================== ==============================
subscribe   allowed subscribed, subscribe    the same, and its presence
subscribe   others  unsubscribed             the same
unsubscribe anybody unsubscribed,            the same, and that it is
                    unsubscribe              unavailable
probe       allowed its server does          its presence
probe       others  its server does          unsubscribed
=========== ======= ======================== ==============================

Presence has a status for people, which the application sets at any time. Others see a change of it
at most once a minute:

============= ============================== ========================================
state         how it is entered              what ``set_status`` does
============= ============================== ========================================
no stream     made; the stream is lost       it is kept for the next stream's presence
settled       no change was sent for a       a timer waits for a MOMENT: often much
              minute                         begins or ends together, or ends at once
fresh         a change was sent              a timer waits for the minute to be over
============= ============================== ========================================

When the timer ends, the last text is sent, if it is another. The first presence of a stream is no
change, unless its status is another than the last stream's.

An account's server tells its contacts. A component tells those whom it has shown its presence on
this stream, until they unsubscribe or their server says that there is no such contact. Whoever asks
meanwhile is shown what the others were.

An account's server passes a request on only if it changes something (RFC 6121 sections 3.1.3 and
3.3.3). A component asks each contact for the same only once in a row, or two components would
answer each other for ever.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from hashlib import sha1
from typing import TYPE_CHECKING, Final

from twisted.internet.defer import Deferred, ensureDeferred, succeed
from twisted.logger import Logger
from twisted.words.xish import domish
from wokkel.disco import DiscoFeature, DiscoIdentity
from wokkel.iwokkel import IDisco
from zope.interface import implementer

from twisted_oob._checks import checked_reactor, wrong_type
from twisted_oob.xmpp.characters import replace_non_xml
from twisted_oob.xmpp.disco import everything
from twisted_oob.xmpp.jid import parse_jid
from twisted_oob.xmpp.stream import BoundStream
from twisted_oob.xmpp.stream_handler import StreamHandler

if TYPE_CHECKING:
    from twisted.python.failure import Failure
    from twisted.words.protocols.jabber.jid import JID

    from twisted_oob.xmpp.access import AllowList
    from twisted_oob.xmpp.deadlines import Clock, Timer

NS_CAPS: Final = "http://jabber.org/protocol/caps"
NODE: Final = "https://pypi.org/project/twisted_oob"
"""The URI that identifies this software to others (XEP-0115 section 4)."""
STATUS_INTERVAL: Final = 60.0
"""Seconds from one change of the status that others see to the next."""
MOMENT: Final = 2.0
"""Seconds for which a change of the status waits at least."""

# How many contacts a component remembers to have asked. Strangers can make it forget.
_MOST_ASKED: Final = 1000
# How many contacts a component tells of a new status: that is 200 kB a minute at the most.
_MOST_SHOWN: Final = 500


@implementer(IDisco)
class PresenceHandler(StreamHandler):
    """Makes an account available (RFC 6121 section 4.2), and answers requests for subscription.

    Add it to the stream of a client or component before that is connected. An account's presence
    announces what the other handlers of the stream can do (XEP-0115). A component broadcasts no
    presence; contacts get it when they ask. A contact that is allowed gets a subscription and is
    asked for one in turn (RFC 6121 section 3.1). All others are denied one.

    Args:
        allowed: The AllowList of contacts. A request comes from a bare JID, so entries that are
            full JIDs allow nobody here. None leaves all requests to the account's other clients.
        priority: The priority of an account's presence, -128 to 127 (RFC 6121 section 4.7.2.3). A
            resource with a negative one gets no message that is sent to the bare JID.
        reactor: An IReactorTime; None for the global reactor.

    Raises:
        WrongType: The reactor does not tell the time. It is a TypeError.
    """

    _log = Logger()

    def __init__(
        self, allowed: AllowList | None, *, priority: int = 0, reactor: Clock | None = None
    ) -> None:
        StreamHandler.__init__(self)
        self._clock: Clock = checked_reactor(reactor)
        self._allowed = allowed
        self._priority = priority
        self._node = ""
        # What each contact was last asked for, by our address and theirs.
        self._asked: dict[tuple[str, str], str] = {}
        # The status as it is, and as others see it.
        self._status = self._seen_status = ""
        # When they last saw it change; at first, that was long ago.
        self._changed = -STATUS_INTERVAL
        # Waits until the next change may be sent.
        self._timer: Timer | None = None
        # To whom a component has shown its presence: our bare JIDs and theirs, by their texts.
        self._shown: dict[tuple[str, str], tuple[JID, JID]] = {}

    def set_status(self, text: str) -> None:
        """Say in our presence how we are: its ``<status/>`` (RFC 6121 section 4.7.2.2).

        Others see the last text, at the latest after a minute: at most one change a minute is sent.
        Each new stream begins with it.

        Args:
            text: For people; ``''`` for no status. What no XML can hold is replaced.

        Raises:
            WrongType: It is no str. It is a TypeError.
        """
        if not isinstance(text, str):
            raise wrong_type("text", "a str", text)
        self._status = replace_non_xml(text)
        self._show_status()

    def _show_status(self) -> None:
        """Let others see the status, as soon as they may."""
        if (
            self.bound_stream is None
            or self._timer is not None
            or self._status == self._seen_status
        ):
            return
        # A clock that is set back does not make it longer.
        wait = min(self._changed + STATUS_INTERVAL - self._clock.seconds(), STATUS_INTERVAL)
        self._timer = self._clock.callLater(max(wait, MOMENT), self._tell_status)

    def _tell_status(self) -> None:
        self._timer = None
        stream = self.bound_stream
        if stream is None or self._status == self._seen_status:
            return
        self._seen_status, self._changed = self._status, self._clock.seconds()
        if not _is_component(stream):
            self._show(stream, None, stream.me)
        for me, contact in list(self._shown.values()):
            self._show(stream, contact, me)

    def _stream_lost(self, stream: BoundStream, reason: Failure) -> None:
        """Forget whom we have shown our presence, and wait for nothing."""
        self._shown.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _stream_opened(self, stream: BoundStream) -> None:
        """Begin to answer; an account sends its initial presence."""
        self._asked.clear()
        if self._seen_status not in ("", self._status):
            self._changed = self._clock.seconds()
        self._seen_status = self._status
        component = _is_component(stream)
        kinds = ("subscribe", "unsubscribe", "probe") if component else ("subscribe", "unsubscribe")
        for kind in kinds if self._allowed is not None else ():
            self.observe_stream(
                f"/presence[@type='{kind}']", self._on_request, 0, stream, self._allowed, component
            )
        if component:
            self.observe_stream("/presence[@type='error']", self._on_error)
        else:
            self._show(stream, None, stream.me)

    def getDiscoInfo(
        self, requestor: JID, target: JID, nodeIdentifier: str = ""
    ) -> Deferred[list[object]]:
        """Return our own feature or, for the node in our presence, those of all handlers.

        Whoever reads ``ver`` in our presence asks for that node, to learn what it stands for. The
        answer must be the same as without a node (XEP-0115 section 6.2).
        """
        if nodeIdentifier and nodeIdentifier == self._node:
            return ensureDeferred(everything(self.parent, "getDiscoInfo", requestor, target, ""))
        return succeed([] if nodeIdentifier else [DiscoFeature(NS_CAPS)])

    def getDiscoItems(self, requestor: JID, target: JID, nodeIdentifier: str = "") -> list[object]:
        """Return no items: presence has no part in disco#items."""
        return []

    def _show(self, stream: BoundStream, to: JID | None, me: JID | None) -> None:
        """Send our presence to somebody; None for all who are subscribed."""
        ensureDeferred(self._send_presence(stream, to, me)).addErrback(
            lambda failure: self._log.failure("No presence was sent", failure=failure)
        )

    async def _send_presence(self, stream: BoundStream, to: JID | None, me: JID | None) -> None:
        info = await everything(self.parent, "getDiscoInfo", to or me, me, "")
        ver = verification_string(info)
        self._node = f"{NODE}#{ver}"
        presence = domish.Element((None, "presence"))
        if to is not None and me is not None:
            presence["to"], presence["from"] = to.full(), me.full()
        if self._seen_status:
            presence.addElement("status", content=self._seen_status)
        if self._priority:
            presence.addElement("priority", content=str(self._priority))
        caps = presence.addElement((NS_CAPS, "c"))
        caps["hash"], caps["node"], caps["ver"] = "sha-1", NODE, ver
        # Gathering takes its time. If the stream is lost meanwhile, another must not carry it.
        stream.send(presence)

    def _on_request(
        self,
        stream: BoundStream,
        accepted: AllowList,
        component: bool,
        presence: domish.Element,
    ) -> None:
        try:
            sender = parse_jid(presence.getAttribute("from"))
            contact = parse_jid(sender.userhost())
            me = parse_jid(parse_jid(presence["to"]).userhost()) if component else None
        except (KeyError, ValueError):
            return
        kind = presence["type"]
        allowed = contact in accepted
        if kind == "unsubscribe":
            # Servers of RFC 3921 expect an acknowledgement (section 8.4), whoever it was; those of
            # RFC 6121 ignore it. To them, our own subscription is another one, of no more use.
            answers = ["unsubscribed", "unsubscribe"]
        elif not allowed:
            answers = ["unsubscribed"]
        elif kind == "subscribe":
            # We don't need theirs, but clients expect contacts to see each other.
            answers = ["subscribed", "subscribe"]
        else:
            answers = []
        if me is not None:
            answers = [one for one in answers if one != kind or self._is_news(me, contact, one)]
            if kind == "unsubscribe":
                answers.append("unavailable")
        for one in answers:
            answer = domish.Element((None, "presence"))
            answer["to"], answer["type"] = contact.full(), one
            if me is not None:
                answer["from"] = me.full()
            stream.send(answer)
        if me is None:
            return
        if kind == "unsubscribe":
            self._shown.pop((me.full(), contact.full()), None)
        elif allowed:
            self._note_shown(me, contact)
            self._show(stream, contact if kind == "subscribe" else sender, me)

    def _on_error(self, presence: domish.Element) -> None:
        """Forget a contact that our presence does not reach."""
        try:
            me, contact = (parse_jid(presence[key]).userhost() for key in ("to", "from"))
        except (KeyError, ValueError):
            return
        self._shown.pop((me, contact), None)

    def _note_shown(self, me: JID, contact: JID) -> None:
        pair = me.full(), contact.full()
        self._shown.pop(pair, None)
        self._shown[pair] = me, contact
        if len(self._shown) > _MOST_SHOWN:
            del self._shown[next(iter(self._shown))]

    def _is_news(self, me: JID, contact: JID, kind: str) -> bool:
        """Tell whether a component asks for something else than the last time, and note it."""
        pair = me.full(), contact.full()
        last = self._asked.pop(pair, None)
        self._asked[pair] = kind
        if len(self._asked) > _MOST_ASKED:
            del self._asked[next(iter(self._asked))]
        return last != kind


def _is_component(stream: BoundStream) -> bool:
    return stream.me is not None and stream.me.user is None


def verification_string(info: Iterable[object]) -> str:
    """Return the ``ver`` of entity capabilities, by SHA-1 (XEP-0115 section 5.1).

    Args:
        info: DiscoIdentity objects without a language, and DiscoFeature objects.

    Raises:
        TypeError: An object is neither. It would be missing from the string, so that nobody would
            believe our capabilities (section 5.4).
    """
    identities: set[tuple[bytes, ...]] = set()
    features: set[bytes] = set()
    for item in info:
        if isinstance(item, DiscoIdentity):
            # The empty part is the language.
            parts = (item.category, item.type, "", item.name or "")
            identities.add(tuple(part.encode() for part in parts))
        elif isinstance(item, DiscoFeature):
            features.add(item.encode())
        else:
            raise TypeError(f"capabilities can't contain a {type(item).__name__}")
    # Sorted as bytes ("i;octet"), not as text: by category, then by type. Not by all of an identity
    # at once, as "/" comes after "-". A feature that two handlers give counts once.
    told = [*(b"/".join(parts) for parts in sorted(identities)), *sorted(features)]
    text = b"".join(part + b"<" for part in told)
    # SHA-1 is what the standard requires everybody to support; no secret depends on it.
    return b64encode(sha1(text, usedforsecurity=False).digest()).decode()

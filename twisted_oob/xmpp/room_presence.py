"""What a room's presence says of ourselves (XEP-0045): we are in, out, refused, or renamed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from twisted.words.xish.domish import Element

from twisted_oob.errors import error_from_stanza
from twisted_oob.xmpp.jid import parse_jid

if TYPE_CHECKING:
    from twisted.words.protocols.jabber.jid import JID

NS_MUC: Final = "http://jabber.org/protocol/muc"
NS_MUC_USER: Final = NS_MUC + "#user"

# Status codes (XEP-0045 section 15.6.2).
_SELF: Final = "110"
_CREATED: Final = "201"
_NEW_NICK: Final = "303"
_REMOVED: Final = {
    "301": "we were banned",
    "307": "we were kicked",
    "321": "we were removed, as our affiliation has changed",
    "322": "we were removed, as only members may be there now",
    "332": "the service shuts down",
    "333": "we were removed because of an error",
}
_DESTROYED: Final = "it was destroyed"
_LEFT: Final = "we are out of it"
# What a join is refused with (XEP-0045 section 7.2).
_REFUSED: Final = {
    "not-authorized": "it requires a password",
    "forbidden": "we are banned from it",
    "item-not-found": "it does not exist, or is locked",
    "not-allowed": "it does not exist, and we may not create it",
    "not-acceptable": "we must use the nick that is registered for us",
    "registration-required": "only its members may join",
    "conflict": "the nick is taken; choose another one",
    "service-unavailable": "it is full, or there is no such service",
    "remote-server-not-found": "its server can't be found",
    "remote-server-timeout": "its server does not answer",
    "gone": "it is gone",
    "jid-malformed": "there is no valid nick",
    "resource-constraint": "it is busy",
}
_OTHER_REFUSAL: Final = "it does not let us in"


@dataclass(frozen=True, slots=True)
class Present:
    """We are in the room.

    Attributes:
        nick: The nick that we have there.
        created: Whether our presence has created the room, which is locked then.
    """

    nick: str
    created: bool = False


@dataclass(frozen=True, slots=True)
class Renamed:
    """We are in the room, under another nick from now on.

    Attributes:
        nick: That nick.
    """

    nick: str


@dataclass(frozen=True, slots=True)
class Removed:
    """We are not in the room any more.

    Attributes:
        reason: Why, one of a few texts of ours.
        detail: What the room says of it; empty for nothing.
    """

    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """The room does not let us in.

    Attributes:
        id: The id of the presence that it answers; None if it does not say.
        reason: As for Removed.
        detail: As for Removed.
    """

    id: str | None
    reason: str
    detail: str = ""


def read_room_presence(
    presence: Element, sender: JID, own: str
) -> Present | Renamed | Removed | Refused | None:
    """Read what a room says of us.

    Args:
        presence: A presence from the room or an occupant.
        sender: Whom it is from: an address of the room.
        own: The nick that we have or asked for.

    Returns:
        None if it says nothing of us: it is about somebody else, or of another type.
    """
    kind = presence.getAttribute("type")
    if kind == "error":
        return _refused(presence)
    user = next(presence.elements(NS_MUC_USER, "x"), Element((NS_MUC_USER, "x")))
    codes = {status.getAttribute("code") for status in user.elements(NS_MUC_USER, "status")}
    nick = sender.resource
    # Services from before 2008 send no codes.
    if nick is None or (nick != own and _SELF not in codes):
        return None
    if kind is None:
        return Present(nick, _CREATED in codes)
    return _gone(sender, user, codes) if kind == "unavailable" else None


def _gone(sender: JID, user: Element, codes: set[str | None]) -> Renamed | Removed:
    """Read why our address in the room is gone."""
    item = next(user.elements(NS_MUC_USER, "item"), Element((NS_MUC_USER, "item")))
    if _NEW_NICK in codes:
        # If it does not tell, our presence with the new one will.
        return Renamed(_prepared(sender, item.getAttribute("nick")) or str(sender.resource))
    destroyed = next(user.elements(NS_MUC_USER, "destroy"), None)
    if destroyed is not None:
        other = destroyed.getAttribute("jid")
        return Removed(_DESTROYED, f"instead there is {other}" if other else _reason_in(destroyed))
    known = sorted(reason for code, reason in _REMOVED.items() if code in codes)
    return Removed(known[0] if known else _LEFT, _reason_in(item))


def _refused(presence: Element) -> Refused:
    error = error_from_stanza(presence)
    reason = _REFUSED.get(error.condition)
    detail = error.text or ("" if reason else error.condition)
    return Refused(presence.getAttribute("id"), reason or _OTHER_REFUSAL, detail)


def _prepared(occupant: JID, nick: str | None) -> str | None:
    """Give a nick as that of an address is given, which it is compared with."""
    if not nick:
        return None
    try:
        prepared: str | None = parse_jid(f"{occupant.userhost()}/{nick}").resource
    except ValueError:
        return None
    return prepared


def _reason_in(element: Element) -> str:
    return next((str(child) for child in element.elements(NS_MUC_USER, "reason")), "")

"""Routes: whether a recipient gets an IQ or a message, and at which of its addresses.

An IQ is answered when the peer has the file, so it is preferred to a message. But a server passes
an IQ on to a full JID only, and few clients take this one. So those who may be there are asked for
their features (XEP-0066 section 4):

=====================  ===========================================================================
recipient              who is asked
=====================  ===========================================================================
a full JID, a domain   it
an account             1. its available resources, the best priority first
                       2. ``JID/oob``, unless it was among them: the resource that our own commands
                          bind by default. A server delivers an IQ to it also if it does not show us
                          its presence (RFC 6121 section 8.5.3.1)
=====================  ===========================================================================

The first that has ``jabber:iq:oob`` gets the IQ. If nobody has, the recipient gets a message, at
the address that was given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from twisted.words.protocols.jabber.xmlstream import TimeoutError as IQTimeoutError

from twisted_oob.protocol.data import NS_IQ_OOB, RESOURCE
from twisted_oob.xmpp.jid import parse_jid

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred
    from twisted.python.failure import Failure
    from twisted.words.protocols.jabber.jid import JID

    from twisted_oob.protocol.handler import OOBHandler
    from twisted_oob.xmpp.contacts import Contacts

_FindFeatures: TypeAlias = "Callable[[JID], Deferred[frozenset[str]]]"

WAYS: Final = ("auto", "iq", "message")
"""What ``as_`` may be."""
DISCO_TIMEOUT: Final = 5.0
"""Seconds after which who has not told its features counts as without."""
PRESENCE_WAIT: Final = 2.0
"""Seconds after the stream is up in which the presence of contacts comes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """How a recipient is reached: ``how`` is ``'iq'`` or ``'message'``, ``address`` where."""

    how: str
    address: JID


async def find_route(
    handler: OOBHandler,
    contacts: Contacts,
    recipient: JID,
    way: str,
    sender: JID | None = None,
) -> Route:
    """Find out how a recipient is reached. The stream must be up.

    Args:
        handler: Asks for features.
        contacts: Knows who is available.
        recipient: The address that was given.
        way: One of WAYS. ``'iq'`` and ``'message'`` force it; the IQ then goes to ``JID/oob`` if no
            resource of an account has told that it takes it.
        sender: The address to ask from; None for the stream's.

    Raises:
        Exception: What ``find_features`` fails with, but for its TimeoutError.
    """
    if way == "message":
        return Route(how="message", address=recipient)
    find_features = partial(handler.find_features, timeout=DISCO_TIMEOUT, sender=sender)
    account = recipient.user is not None and recipient.resource is None
    if account:
        found = await _resource_of(find_features, contacts, recipient)
    elif way == "iq":
        found = recipient
    else:
        found = await _first_that_takes(find_features, [recipient])
    if found is None and way == "iq":
        found = _by_default(recipient)
    if found is None:
        return Route(how="message", address=recipient)
    return Route(how="iq", address=found)


async def _resource_of(
    find_features: _FindFeatures, contacts: Contacts, account: JID
) -> JID | None:
    by_default = _by_default(account)
    known = contacts.resources(account)
    if known:
        rest = [] if by_default in known else [by_default]
        return await _first_that_takes(find_features, [*known, *rest])
    # Its presence may be on its way, and most accounts are not our contacts.
    waiting = contacts.wait_for(account, PRESENCE_WAIT)
    try:
        found = await _first_that_takes(find_features, [by_default])
        if found is None:
            known = [jid for jid in await waiting if jid != by_default]
            found = await _first_that_takes(find_features, known)
    finally:
        _leave(waiting)
    return found


async def _first_that_takes(find_features: _FindFeatures, addresses: Iterable[JID]) -> JID | None:
    """Ask all at once; give the first of them, in their order, that takes the IQ."""
    asked = [(jid, find_features(jid).addErrback(_silent)) for jid in addresses]
    try:
        for jid, features in asked:
            if NS_IQ_OOB in await features:
                return jid
    finally:
        for _jid, features in asked:
            _leave(features)
    return None


def _silent(failure: Failure) -> frozenset[str]:
    failure.trap(IQTimeoutError)
    return frozenset()


def _leave(deferred: Deferred[Any]) -> None:
    """Wait for it no longer, whatever comes of it."""
    deferred.addErrback(lambda _failure: None)
    deferred.cancel()


def _by_default(account: JID) -> JID:
    return parse_jid(f"{account.userhost()}/{RESOURCE}")

"""Service discovery (XEP-0030), and what answers the requests that no other handler does.

Wokkel has handlers for both, which are not safe for a service that strangers can reach. Its
DiscoHandler interns the address of everybody who ever asked, so that its memory grows for ever.
Its FallbackHandler echoes what is not safe to echo (see guard.py).
"""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.defer import ensureDeferred, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.words.protocols.jabber.error import StanzaError
from twisted.words.protocols.jabber.jid import JID
from twisted.words.protocols.jabber.xmlstream import toResponse
from twisted.words.xish import domish
from wokkel.disco import (
    DISCO_INFO,
    DISCO_ITEMS,
    NS_DISCO_INFO,
    NS_DISCO_ITEMS,
    DiscoFeature,
    DiscoHandler,
    DiscoIdentity,
    DiscoInfo,
    DiscoItems,
)
from wokkel.iwokkel import IDisco
from zope.interface import implementer

from twisted_oob.xmpp.guard import error_response
from twisted_oob.xmpp.jid import parse_jid
from twisted_oob.xmpp.stream import BoundStream
from twisted_oob.xmpp.stream_handler import StreamHandler

# Handlers of one request are called by priority: OneChildHandler (100), then everybody (0), then
# FallbackHandler (-1).
_ANY_REQUEST: Final = "/iq[@type='get' or @type='set']"


async def everything(
    manager: Any, method: str, requestor: Any, target: Any, node: str
) -> list[Any]:
    """Gather what all handlers of a stream return from one method of IDisco.

    Args:
        manager: The stream manager, which iterates over its handlers.
        method: ``'getDiscoInfo'`` or ``'getDiscoItems'``.
        requestor: The JID that asks, or None.
        target: The JID that is asked, or None.
        node: The node that is asked about, or ``''``.

    Returns:
        The objects of all handlers, in the order of the handlers.
    """
    found: list[Any] = []
    for handler in manager:
        if IDisco.providedBy(handler):
            found += await maybeDeferred(getattr(handler, method), requestor, target, node)
    return found


@implementer(IDisco)
class DiscoveryHandler(StreamHandler):
    """Answers disco#info and disco#items with what the stream's handlers provide (IDisco).

    If the application has Wokkel's DiscoHandler on the stream, that answers, and tells the same.

    Args:
        category: The category of our identity (XEP-0030 section 3.1), such as ``'client'``.
        kind: The type of our identity, such as ``'bot'``.
        name: The name of our identity, for people.
    """

    _log = Logger()

    def __init__(self, category: str, kind: str, name: str) -> None:
        StreamHandler.__init__(self)
        self._identity = DiscoIdentity(category, kind, name)

    def _stream_opened(self, stream: BoundStream) -> None:
        """Begin to answer."""
        self.observe_stream(DISCO_INFO, self._asked, 0, "getDiscoInfo", DiscoInfo)
        self.observe_stream(DISCO_ITEMS, self._asked, 0, "getDiscoItems", DiscoItems)

    def getDiscoInfo(
        self, requestor: JID, target: JID, nodeIdentifier: str = ""
    ) -> list[DiscoIdentity | DiscoFeature]:
        """Return our identity and disco's own features, but nothing for a node."""
        if nodeIdentifier:
            return []
        return [self._identity, DiscoFeature(NS_DISCO_INFO), DiscoFeature(NS_DISCO_ITEMS)]

    def getDiscoItems(self, requestor: JID, target: JID, nodeIdentifier: str = "") -> list[object]:
        """Return no items of our own."""
        return []

    def _asked(self, method: str, kind: Any, iq: Any) -> None:
        # Wokkel's does not look at "handled", so there would be two answers.
        if iq.handled is True or any(
            isinstance(other, DiscoHandler) for other in self.parent or ()
        ):
            return
        # At once, although the answer may take a while: nobody else should answer meanwhile.
        iq.handled = True
        ensureDeferred(self._answer(self.xmlstream, method, kind, iq)).addErrback(
            lambda failure: self._log.failure("A disco request was not answered", failure=failure)
        )

    async def _answer(self, xmlstream: Any, method: str, kind: Any, iq: domish.Element) -> None:
        try:
            response = toResponse(iq, "result")
            response.addChild((await self._found(method, kind, iq)).toElement())
        except Exception as error:
            response = self._error(iq, error)
        # If the stream is gone by now, this reaches nobody, and another stream must not carry it.
        xmlstream.send(response)

    def _error(self, iq: domish.Element, error: Exception) -> domish.Element:
        if isinstance(error, StanzaError):
            try:
                return error_response(iq, error, echo=False)
            except ValueError:
                pass  # a handler made it, and no peer could parse it
        self._log.failure("A disco request failed", failure=Failure(error))
        return error_response(iq, StanzaError("internal-server-error"), echo=False)

    async def _found(self, method: str, kind: Any, iq: domish.Element) -> Any:
        try:
            requestor, target = (
                None if iq.getAttribute(name) is None else parse_jid(iq.getAttribute(name))
                for name in ("from", "to")
            )
        except ValueError:
            raise StanzaError("jid-malformed") from None
        # The one child of the request (see OneChildHandler), unless that handler is missing.
        query = next(one for one in iq.elements() if one.uri in (NS_DISCO_INFO, NS_DISCO_ITEMS))
        found = kind()
        found.nodeIdentifier = node = query.getAttribute("node", "")
        items = await everything(self.parent, method, requestor, target, node)
        # Who has nothing to tell of a node does not know it (XEP-0030 sections 3.2 and 4.2), unless
        # it is asked for items: one that tells of itself may have no items.
        if node and not (
            items
            or (
                kind is DiscoItems
                and await everything(self.parent, "getDiscoInfo", requestor, target, node)
            )
        ):
            raise StanzaError("item-not-found")
        told: set[Any] = set()
        for item in items:
            # Several handlers may tell the same, and clients ignore all of an answer that repeats
            # itself (XEP-0115 section 5.4).
            key = _identity_or_feature(item)
            if key is None or key not in told:
                told.add(key)
                found.append(item)
        return found


def _identity_or_feature(item: object) -> tuple[object, ...] | None:
    """Give what makes an identity or a feature the same as another; None for anything else."""
    if isinstance(item, DiscoIdentity):
        return item.category, item.type, item.name
    return (str(item),) if isinstance(item, DiscoFeature) else None


class OneChildHandler(StreamHandler):
    """Answers bad-request to IQ requests that break the rules of RFC 6120 section 8.2.3.

    Those are requests without exactly one child, and IQs of no type or an unknown one. If a request
    had several children, several handlers would each answer their own.
    """

    def _stream_opened(self, stream: BoundStream) -> None:
        """Begin to check."""
        self.observe_stream("/iq", self._check, 100)

    def _check(self, iq: Any) -> None:
        kind = iq.getAttribute("type")
        if kind in ("result", "error"):
            return
        if kind not in ("get", "set") or sum(1 for _ in iq.elements()) != 1:
            self.xmlstream.send(error_response(iq, StanzaError("bad-request"), echo=False))
            # Without children it matches no other observer, and FallbackHandler skips what is
            # handled.
            iq.children = []
            iq.handled = True


class FallbackHandler(StreamHandler):
    """Answers service-unavailable to IQ requests that nobody else handled."""

    def _stream_opened(self, stream: BoundStream) -> None:
        """Begin to answer."""
        self.observe_stream(_ANY_REQUEST, self._answer, -1)

    def _answer(self, iq: Any) -> None:
        if iq.handled is not True:
            self.xmlstream.send(error_response(iq, StanzaError("service-unavailable"), echo=False))

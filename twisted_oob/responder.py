"""OOBResponder: who may ask, then fetch, then answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from twisted.application.service import Service
from twisted.internet.defer import (
    CancelledError,
    Deferred,
    DeferredSemaphore,
    ensureDeferred,
    succeed,
)
from twisted.logger import Logger
from twisted.words.protocols.jabber.error import StanzaError
from wokkel.disco import (
    NS_DISCO_INFO,
    NS_DISCO_ITEMS,
    DiscoFeature,
    DiscoHandler,
    DiscoIdentity,
)
from wokkel.generic import FallbackHandler, VersionHandler
from wokkel.iwokkel import IDisco
from wokkel.ping import PingHandler
from wokkel.subprotocols import XMPPHandler
from zope.interface import implementer

from twisted_oob._version import __version__
from twisted_oob.errors import Rejected, ResourceConstraint
from twisted_oob.fetch import FetchedFile, Fetcher
from twisted_oob.handler import OOBHandler
from twisted_oob.stanza import parse_jid, without_userinfo

if TYPE_CHECKING:
    from twisted.words.protocols.jabber.jid import JID

    from twisted_oob.deadlines import Clock
    from twisted_oob.offers import Offer

EVERYBODY: Final = "*"
WAITING_PER_TRANSFER: Final = 8
"""How many offers may wait their turn for each transfer that may run."""


class AllowList:
    """Who may make offers.

    ``entries``: each a full JID (that one), a bare JID (with any resource), a domain (everybody
    there) or ``*`` (everybody anywhere). A ValueError for anything else. Empty: nobody.
    """

    def __init__(self, entries: Iterable[str]) -> None:
        names = set(entries)
        self._everybody = EVERYBODY in names
        self._names = {parse_jid(name).full() for name in names - {EVERYBODY}}

    def __contains__(self, sender: JID | None) -> bool:
        if self._everybody:
            return True
        return sender is not None and not self._names.isdisjoint(
            (sender.full(), sender.userhost(), sender.host)
        )


class OOBResponder(Service):
    """Fetches what it is offered and answers truthfully: a result once the whole file is there.

    A Twisted service. Add it to the streams it serves with ``attach``; start it before them and
    stop it before them, so that every offer is answered while there is a stream for the answer::

        responder = OOBResponder(Fetcher(reactor, FetchPolicy(), "oob-downloads"),
                                 allow_from=["example.org"], reactor=reactor)
        client = XMPPClient(JID("files@example.org"), password)
        responder.attach(client)

    ``fetcher``: what retrieves the files. ``allow_from``: the entries of an AllowList.
    ``concurrency``: how many transfers run at once; eight times as many wait their turn, and
    further offers get resource-constraint, type wait. ``reactor``: what tells the time.
    """

    _log = Logger()

    def __init__(
        self,
        fetcher: Fetcher,
        *,
        allow_from: Iterable[str],
        reactor: Clock,
        concurrency: int = 8,
    ) -> None:
        self._fetcher = fetcher
        self._clock = reactor
        self._allowed = AllowList(allow_from)
        self._turns = DeferredSemaphore(concurrency)
        self._most_open = concurrency * (1 + WAITING_PER_TRANSFER)
        self._open: set[Deferred[FetchedFile]] = set()
        self._accepting = True
        self._on_idle: Deferred[None] | None = None

    def attach(self, manager: Any) -> None:
        """Serve a stream: a Wokkel ``XMPPClient``, ``Component`` or ``InternalComponent``.

        Beside offers it answers disco (XEP-0030), version (XEP-0092) and ping (XEP-0199), and
        any other IQ request with service-unavailable (RFC 6120 section 8.4).
        """
        offers = OOBHandler(self._on_offer, reactor=self._clock)
        # The fetcher has its own deadline for each transfer, which does not begin with the offer.
        offers.answer_timeout = None
        for handler in (
            offers,
            _IdentityHandler(),
            DiscoHandler(),
            VersionHandler("twisted_oob", __version__),
            PingHandler(),
            FallbackHandler(),
        ):
            handler.setHandlerParent(manager)

    def startService(self) -> None:
        """Remove what a killed process left half done, and begin to accept offers."""
        removed = self._fetcher.remove_leftovers()
        if removed:
            self._log.info("Removed {removed} unfinished files of an earlier run", removed=removed)
        self._accepting = True
        Service.startService(self)

    def stopService(self) -> Deferred[None]:
        """Cancel every transfer and answer its offer; fires when nothing of them is left."""
        Service.stopService(self)
        self._accepting = False
        if not self._open:
            return succeed(None)
        idle = self._on_idle = self._on_idle or Deferred()
        for work in list(self._open):
            work.cancel()
        return idle

    async def _on_offer(self, offer: Offer) -> None:
        began = self._clock.seconds()
        about: dict[str, Any] = {"sender": offer.sender, "url": without_userinfo(offer.url)}
        self._log.info("Offer from {sender}: {url}", **about)

        def ended(level: Callable[..., None], text: str, **more: object) -> None:
            seconds = self._clock.seconds() - began
            level(
                "Offer from {sender} ended: {url}: " + text + ", {seconds:.2f} s",
                **about,
                **more,
                seconds=seconds,
            )

        try:
            fetched = await self._retrieve(offer)
        except StanzaError as error:
            reason = getattr(error, "detail", None) or str(error)
            ended(self._log.info, "{condition}: {reason}", condition=error.condition, reason=reason)
            raise
        except CancelledError:
            ended(self._log.info, "cancelled, as the stream was lost")
            raise
        except Exception:
            ended(self._log.error, "failed unexpectedly")
            raise
        ended(
            self._log.info, "success: {size} bytes in {file}", size=fetched.size, file=fetched.path
        )

    async def _retrieve(self, offer: Offer) -> FetchedFile:
        if offer.sender not in self._allowed:
            raise Rejected("you may not make offers here")
        if not self._accepting:
            raise _stopping()
        if len(self._open) >= self._most_open:
            raise ResourceConstraint("too many transfers at once; try again later")
        work = ensureDeferred(self._in_turn(offer.url))
        self._open.add(work)
        try:
            return await work
        except CancelledError:
            if not self._accepting:
                raise _stopping() from None
            raise
        finally:
            self._open.discard(work)
            if not self._open and self._on_idle is not None:
                # After the answer, which is sent when this coroutine's caller has ended.
                idle, self._on_idle = self._on_idle, None
                self._clock.callLater(0, idle.callback, None)

    async def _in_turn(self, url: str) -> FetchedFile:
        await self._turns.acquire()
        try:
            return await self._fetcher.fetch(url)
        finally:
            self._turns.release()


def _stopping() -> ResourceConstraint:
    return ResourceConstraint("the responder is stopping; try again later")


@implementer(IDisco)
class _IdentityHandler(XMPPHandler):  # type: ignore[misc]  # Wokkel has no types
    """What the responder says that it is; Wokkel's DiscoHandler does not even name disco.

    An identity and disco#info are what every entity must have (XEP-0030 section 3.1).
    """

    def getDiscoInfo(
        self, requestor: JID, target: JID, nodeIdentifier: str = ""
    ) -> list[DiscoIdentity | DiscoFeature]:
        if nodeIdentifier:
            return []
        return [
            DiscoIdentity("component", "generic", "Out of Band responder"),
            DiscoFeature(NS_DISCO_INFO),
            DiscoFeature(NS_DISCO_ITEMS),
        ]

    def getDiscoItems(self, requestor: JID, target: JID, nodeIdentifier: str = "") -> list[object]:
        return []

"""The embedded XMPP router: Wokkel's, with its doors locked.

It stands in for an XMPP server: components connect to it, by TCP (XEP-0114) or in this
process (``wokkel.component.InternalComponent``), and it passes stanzas between their
domains. Unlike the original it trusts no component further than its own domain, and
logs no payload. It builds on Twisted Words, whose classes are those of
``wokkel.component`` without the reactor that module imports.
"""

from __future__ import annotations

import hmac
from typing import Any, ClassVar, Final

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure
from twisted.words.protocols.jabber import component, jid, xmlstream
from twisted.words.protocols.jabber.error import (
    StanzaError,
    StreamError,
    exceptionFromStreamError,
)
from twisted.words.xish import domish

from twisted_oob.xmpp.deadlines import Clock, Timer
from twisted_oob.xmpp.guard import is_safe, parse_promptly
from twisted_oob.xmpp.jid import parse_jid

NS_COMPONENT: Final = component.NS_COMPONENT_ACCEPT
STANZAS: Final = frozenset((NS_COMPONENT, name) for name in ("iq", "message", "presence"))

HANDSHAKE_TIMEOUT: Final = 30.0
"""Seconds a connection has to give its handshake."""
CLOSE_TIMEOUT: Final = 2.0
"""Seconds a closed stream has to take leave before its connection is aborted."""
MAX_STANZA_BYTES: Final = 1024 * 1024
MAX_HANDSHAKE_BYTES: Final = 8 * 1024
"""The most that is kept of a peer that has not given its handshake."""
MAX_JID_LENGTH: Final = 3071
"""Three parts of 1023 and two separators (RFC 7622 section 3.1)."""

# To the type checker, Twisted Words' classes are Any: they declare too little of what they hold.
_ListenAuthenticator: Any = component.ListenComponentAuthenticator
_XmlStream: Any = xmlstream.XmlStream
_XmlStreamServerFactory: Any = xmlstream.XmlStreamServerFactory

_log = Logger()


def _jid(address: str | None) -> jid.JID | None:
    """Give the address after stringprep, or None for one that is absent or invalid."""
    if not address or len(address) > MAX_JID_LENGTH:
        return None
    try:
        return parse_jid(address)
    except ValueError:
        return None


def _domain(address: str | None) -> str | None:
    """Give the domain of an address after stringprep, None if it has no valid one.

    A final dot is no part of it (RFC 7622 section 3.2).
    """
    prepared = _jid(address)
    return None if prepared is None else str(prepared.host).removesuffix(".")


def _only_domain(address: str | None) -> str:
    """Give the domain of an address that must be nothing else; ValueError if it is not."""
    prepared = _jid(address)
    if prepared is None or prepared.user or prepared.resource:
        raise ValueError(f"a component's address is a bare domain, not {address!r}")
    return str(prepared.host).removesuffix(".")


class Router(component.Router):
    """Passes stanzas to whoever holds the domain they are addressed to.

    ``routes``: the streams by domain, after stringprep. A domain has one holder at a
    time. There is no default route.
    """

    def __init__(self) -> None:
        self.routes: dict[str, Any] = {}

    def addRoute(self, destination: str, xs: Any) -> None:
        """Give a domain to a stream: it gets the domain's stanzas, and what it sends is routed.

        ``destination``: a domain. ``xs``: what Wokkel's components give: an XmlStream
        or one end of an XmlPipe. A stanza that comes from it without a ``from`` gets
        the domain as one.

        Raises ValueError for what is no domain, StreamError ``conflict`` if someone
        else holds it (XEP-0114 section 3, RFC 6120 section 4.9.3.3).
        """
        domain = _only_domain(destination)
        if self.routes.setdefault(domain, xs) is not xs:
            raise StreamError("conflict", f"{domain} is connected already")
        xs.addObserver("/*", self._from_component, 0, domain)

    def removeRoute(self, destination: str, xs: Any) -> None:
        """Take a domain back from the stream that holds it; from any other stream, nothing."""
        domain = _only_domain(destination)
        if domain not in self.routes or self.routes[domain] is not xs:
            return
        del self.routes[domain]
        xs.removeObserver("/*", self._from_component)
        for other, holder in self.routes.items():
            if holder is xs:
                xs.addObserver("/*", self._from_component, 0, other)
                break

    def _from_component(self, domain: str, stanza: domish.Element) -> None:
        if not stanza.getAttribute("from"):
            stanza["from"] = domain
        self.route(stanza)

    def route(self, stanza: domish.Element) -> None:
        """Pass a stanza on, or say why not.

        Where nobody holds its domain the sender gets ``remote-server-not-found``
        (RFC 6120 section 8.3.3.16), where it has no valid address ``jid-malformed``
        (section 8.3.3.8). A result or error is never answered, only dropped.
        """
        domain = _domain(stanza.getAttribute("to"))
        holder = None if domain is None else self.routes.get(domain)
        _log.debug(
            "{outcome}: {name} {type} from {sender} to {recipient}",
            outcome="routed" if holder is not None else "no route",
            name=stanza.name,
            type=stanza.getAttribute("type"),
            sender=stanza.getAttribute("from"),
            recipient=stanza.getAttribute("to"),
        )
        if holder is not None:
            holder.send(stanza)
        elif stanza.getAttribute("type") not in ("result", "error"):
            condition = "jid-malformed" if domain is None else "remote-server-not-found"
            self.route(StanzaError(condition).toResponse(stanza))


class _Authenticator(_ListenAuthenticator):  # type: ignore[misc]
    """Lets a component in: its stream header, then its handshake (XEP-0114 section 3)."""

    xmlstream: _ComponentStream

    def streamStarted(self, root: domish.Element) -> None:
        """Check the stream header before Twisted does, which raises or interns what it reads."""
        xs = self.xmlstream
        if (root.uri, root.name) != (xmlstream.NS_STREAMS, "stream") or (
            root.defaultUri != NS_COMPONENT
        ):
            xs.sendStreamError(StreamError("invalid-namespace", f"expected {NS_COMPONENT}"))
            return
        try:
            domain = _only_domain(root.getAttribute("to"))
        except ValueError:
            xs.sendStreamError(StreamError("improper-addressing", "'to' must be a domain"))
            return
        xs.thisEntity = jid.JID(domain)
        del root["to"]
        root.localPrefixes = {"stream": xmlstream.NS_STREAMS}
        super().streamStarted(root)

    def onHandshake(self, handshake: str) -> None:
        """Compare the handshake in constant time; admit the component if it is right."""
        xs = self.xmlstream
        expected = xmlstream.hashPassword(xs.sid, self.secret)
        if not hmac.compare_digest(handshake.encode(), expected.encode()):
            xs.sendStreamError(StreamError("not-authorized", "wrong handshake"))
            return
        try:
            xs.admit()
        except StreamError as error:
            xs.sendStreamError(error)


class _ComponentStream(_XmlStream):  # type: ignore[misc]
    """One connection of a component, from its first byte to its last.

    ``domain``: what it was admitted for; None before its handshake and after its leave.
    """

    factory: ComponentServerFactory
    namespace = NS_COMPONENT
    domain: str | None = None
    _closing = False
    _stanza_bytes = 0
    _timer: Timer | None = None

    @property
    def who(self) -> str:
        """Name the component for the log: its domain, if it gave one, and its address."""
        peer: Any = self.transport.getPeer()
        place = f"{peer.host}:{peer.port}" if hasattr(peer, "host") else "a local socket"
        return place if self.thisEntity is None else f"{self.thisEntity.host} at {place}"

    def connectionMade(self) -> None:
        """Start the clock of the handshake."""
        super().connectionMade()
        parser = self.stream.parser
        parser.StartDoctypeDeclHandler = self._got_doctype
        parse_promptly(self)
        self.factory.streams.add(self)
        self._timer = self.factory.reactor.callLater(HANDSHAKE_TIMEOUT, self._handshake_late)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _handshake_late(self) -> None:
        self._timer = None
        self.sendStreamError(
            StreamError("connection-timeout", f"no handshake in {HANDSHAKE_TIMEOUT:g} seconds")
        )

    def _got_doctype(self, *_: object) -> None:
        self.sendStreamError(StreamError("restricted-xml", "no document type declarations"))
        raise domish.ParserError("restricted XML")

    def dataReceived(self, data: bytes) -> None:
        """Parse what comes, within the limits; XML that is none ends the stream."""
        self._stanza_bytes += len(data)
        limit = MAX_HANDSHAKE_BYTES if self.domain is None else MAX_STANZA_BYTES
        try:
            self.stream.parse(data)
        except domish.ParserError:
            self.sendStreamError(StreamError("not-well-formed"))
        if self._stanza_bytes > limit:
            self.sendStreamError(StreamError("policy-violation", f"more than {limit} bytes"))

    def onElement(self, element: domish.Element) -> None:
        """Let through what this component may send (RFC 6120 sections 4.9.3 and 8.1)."""
        self._stanza_bytes = 0
        if self._closing:
            return
        if (element.uri, element.name) == (xmlstream.NS_STREAMS, "error"):
            self._leave(f"it reported {exceptionFromStreamError(element).condition}")
            return
        if self.domain is not None:
            error = self._refusal(element)
            if error is not None:
                self.sendStreamError(StreamError(*error))
                return
        super().onElement(element)

    def _refusal(self, element: domish.Element) -> tuple[str, str] | None:
        if (element.uri, element.name) not in STANZAS:
            return "unsupported-stanza-type", "expected iq, message or presence"
        if _domain(element.getAttribute("from")) != self.domain:
            return "invalid-from", f"'from' must be an address at {self.domain}"
        if not element.getAttribute("to"):
            return "improper-addressing", "a stanza must have a 'to'"
        if not is_safe(element):
            return "bad-format", "a namespace holds markup, or elements are nested too deep"
        return None

    def onDocumentEnd(self) -> None:
        """Answer the end of the stream with its end (RFC 6120 section 4.4)."""
        self._leave("it closed its stream")

    def admit(self) -> None:
        """Take the component in; StreamError ``conflict`` if its domain is held."""
        domain = str(self.thisEntity.host)
        self.factory.router.addRoute(domain, self)
        self.domain = domain
        self._stop_timer()
        _log.info("component {who} connected", who=self.who)
        self.send(domish.Element((NS_COMPONENT, "handshake")))
        self.dispatch(self, xmlstream.STREAM_AUTHD_EVENT)

    def sendStreamError(self, error: StreamError) -> None:
        """End the stream with an error (RFC 6120 section 4.9) and close the connection."""
        if self._closing:
            return
        condition, text = error.condition, error.text
        reason = f"{condition}: {text}" if text else condition
        outcome = "refused" if self.domain is None else "sent off"
        # Our own stopping is nothing to warn of.
        level = LogLevel.info if condition == "system-shutdown" else LogLevel.warn
        _log.emit(
            level,
            "component {who} {outcome}: {reason}",
            who=self.who,
            outcome=outcome,
            reason=reason,
        )
        self._close()
        super().sendStreamError(error)

    def _leave(self, reason: str) -> None:
        if self._closing:
            return
        _log.info("component {who} left: {reason}", who=self.who, reason=reason)
        self._close()
        self.sendFooter()
        self.transport.loseConnection()

    def _close(self) -> None:
        """Route nothing more, either way, and bound the wait for the connection's end."""
        self._closing = True
        self._drop_route()
        self._stop_timer()
        self._timer = self.factory.reactor.callLater(CLOSE_TIMEOUT, self._abort)

    def _abort(self) -> None:
        self._timer = None
        self.transport.abortConnection()

    def _drop_route(self) -> None:
        if self.domain is not None:
            self.factory.router.removeRoute(self.domain, self)
            self.domain = None

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Forget the connection."""
        if not self._closing:
            _log.info(
                "component {who} left: {reason}", who=self.who, reason=reason.getErrorMessage()
            )
            self._closing = True
        self._drop_route()
        self._stop_timer()
        super().connectionLost(reason)
        self.factory.forget(self)


class ComponentServerFactory(_XmlStreamServerFactory):  # type: ignore[misc]
    """Accepts external components (XEP-0114) and gives them their routes.

    ``router``: what routes between them. ``secret``: the secret all of them share, not
    empty (ValueError otherwise). ``reactor``: for the time limits.
    """

    protocol: ClassVar[type[_ComponentStream]] = _ComponentStream

    def __init__(self, router: Router, secret: str, reactor: Clock) -> None:
        if not secret:
            raise ValueError("the secret of the components must not be empty")
        super().__init__(lambda: _Authenticator(secret))
        self.router = router
        self.reactor = reactor
        self.streams: set[_ComponentStream] = set()
        self._gone: list[Deferred[None]] = []
        self._stopped = False

    def startFactory(self) -> None:
        """Accept connections, also after a ``stop``."""
        self._stopped = False

    def buildProtocol(self, addr: IAddress) -> _ComponentStream | None:
        """Make the stream of a new connection; none once stopped."""
        return None if self._stopped else super().buildProtocol(addr)

    def stop(self) -> Deferred[None]:
        """Send everyone off with ``system-shutdown`` (RFC 6120 section 4.9.3.20).

        The result fires when the last connection is gone: those that don't take leave
        are aborted after ``CLOSE_TIMEOUT`` seconds. Stop listening first.
        """
        self._stopped = True
        for stream in list(self.streams):
            stream.sendStreamError(StreamError("system-shutdown"))
        if not self.streams:
            return succeed(None)
        gone: Deferred[None] = Deferred()
        self._gone.append(gone)
        return gone

    def forget(self, stream: _ComponentStream) -> None:
        """Take note that a connection is gone."""
        self.streams.discard(stream)
        if not self.streams:
            waiting, self._gone = self._gone, []
            for gone in waiting:
                gone.callback(None)

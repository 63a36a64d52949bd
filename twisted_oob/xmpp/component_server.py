"""ComponentServerFactory: accepts external components (XEP-0114) and gives them routes.

A component connects by TCP and goes through this (XEP-0114 section 3)::

    component                            we
    stream header, to=its domain    -->
                                    <--  stream header, with an id
    SHA-1 of the id and the secret  -->
                                    <--  <handshake/>
    stanzas                        <-->  stanzas

All components share one secret. It lets a component in, but it is no reason to trust what the
component sends: each stanza must come from the component's own domain, and must be safe to pass on
(see guard.py). Whatever breaks these rules, or the limits of size and time, ends the stream with a
stream error (RFC 6120 section 4.9), which says why.

It builds on Twisted Words, whose classes are those of ``wokkel.component`` without the reactor
that that module installs when it is imported.
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
from twisted.words.protocols.jabber.error import StreamError, exceptionFromStreamError
from twisted.words.xish import domish

from twisted_oob.xmpp.deadlines import Clock, Timer
from twisted_oob.xmpp.guard import forbid_markup, is_safe
from twisted_oob.xmpp.prompt import parse_promptly
from twisted_oob.xmpp.router import Router, domain_of, only_domain

NS_COMPONENT: Final = component.NS_COMPONENT_ACCEPT
STANZAS: Final = frozenset((NS_COMPONENT, name) for name in ("iq", "message", "presence"))
"""What a component may send once it is in."""

HANDSHAKE_TIMEOUT: Final = 30.0
"""Seconds from the connection to the handshake."""
CLOSE_TIMEOUT: Final = 2.0
"""Seconds that a component has to close the connection once we have closed the stream."""
MAX_STANZA_BYTES: Final = 1024 * 1024
MAX_HANDSHAKE_BYTES: Final = 8 * 1024
"""The most that anybody without the secret can make us keep."""
MAX_LOGGED: Final = 100
"""Characters of what a component says that go into a line of the log."""

# To the type checker, Twisted Words' classes are Any: they declare too little of what they hold.
_ListenAuthenticator: Any = component.ListenComponentAuthenticator
_XmlStream: Any = xmlstream.XmlStream
_XmlStreamServerFactory: Any = xmlstream.XmlStreamServerFactory

_log = Logger()


class _Authenticator(_ListenAuthenticator):  # type: ignore[misc]
    """Judges a component's stream header, then its handshake (XEP-0114 section 3)."""

    xmlstream: _ComponentStream

    def streamStarted(self, root: domish.Element) -> None:
        """Check the stream header before Twisted sees it.

        Twisted would raise an exception for a bad address, intern a good one for ever, and bind
        the prefixes of the header for everything that we send.
        """
        xs = self.xmlstream
        if (root.uri, root.name) != (xmlstream.NS_STREAMS, "stream") or (
            root.defaultUri != NS_COMPONENT
        ):
            xs.sendStreamError(StreamError("invalid-namespace", f"expected {NS_COMPONENT}"))
            return
        try:
            domain = only_domain(root.getAttribute("to"))
        except ValueError:
            xs.sendStreamError(StreamError("improper-addressing", "'to' must be a domain"))
            return
        xs.thisEntity = jid.JID(domain)
        # Without these, Twisted has nothing to intern, and only the prefix that it must have.
        del root["to"]
        root.localPrefixes = {"stream": xmlstream.NS_STREAMS}
        super().streamStarted(root)

    def onHandshake(self, handshake: str) -> None:
        """Admit the component if its handshake is right."""
        xs = self.xmlstream
        expected = xmlstream.hashPassword(xs.sid, self.secret)
        # Twisted compares with ==, whose time tells how many characters were right. As bytes,
        # because compare_digest raises TypeError for text that is not ASCII.
        if not hmac.compare_digest(handshake.encode(), expected.encode()):
            xs.sendStreamError(StreamError("not-authorized", "wrong handshake"))
            return
        try:
            xs.admit()
        except StreamError as error:
            xs.sendStreamError(error)


class _ComponentStream(_XmlStream):  # type: ignore[misc]
    """One connection of a component, from its first byte to its last.

    It is in one of three states: before the handshake (``domain`` is None), admitted (``domain``
    is set, and the router has a route), closing (``_closing`` is true, and nothing more is routed
    either way). ``_timer`` limits the first and the last of them.

    Attributes:
        domain: The domain that the component was admitted for, as long as it holds it.
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
        """Begin to wait for the handshake."""
        super().connectionMade()
        forbid_markup(self.stream.parser, self._got_markup)
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

    def _got_markup(self) -> None:
        self.sendStreamError(
            StreamError("restricted-xml", "no comments, processing instructions or document types")
        )

    def dataReceived(self, data: bytes) -> None:
        """Parse what comes, within the limits. A stream error answers what is not well-formed."""
        # Bytes since the last whole stanza. If a segment holds the end of one stanza and the start
        # of the next, that start is not counted; it is less than a segment.
        self._stanza_bytes += len(data)
        limit = MAX_HANDSHAKE_BYTES if self.domain is None else MAX_STANZA_BYTES
        try:
            self.stream.parse(data)
        except domish.ParserError:
            # After forbidden markup, this changes nothing any more.
            self.sendStreamError(StreamError("not-well-formed"))
        if self._stanza_bytes > limit:
            self.sendStreamError(StreamError("policy-violation", f"more than {limit} bytes"))

    def onElement(self, element: domish.Element) -> None:
        """Let through what this component may send (RFC 6120 sections 4.9.3 and 8.1)."""
        self._stanza_bytes = 0
        if self._closing:
            # The rest of a segment whose beginning ended the stream.
            return
        if (element.uri, element.name) == (xmlstream.NS_STREAMS, "error"):
            condition = str(exceptionFromStreamError(element).condition)
            self._leave(f"it reported {condition[:MAX_LOGGED]}")
            return
        if self.domain is not None:
            error = self._violation(element)
            if error is not None:
                self.sendStreamError(StreamError(*error))
                return
        super().onElement(element)

    def _violation(self, element: domish.Element) -> tuple[str, str] | None:
        """Return condition and text of the stream error for a stanza, or None if it may pass."""
        if (element.uri, element.name) not in STANZAS:
            return "unsupported-stanza-type", "expected iq, message or presence"
        # Or one component could speak for another (RFC 6120 section 8.1.2.1).
        if domain_of(element.getAttribute("from")) != self.domain:
            return "invalid-from", f"'from' must be an address at {self.domain}"
        if not element.getAttribute("to"):
            return "improper-addressing", "a stanza must have a 'to'"
        if not is_safe(element):
            return "bad-format", "a namespace holds markup, or elements are nested too deep"
        return None

    def onDocumentEnd(self) -> None:
        """Answer the end of the stream with our own (RFC 6120 section 4.4)."""
        self._leave("it closed its stream")

    def admit(self) -> None:
        """Give the component its route, and answer its handshake.

        Raises:
            StreamError: Another component holds its domain: ``conflict``.
        """
        domain = str(self.thisEntity.host)
        self.factory.router.addRoute(domain, self)
        self.domain = domain
        self._stop_timer()
        _log.info("component {who} connected", who=self.who)
        self.send(domish.Element((NS_COMPONENT, "handshake")))
        self.dispatch(self, xmlstream.STREAM_AUTHD_EVENT)

    def sendStreamError(self, error: StreamError) -> None:
        """End the stream with an error (RFC 6120 section 4.9) and close the connection."""
        # The first error is the cause, and nothing may follow the end of the stream.
        if self._closing:
            return
        condition, text = error.condition, error.text
        reason = f"{condition}: {text}" if text else condition
        outcome = "refused" if self.domain is None else "disconnected"
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
        """Close the stream because the component did."""
        if self._closing:
            return
        _log.info("component {who} left: {reason}", who=self.who, reason=reason)
        self._close()
        self.sendFooter()
        self.transport.loseConnection()

    def _close(self) -> None:
        """Route nothing more, either way, and limit the wait for the connection's end."""
        self._closing = True
        # At once, not when the connection is gone: the component may be back before.
        self._drop_route()
        self._stop_timer()
        # Closing the connection waits until the peer has read what we sent, which may be never.
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

    Args:
        router: Routes between the components.
        secret: The secret that all of them share.
        reactor: Runs the timers.

    Raises:
        ValueError: The secret is empty.
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
        """Make the stream of a new connection, or None to close it at once after a ``stop``."""
        return None if self._stopped else super().buildProtocol(addr)

    def stop(self) -> Deferred[None]:
        """Disconnect every component with ``system-shutdown`` (RFC 6120 section 4.9.3.20).

        Stop listening first.

        Returns:
            A Deferred that fires when the last connection is gone, after CLOSE_TIMEOUT seconds at
            the latest: whoever has not closed it by then is cut off.
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
        """Remove a connection that is gone, and tell whoever waits for the last one."""
        self.streams.discard(stream)
        if not self.streams:
            waiting, self._gone = self._gone, []
            for gone in waiting:
                gone.callback(None)

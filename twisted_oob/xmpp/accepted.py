"""AcceptedStream: one connection of an external component (XEP-0114), from its first byte on.

Theory of operation
===================

=========  ===========================  =====================================  ====================
state      how it is entered            what it takes                          what ends it
=========  ===========================  =====================================  ====================
opening    the connection is there      a stream header, then a handshake,     HANDSHAKE_TIMEOUT
                                        within MAX_HANDSHAKE_BYTES
waiting    the handshake is right, but  nothing                                the holder's end, or
           another one has the domain                                          its life
admitted   it has its domain, and       stanzas; what is wrong with one is     no output read, see
           ``<handshake/>``             answered                               ``output.py``
closing    the stream has ended, by     nothing; it has no domain any more     CLOSE_TIMEOUT
           either side
=========  ===========================  =====================================  ====================

**What ends a stream**, and says why (RFC 6120 section 4.9): what is not XML or no XML of XMPP, what
is too large, no stanza at all, and a ``from`` that is somebody else's, or absent. Anything else
that is wrong with a stanza is answered with an error, and costs no component its stream.

**A component that is gone without a word** keeps its domain until the system notices, which white
space every minute makes it do (see ``silence.py``), or until another one wants the domain and it
shows no life (see ``challenge.py``). Components in this process are never challenged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol
from xml.parsers.expat import ExpatError

from twisted.internet.protocol import connectionDone
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure
from twisted.words.protocols.jabber import component, xmlstream
from twisted.words.protocols.jabber.error import (
    StanzaError,
    StreamError,
    exceptionFromStreamError,
)
from twisted.words.xish import domish

from twisted_oob.xmpp.challenge import Challenge
from twisted_oob.xmpp.deadlines import Clock, Timer
from twisted_oob.xmpp.guard import forbid_markup, is_bounded
from twisted_oob.xmpp.output_bounds import OutputQueue
from twisted_oob.xmpp.prompt import parse_promptly
from twisted_oob.xmpp.router import Router, domain_of
from twisted_oob.xmpp.serial import to_xml
from twisted_oob.xmpp.silence import bound_silence
from twisted_oob.xmpp.stanza import Payload, iq_xml

NS_COMPONENT: Final = component.NS_COMPONENT_ACCEPT
STANZAS: Final = frozenset((NS_COMPONENT, name) for name in ("iq", "message", "presence"))
"""What a component may send once it is in."""

HANDSHAKE_TIMEOUT: Final = 30.0
"""Seconds from the connection to the handshake."""
CLOSE_TIMEOUT: Final = 2.0
"""Seconds that a component has to close the connection once we have closed the stream."""
SPACE_INTERVAL: Final = 60.0
"""Seconds between two bytes of white space to a component."""
SILENCE_TIMEOUT: Final = 60.0
"""Seconds that a component's system has to acknowledge them."""
MAX_STANZA_BYTES: Final = 1024 * 1024
MAX_HANDSHAKE_BYTES: Final = 8 * 1024
"""The most that anybody without the secret can make us keep."""
_MAX_LOGGED: Final = 100
"""Characters of what a component says that go into a line of the log."""

# To the type checker, Twisted Words' classes are Any: they declare too little of what they hold.
_XmlStream: Any = xmlstream.XmlStream

_log = Logger()


class Acceptor(Protocol):
    """What an AcceptedStream needs of the factory that made it."""

    router: Router
    reactor: Clock
    probes: Sequence[Payload]
    streams: set[AcceptedStream]

    def forget(self, stream: AcceptedStream) -> None:
        """Forget a connection that is gone."""


class AcceptedStream(_XmlStream):  # type: ignore[misc]
    """One connection of a component.

    Attributes:
        domain: The domain that the component was admitted for, as long as it holds it.
    """

    factory: Acceptor
    namespace = NS_COMPONENT
    domain: str | None = None
    _output: OutputQueue
    _waiting = False
    _closing = False
    _stanza_bytes = 0
    # Of the handshake, of the white space, of the end: one for each state that has any.
    _timer: Timer | None = None
    _challenge: Challenge[AcceptedStream]

    @property
    def who(self) -> str:
        """Name the component for the log: its domain, if it gave one, and its address."""
        peer: Any = self.transport.getPeer()
        place = f"{peer.host}:{peer.port}" if hasattr(peer, "host") else "a local socket"
        return place if self.thisEntity is None else f"{self.thisEntity.host} at {place}"

    def connectionMade(self) -> None:
        """Begin to wait for the handshake."""
        self._output = OutputQueue(
            self.transport,
            self.factory.reactor,
            on_progress=self._show_life,
            on_stuck=self._not_reading,
        )
        self._challenge = Challenge(self.factory.reactor, self._send_probes, self._stayed_silent)
        super().connectionMade()
        forbid_markup(self.stream.parser, self._got_markup)
        parse_promptly(self)
        self.factory.streams.add(self)
        self._start_timer(HANDSHAKE_TIMEOUT, self._handshake_late)

    def _start_timer(self, seconds: float, call: Any) -> None:
        self._stop_timer()
        self._timer = self.factory.reactor.callLater(seconds, call)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            if self._timer.active():
                self._timer.cancel()
            self._timer = None

    def _handshake_late(self) -> None:
        self.sendStreamError(
            StreamError("connection-timeout", f"no handshake in {HANDSHAKE_TIMEOUT:g} seconds")
        )

    def _got_markup(self) -> None:
        self.sendStreamError(
            StreamError("restricted-xml", "no comments, processing instructions or document types")
        )

    def _not_reading(self) -> None:
        self._end(
            StreamError("resource-constraint", "too much waits for you to read it"), drop=True
        )

    # What comes.

    def dataReceived(self, data: bytes) -> None:
        """Parse what comes, within the limits. A stream error answers what is not well-formed."""
        if self._closing:
            return
        # Bytes since the last whole stanza. If a segment holds the end of one stanza and the start
        # of the next, that start is not counted; it is less than a segment.
        self._stanza_bytes += len(data)
        limit = MAX_HANDSHAKE_BYTES if self.domain is None else MAX_STANZA_BYTES
        try:
            self.stream.parse(data)
        except domish.ParserError as error:
            # After forbidden markup, this changes nothing any more.
            if isinstance(error.__context__, ExpatError):
                self.sendStreamError(StreamError("not-well-formed"))
            else:
                # A limit of Twisted's own.
                self.sendStreamError(StreamError("policy-violation", "too many elements"))
        if self._stanza_bytes > limit:
            self.sendStreamError(StreamError("policy-violation", f"more than {limit} bytes"))
        self._show_life()

    def onElement(self, element: domish.Element) -> None:
        """Let through what this component may send (RFC 6120 sections 4.9.3 and 8.1)."""
        self._stanza_bytes = 0
        if self._closing:
            # The rest of a segment whose beginning ended the stream.
            return
        if (element.uri, element.name) == (xmlstream.NS_STREAMS, "error"):
            condition = str(exceptionFromStreamError(element).condition)
            self._leave(f"it reported {condition[:_MAX_LOGGED]}")
            return
        if self._waiting:
            self.sendStreamError(StreamError("not-authorized", "wait for the handshake's answer"))
            return
        if self.domain is None:
            super().onElement(element)
        elif not self._challenge.is_answer(element):
            self._take(element)

    def _take(self, element: domish.Element) -> None:
        sender = element.getAttribute("from")
        domain = domain_of(sender)
        answer = self.factory.router.answer
        if (element.uri, element.name) not in STANZAS:
            self.sendStreamError(
                StreamError("unsupported-stanza-type", "expected iq, message or presence")
            )
        # Or one component could speak for another (RFC 6120 section 8.1.2.1).
        elif sender is None or domain not in (None, self.domain):
            self.sendStreamError(
                StreamError("invalid-from", f"'from' must be an address at {self.domain}")
            )
        elif domain is None:
            element["from"] = self.domain
            answer(element, StanzaError("jid-malformed", text="'from' is not an address"))
        elif not element.hasAttribute("to"):
            element["to"] = self.domain
            answer(element, StanzaError("bad-request", text="a stanza must have a 'to'"))
        elif not is_bounded(element):
            text = "its elements are nested too deep, or have too long namespaces"
            answer(element, StanzaError("not-acceptable", text=text))
        else:
            super().onElement(element)

    def onDocumentEnd(self) -> None:
        """Answer the end of the stream with our own (RFC 6120 section 4.4)."""
        self._leave("it closed its stream")

    # What goes.

    def send(self, obj: domish.Element | str) -> None:
        """Send a stanza, or what belongs to the stream itself.

        Raises:
            StanzaError: There is no room for the stanza, as too much waits for the component to
                read it: ``resource-constraint``, with type ``wait``.
        """
        sender = ""
        if isinstance(obj, domish.Element):
            if obj.uri == xmlstream.NS_STREAMS:
                # With the prefix that the header declares, which some components insist on.
                scope = list(self.prefixes.values())
                obj = obj.toXml(self.prefixes, defaultUri=NS_COMPONENT, prefixesInScope=scope)
            else:
                sender = domain_of(obj.getAttribute("from")) or ""
                if not self._output.has_room(sender):
                    raise StanzaError("resource-constraint", type="wait")
                obj = to_xml(obj, NS_COMPONENT)
        self._output.write(obj.encode(), sender)

    def _send_space(self) -> None:
        # Between stanzas, white space means nothing. It only makes TCP send a segment.
        self._start_timer(SPACE_INTERVAL, self._send_space)
        self.send(" ")

    # Whose domain it is.

    def admit(self) -> None:
        """Give the component its domain and answer its handshake, at once or after a challenge.

        If a component in this process has the domain, the stream ends with ``conflict``.
        """
        domain = str(self.thisEntity.host)
        self._stop_timer()
        holder = self.factory.router.routes.get(domain)
        self._waiting = isinstance(holder, AcceptedStream)
        if isinstance(holder, AcceptedStream):
            holder.challenge(self)
            return
        try:
            self.factory.router.addRoute(domain, self)
        except StreamError as error:
            self.sendStreamError(error)
            return
        self.domain = domain
        _log.info("component {who} connected", who=self.who)
        bound_silence(self.transport, SILENCE_TIMEOUT)
        self._start_timer(SPACE_INTERVAL, self._send_space)
        self.send(domish.Element((NS_COMPONENT, "handshake")))
        self.dispatch(self, xmlstream.STREAM_AUTHD_EVENT)

    def challenge(self, newcomer: AcceptedStream) -> None:
        """Let a newcomer have the domain of this stream, unless this one shows life in time."""
        self._challenge.join(newcomer)

    def _send_probes(self, prefix: str) -> None:
        for number, probe in enumerate(self.factory.probes):
            self.send(iq_xml("get", f"{prefix}{number}", self.domain, self.domain, probe))

    def _stayed_silent(self) -> None:
        self.sendStreamError(StreamError("conflict", "a newer connection has your domain"))

    def _show_life(self) -> None:
        """Keep the domain, if somebody wants it."""
        for newcomer in self._challenge.end():
            newcomer.sendStreamError(StreamError("conflict", f"{self.domain} is connected already"))

    @property
    def is_over(self) -> bool:
        """Whether the stream has ended, though its connection may still be there."""
        return self._closing

    # How it ends.

    def sendStreamError(self, error: StreamError) -> None:
        """End the stream with an error (RFC 6120 section 4.9) and close the connection."""
        self._end(error)

    def _end(self, error: StreamError, *, drop: bool = False) -> None:
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
        self._close(drop=drop)
        super().sendStreamError(error)

    def _leave(self, reason: str) -> None:
        """Close the stream because the component did."""
        if self._closing:
            return
        _log.info("component {who} left: {reason}", who=self.who, reason=reason)
        self._close()
        self.sendFooter()
        self.transport.loseConnection()

    def _close(self, *, drop: bool = False) -> None:
        """Route nothing more, either way, and limit the wait for the connection's end."""
        self._closing = True
        # Closing the connection waits until the peer has read what we sent, which may be never.
        self._start_timer(CLOSE_TIMEOUT, self._abort)
        self._output.release(drop=drop)
        # At once, not when the connection is gone: the component may be back before.
        self._drop_route()

    def _abort(self) -> None:
        self.transport.abortConnection()

    def _drop_route(self) -> None:
        """Give up the domain, to the first who waits for it."""
        if self.domain is not None:
            self.factory.router.removeRoute(self.domain, self)
            self.domain = None
        newcomers = self._challenge.end()
        if newcomers:
            newcomers[0].admit()
        for newcomer in newcomers[1:]:
            newcomer.sendStreamError(StreamError("conflict", "another newcomer was first"))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Forget the connection."""
        if not self._closing:
            _log.info(
                "component {who} left: {reason}", who=self.who, reason=reason.getErrorMessage()
            )
            self._closing = True
        self._output.release(drop=True)
        self._drop_route()
        self._stop_timer()
        super().connectionLost(reason)
        self.factory.forget(self)

"""ComponentServerFactory: accepts external components (XEP-0114) and gives them routes.

A component connects by TCP and goes through this (XEP-0114 section 3)::

    component                            we
    stream header, to=its domain    -->
                                    <--  stream header, with an id
    SHA-1 of the id and the secret  -->
                                    <--  <handshake/>
    stanzas                        <-->  stanzas

All components share one secret. It lets a component in, but it is no reason to trust what the
component sends, nor that it reads what it is sent: see accepted.py, which has all of a stream but
its opening.

It builds on Twisted Words, whose classes are those of ``wokkel.component`` without the reactor
that that module installs when it is imported.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Any, ClassVar, Final

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress
from twisted.words.protocols.jabber import component, xmlstream
from twisted.words.protocols.jabber.error import StreamError
from twisted.words.xish import domish
from wokkel.disco import NS_DISCO_INFO
from wokkel.ping import NS_PING

from twisted_oob.xmpp.accepted import NS_COMPONENT, AcceptedStream
from twisted_oob.xmpp.deadlines import Clock
from twisted_oob.xmpp.jid import parse_jid
from twisted_oob.xmpp.router import Router, only_domain
from twisted_oob.xmpp.stanza import Payload

PROBES: Final = (Payload(NS_PING, "ping"), Payload(NS_DISCO_INFO, "query"))
"""What nearly every component answers (XEP-0199, XEP-0030), if only with an error."""

# To the type checker, Twisted Words' classes are Any: they declare too little of what they hold.
_ListenAuthenticator: Any = component.ListenComponentAuthenticator
_XmlStreamServerFactory: Any = xmlstream.XmlStreamServerFactory


class _Authenticator(_ListenAuthenticator):  # type: ignore[misc]
    """Judges a component's stream header, then its handshake (XEP-0114 section 3)."""

    xmlstream: AcceptedStream

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
        xs.thisEntity = parse_jid(domain)
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
        xs.admit()


class ComponentServerFactory(_XmlStreamServerFactory):  # type: ignore[misc]
    """Accepts external components (XEP-0114) and gives them their routes.

    Args:
        router: Routes between the components.
        secret: The secret that all of them share.
        reactor: Runs the timers.
        probes: The requests that a component is asked if another one wants its domain. One that
            lives must answer at least one of them.

    Raises:
        ValueError: The secret is empty.
    """

    protocol: ClassVar[type[AcceptedStream]] = AcceptedStream
    noisy = False  # as operators are told in words where we listen

    def __init__(
        self, router: Router, secret: str, reactor: Clock, *, probes: Sequence[Payload] = PROBES
    ) -> None:
        self.change_secret(secret)
        super().__init__(lambda: _Authenticator(self._secret))
        self.router = router
        self.reactor = reactor
        self.probes = probes
        self.streams: set[AcceptedStream] = set()
        self._gone: list[Deferred[None]] = []
        self._stopped = False

    def change_secret(self, secret: str) -> None:
        """Let components in by another secret from the next connection on; others stay.

        Raises:
            ValueError: The secret is empty.
        """
        if not secret:
            raise ValueError("the secret of the components must not be empty")
        self._secret = secret

    def startFactory(self) -> None:
        """Accept connections, also after a ``stop``."""
        self._stopped = False

    def buildProtocol(self, addr: IAddress) -> AcceptedStream | None:
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

    def forget(self, stream: AcceptedStream) -> None:
        """Remove a connection that is gone, and tell whoever waits for the last one."""
        self.streams.discard(stream)
        if not self.streams:
            waiting, self._gone = self._gone, []
            for gone in waiting:
                gone.callback(None)

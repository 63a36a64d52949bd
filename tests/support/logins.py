"""An XMPP server that takes note of what clients log in with, and leaves it at that."""

from __future__ import annotations

import re
from base64 import b64decode

from twisted.internet import ssl
from twisted.internet.defer import Deferred, DeferredQueue, maybeDeferred
from twisted.internet.protocol import Factory, Protocol

_HEADER = (
    "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'"
    " id='s1' version='1.0' from='{domain}'><stream:features>{features}</stream:features>"
)
_STARTTLS = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
_PROCEED = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
_PLAIN = (
    "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms>"
)


class _Connection(Protocol):
    """One client: its header, TLS, its header again, and its login."""

    def connectionMade(self):
        self.received = ""
        self.encrypted = self.factory.direct_tls
        self.factory.connections.append(self)
        self.factory.arrivals.put(self.transport.getHost().host)

    def connectionLost(self, reason=None):
        self.connected = 0

    def dataReceived(self, data):
        self.received += data.decode()
        if header := re.search(r"<stream:stream[^>]*\bto=['\"]([^'\"]+)[^>]*>", self.received):
            self.received = ""
            features = _PLAIN if self.encrypted else _STARTTLS
            self.transport.write(_HEADER.format(domain=header[1], features=features).encode())
        elif "<starttls" in self.received:
            self.received = ""
            self.encrypted = True
            self.transport.write(_PROCEED.encode())
            self.transport.startTLS(self.factory.tls)
        elif login := re.search(r"<auth[^>]*>([^<]+)</auth>", self.received):
            _, user, password = b64decode(login[1]).decode().split("\0")
            if not self.factory.login.called:
                self.factory.login.callback((user, password))


class LoginServer(Factory):
    """Listens on loopback.

    ``direct_tls``: whether TLS begins with the first byte. ``login``: fires with the user and
    password that a client gives, once it has verified the certificate.
    """

    protocol = _Connection
    noisy = False

    def __init__(self, reactor, certificate, *, interface="127.0.0.1", direct_tls=False):
        self.reactor = reactor
        self.direct_tls = direct_tls
        self.tls = ssl.DefaultOpenSSLContextFactory(str(certificate), str(certificate))
        self.connections = []
        self.arrivals = DeferredQueue()
        self.login = Deferred()
        if direct_tls:
            self._port = reactor.listenSSL(0, self, self.tls, interface=interface)
        else:
            self._port = reactor.listenTCP(0, self, interface=interface)
        self.port = self._port.getHost().port

    def next(self):
        """Wait for the next client; gives the address that it came to."""
        return self.arrivals.get()

    async def stop(self):
        await maybeDeferred(self._port.stopListening)
        for connection in self.connections:
            if connection.connected:
                connection.transport.abortConnection()

"""No secret in what we send in the clear to real servers, and none in what we log."""

from __future__ import annotations

import re
from base64 import b64decode
from hashlib import sha1

import pytest
import pytest_twisted
from twisted.internet.defer import maybeDeferred
from twisted.logger import formatEvent
from twisted.protocols.portforward import ProxyClient, ProxyClientFactory, ProxyFactory, ProxyServer
from twisted.words.protocols.jabber.xmlstream import STREAM_CONNECTED_EVENT

from tests.servers.accounts import USER, Ours, RefusedError
from tests.servers.servers import ACCOUNTS, SECRET

SASL = re.compile(rb"<(?:auth|challenge|response|success)\b[^>]*>([^<]+)<")
WRONG = "not the right password"


class Tap(ProxyServer):
    """One connection through the proxy."""

    class clientProtocolFactory(ProxyClientFactory):
        noisy = False

        class protocol(ProxyClient):
            def dataReceived(self, data):
                self.peer.factory.received += data
                super().dataReceived(data)

    def dataReceived(self, data):
        self.factory.sent += data
        super().dataReceived(data)


class Proxy(ProxyFactory):
    """Stands before a server, and keeps every byte both ways."""

    protocol = Tap
    noisy = False

    def __init__(self, reactor, port):
        super().__init__("127.0.0.1", port)
        self.sent = self.received = b""
        # ProxyFactory's own "port" is the server's.
        self._listening = reactor.listenTCP(0, self, interface="127.0.0.1")
        self.own_port = self._listening.getHost().port

    async def stop(self):
        await maybeDeferred(self._listening.stopListening)


class Capture:
    """A stream of ours to a server, whose bytes are kept twice.

    ``clear``: what a proxy on the way sees. ``inside``: what is sent and received within TLS.
    """

    def __init__(self, reactor, server, mode, password=None):
        port = server.client_port if mode == "client" else server.component_port
        self.inside = b""
        self._proxy = Proxy(reactor, port)
        self.ours = Ours(reactor, server, mode, port=self._proxy.own_port, password=password)
        self.ours.factory.addBootstrap(STREAM_CONNECTED_EVENT, self._look_inside)

    def _look_inside(self, xs):
        xs.rawDataInFn = xs.rawDataOutFn = self._keep

    def _keep(self, data):
        self.inside += data

    @property
    def clear(self):
        return self._proxy.sent + self._proxy.received

    async def stop(self):
        await self.ours.stop()
        await self._proxy.stop()


@pytest_twisted.async_yield_fixture
async def capture(server):
    from twisted.internet import reactor

    made = []

    def start(mode, **options):
        made.append(Capture(reactor, server, mode, **options))
        return made[0]

    yield start
    for each in made:
        await each.stop()


def everything_logged(events):
    return "\n".join(f"{formatEvent(event)} {event!r}" for event in events)


def payloads(data):
    """Give what SASL exchanged, as it was sent and as it reads."""
    for encoded in SASL.findall(data):
        yield encoded
        yield b64decode(encoded)


@pytest_twisted.ensureDeferred
async def test_a_client_says_nothing_of_its_account_outside_tls(capture, log):
    stream = capture("client")
    handler = stream.ours.sends()
    await stream.ours.start()
    assert await handler.send_url(stream.ours.jid, "https://files.example/a") == "reject"
    await stream.ours.stop()

    assert b"<starttls" in stream.clear
    assert b"<proceed" in stream.clear
    logged = everything_logged(log)
    exchanged = list(payloads(stream.inside))
    assert len(exchanged) >= 6
    for secret in (*exchanged, ACCOUNTS[USER].encode()):
        assert secret not in stream.clear
        assert secret.decode() not in logged
    assert f"{USER}@".encode() not in stream.clear
    assert b"files.example" not in stream.clear


@pytest_twisted.ensureDeferred
async def test_a_component_sends_a_hash_and_not_its_secret(capture, log):
    stream = capture("component")
    await stream.ours.start()
    await stream.ours.stop()

    session = re.search(rb"<stream:stream[^>]*\bid=['\"]([^'\"]+)", stream.clear)[1]
    digest = sha1(session + SECRET.encode()).hexdigest()
    assert f"<handshake>{digest}</handshake>".encode() in stream.clear
    assert SECRET.encode() not in stream.clear
    logged = everything_logged(log)
    assert SECRET not in logged
    assert digest not in logged


@pytest.mark.parametrize("mode", ["client", "component"])
@pytest_twisted.ensureDeferred
async def test_a_refused_secret_is_told_to_nobody(capture, mode, log):
    stream = capture(mode, password=WRONG)
    with pytest.raises(RefusedError) as caught:
        await stream.ours.start()
    [refusal] = caught.value.args
    await stream.ours.stop()

    assert refusal.permanent
    assert WRONG not in str(refusal)
    assert WRONG.encode() not in stream.clear
    logged = everything_logged(log)
    assert WRONG not in logged
    for secret in payloads(stream.inside):
        assert secret not in stream.clear
        assert secret.decode() not in logged

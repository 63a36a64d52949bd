"""An XMPP server for accounts, as small as can be, and a client's way through its negotiation."""

from __future__ import annotations

from base64 import b64decode, b64encode

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.python.failure import Failure
from twisted.words.protocols.jabber import xmlstream
from twisted.words.protocols.jabber.jid import JID
from twisted.words.xish.xmlstream import STREAM_CONNECTED_EVENT

from tests.support.scram_server import ScramServer, WrongProofError
from tests.support.waiting import in_time

DOMAIN = "home.example"
ME = JID(f"me@{DOMAIN}/desk")
PASSWORD = "hunter2"
NS_SASL = "urn:ietf:params:xml:ns:xmpp-sasl"
STARTTLS = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
BIND = "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>"
SCRAM = ("SCRAM-SHA-1", "SCRAM-SHA-256", "PLAIN")


class Server:
    """An XMPP server on loopback, as small as can be. What it heard is in ``clear`` and ``safe``.

    ``first``, ``inside``, ``bind``: its features outside TLS, those beside the mechanisms inside,
    and those after authentication. ``bound``: what it answers to the binding of a resource.
    ``versioned``: whether it is XMPP 1.0 inside TLS, too. ``direct``: whether TLS begins with the
    first byte. ``exporter``: whether it knows tls-exporter. ``chosen``: what a client said of the
    channel each time.
    """

    def __init__(self, reactor, tls):
        self._reactor = reactor
        self.tls = tls
        self.clear, self.safe = b"", b""
        self.first, self.inside, self.bind = STARTTLS, "", BIND
        self.mechanisms = SCRAM
        self.direct = False
        self.exporter = True
        self.chosen = []
        self.password = PASSWORD
        self.bound = f"<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>{ME.full()}</jid></bind>"
        self.bound_type = "result"
        self.proceed = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
        self.header_from = DOMAIN
        self.versioned = True
        self.connections = []

    async def start(self):
        factory = xmlstream.XmlStreamServerFactory(lambda: _Listener(self))
        factory.addBootstrap(STREAM_CONNECTED_EVENT, self.connections.append)
        endpoint = TCP4ServerEndpoint(self._reactor, 0, interface="127.0.0.1")
        self._port = await endpoint.listen(factory)
        self.port = self._port.getHost().port

    async def stop(self):
        await self._port.stopListening()
        for xs in self.connections:
            xs.transport.abortConnection()


class _Listener(xmlstream.ListenAuthenticator):
    def __init__(self, server):
        self.server = server
        self.features = server.first

    def connectionMade(self):
        xs = self.xmlstream
        xs.rawDataInFn = self.heard_clear
        for name in ("starttls", "auth", "response", "iq"):
            xs.addObserver(f"/{name}", getattr(self, name))
        if self.server.direct:
            self.begin_tls()

    def heard_clear(self, data):
        self.server.clear += data

    def heard_safe(self, data):
        self.server.safe += data

    def streamStarted(self, rootElement):
        super().streamStarted(rootElement)
        self.xmlstream.thisEntity = JID(self.server.header_from)
        if self.server.safe and not self.server.versioned:
            self.xmlstream.version = (0, 0)
        self.xmlstream.sendHeader()
        self.xmlstream.send(f"<stream:features>{self.features}</stream:features>")

    def starttls(self, _):
        xs = self.xmlstream
        xs.send(self.server.proceed)
        xs.reset()
        self.begin_tls()

    def begin_tls(self):
        xs = self.xmlstream
        xs.rawDataInFn = self.heard_safe
        xs.transport.startTLS(self.server.tls)
        offered = "".join(f"<mechanism>{name}</mechanism>" for name in self.server.mechanisms)
        self.features = f"<mechanisms xmlns='{NS_SASL}'>{offered}</mechanisms>{self.server.inside}"

    def auth(self, element):
        if element["mechanism"] == "PLAIN":
            return self.success("")
        connection = self.xmlstream.transport.getHandle()
        exported = connection.export_keying_material(b"EXPORTER-Channel-Binding", 32, b"")
        self.scram = ScramServer(
            element["mechanism"],
            self.server.password,
            bindings={"tls-exporter": exported} if self.server.exporter else {},
        )
        self.say("challenge", encoded(self.scram.first(decoded(element))))
        self.server.chosen.append(self.scram.flag)
        return None

    def response(self, element):
        try:
            final = self.scram.final(decoded(element))
        except WrongProofError:
            self.say("failure", "<not-authorized/>")
        else:
            self.success(encoded(final))

    def success(self, data):
        self.say("success", data)
        self.features = self.server.bind
        self.xmlstream.reset()

    def say(self, name, content):
        self.xmlstream.send(f"<{name} xmlns='{NS_SASL}'>{content}</{name}>")

    def iq(self, iq):
        content = self.server.bound if iq.firstChildElement().name == "bind" else ""
        kind = self.server.bound_type if content else "result"
        self.xmlstream.send(f"<iq type='{kind}' id='{iq['id']}'>{content}</iq>")


def decoded(element):
    return b64decode(str(element)).decode()


def encoded(text):
    return b64encode(text.encode()).decode()


async def log_in(server, factory, endpoint=None):
    """Connect, by default with TCP alone; gives the stream once it is ready, or else a Failure."""
    from twisted.internet import reactor

    ended = in_time(Deferred())

    def end(result):
        if not ended.called:
            ended.callback(result if isinstance(result, Failure) else [result])

    for event in (
        xmlstream.STREAM_AUTHD_EVENT,
        xmlstream.INIT_FAILED_EVENT,
        xmlstream.STREAM_ERROR_EVENT,
        xmlstream.STREAM_END_EVENT,
    ):
        factory.addBootstrap(event, end)
    if endpoint is None:
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", server.port)
    xs = await in_time(endpoint.connect(factory))
    try:
        return (await ended)[0]
    except Exception:
        return Failure()
    finally:
        xs.transport.abortConnection()

"""Real XML streams in memory: a manager on one end, the test on the other."""

from __future__ import annotations

from contextlib import contextmanager
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure
from twisted.words.protocols.jabber import client, component, xmlstream
from twisted.words.protocols.jabber.jid import JID

from twisted_oob import OOBHandler
from twisted_oob.xmpp.memory import ClientEnd, ComponentEnd

# Wokkel's own imports need what importing twisted_oob puts back.
from wokkel.client import XMPPClient  # isort: skip
from wokkel.component import Component, InternalComponent, Router  # isort: skip
from wokkel.generic import XmlPipe, parseXml  # isort: skip

ME = "me@home.example/desk"
COMPONENT = "files.home.example"
PEER = "peer@far.example/phone"
URL = "https://files.example/a.png"


def canonical(xml):
    """Give XML in a form where the same means equal: of attributes' order, prefixes, quotes."""
    if not isinstance(xml, str):
        xml = ElementTree.tostring(xml, encoding="unicode")
    return ElementTree.canonicalize(xml, rewrite_prefixes=True)


def stanza(name, children="", **attributes):
    """Write a stanza; ``from_`` is its from, and an attribute that is None is left out."""
    given = "".join(
        f" {key.rstrip('_')}={quoteattr(str(value))}"
        for key, value in attributes.items()
        if value is not None
    )
    return f"<{name}{given}>{children}</{name}>"


def query(url=URL, desc=None):
    """Write a ``<query/>``; the URL is XML already."""
    described = "" if desc is None else f"<desc>{desc}</desc>"
    return f"<query xmlns='jabber:iq:oob'><url>{url}</url>{described}</query>"


class Wire:
    """What all streams have in common: ``sent`` by the manager, ``receive``d by it."""

    me: str
    negotiates = True

    def offer(self, id_="o1", payload=None, **attributes):
        """Let the manager receive an offer, from PEER unless told otherwise."""
        attributes = {"type": "set", "id": id_, "from_": PEER, "to": self.me} | attributes
        self.receive(stanza("iq", query() if payload is None else payload, **attributes))

    def answer(self, request, children="", **attributes):
        """Let the manager receive an answer to what it sent; by default the right one."""
        attributes = {
            "type": "error" if children else "result",
            "id": request.get("id"),
            "from_": request.get("to"),
            "to": self.me,
        } | attributes
        self.receive(stanza("iq", children, **attributes))

    def sent_one(self):
        """Give the one stanza sent since the last look."""
        (element,) = self.sent()
        return element


class NoServer:
    """In the place of a server: what is written stays where it is, and all is done at once."""

    @staticmethod
    def accept(_end):
        return StringTransport()

    @staticmethod
    def call(step, *args):
        step(*args)


class SocketWire(Wire):
    """The manager's own factory and XmlStream protocol on a transport in memory."""

    def __init__(self, manager):
        super().__init__(NoServer, JID(self.me), manager)

    def connect(self):
        """Open the transport and the stream; nothing is negotiated yet."""
        super().connect()
        self.transport = self.xmlstream.transport

    def lose(self, reason=None):
        """Lose the connection, as when a cable is cut; its XmlStream can still be seen."""
        self.xmlstream.connectionLost(Failure(ConnectionLost()) if reason is None else reason)

    def sent(self):
        """Give the stanzas sent since the last look, read by another parser than ours."""
        xml = self.transport.value().decode()
        self.transport.clear()
        return list(ElementTree.fromstring(f"<all>{xml}</all>"))


class ClientWire(SocketWire, ClientEnd):
    """A client's stream; TLS, SASL and resource binding are taken as done."""

    me = ME

    def __init__(self, manager=None):
        super().__init__(manager or XMPPClient(JID(ME), "secret"))


class ComponentWire(SocketWire, ComponentEnd):
    """A component's stream (XEP-0114), negotiated as on the wire."""

    me = COMPONENT

    def __init__(self, manager=None):
        super().__init__(manager or Component("127.0.0.1", 0, COMPONENT, "secret"))


class InternalWire(Wire):
    """A component inside a router's own process; the test is all the rest of the network."""

    me = COMPONENT
    negotiates = False

    def __init__(self):
        router = Router()
        self.manager = InternalComponent(router, COMPONENT)
        self._stanzas = []
        self._network = XmlPipe()
        self._network.source.addObserver("/*", self._stanzas.append)
        router.addRoute(None, self._network.sink)

    @property
    def xmlstream(self):
        return self.manager.xmlstream

    def open(self):
        self.manager.startService()

    def lose(self):
        self.manager.stopService()

    def receive(self, xml):
        self._network.source.send(parseXml(xml.encode()))

    def sent(self):
        found = [ElementTree.fromstring(element.toXml()) for element in self._stanzas]
        self._stanzas.clear()
        return found


def words_client():
    """A client on Twisted Words alone."""
    factory = client.XMPPClientFactory(JID(ME), "secret")
    return ClientWire(xmlstream.StreamManager(factory))


def words_component():
    """A component on Twisted Words alone."""
    factory = component.componentFactory(COMPONENT, "secret")
    return ComponentWire(xmlstream.StreamManager(factory))


WIRES = {
    "wokkel client": ClientWire,
    "wokkel component": ComponentWire,
    "wokkel internal component": InternalWire,
    "words client": words_client,
    "words component": words_component,
}


class Direct(OOBHandler):
    """Takes stanzas at the parser, and writes its own to the transport."""

    def __init__(self, *callbacks, **options):
        super().__init__(*callbacks, direct=True, **options)


def connected(on_offer=None, on_message=None, *, wire=ClientWire, handler=OOBHandler, **options):
    """Give a handler with a clock of its own, and the open stream that it is on."""
    made = handler(on_offer, on_message, reactor=Clock(), **options)
    end = wire()
    made.setHandlerParent(end.manager)
    end.open()
    return made, end


def clock_of(handler):
    """Give the clock that a handler was made with."""
    return handler._deadlines._clock


def observers(xmlstream):
    """Count the observers of stanzas."""
    return sum(
        len(callbacks.callbacks)
        for queries in xmlstream._xpathObservers.values()
        for callbacks in queries.values()
    )


def outcome(deferred):
    """Give what a Deferred fired with: its result, or its exception. It must have fired."""
    results = []
    deferred.addBoth(results.append)
    assert results, "the Deferred has not fired"
    return results[0].value if isinstance(results[0], Failure) else results[0]


class Events(list):
    """What was logged."""

    def ours(self):
        """Give what our own loggers logged; what others did may end meanwhile."""
        return [event for event in self if event["log_namespace"].startswith("twisted_oob")]

    def failures(self):
        """Take the exceptions that were logged since the last look."""
        # Twisted Words logs in the old way, which has another key.
        failures = (event.get("log_failure") or event.get("failure") for event in self)
        found = [failure.value for failure in failures if failure is not None]
        self.clear()
        return found


@contextmanager
def logged():
    """Collect what is logged; an exception that the test did not take fails it."""
    events = Events()
    globalLogPublisher.addObserver(events.append)
    try:
        yield events
    finally:
        globalLogPublisher.removeObserver(events.append)
    assert events.failures() == []


class DeferringParser:
    """As that of a Python whose expat defers."""

    def __init__(self):
        self.deferral = []

    def SetReparseDeferralEnabled(self, enabled):
        self.deferral.append(enabled)

"""A server with upload services, in memory, and an UploadHandler whose time a test tells."""

from __future__ import annotations

from ipaddress import ip_network
from xml.sax.saxutils import escape, quoteattr

from twisted.internet.task import Clock

from tests.support.put_server import PutServer, Timed
from twisted_oob import UploadHandler
from twisted_oob.testing import MemoryServer

from wokkel.subprotocols import XMPPHandler  # isort: skip

DOMAIN = "home.example"
ME = "me@home.example/desk"
COMPONENT = "files.home.example"
UPLOAD = "upload.home.example"
NS = "urn:xmpp:http:upload:0"
LOOPBACK = (ip_network("127.0.0.0/8"),)
INFO = "http://jabber.org/protocol/disco#info"
ITEMS = "http://jabber.org/protocol/disco#items"


def form(limit, namespace=NS, kind="FORM_TYPE"):
    """A form of disco#info that tells a limit."""
    return (
        f"<x xmlns='jabber:x:data' type='result'>"
        f"<field var='{kind}' type='hidden'><value>{namespace}</value></field>"
        f"<field var='max-file-size'><value>{escape(str(limit))}</value></field></x>"
    )


def info(*forms, features=(NS,)):
    """A disco#info of an upload service."""
    given = "".join(f"<feature var='{feature}'/>" for feature in features)
    identity = "<identity category='store' type='file'/>"
    return f"<query xmlns='{INFO}'>{identity}{given}{''.join(forms)}</query>"


def items(*jids):
    """A disco#items."""
    given = "".join(f"<item jid={quoteattr(jid)}/>" for jid in jids)
    return f"<query xmlns='{ITEMS}'>{given}</query>"


def slot(put, get, *headers):
    """A slot."""
    given = "".join(
        f"<header name={quoteattr(name)}>{escape(value)}</header>" for name, value in headers
    )
    urls = f"<get url={quoteattr(get)}/><put url={quoteattr(put)}>{given}</put>"
    return f"<slot xmlns='{NS}'>{urls}</slot>"


def refusal(condition, kind="cancel", more="", text=""):
    """An error; ``more`` is what the service adds to it."""
    stanzas = "xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'"
    said = f"<text {stanzas}>{escape(text)}</text>" if text else ""
    return f"<error type='{kind}'>{more}<{condition} {stanzas}/>{said}</error>"


SILENCE = ""
"""In the place of an answer."""


class Scripted(XMPPHandler):
    """Answers each request with what a script says for its payload.

    ``script``: by the payload's name, and for disco by its namespace, the child of the answer, or a
    list of which each request takes one. What is missing gets service-unavailable.
    """

    def __init__(self, script):
        super().__init__()
        self.script = script
        self.asked = []

    def connectionInitialized(self):
        self.xmlstream.addObserver("/iq[@type='get' or @type='set']", self._ask)

    def _ask(self, iq):
        [payload] = iq.elements()
        self.asked.append(payload)
        name = payload.uri if payload.name == "query" else payload.name
        said = self.script.get(name, refusal("service-unavailable"))
        if isinstance(said, list):
            said = said.pop(0)
        if callable(said):
            said = said(payload)
        if said == SILENCE:
            return
        kind = "error" if said.startswith("<error") else "result"
        address = f"id='{iq['id']}' to='{iq['from']}' from='{iq['to']}'"
        self.xmlstream.send(f"<iq type='{kind}' {address}>{said}</iq>")

    def requests(self):
        """The requests for a slot."""
        return [payload for payload in self.asked if payload.name == "request"]


class Setting:
    """An UploadHandler on a stream to ``DOMAIN``, which has the service ``UPLOAD``.

    ``web`` is the service's HTTP server, ``slots`` its XMPP half.
    """

    def __init__(self, reactor, *, component=False, connected=True, **options):
        self.clock = Clock()
        self.net = Timed(reactor, self.clock)
        self.web = PutServer(self.net)
        self.server = MemoryServer(self.clock)
        options = {"allow_networks": LOOPBACK, "allow_http": True} | options
        self.handler = UploadHandler(self.net, **options)
        self.end = self.server.component(COMPONENT) if component else self.server.client(ME)
        if not connected:
            self.end.lose()
        self.handler.setHandlerParent(self.end)
        self.domain = self.entity(DOMAIN, {ITEMS: items(UPLOAD), INFO: info(features=())})
        self.slots = self.entity(UPLOAD, {INFO: info(), "request": self.slot})

    def entity(self, jid, script):
        """Connect somebody who answers by a script."""
        scripted = Scripted(script)
        scripted.setHandlerParent(self.server.component(jid))
        return scripted

    def slot(self, _request=None, *headers, path="/slot/a.bin?sig=secret"):
        url = self.web.url(path)
        return slot(url, url.partition("?")[0], *headers)

    @property
    def url(self):
        return self.web.url("/slot/a.bin")

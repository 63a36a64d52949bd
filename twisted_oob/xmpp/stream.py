"""BoundStream: who we are on an XML stream, and how stanzas go out on it."""

from __future__ import annotations

from inspect import getclosurevars
from typing import TYPE_CHECKING, Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.interfaces import ISSLTransport
from twisted.words.protocols.jabber.xmlstream import XmlStream

from twisted_oob.xmpp.guard import parse_promptly
from twisted_oob.xmpp.jid import parse_jid
from twisted_oob.xmpp.stanza import element_from_xml, iq_xml

if TYPE_CHECKING:
    from twisted.words.protocols.jabber.jid import JID
    from twisted.words.xish import domish


class BoundStream:
    """An initialized XML stream, and who we are on it.

    ``xmlstream``: what a handler is given by its ``manager``.
    ``me``: what was bound for a client, the domain of a component; None where nothing tells.
    """

    def __init__(self, xmlstream: Any, manager: Any) -> None:
        self.xmlstream = xmlstream
        # Wokkel's InternalComponent has several domains and no stream that would name one.
        domains = getattr(manager, "domains", None)
        authenticator = getattr(xmlstream, "authenticator", None)
        jid = getattr(authenticator, "jid", None) or getattr(xmlstream, "thisEntity", None)
        self.me: JID | None = parse_jid(min(domains)) if domains else jid
        # A component's stanzas need a "from", as no server adds it (XEP-0114).
        self._from = self.me.full() if self.me is not None and self.me.user is None else None
        self._writes = _sends_plainly(xmlstream)
        self._replaced = getattr(xmlstream, "__dict__", {}).get("send")
        self._wrote = False
        self._receive: Any = None
        parse_promptly(xmlstream)

    def send_promptly(self) -> None:
        """From now on, what is sent while bytes are taken in goes out once all of them are.

        Otherwise it would at the reactor's next turn, after whatever else is ready by then. So it
        does over TLS, which has a buffer of its own, and where somebody else takes the bytes.
        """
        xmlstream = self.xmlstream
        transport = xmlstream.transport
        # What wraps a transport would not know what becomes of it below.
        if (
            "dataReceived" not in xmlstream.__dict__
            and isinstance(transport, FileDescriptor)
            and not ISSLTransport.providedBy(transport)
        ):
            self._receive = xmlstream.dataReceived
            xmlstream.dataReceived = self._take_in

    def release(self) -> None:
        """Leave the XML stream as it was found."""
        if self._receive is not None and self.xmlstream.dataReceived == self._take_in:
            del self.xmlstream.dataReceived

    def _take_in(self, data: bytes) -> None:
        self._wrote = False
        self._receive(data)
        if self._wrote:
            transport = self.xmlstream.transport
            if transport.connected and not transport.disconnecting and transport.doWrite():
                # The reactor is to hear it. It asks again, before it reads: the system tells of a
                # reset only once, and then of an orderly end.
                transport.stopReading()
                transport.startWriting()

    def send(self, stanza: domish.Element) -> None:
        """Send a stanza."""
        if self._from is not None and not stanza.hasAttribute("from"):
            stanza["from"] = self._from
        self._wrote = True
        self.xmlstream.send(stanza)

    def send_iq(
        self, kind: str, id_: str | None, to: str | None, from_: str | None, payload: str = ""
    ) -> None:
        """Send an IQ, without making an element of it where nobody needs one.

        ``kind``: its type. ``from_``: None for the stream's. ``payload``: XML.
        """
        xml = iq_xml(kind, id_, to, from_ or self._from, payload)
        self._wrote = True
        xmlstream = self.xmlstream
        # Somebody may have put a "send" of their own on the stream since it was bound.
        if not self._writes or xmlstream.__dict__.get("send") is not self._replaced:
            xmlstream.send(element_from_xml(xml))
            return
        data = xml.encode()
        if xmlstream.rawDataOutFn:
            xmlstream.rawDataOutFn(data)
        xmlstream.transport.write(data)


def _sends_plainly(xmlstream: Any) -> bool:
    """Whether ``xmlstream.send`` only serialises, shows it to the traffic log, and writes.

    That is Twisted's own, also inside the one that Wokkel's Component puts around it, which adds
    a "from". Any other, such as one that counts stanzas, must see every one.
    """
    send: Any = getattr(xmlstream, "send", None)
    if getattr(send, "__module__", None) == "wokkel.component":
        send = getclosurevars(send).nonlocals.get("old_send")
    return (
        isinstance(xmlstream, XmlStream)
        and getattr(send, "__func__", None) is XmlStream.send
        and getattr(send, "__self__", None) is xmlstream
    )

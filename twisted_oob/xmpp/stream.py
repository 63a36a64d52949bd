"""BoundStream: an XML stream on which stanzas may flow, who we are on it, and the way out.

Theory of operation
===================

What comes in: the XmlStream that a stream manager hands to its handlers once it is initialized
(RFC 6120 section 4.3.5), and the manager. What goes out: our stanzas, on one of two ways.

=========  =====================================  =================================================
way        taken if                               what happens
=========  =====================================  =================================================
ordinary   always, unless the next row applies    ``xmlstream.send`` gets a domish Element: whoever
                                                  wrapped ``send`` (Wokkel's Component does, to add
                                                  a "from") sees it, and may change or hold it
direct     the application said ``direct``, and   an IQ is written as text to the transport, after
           the stream has Twisted's own           the traffic log (``rawDataOutFn``) has seen it;
           ``send``, a transport and a place for  errors and messages take the ordinary way, too
           the traffic log
=========  =====================================  =================================================

The direct way saves the element and its serialisation, about half of what sending costs. It is
judged for each IQ: if an attribute that it needs is missing, that IQ goes the ordinary way. Either
an IQ is written whole, or the exception of whoever failed reaches the caller.

Nothing is borrowed from the XmlStream that would have to be given back. A BoundStream keeps a
reference, which its owner lets go of when the stream is lost, and lets the parser give each stanza
at once (``prompt.parse_promptly``), which stays so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.words.protocols.jabber.xmlstream import XmlStream

from twisted_oob.xmpp.jid import parse_jid
from twisted_oob.xmpp.prompt import parse_promptly
from twisted_oob.xmpp.stanza import iq_element, iq_xml

if TYPE_CHECKING:
    from twisted.words.protocols.jabber.jid import JID
    from twisted.words.xish import domish

    from twisted_oob.xmpp.stanza import Payload


class BoundStream:
    """An initialized XML stream, and who we are on it.

    Args:
        xmlstream: What a handler was given by its manager.
        manager: That stream manager.
        direct: Whether nobody else on the stream needs to see what we send.

    Attributes:
        me: The full JID that was bound for a client, or the domain of a component. None if nothing
            tells.
    """

    def __init__(self, xmlstream: Any, manager: Any, *, direct: bool = False) -> None:
        self.xmlstream = xmlstream
        authenticator = getattr(xmlstream, "authenticator", None)
        jid = getattr(authenticator, "jid", None) or getattr(xmlstream, "thisEntity", None)
        # Wokkel's InternalComponent has several domains and no stream that would name one.
        domains = getattr(manager, "domains", None)
        self.me: JID | None = parse_jid(min(domains)) if jid is None and domains else jid
        # No server adds a "from" to a component's stanzas (XEP-0114).
        self._from = self.me.full() if self.me is not None and self.me.user is None else None
        # A subclass with a send() of its own may frame what it sends. The end of an XmlPipe, which
        # is not an XmlStream, takes only elements.
        self._direct = (
            direct and isinstance(xmlstream, XmlStream) and type(xmlstream).send is XmlStream.send
        )
        parse_promptly(xmlstream)

    def send(self, stanza: domish.Element) -> None:
        """Send a stanza."""
        given = stanza.getAttribute("from")
        if given is None:
            if self._from is not None:
                stanza["from"] = self._from
        elif self._was_ours(given):
            # It waited for this stream. A server closes a stream for such an address (RFC 6120
            # section 4.9.3.9), and adds the right one itself (section 8.1.2.1).
            del stanza["from"]
        self.xmlstream.send(stanza)

    def send_iq(
        self,
        kind: str,
        id_: str | None,
        to: str | None,
        from_: str | None,
        payload: Payload | None = None,
    ) -> None:
        """Send an IQ.

        Args:
            kind: Its type.
            id_: Its id.
            to: Whom it goes to; None for our own server.
            from_: Whom it comes from; None for the stream's own address.
            payload: Its child; None if it has no child.
        """
        from_ = from_ or self._from
        if self._direct:
            xmlstream = self.xmlstream
            try:
                log, write = xmlstream.rawDataOutFn, xmlstream.transport.write
            except AttributeError:
                pass  # not the XmlStream that we know: it has its own way to send
            else:
                data = iq_xml(kind, id_, to, from_, payload).encode()
                if log:
                    log(data)
                write(data)
                return
        self.xmlstream.send(iq_element(kind, id_, to, from_, payload))

    def _was_ours(self, address: str) -> bool:
        """Whether our account had this address on another stream, with another resource."""
        me = self.me
        if me is None or me.user is None or address in (me.full(), me.userhost()):
            return False
        try:
            jid = parse_jid(address)
        except ValueError:
            return False
        return bool(jid.userhost() == me.userhost() and jid.resource != me.resource)

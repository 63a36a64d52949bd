"""respond.py and send.py on a stream that ten other protocols observe, too.

See contenders.py for the arguments.
"""

from __future__ import annotations

import sys

from respond import on_offer
from send import Sender
from twisted.internet import reactor
from twisted.words.xish.domish import Element
from wokkel.component import Component
from wokkel.subprotocols import XMPPHandler

from twisted_oob import OOBHandler

QUERIES = (
    "/iq[@type='get']/query[@xmlns='jabber:iq:version']",
    "/iq[@type='get']/query[@xmlns='jabber:iq:last']",
    "/iq[@type='get']/ping[@xmlns='urn:xmpp:ping']",
    "/iq[@type='get']/time[@xmlns='urn:xmpp:time']",
    "/iq[@type='get']/vCard[@xmlns='vcard-temp']",
    "/iq[@type='set']/query[@xmlns='jabber:iq:register']",
    "/iq[@type='set']/query[@xmlns='jabber:iq:roster']",
    "/iq[@type='set']/command[@xmlns='http://jabber.org/protocol/commands']",
    "/message/event[@xmlns='http://jabber.org/protocol/pubsub#event']",
    "/presence/x[@xmlns='http://jabber.org/protocol/muc#user']",
)


class Others(XMPPHandler):
    """Observes what never comes."""

    def connectionInitialized(self) -> None:
        """Observe."""
        for query in QUERIES:
            self.xmlstream.addObserver(query, self.on_stanza)

    def on_stanza(self, stanza: Element) -> None:
        """Fail."""
        raise ValueError(f"not expected: {stanza.toXml()}")


def main() -> None:
    """Take a role until it is ended from outside."""
    role, host, port, domain, secret, *rest = sys.argv[1:]
    component = Component(host, int(port), domain, secret)
    Others().setHandlerParent(component)
    if role == "answer":
        OOBHandler(on_offer, direct=True).setHandlerParent(component)
    else:
        count, window, to, url = rest
        Sender(int(count), int(window), to, url).setHandlerParent(component)
    component.startService()
    reactor.run()


if __name__ == "__main__":
    main()

"""The floor: a Twisted protocol on bare expat, which knows nothing but these stanzas.

It has no tree, no dispatch and no checks, and writes once for what it read at once. See
contenders.py for the arguments.
"""

from __future__ import annotations

import hashlib
import sys
from xml.parsers import expat

from asking import DESC, Window
from twisted.internet import reactor
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol
from twisted.internet.protocol import Protocol

HEADER = (
    "<stream:stream xmlns='jabber:component:accept' "
    "xmlns:stream='http://etherx.jabber.org/streams' to='{}'>"
)
STREAM, STANZA, FIELD = 0, 1, 3  # depths


class Responder(Protocol):
    """Answers each offer at once. ``out`` is what it will write."""

    def __init__(self, domain: str, secret: str) -> None:
        self.secret = secret
        self.out = [HEADER.format(domain)]
        self.depth, self.text = 0, ""
        self.stanza: dict[str, str] = {}
        self.fields: dict[str, str] = {}
        self.parser = expat.ParserCreate("UTF-8", " ")
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self.on_start
        self.parser.EndElementHandler = self.on_end
        self.parser.CharacterDataHandler = self.on_text

    def connectionMade(self) -> None:
        """Open the stream."""
        self.dataReceived(b"")

    def dataReceived(self, data: bytes) -> None:
        """Read, then write all that came of it."""
        self.parser.Parse(data)
        if self.out:
            self.transport.write("".join(self.out).encode())
            self.out.clear()

    def on_start(self, name: str, attributes: dict[str, str]) -> None:
        """Go into an element."""
        if self.depth == STANZA:
            self.stanza = attributes
        elif self.depth == FIELD:
            self.text = ""
        elif self.depth == STREAM:
            digest = hashlib.sha1((attributes["id"] + self.secret).encode())  # noqa: S324  (XEP-0114)
            self.out.append(f"<handshake>{digest.hexdigest()}</handshake>")
        self.depth += 1

    def on_text(self, text: str) -> None:
        """Keep text."""
        self.text += text

    def on_end(self, name: str) -> None:
        """Leave an element."""
        self.depth -= 1
        if self.depth == FIELD:
            self.fields[name] = self.text
        elif self.depth == STANZA:
            if name == "jabber:component:accept iq":
                self.on_iq(self.stanza)
            else:
                self.on_handshake()

    def on_handshake(self) -> None:
        """Begin: the server let us in."""

    def on_iq(self, iq: dict[str, str]) -> None:
        """Answer an offer."""
        fields, self.fields = self.fields, {}
        if not (fields["jabber:iq:oob url"] and fields["jabber:iq:oob desc"]):
            raise ValueError(iq)
        self.out.append(f"<iq type='result' id='{iq['id']}' to='{iq['from']}' from='{iq['to']}'/>")


class Asker(Responder):
    """Keeps a window of requests unanswered."""

    def __init__(self, domain: str, secret: str, *request: str) -> None:
        super().__init__(domain, secret)
        count, window, to, url = request
        self.request = (
            f"<iq type='set' to='{to}' from='{domain}' id='{{}}'><query xmlns='jabber:iq:oob'>"
            f"<url>{url}</url><desc>{DESC}</desc></query></iq>"
        )
        self.pending: set[str] = set()
        self.window = Window(int(count), int(window), self.ask)

    def on_handshake(self) -> None:
        """Begin."""
        self.window.begin()

    def ask(self) -> None:
        """Send one."""
        id_ = f"r{self.window.left}"
        self.pending.add(id_)
        self.out.append(self.request.format(id_))

    def on_iq(self, iq: dict[str, str]) -> None:
        """Count an answer."""
        self.pending.remove(iq["id"])
        self.window.end(iq, iq["type"] == "result")


if __name__ == "__main__":
    role, host, port, *more = sys.argv[1:]
    peer = Responder(*more) if role == "answer" else Asker(*more)
    connectProtocol(HostnameEndpoint(reactor, host, int(port)), peer)
    reactor.run()

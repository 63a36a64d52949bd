"""The floor: a Twisted protocol on bare expat, which knows nothing but these stanzas.

It has no tree, no dispatch, no checks; it writes once for what it read at once. See contenders.py
for the arguments.
"""

from __future__ import annotations

import hashlib
import sys
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

from asking import DESC, Window
from twisted.internet import reactor
from twisted.internet.protocol import ClientFactory, Protocol

HEADER = (
    "<stream:stream xmlns='jabber:component:accept' "
    "xmlns:stream='http://etherx.jabber.org/streams' to='{}'>"
)
URL, DESCRIPTION = "jabber:iq:oob url", "jabber:iq:oob desc"
AT_STREAM, AT_STANZA, AT_FIELD = 0, 1, 3


class Reader:
    """Reads a component's stream, and gathers in ``out`` what is to be written."""

    def __init__(self, domain: str, secret: str) -> None:
        self.domain, self.secret = domain, secret
        self.out: list[str] = []
        self.depth = 0
        self.stanza: dict[str, str] = {}
        self.fields: dict[str, str] = {}
        self.text: list[str] = []
        parser = expat.ParserCreate("UTF-8", " ")
        parser.buffer_text = True
        parser.StartElementHandler = self.start
        parser.EndElementHandler = self.end
        parser.CharacterDataHandler = self.text_came
        self.parse = parser.Parse

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """Take a start tag."""
        if self.depth == AT_STANZA:
            self.stanza = attributes
        elif self.depth == AT_FIELD:
            self.text = []
        elif self.depth == AT_STREAM:
            digest = hashlib.sha1((attributes["id"] + self.secret).encode())  # noqa: S324  (XEP-0114)
            self.out.append(f"<handshake>{digest.hexdigest()}</handshake>")
        self.depth += 1

    def text_came(self, text: str) -> None:
        """Take text."""
        self.text.append(text)

    def end(self, name: str) -> None:
        """Take an end tag."""
        self.depth -= 1
        if self.depth == AT_FIELD:
            self.fields[name] = "".join(self.text)
        elif self.depth == AT_STANZA:
            if name == "jabber:component:accept iq":
                self.on_iq(self.stanza)
            else:
                self.on_handshake()

    def on_handshake(self) -> None:
        """Take the server's word that it let us in."""

    def on_iq(self, iq: dict[str, str]) -> None:
        """Take an IQ."""
        raise NotImplementedError


class Responder(Reader):
    """Answers every offer at once."""

    def on_iq(self, iq: dict[str, str]) -> None:
        """Read what is offered, and answer."""
        if not (iq["type"] == "set" and self.fields[URL] and self.fields[DESCRIPTION]):
            raise ValueError(iq)
        self.fields = {}
        id_, to, sender = quoteattr(iq["id"]), quoteattr(iq["from"]), quoteattr(iq["to"])
        self.out.append(f"<iq type='result' id={id_} to={to} from={sender}/>")


class Asker(Reader):
    """Keeps a window of requests unanswered."""

    def __init__(
        self, domain: str, secret: str, *, count: int, window: int, to: str, url: str
    ) -> None:
        super().__init__(domain, secret)
        self.url = url
        self.head = f"<iq type='set' to={quoteattr(to)} from={quoteattr(domain)} id="
        self.pending: set[str] = set()
        self.asking = Window(count, window, self.ask)

    def on_handshake(self) -> None:
        """Begin."""
        self.asking.begin()

    def ask(self) -> None:
        """Send one."""
        id_ = f"r{self.asking.sent}"
        self.pending.add(id_)
        self.out.append(
            f"{self.head}'{id_}'><query xmlns='jabber:iq:oob'><url>{escape(self.url)}</url>"
            f"<desc>{escape(DESC)}</desc></query></iq>"
        )

    def on_iq(self, iq: dict[str, str]) -> None:
        """Take an answer."""
        self.pending.remove(iq["id"])
        if iq["type"] == "result":
            self.asking.succeed()
        else:
            self.asking.fail(iq)


class Stream(Protocol):
    """The connection of a reader."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader

    def connectionMade(self) -> None:
        """Open the stream."""
        self.transport.write(HEADER.format(self.reader.domain).encode())

    def dataReceived(self, data: bytes) -> None:
        """Read, then write all that came of it."""
        self.reader.parse(data)
        out = self.reader.out
        if out:
            self.transport.write("".join(out).encode())
            out.clear()


class Connector(ClientFactory):
    """Makes the one connection."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader

    def buildProtocol(self, address: object) -> Stream:
        """Give the connection its reader."""
        return Stream(self.reader)


def main() -> None:
    """Take a role until it is ended from outside."""
    role, host, port, domain, secret, *rest = sys.argv[1:]
    reader: Reader
    if role == "answer":
        reader = Responder(domain, secret)
    else:
        count, window, to, url = rest
        reader = Asker(domain, secret, count=int(count), window=int(window), to=to, url=url)
    reactor.connectTCP(host, int(port), Connector(reader))
    reactor.run()


if __name__ == "__main__":
    main()

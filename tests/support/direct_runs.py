"""Runs of bytes through a stream, with its handler direct or not, and all that came of them."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from twisted.internet.defer import succeed
from twisted.internet.task import Clock
from twisted.words.protocols.jabber import xmlstream
from twisted.words.xish.domish import Element

from tests.support.streams import ME, PEER, URL, ClientWire, ComponentWire, Direct, query, stanza
from twisted_oob import NotFound, OOBHandler

SOCKETS = {"client": ClientWire, "component": ComponentWire}
both_sockets = pytest.mark.parametrize("wire", SOCKETS.values(), ids=SOCKETS)

OTHER = "other@far.example/phone"
# What a script calls the ids of requests; the real ones are put in for each run, as long as these.
IDS = {f"IDENTIFIER-OF-REQUEST-{number:02}": number for number in range(3)}
FIRST, SECOND, OWN = IDS
ADDRESSES = {FIRST: PEER, SECOND: OTHER, OWN: ME.partition("/")[0]}
_MADE_ID = re.compile(r"\b[0-9a-f]{24}\b")

HANDLERS = (
    "StartElementHandler",
    "EndElementHandler",
    "CharacterDataHandler",
    "StartNamespaceDeclHandler",
    "EndNamespaceDeclHandler",
)


def offer(url=URL, children=None, **attributes):
    given = {"type": "set", "id": "o1", "from_": PEER, "to": "ME"} | attributes
    return stanza("iq", query(url) if children is None else children, **given)


def result(request=FIRST, children="", **attributes):
    given = {"type": "result", "id": request, "from_": ADDRESSES[request], "to": "ME"}
    return stanza("iq", children, **(given | attributes))


def tree(element):
    """All that there is to an element, for comparing."""
    return (
        element.uri,
        element.name,
        element.defaultUri,
        dict(element.localPrefixes),
        dict(element.attributes),
        [
            (child.parent is element, tree(child)) if isinstance(child, Element) else child
            for child in element.children
        ],
    )


def whole(element):
    return element.toXml(), tree(element), element.handled is True


def hooks(stream):
    """What a stream's parser calls, and what that calls with each element."""
    return [getattr(stream.parser, name) for name in HANDLERS] + [stream.ElementEvent]


class Run:
    """One handler on one stream, and all that can be seen of what it does with some bytes.

    ``seen``: the elements that no handler had taken when they came to the last of the observers.
    """

    def __init__(self, handler=Direct, wire=ClientWire, *, late=False):
        self.calls = []
        self.answers = []
        self.seen = []
        self.taken = []
        self.errors = []
        self.raised = []
        self.open_offers = []
        self.handler = handler(self.on_offer, self.on_message, reactor=Clock())
        self.end = wire()
        if not late:
            self.handler.setHandlerParent(self.end.manager)
        self.end.open()
        self.xmlstream = self.end.xmlstream
        self.stream = self.xmlstream.stream
        self.xmlstream.addObserver("/*", self.observe, -10)
        self.xmlstream.addObserver(xmlstream.STREAM_ERROR_EVENT, self.on_error)
        self.requests = []
        for name, address in ADDRESSES.items():
            request = self.handler.send_url(address, URL, name)
            request.addBoth(self.on_answer, name)
            self.requests.append(request)
        if late:
            self.ids = dict.fromkeys(IDS, "0" * 24)
        else:
            sent = self.end.transport.value().decode()
            self.ids = dict(zip(IDS, re.findall(r"id='(\w+)'", sent), strict=True))

    def observe(self, element):
        (self.taken if element.handled is True else self.seen).append(whole(element))

    def on_error(self, failure):
        self.errors.append(failure.type)

    def on_answer(self, answer, name):
        self.answers.append((name, getattr(answer, "type", answer)))

    def on_message(self, message):
        self.calls.append((message.url, message.desc, message.sender, whole(message.element)))

    def on_offer(self, offer):
        """Do what the URL's last segment says."""
        self.calls.append(
            (
                offer.url,
                offer.desc,
                offer.sid,
                offer.sender,
                offer.recipient,
                whole(offer.element),
                offer.info,
            )
        )
        deed = getattr(self, f"do_{offer.url.rpartition('/')[2]}", None)
        return succeed(None) if deed is None else deed(offer)

    def do_raise(self, _offer):
        raise NotFound

    def do_later(self, offer):
        self.open_offers.append(offer)

    def do_by_hand(self, offer):
        offer.reply_failure("reject")

    def do_send(self, _offer):
        self.handler.send_url(PEER, URL).addBoth(self.on_answer, "sent by on_offer")

    def do_cancel(self, _offer):
        self.requests[0].cancel()

    def do_disown(self, _offer=None):
        if self.handler.parent is not None:
            self.handler.disownHandlerParent(self.end.manager)

    def do_lose(self, _offer=None):
        if self.xmlstream.stream is not None:
            self.end.lose()

    def do_leave_and_return(self, _offer=None):
        self.do_disown()
        self.do_join()

    def do_join(self):
        self.handler.setHandlerParent(self.end.manager)

    def receive(self, data):
        if self.xmlstream.stream is None:
            return
        try:
            self.xmlstream.dataReceived(data)
        except Exception as error:
            self.raised.append(type(error))

    def data(self, xml):
        """Give what a script stands for, as it would come to this handler."""
        for name, id_ in self.ids.items():
            xml = xml.replace(name, id_)
        return xml.replace("'ME'", f"'{self.end.me}'").replace('"ME"', f'"{self.end.me}"').encode()

    def play(self, xml, cuts=()):
        """Receive a script in chunks, cut at these places."""
        data = self.data(xml)
        places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
        for start, end in pairwise(places):
            self.receive(data[start:end])
        return self

    def outcome(self):
        """Give all that must be the same, however the stanzas were taken."""
        made = {id_: name for name, id_ in self.ids.items()}

        def named(match):
            return made.setdefault(match[0], f"made-{len(made)}")

        seen = {
            "sent": self.end.transport.value().decode(),
            "calls": self.calls,
            "answers": self.answers,
            "seen": self.seen,
            "errors": self.errors,
            "raised": self.raised,
            "ended": self.end.transport.disconnecting,
            "open": len(self.open_offers),
        }
        return {key: _MADE_ID.sub(named, str(value)) for key, value in seen.items()}


def same(xml, cuts=(), wire=ClientWire):
    """Check that nothing but observers tells how stanzas are taken; give the run that took them."""
    directly = Run(Direct, wire).play(xml, cuts)
    ordinarily = Run(OOBHandler, wire).play(xml, cuts)
    assert directly.outcome() == ordinarily.outcome()
    return directly

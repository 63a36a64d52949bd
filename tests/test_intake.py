"""What is taken off a stream at its parser: only the cost may tell that it was."""

from __future__ import annotations

import re
from contextlib import contextmanager
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import AlreadyCalledError, CancelledError, succeed
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.words.protocols.jabber import xmlstream
from twisted.words.protocols.jabber.xmlstream import TimeoutError as IQTimeoutError
from twisted.words.xish.domish import Element, ExpatElementStream

from tests.streams import (
    COMPONENT,
    ME,
    PEER,
    URL,
    ClientWire,
    ComponentWire,
    InternalWire,
    Sharing,
    clock_of,
    connected,
    outcome,
    query,
    stanza,
)
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

    def __init__(self, handler=OOBHandler, wire=ClientWire, *, late=False):
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
            (offer.url, offer.desc, offer.sid, offer.sender, offer.recipient, whole(offer.element))
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
    directly = Run(OOBHandler, wire).play(xml, cuts)
    ordinarily = Run(Sharing, wire).play(xml, cuts)
    assert directly.outcome() == ordinarily.outcome()
    return directly


# Offers and the rest, usual and not. A script is a str; ME in it is the handler's address.

LINES = "https://files.example/\n  a"
TEXTS = [
    URL,
    "https://files.example/?a=1&amp;b=%20&#x26;c='&quot;",
    "<![CDATA[https://files.example/a]]>",
    "https://<!-- a comment -->files.example/<?pi x?>a",
    "&#104;ttps://files.example/é",
    LINES,
    f" {URL} ",
    "",
    "  ",
    "no URL",
    *(
        f"https://files.example/{deed}"
        for deed in ("raise", "later", "by_hand", "send", "cancel", "disown", "lose")
    ),
    "https://files.example/leave_and_return",
]
CHILDREN = [
    "<desc/>",
    "<desc>a picture &lt;&gt;&amp;\n of <![CDATA[<b>]]></desc>",
    "<desc></desc>",
    f"<url>{URL}</url>",
    "<url/>",
    f"<url xml:lang='en'>{URL}</url>",
    f"<url a='b'>{URL}</url>",
    f"<url>{URL}<b/></url>",
    f"<url><b>{URL}</b>{URL}</url>",
    f"<url xmlns='urn:x'>{URL}</url>",
    f"<url xmlns=''>{URL}</url>",
    f"<url xmlns='jabber:iq:oob'>{URL}</url>",
    f"<p:url xmlns:p='jabber:iq:oob'>{URL}</p:url>",
    f"<stream:url>{URL}</stream:url>",
    f"<url xmlns:p='urn:x'>{URL}</url>",
    "<unknown/>",
    "<x:unknown xmlns:x='urn:x' x:y='z'>text</x:unknown>",
    "<query xmlns='jabber:iq:oob'/>",
    " ",
    "\n",
    "text &amp; more",
    "<!-- a comment -->",
    "<![CDATA[text]]>",
    "<![CDATA[]]>",
]
AROUND = [
    "",
    " ",
    "\n  ",
    "text",
    "<!-- a comment -->",
    "<?pi x?>",
    "<other xmlns='urn:other'><query xmlns='jabber:iq:oob'/></other>",
    "<query/>",
    "<x:other xmlns:x='urn:other'/>",
    "<query xmlns='jabber:iq:oob'/>",
    query("https://files.example/second"),
    "<![CDATA[]]>",
]
IQ_ATTRIBUTES = {
    "type": ["'set'", "'set'", "'set'", "'get'", "'result'", "'error'", "'SET'", "''", None],
    "id": ["'o1'", "'&lt;&apos;&quot;&amp;'", "''", f"'{FIRST}'", None],
    "from": [
        f"'{PEER}'",
        f"'{OTHER}'",
        "'MIXED@Far.Example/&lt;&apos;&quot;&amp;é'",
        "'@'",
        "'a..b'",
        "''",
        "'ME'",
        None,
    ],
    "to": ["'ME'", "'me@home.example'", "'@'", "''", None],
    "xmlns": ["'STREAM'", "'jabber:client'", "'urn:x'", "''", None, None, None, None, None],
    "xmlns:p": ["'jabber:iq:oob'", "'STREAM'", None, None, None, None, None],
    "xml:lang": ["'en'", None, None, None],
    "extra": ["'1'", None, None, None],
    "stream:extra": ["'1'", None, None, None],
}
QUERY_ATTRIBUTES = {
    "xmlns": ["'jabber:iq:oob'"] * 6 + ["'jabber:x:oob'", "''", "'urn:&apos;'", None],
    "sid": ["'s1'", "'&lt;&quot;&#10;'", "''", None, None],
    "xml:lang": ["'de'", None, None, None],
    "xmlns:p": ["'urn:x'", "'jabber:iq:oob'", None, None, None, None],
    "extra": ["'1'", None, None, None],
}


@st.composite
def attributes(draw, table):
    names = draw(st.permutations(list(table)))
    chosen = [(name, draw(st.sampled_from(table[name]))) for name in names]
    return "".join(f" {name}={value}" for name, value in chosen if value is not None)


@st.composite
def unusual_offers(draw):
    """Anything that resembles an offer; well-formed."""
    texts = st.sampled_from(TEXTS).map("<url>{}</url>".format)
    parts = draw(st.lists(st.one_of(texts, st.sampled_from(CHILDREN)), max_size=6))
    given = draw(attributes(QUERY_ATTRIBUTES))
    prefix = "p:" if "xmlns:p=" in given and draw(st.booleans()) else ""
    name = prefix + draw(st.sampled_from(["query", "query", "query", "query", "other"]))
    before, after = draw(st.sampled_from(AROUND)), draw(st.sampled_from(AROUND))
    inner = f"<{name}{given}>{''.join(parts)}</{name}>"
    if draw(st.integers(0, 9)) == 0:
        inner = ""
    given = draw(attributes(IQ_ATTRIBUTES))
    prefix = "p:" if "xmlns:p=" in given and draw(st.integers(0, 3)) == 0 else ""
    name = prefix + draw(st.sampled_from(["iq", "iq", "iq", "iq", "message", "other"]))
    return f"<{name}{given}>{before}{inner}{after}</{name}>"


def usual_offers():
    return st.builds(
        lambda id_, text, rest: offer(
            id=id_, children=f"<query xmlns='jabber:iq:oob'><url>{text}</url>{rest}</query>"
        ),
        st.sampled_from(["o1", "o2", None, "<&'\">"]),
        st.sampled_from(TEXTS),
        st.sampled_from(["", "<desc/>", "<desc>a &amp; b</desc>", f"<url>{URL}</url>"]),
    )


ERROR = "<error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
RESULTS = [
    *(result(request) for request in IDS),
    *(result(request).replace("></iq>", "/>") for request in IDS),
    result(FIRST, from_="Peer@FAR.example/phone"),
    result(FIRST, from_=OTHER),
    result(FIRST, from_="@"),
    result(FIRST, from_=None),
    result(OWN, from_=None),
    result(OWN, from_="home.example"),
    result(FIRST, " "),
    result(FIRST, "<!-- a comment -->"),
    result(FIRST, "text"),
    result(FIRST, "<![CDATA[]]>"),
    result(FIRST, query()),
    result(FIRST, "<handled/>"),
    result(FIRST, id="unknown"),
    result(FIRST, id=None),
    result(FIRST, id=""),
    result(FIRST, type="error"),
    result(FIRST, ERROR, type="error"),
    result(FIRST, type="get"),
    result(FIRST).replace("<iq ", "<iq xml:lang='en' "),
    result(FIRST).replace("<iq ", "<iq xmlns='urn:x' "),
    result(FIRST).replace("<iq ", "<iq xmlns='STREAM' "),
    result(FIRST).replace("<iq ", "<iq xmlns:p='urn:x' "),
]
FOREIGN = [
    " ",
    "\n\n",
    "<!-- a comment -->",
    "<presence/>",
    "<presence><x xmlns='jabber:x:oob'><url>https://files.example/</url></x></presence>",
    f"<message from='{PEER}'><body>hello</body></message>",
    f"<message from='{PEER}'>{offer(from_='boss@home.example')}{result()}</message>",
    f"<message><forwarded xmlns='urn:xmpp:forward:0'>{offer()}{offer()}</forwarded></message>",
    f"<iq type='set' id='o9'>{offer(from_='boss@home.example')}</iq>",
    f"<iq type='set' id='o9'>{result()}</iq>",
    "<iq type='set' id='r1'><query xmlns='jabber:iq:roster'><item jid='a@b'/></query></iq>",
    "<iq type='get' id='d1'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
    f"<iq type='result' id='u'>{query()}</iq>",
    "<iq type='set'/>",
    "<iq/>",
    f"<other type='set'>{query()}</other>",
    f"<stream:iq type='set'>{query()}</stream:iq>",
    f"<a:b xmlns:a='urn:a' a:c='d'>{offer()}</a:b>",
]
LAST = [
    "</stream:stream>",
    "<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>",
    "<iq type='set'></query></iq>",
    "<iq type='set'><query xmlns='jabber:iq:oob'><url>&unknown;</url></query></iq>",
    "<iq type='set'><p:query/></iq>",
    "\0",
]


def scripts(wire):
    """Any number of stanzas in a row, and perhaps an end."""
    stanzas = st.one_of(
        usual_offers(), unusual_offers(), st.sampled_from(RESULTS), st.sampled_from(FOREIGN)
    )
    return st.builds(
        lambda rows, last: ("".join(rows) + last).replace("'STREAM'", f"'{wire.namespace}'"),
        st.lists(stanzas, min_size=1, max_size=8),
        st.one_of(st.just(""), st.just(""), st.sampled_from(LAST)),
    )


CUTS = st.one_of(
    st.just(()), st.just(range(100_000)), st.lists(st.integers(0, 100_000), max_size=20)
)


@both_sockets
def test_any_stanzas_in_any_chunks(wire):
    @settings(max_examples=80, deadline=None)
    @given(scripts(wire), CUTS)
    def check(xml, cuts):
        same(xml, cuts, wire)

    check()


@pytest.mark.parametrize("xml", [*RESULTS, *FOREIGN, *LAST])
@both_sockets
def test_each_other_stanza_byte_by_byte_between_offers(wire, xml):
    xml = xml.replace("'STREAM'", f"'{wire.namespace}'")
    same(offer() + xml + offer(id="o2"), range(10_000), wire)


@pytest.mark.parametrize("text", TEXTS)
@both_sockets
def test_each_text_byte_by_byte_between_others(wire, text):
    same("<presence/>" + offer(text) + "<presence/>" + offer(), range(10_000), wire)


@pytest.mark.parametrize("first", CHILDREN)
def test_pairs_of_children(first):
    for second in CHILDREN[::3]:
        children = f"<query xmlns='jabber:iq:oob'>{first}<url>{URL}</url>{second}</query>"
        same(offer(children=children) + offer(id="o2"))


@pytest.mark.parametrize("after", AROUND)
@pytest.mark.parametrize("before", AROUND)
def test_each_neighbour_of_a_query(before, after):
    same(offer(children=f"{before}{query()}{after}") + offer(id="o2") + result())


@pytest.mark.parametrize("part", ["url", "desc"])
@pytest.mark.parametrize("chunk", [100, 4096, 1_000_000])
@pytest.mark.parametrize("length", [8191, 8192, 8193, 16_400, 66_000])
def test_long_texts(part, length, chunk):
    long = URL + "a" * (length - len(URL))
    texts = {"url": URL, "desc": "a picture"} | {part: long}
    children = "".join(f"<{name}>{text}</{name}>" for name, text in texts.items())
    for pair in (children, children.replace("aaa", "aa&amp;")):
        xml = offer(children=f"<query xmlns='jabber:iq:oob'>{pair}</query>") + offer(id="o2")
        run = same(xml, range(0, len(xml), chunk))
        assert len(run.calls) == (2 if part == "desc" or length <= 8192 else 1)


@pytest.mark.parametrize("number", [0, 1, 4, 5, 6, 50])
def test_any_number_of_parts(number):
    children = "".join(f"<url>{URL}{n}</url><desc>{n}</desc>" for n in range(number))
    run = same(offer(children=f"<query xmlns='jabber:iq:oob'>{children}</query>"), range(10_000))
    assert [call[:2] for call in run.calls] == [(f"{URL}0", "0")] * bool(number)


BEFORE_AND_AFTER = (
    f"<message from='{PEER}'><body>hello</body></message>"
    + offer("https://files.example/&amp;", xmlns="STREAM")
    + result(FIRST)
    + offer(children=f" {query()}")
)


@pytest.mark.parametrize("broken", ["<", "</x>", "<p:a/>"])
def test_malformed_anywhere(broken):
    xml = BEFORE_AND_AFTER.replace("STREAM", ClientWire.namespace)
    for place in range(0, len(xml) + 1, 5):
        same(xml[:place] + broken + xml[place:])


@both_sockets
def test_stream_ends_anywhere(wire):
    xml = BEFORE_AND_AFTER.replace("STREAM", wire.namespace)
    for place in range(0, len(xml) + 1, 2):
        same(xml[:place] + "</stream:stream>", (place,), wire)


OOB = "xmlns='jabber:iq:oob'"
QUALIFIED = f"<query xml:lang='de' extra='1' stream:a='b' {OOB} sid='s'><url>{URL}</url></query>"
SINGULAR = [
    offer(type="get"),
    offer(children=query() + query("https://files.example/second")),
    offer(children=f"<query {OOB}><url/></query><query {OOB}><url>{URL}</url></query>"),
    offer(children=f"<other {OOB}><url>{URL}</url></other>"),
    offer(children=f"<other {OOB}/>"),
    offer(children=f"<p:query xmlns:p='jabber:iq:oob'><p:url>{URL}</p:url></p:query>"),
    offer(children=f"<p:query xmlns:p='jabber:iq:oob'><url {OOB}>{URL}</url></p:query>"),
    offer(children=f"<query {OOB} xmlns:p='urn:p'><url>{URL}</url></query>"),
    offer(children=f"<query xmlns:p='urn:p' {OOB}><url>{URL}</url></query>"),
    offer(children=f"<query {OOB}><url a='b'>{URL}</url></query>"),
    offer(children=f"<query {OOB}> <url>{URL}</url></query>"),
    offer(children=f"<query {OOB}>{'<desc>d</desc>' * 4}<url>{URL}</url></query>"),
    offer(children=f" {query()}"),
    offer(children=f"{query()} "),
    offer(children=f"<query {OOB}><url>{URL}{'a' * 9000}&amp;</url></query>"),
    offer(children=f"<query {OOB}><url>{URL}<b/></url></query>"),
    offer(xmlns__p="urn:p").replace("xmlns__p", "xmlns:p"),
    result(FIRST, " "),
    result(SECOND, "<x/>"),
    result(OWN, "text"),
    result(FIRST, ERROR, type="error"),
]


@pytest.mark.parametrize("first", SINGULAR)
def test_pairs_of_stanzas_that_observers_see(first):
    for second in [*SINGULAR[::2], "<presence/>", "<iq type='set'/>", "<iq type='set'><x/></iq>"]:
        run = same(first + second + "<message/>" + offer(children=QUALIFIED))
        assert len(run.taken + run.seen) == 3


@pytest.mark.parametrize("xml", SINGULAR)
def test_observers_see_what_is_not_of_the_usual_form(xml):
    for cuts in ((), range(20_000)):
        run = same(xml, cuts)
        assert len(run.taken + run.seen) == 1


@both_sockets
@pytest.mark.parametrize("iq", ["xml:lang='en' stream:a='b' ", "stream:a='b' ", ""])
def test_attributes_of_other_namespaces(wire, iq):
    xml = offer(children=QUALIFIED).replace("<iq ", f"<iq {iq}")
    run = same("<presence/>" + xml + offer("https://files.example/raise") + xml, (), wire)
    assert run.taken == []
    assert run.calls[0][2] == "s"


class PrefixedWire(ClientWire):
    """A stream whose header binds prefixes to the namespaces of what is usual."""

    def header(self, attributes):
        super().header(f"xmlns:c='jabber:client' xmlns:o='jabber:iq:oob' {attributes}")


class BareWire(ClientWire):
    """A stream whose header has no default namespace, only prefixes."""

    def header(self, attributes):
        self.receive(
            f"<stream:stream xmlns:c='jabber:client' xmlns:stream='{xmlstream.NS_STREAMS}'"
            f" xmlns:o='jabber:iq:oob' id='s1' {attributes}>"
        )


@pytest.mark.parametrize("wire", [PrefixedWire, BareWire])
@pytest.mark.parametrize("redeclared", ["", "xmlns='urn:x' ", "xmlns='jabber:client' "])
@pytest.mark.parametrize("name", ["c:iq", "iq"])
@pytest.mark.parametrize("prefix", ["", "o:"])
def test_prefixes_that_the_header_binds(wire, redeclared, name, prefix):
    opening = "query" if prefix else f"query {OOB}"
    inner = f"<{prefix}{opening}><{prefix}url>{URL}</{prefix}url></{prefix}query>"
    mixed = f"<query {OOB}><o:url>{URL}</o:url></query>"
    for children in (inner, mixed):
        xml = offer(children=children).replace("<iq ", f"<iq {redeclared}")
        xml = xml.replace("<iq", f"<{name}").replace("</iq", f"</{name}")
        same(xml * 2 + "<presence/>" + xml, (), wire)


# What makes it worth while.


@both_sockets
@pytest.mark.parametrize("cuts", [(), range(10_000)])
@pytest.mark.parametrize(
    "xml",
    [
        offer(),
        offer(xmlns="STREAM"),
        offer("https://files.example/?a=1&amp;b=2"),
        offer("https://files.example/later"),
        offer(from_=None),
        offer("no URL"),
        offer(children=query(desc="a picture")),
        offer(children="<query xmlns='jabber:iq:oob' sid='s1'><desc/><url/></query>"),
        result(),
        result().replace("></iq>", "/>"),
        result(from_="Peer@FAR.example/phone"),
        offer() + result() + offer() + " " + result(SECOND),
        "<presence/>" + offer() + "<message/>" + offer() + result(),
        "<a:b xmlns:a='urn:a'/>" + offer() + "<b xmlns='urn:b'/>" + result(),
    ],
)
def test_observers_see_nothing_of_the_usual_form(wire, xml, cuts):
    # A component's stream opens in the midst of a stanza: what is usual begins with the next.
    run = same("<presence/>" + xml.replace("STREAM", wire.namespace), cuts, wire)
    assert run.taken == []


@both_sockets
def test_observers_see_everything_of_a_handler_that_shares(wire):
    run = Run(Sharing, wire).play(offer() + result() + offer())
    assert [element[1][1] for element in run.taken] == ["iq", "iq", "iq"]
    assert run.answers == [(FIRST, None)]


def test_stanzas_are_given_in_the_order_they_came_in():
    run = Run()
    urls = []
    run.handler.on_offer = lambda offer: urls.append(offer.url)
    run.xmlstream.addObserver("/message", lambda message: urls.append(message["id"]))
    parts = [
        offer("https://files.example/0"),
        "<message id='1'/>",
        offer(children=query("https://files.example/2") + " "),
        offer("https://files.example/3"),
        "<message id='4'/><message id='5'/>",
        offer("https://files.example/6"),
    ]
    run.play("".join(parts))
    assert [url[-1] for url in urls] == list("0123456")


# Something happens in the midst of a stanza.

SCENE = (
    offer("https://files.example/one")
    + f"<message from='{PEER}'><body>hello</body>{offer(from_='boss@home.example')} bye</message>"
    + result(FIRST)
    + offer(children=f"{query('https://files.example/two')} ")
    + offer("https://files.example/three", xmlns="STREAM")
)
DEEDS = {
    "is disowned": lambda run: run.do_disown(),
    "is disowned and returns": lambda run: run.do_leave_and_return(),
    "loses the stream": lambda run: run.do_lose(),
    "cancels a request": lambda run: run.requests[0].cancel(),
    "times out": lambda run: clock_of(run.handler).advance(1000),
    "asks": lambda run: run.do_send(None),
}


def interrupted(handler, deed, place, wire=ClientWire, **options):
    """Give a run that gets SCENE with something happening at a place in it."""
    run = Run(handler, wire, **options)
    data = run.data(SCENE.replace("STREAM", wire.namespace))
    run.receive(data[:place])
    deed(run)
    run.receive(data[place:])
    return run


# In each tag, after each, and in the text that follows; between attributes nothing happens.
PLACES = sorted(
    {0} | {match.end() + more for match in re.finditer("[<>]", SCENE) for more in (0, 1)}
)


@pytest.mark.parametrize("deed", DEEDS.values(), ids=DEEDS)
def test_handler_that_acts_between_any_two_bytes(deed):
    for place in PLACES:
        runs = [interrupted(handler, deed, place) for handler in (OOBHandler, Sharing)]
        assert runs[0].outcome() == runs[1].outcome(), place


@both_sockets
def test_handler_added_between_any_two_bytes(wire):
    # What is inside a stanza that had begun is nobody's offer, and no byte of it is lost.
    for place in PLACES:
        runs = [
            interrupted(handler, Run.do_join, place, wire, late=True)
            for handler in (OOBHandler, Sharing)
        ]
        assert runs[0].outcome() == runs[1].outcome(), place
        assert all("boss" not in str(call[3]) for call in runs[0].calls), place


def test_handler_returned_between_any_two_bytes_is_direct_again():
    for place in PLACES:
        run = interrupted(OOBHandler, DEEDS["is disowned and returns"], place)
        run.play("<presence/>")
        run.taken.clear()
        run.play(offer())
        assert run.calls[-1][0] == URL
        assert run.taken == []


@both_sockets
@pytest.mark.parametrize("leave", [Run.do_disown, Run.do_lose])
def test_stream_is_left_as_it_was_found_between_any_two_bytes(wire, leave):
    for place in PLACES:
        run = Run(wire=wire, late=True)
        found = hooks(run.stream)
        run.do_join()
        data = run.data(SCENE.replace("STREAM", wire.namespace))
        run.receive(data[:place])
        leave(run)
        assert hooks(run.stream) == found
        run.receive(data[place:])
        assert hooks(run.stream) == found


@pytest.mark.parametrize("leave", ["disown", "lose"])
@pytest.mark.parametrize("before", ["", "<presence/>", "<iq type='set'/>"])
@pytest.mark.parametrize("after", ["", " "])
def test_stream_is_left_as_it_was_found_inside_on_offer(leave, before, after):
    run = Run(late=True)
    found = hooks(run.stream)
    run.do_join()
    children = query(f"https://files.example/{leave}") + after
    run.play(before + offer(children=children) + "<presence/>" + offer())
    assert len(run.calls) == 1
    assert hooks(run.stream) == found


@pytest.mark.parametrize("deed", ["set", "reset", "set and reset"])
def test_dispatch_function_set_after_us_between_any_two_bytes(deed):
    for place in PLACES:
        run = Run()
        got = []

        def dispatch(element, run=run, got=got):
            got.append(element)
            run.xmlstream.onElement(element)

        def change(run, dispatch=dispatch):
            if "set" in deed.split():
                run.xmlstream.setDispatchFn(dispatch)
            if "reset" in deed:
                run.xmlstream.resetDispatchFn()

        data = run.data(SCENE.replace("STREAM", ClientWire.namespace))
        run.receive(data[:place])
        change(run)
        run.receive(data[place:])
        assert [call[0][22:] for call in run.calls] == ["one", "two", "three"]
        assert run.answers == [(FIRST, None)]
        assert [element[1][1] for element in run.seen] == ["message"]
        count = len(got)
        run.do_disown()
        run.play(SCENE.replace("STREAM", ClientWire.namespace))
        assert len(got) - count == (5 if deed == "set" else 0)
        assert len(run.calls) == 3
        assert len(run.seen) == 6


def test_request_cancelled_or_late_within_its_result_is_not_answered():
    for deed, error in (
        (DEEDS["cancels a request"], CancelledError),
        (DEEDS["times out"], IQTimeoutError),
    ):
        run = Run()
        data = run.data(result())
        run.receive(data[:-3])
        deed(run)
        run.receive(data[-3:])
        assert run.answers[0] == (FIRST, error)
        assert [element[1][1] for element in run.seen] == ["iq"]


def test_next_stream_is_direct_too():
    run = Run()
    for _ in range(3):
        run.play(offer() + "<iq type='set'")
        run.end.lose()
        run.end.open()
        run.xmlstream = run.end.xmlstream
        run.xmlstream.addObserver("/*", run.observe)
        run.calls.clear()
        run.play(offer())
        assert len(run.calls) == 1
        assert run.taken == run.seen == []


# What goes wrong does so as anywhere else on the stream.


class LogFailedError(Exception):
    """The traffic log can't be written."""


def fails(_data):
    raise LogFailedError


@contextmanager
def failures():
    """Give the types of the exceptions that are logged, also by what logs as of old."""
    types = []

    def observe(event):
        failure = event.get("log_failure") or event.get("failure")
        if failure is not None:
            types.append(failure.type)

    globalLogPublisher.addObserver(observe)
    yield types
    globalLogPublisher.removeObserver(observe)


@pytest.mark.parametrize("handler", [OOBHandler, Sharing])
@pytest.mark.parametrize(
    "xml", [offer("https://files.example/raise"), offer("no URL"), offer(), result()]
)
def test_stream_outlives_an_answer_that_cannot_be_sent(handler, xml):
    run = Run(handler)
    run.requests[0].addCallback(lambda _: run.handler.send_url(PEER, URL))
    run.xmlstream.rawDataOutFn = fails
    with failures() as logged:
        run.play(xml)
    run.xmlstream.rawDataOutFn = None
    run.end.transport.clear()
    run.play("<presence/>" + offer() + result(SECOND))
    assert run.raised == []
    assert run.answers[-1] == (SECOND, None)
    assert b"type='result'" in run.end.transport.value()
    assert [element[1][1] for element in run.seen] == ["presence"]
    assert xml == result() or LogFailedError in logged


@pytest.mark.parametrize("handler", [OOBHandler, Sharing])
def test_stream_outlives_a_request_that_the_application_fired_itself(handler):
    made, end = connected(lambda _: succeed(None), handler=handler)
    request = made.send_url(PEER, URL)
    sent = end.sent_one()
    request.callback("mine")
    with failures() as logged:
        end.answer(sent)
    assert logged == [AlreadyCalledError]
    end.offer()
    assert end.sent_one().get("type") == "result"


@pytest.mark.parametrize("handler", [OOBHandler, Sharing])
def test_stream_outlives_a_wrong_answer_timeout(handler):
    made, end = connected(lambda _: None, handler=handler)
    made.answer_timeout = "an hour"
    with failures() as logged:
        end.offer()
    assert logged == [TypeError]
    made.answer_timeout = None
    made.on_offer = lambda _: succeed(None)
    end.offer()
    assert end.sent_one().get("type") == "result"


# Twisted's limits to what a peer may have it keep.

limits = pytest.mark.skipif(
    not hasattr(ExpatElementStream, "maxStanzaSize"),
    reason="this Twisted has no limits",
)


@limits
@pytest.mark.parametrize("handler", [OOBHandler, Sharing])
@pytest.mark.parametrize("chunk", [1, 100, 650, 1_000_000])
@pytest.mark.parametrize("between", ["", " ", "<presence/>", f"<iq type='set'>{query()} </iq>"])
def test_any_number_of_small_stanzas_is_within_the_limits(handler, chunk, between):
    run = Run(handler)
    run.stream.maxStanzaSize = 1000
    run.stream.maxElementCount = 8
    xml = (offer() + between) * 50 + result()
    run.play(xml, range(0, len(xml), chunk))
    assert not run.end.transport.disconnecting
    assert len(run.calls) == 50 * (2 if "query" in between else 1)
    assert run.answers == [(FIRST, None)]


@limits
@pytest.mark.parametrize("chunk", [10, 300, 1_000_000])
@pytest.mark.parametrize(
    "xml",
    [
        offer("https://files.example/" + "a" * 1000),
        offer(children=query(desc="a" * 1000)),
        offer(children=f"<query xmlns='jabber:iq:oob' sid='{'s' * 1000}'><url>{URL}</url></query>"),
        offer(children=f"<query xmlns='jabber:iq:oob'>{'<!---->' * 200}</query>"),
        offer(id="o" * 1000),
        result(extra="a" * 1000),
        result(FIRST, "<!-- a -->" * 100),
    ],
)
def test_oversized_stanza_ends_the_stream(chunk, xml):
    outcomes = []
    for handler in (OOBHandler, Sharing):
        run = Run(handler)
        run.stream.maxStanzaSize = 1000
        run.play(offer() * 5)
        run.play(xml[:-5], range(0, len(xml), chunk))
        assert run.end.transport.disconnecting
        outcomes.append(run.outcome())
    assert outcomes[0] == outcomes[1]


@limits
@settings(max_examples=40, deadline=None)
@given(scripts(ClientWire), CUTS, st.integers(50, 600))
def test_limit_of_a_stanza_cuts_at_the_same_byte(xml, cuts, limit):
    outcomes = []
    for handler in (OOBHandler, Sharing):
        run = Run(handler)
        run.stream.maxStanzaSize = limit
        outcomes.append(run.play(xml, cuts).outcome())
    assert outcomes[0] == outcomes[1]


# Where somebody else has a hand in a stream, everybody sees everything.


def sees_all(end, seen, offers):
    end.offer(id_="o1")
    end.offer(id_="o2", payload=query() + " ")
    assert [element["id"] for element in seen] == ["o1", "o2"]
    assert [made.element["id"] for made in offers] == ["o1", "o2"]


@both_sockets
def test_dispatch_function_set_before_us_sees_all(wire):
    seen, offers = [], []
    end = wire()
    end.open()

    def dispatch(element):
        seen.append(element)
        end.xmlstream.onElement(element)

    end.xmlstream.setDispatchFn(dispatch)
    OOBHandler(offers.append, reactor=Clock()).setHandlerParent(end.manager)
    sees_all(end, seen, offers)


@both_sockets
@pytest.mark.parametrize("name", ["onElement", "dispatch"])
@pytest.mark.parametrize("how", ["subclass", "instance"])
def test_stream_with_its_own_way_of_dispatching_sees_all(wire, name, how):
    seen, offers = [], []
    end = wire()
    if how == "subclass":

        def override(self, element, *event):
            if isinstance(element, Element) and element.name == "iq":
                seen.append(element)
            return getattr(xmlstream.XmlStream, name)(self, element, *event)

        end.manager.factory.protocol = type("Own", (xmlstream.XmlStream,), {name: override})
        end.open()
    else:
        end.open()
        original = getattr(end.xmlstream, name)

        def wrapped(element, *event):
            if isinstance(element, Element):
                seen.append(element)
            return original(element, *event)

        setattr(end.xmlstream, name, wrapped)
        end.xmlstream.resetDispatchFn()
    OOBHandler(offers.append, reactor=Clock()).setHandlerParent(end.manager)
    sees_all(end, seen, offers)


def test_parser_of_somebody_else_sees_all():
    seen, offers = [], []

    class Own(ExpatElementStream):
        """Somebody's own way to build elements."""

    end = ClientWire()
    end.open()
    end.xmlstream.stream.__class__ = Own
    end.xmlstream.addObserver("/iq", seen.append)
    OOBHandler(offers.append, reactor=Clock()).setHandlerParent(end.manager)
    sees_all(end, seen, offers)


def test_parser_handler_of_somebody_else_sees_all():
    seen, offers = [], []
    end = ClientWire()
    end.open()
    parser = end.xmlstream.stream.parser
    original = parser.StartElementHandler

    def start(name, attributes):
        seen.append(name)
        original(name, attributes)

    parser.StartElementHandler = start
    OOBHandler(offers.append, reactor=Clock()).setHandlerParent(end.manager)
    end.offer()
    end.offer()
    assert len(offers) == 2
    assert len(seen) == 6


def test_two_handlers_on_one_stream():
    taken = []
    first, end = connected(lambda _: taken.append("first"))
    second = OOBHandler(lambda _: taken.append("second"), reactor=Clock())
    second.setHandlerParent(end.manager)
    requests = [made.send_url(PEER, URL) for made in (first, second, first, second)]
    for request in end.sent():
        end.answer(request)
    assert [outcome(request) for request in requests] == [None] * 4
    end.offer()
    end.offer(payload=f"{query()} ")
    assert taken == ["first", "first"]
    first.disownHandlerParent(end.manager)
    end.offer()
    end.offer(payload=f"{query()} ")
    assert taken[2:] == ["second", "second"]
    first.setHandlerParent(end.manager)
    end.offer()
    assert len(taken) == 5
    second.disownHandlerParent(end.manager)
    end.offer()
    assert taken[5:] == ["first"]


@pytest.mark.parametrize("order", ["first leaves first", "second leaves first"])
def test_two_handlers_leave_a_stream_as_it_was(order):
    end = ClientWire()
    end.open()
    found = hooks(end.xmlstream.stream)
    handlers = [OOBHandler(reactor=Clock()) for _ in range(2)]
    for made in handlers:
        made.setHandlerParent(end.manager)
    for made in handlers if order == "first leaves first" else handlers[::-1]:
        made.disownHandlerParent(end.manager)
    assert hooks(end.xmlstream.stream) == found


def test_observers_of_an_internal_component_see_all():
    offers, seen = [], []
    _, end = connected(offers.append, wire=InternalWire)
    end.xmlstream.addObserver("/iq", seen.append)
    end.offer(to=COMPONENT)
    assert len(seen) == len(offers) == 1


def test_element_of_an_offer_is_one_object():
    offers = []
    _, end = connected(offers.append)
    end.offer()
    (got,) = offers
    assert got.element is got.element

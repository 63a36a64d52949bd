"""Stanzas for the runs, usual and not. A script is a str; ME in it is the handler's address."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.support.direct_runs import (
    FIRST,
    IDS,
    OTHER,
    OWN,
    offer,
    result,
)
from tests.support.streams import (
    PEER,
    URL,
    query,
)

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
    "<file xmlns='urn:xmpp:file:metadata:0'><name>a.png</name><size>3</size></file>",
    "<f:file xmlns:f='urn:xmpp:file:metadata:0'><f:size>3</f:size></f:file>",
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
    query(),
    "<iq type='set' xmlns='jabber:iq:oob'/>",
    f"<iq type='set' xmlns='jabber:iq:oob'><query><url>{URL}</url></query></iq>",
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

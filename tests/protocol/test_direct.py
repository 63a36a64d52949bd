"""What is taken off a stream at its parser: only the cost may tell that it was."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.words.protocols.jabber import xmlstream
from twisted.words.xish.domish import ExpatElementStream

from tests.support.direct_runs import (
    FIRST,
    OWN,
    SECOND,
    Run,
    both_sockets,
    offer,
    result,
    same,
)
from tests.support.direct_scripts import (
    AROUND,
    CHILDREN,
    CUTS,
    ERROR,
    FOREIGN,
    LAST,
    RESULTS,
    TEXTS,
    scripts,
)
from tests.support.streams import PEER, URL, ClientWire, Direct, query
from twisted_oob import OOBHandler


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


@pytest.mark.parametrize(("number", "seen"), [(1, 0), (3, 0), (4, 0), (5, 1), (6, 1)])
def test_parts_of_a_taken_offer_are_at_most_four(number, seen):
    children = f"<url>{URL}</url>" + "<desc>d</desc>" * (number - 1)
    run = same(offer(children=f"<query xmlns='jabber:iq:oob'>{children}</query>"))
    assert len(run.calls) == 1
    assert len(run.taken) == seen


@pytest.mark.parametrize("part", ["url", "desc"])
@pytest.mark.parametrize(
    ("length", "seen"), [(8191, 0), (8192, 0), (8193, 0), (8194, 1), (9000, 1)]
)
def test_text_of_a_taken_offer_ends_with_the_piece_that_is_too_long_for_a_url(part, length, seen):
    texts = {"url": URL, "desc": ""}
    texts[part] = texts[part].ljust(length, "a")
    children = "".join(f"<{name}>{text}</{name}>" for name, text in texts.items())
    xml = offer(children=f"<query xmlns='jabber:iq:oob'>{children}</query>")
    # Each byte is a piece of its own.
    run = same(xml, range(len(xml) + 10))
    assert len(run.calls) == (1 if part == "desc" or length <= 8192 else 0)
    assert len(run.taken) == seen


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
    run = Run(OOBHandler, wire).play(offer() + result() + offer())
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


# Twisted's limits to what a peer may have it keep.

limits = pytest.mark.skipif(
    not hasattr(ExpatElementStream, "maxStanzaSize"),
    reason="this Twisted has no limits",
)


@limits
@pytest.mark.parametrize("handler", [Direct, OOBHandler])
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
    for handler in (Direct, OOBHandler):
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
    for handler in (Direct, OOBHandler):
        run = Run(handler)
        run.stream.maxStanzaSize = limit
        outcomes.append(run.play(xml, cuts).outcome())
    assert outcomes[0] == outcomes[1]

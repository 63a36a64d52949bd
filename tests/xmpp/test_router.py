"""The router: what is passed on, where to, and what is not."""

from __future__ import annotations

from hashlib import sha1
from xml.etree import ElementTree

import pytest
import pytest_twisted
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.logger import LogLevel
from twisted.words.protocols.jabber import component, xmlstream
from twisted.words.protocols.jabber.error import StanzaError, StreamError
from twisted.words.xish import domish
from twisted.words.xish.utility import EventDispatcher, XmlPipe

from tests.support.components import NS, SECRET, Echo, local, told
from tests.support.waiting import in_time
from twisted_oob.xmpp.router import Router

from wokkel.component import Component, InternalComponent  # isort: skip
from wokkel.generic import parseXml  # isort: skip
from wokkel.subprotocols import XMPPHandler  # isort: skip

pytestmark = pytest.mark.usefixtures("events")


@pytest_twisted.ensureDeferred
async def test_stanzas_pass_both_ways_whole_and_in_order(components):
    a, b = await components.join("a.example"), await components.join("b.example")
    body = "x &amp; &lt;y&gt; 'z' ü <b xmlns='urn:b' xml:lang='de'><c xmlns='' d='&quot;'/></b>"
    for n in range(50):
        a.send(f"<message from='u@a.example/r' to='b.example' id='{n}'><p>{body}</p></message>")
        b.send(f"<iq type='get' from='b.example' to='u@a.example' id='{n}'><q xmlns='q'/></iq>")
    await b.until("id='49'")
    await a.until("id='49'")
    await b.until("</message>")
    whole = (
        f"<message xmlns='{NS}' from='u@a.example/r' to='b.example' id='%d'><p>{body}</p></message>"
    )
    assert [canonical(e) for e in b.stanzas()] == [
        canonical(ElementTree.fromstring(whole % n)) for n in range(50)
    ]
    assert [(e.get("id"), e[0].tag) for e in a.stanzas()] == [(str(n), "{q}q") for n in range(50)]


def canonical(element):
    return (
        element.tag,
        element.attrib,
        element.text or "",
        element.tail or "",
        [canonical(child) for child in element],
    )


@pytest_twisted.ensureDeferred
async def test_a_stanza_cut_in_its_last_tag_arrives_without_more_data(components):
    await components.join("a.example")
    b = await components.join("b.example")
    stanza = f"<message from='a.example' to='b.example' id='{'i' * 3000}'/>"
    [stream] = [s for s in components.factory.streams if s.domain == "a.example"]
    stream.dataReceived(stanza[:-9].encode())
    stream.dataReceived(stanza[-9:-1].encode())
    stream.dataReceived(stanza[-1:].encode())
    await b.until("iii'")


@pytest_twisted.ensureDeferred
async def test_handshake_and_stanzas_in_one_segment_are_routed(components):
    b = await components.join("b.example")
    a = await components.connect()
    sid = await a.open("a.example")
    digest = sha1((sid + SECRET).encode()).hexdigest()
    a.send(f"<handshake>{digest}</handshake><presence from='a.example' to='b.example'/>")
    await b.until("<presence")


class Asker(XMPPHandler):
    """Sends one IQ when its stream is up; ``answer`` fires with what comes back."""

    def __init__(self, recipient):
        super().__init__()
        self.recipient = recipient
        self.answer = in_time(Deferred())

    def connectionInitialized(self):
        self.xmlstream.addOnetimeObserver("/iq[@type='result']", self.answer.callback)
        iq = domish.Element((None, "iq"))
        iq["type"], iq["to"], iq["id"] = "get", self.recipient, "q1"
        iq.addElement(("urn:q", "q"), content="payload")
        self.send(iq)


@pytest_twisted.ensureDeferred
async def test_wokkel_components_talk_over_tcp_and_in_process(components):
    inside = InternalComponent(components.router, "inside.example")
    Echo().setHandlerParent(inside)
    inside.startService()
    outside = Component("127.0.0.1", components.port, "outside.example", SECRET)
    ask_inside = Asker("inside.example")
    Echo().setHandlerParent(outside)
    ask_inside.setHandlerParent(outside)
    outside.startService()
    answer = await ask_inside.answer
    assert (answer["from"], answer["type"]) == ("inside.example", "result")
    assert str(next(answer.elements())) == "payload"

    ask_outside = Asker("outside.example")
    ask_outside.setHandlerParent(inside)
    answer = await ask_outside.answer
    assert (answer["from"], answer["to"]) == ("outside.example", "inside.example")
    [stream] = components.factory.streams
    over = in_time(Deferred())
    stream.addObserver(xmlstream.STREAM_END_EVENT, over.callback)
    outside.stopService()
    with pytest.raises(ConnectionDone):
        await over
    inside.stopService()
    assert not components.router.routes


@pytest_twisted.ensureDeferred
async def test_twisted_words_component_gets_in_and_is_told_when_it_does_not(components):
    def connect(secret):
        authd, failed = Deferred(), Deferred()
        factory = component.componentFactory("words.example", secret)
        factory.addBootstrap(xmlstream.STREAM_AUTHD_EVENT, authd.callback)
        factory.addBootstrap(xmlstream.STREAM_ERROR_EVENT, failed.callback)
        factory.noisy = False
        connector = reactor.connectTCP("127.0.0.1", components.port, factory)
        return authd, failed, factory, connector

    authd, _, good, connection = connect(SECRET)
    xs = await in_time(authd)
    assert list(components.router.routes) == ["words.example"]
    _, failed, bad, _ = connect("wrong")
    with pytest.raises(StreamError, match="wrong handshake") as caught:
        await in_time(failed)
    bad.stopTrying()  # not before: to be connected makes it try again
    assert caught.value.condition == "not-authorized"
    over = in_time(Deferred())
    xs.addObserver(xmlstream.STREAM_END_EVENT, over.callback)
    good.stopTrying()
    connection.disconnect()
    with pytest.raises(ConnectionDone):
        await over


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    ("recipient", "condition"),
    [
        ("nobody.example", "remote-server-not-found"),
        ("u@nobody.example/r", "remote-server-not-found"),
        ("a..b", "jid-malformed"),
        ("u@", "jid-malformed"),
        ("x" * 4000, "jid-malformed"),
    ],
)
@pytest.mark.parametrize("kind", ["iq type='set'", "iq type='get'", "message", "presence"])
async def test_what_has_no_way_comes_back_as_an_error(components, kind, recipient, condition):
    peer = await components.join("a.example")
    name = kind.split()[0]
    peer.send(f"<{kind} from='u@a.example' to='{recipient}' id='7'><q xmlns='q'/></{name}>")
    await peer.until("</error>")
    await peer.until(f"</{name}>")
    [answer] = peer.stanzas()
    assert answer.attrib == {
        "type": "error",
        "from": recipient,
        "to": "u@a.example",
        "id": "7",
    }
    query, error = answer
    assert query.tag == "{q}q"
    assert error.tag == f"{{{NS}}}error"
    assert error.get("type") == ("modify" if condition == "jid-malformed" else "cancel")
    assert error[0].tag == f"{{urn:ietf:params:xml:ns:xmpp-stanzas}}{condition}"


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("kind", ["result", "error"])
async def test_a_result_or_error_without_a_way_is_dropped(components, kind):
    peer = await components.join("a.example")
    peer.send(f"<iq type='{kind}' from='a.example' to='nobody.example' id='7'/>")
    peer.send(f"<iq type='{kind}' from='a.example' to='b..c' id='7'/>")
    peer.send("<message from='a.example' to='a.example' id='last'/>")
    await peer.until("id='last'")
    assert [e.get("id") for e in peer.stanzas()] == ["last"]


@pytest_twisted.ensureDeferred
async def test_nothing_is_sent_to_a_component_once_its_stream_is_closed(components):
    inside = local(components.router, "inside.example")
    peer = await components.join("a.example")
    [stream] = components.factory.streams
    stream.sendStreamError(StreamError("reset"))
    inside.send(parseXml(b"<iq type='set' from='inside.example' to='a.example' id='1'/>"))
    assert [m["type"] for m in inside.got] == ["error"]
    assert await peer.error() == "reset"
    inside.leave()


@pytest.mark.parametrize("attributes", ["", "to=''", "to='a..b'", "to='nobody.example'"])
@pytest.mark.parametrize("sender", ["", "from='x@inside.example'", "from='..'", "from='b.example'"])
@pytest.mark.parametrize("kind", ["set", "error"])
def test_router_answers_or_drops_and_never_raises(attributes, sender, kind):
    router = Router()
    inside = local(router, "inside.example")
    inside.send(parseXml(f"<iq type='{kind}' {attributes} {sender}/>".encode()))
    answered = kind == "set" and sender in ("", "from='x@inside.example'")
    assert [m["type"] for m in inside.got] == ["error"] * answered


@settings(deadline=None)
@given(to=st.text(), sender=st.text(), kind=st.sampled_from(["set", "result", "error", ""]))
def test_no_address_makes_the_router_raise(to, sender, kind):
    router = Router()
    local(router, "inside.example")
    stanza = domish.Element((None, "iq"), attribs={"to": to, "from": sender, "type": kind})
    router.route(stanza)


def test_stanza_without_from_gets_the_domain_of_its_component():
    router = Router()
    pipe = XmlPipe()
    other = local(router, "other.example")
    router.addRoute("one.example", pipe.sink)
    router.addRoute("two.example", pipe.sink)
    for name in ("first", "second", "third"):
        message = domish.Element((None, "message"))
        message["to"], message["id"] = "other.example", name
        pipe.source.send(message)
        if name == "first":
            router.removeRoute("one.example", pipe.sink)
        elif name == "second":
            router.removeRoute("two.example", pipe.sink)
    assert [(m["id"], m["from"]) for m in other.got] == [
        ("first", "one.example"),
        ("second", "two.example"),
    ]


def test_routes_are_by_domain_after_stringprep():
    router = Router()
    inside = local(router, "Inside.EXAMPLE")
    assert list(router.routes) == ["inside.example"]
    for to in ("u@INSIDE.example/R", "inside\u3002example", "inside.example."):
        router.route(domish.Element((None, "message"), attribs={"to": to}))
    assert len(inside.got) == 3


@pytest.mark.parametrize("domain", [None, "", "u@a.example", "a.example/r", "a b", "a..b"])
def test_a_route_needs_a_domain(domain):
    router = Router()
    with pytest.raises(ValueError, match="bare domain"):
        router.addRoute(domain, EventDispatcher())
    assert not router.routes


def test_a_route_has_one_holder_and_only_that_one_gives_it_up():
    router = Router()
    holder, other = EventDispatcher(), EventDispatcher()
    router.addRoute("a.example", holder)
    with pytest.raises(StreamError, match=r"a\.example is connected already") as caught:
        router.addRoute("A.example", other)
    assert caught.value.condition == "conflict"
    router.removeRoute("a.example", other)
    router.removeRoute("b.example", other)
    assert router.routes == {"a.example": holder}
    router.removeRoute("a.EXAMPLE", holder)
    assert router.routes == {}


def test_no_payload_is_logged(events):
    router = Router()
    inside = local(router, "inside.example")
    for to in ("inside.example", "nobody.example"):
        inside.send(
            parseXml(f"<message to='{to}' id='i1'><body>private</body><x/></message>".encode())
        )
    assert told(events, LogLevel.debug) == [
        "no route: message from inside.example to nobody.example"
    ]
    assert not [event for event in events if "private" in repr(event)]


def test_a_domain_without_a_route_is_told_of_once_until_there_is_another_route(events):
    router = Router()
    inside = local(router, "inside.example")
    for number in range(300):
        inside.send(parseXml(f"<message to='n{number % 200}.example'/>".encode()))
    assert len(told(events, LogLevel.debug)) == 100
    local(router, "other.example")
    inside.send(parseXml(b"<message to='n0.example'/>"))
    assert len(told(events, LogLevel.debug)) == 101


def test_addresses_are_logged_up_to_a_limit(events):
    router = Router()
    inside = local(router, "inside.example")
    for kind in ("set", "x" * 5000):
        for to in ("inside.example/" + "r" * 1000, "x" * 5000):
            inside.send(domish.Element((None, "iq"), attribs={"to": to, "type": kind}))
    lines = told(events, LogLevel.debug)
    assert max(len(line) for line in lines) < 800


def test_nothing_about_a_stanza_is_logged_above_debug(events):
    router = Router()
    inside = local(router, "inside.example")
    for to in ("inside.example", "nobody.example", "a..b", ""):
        inside.send(domish.Element((None, "iq"), attribs={"to": to}))
    assert told(events) == []


def test_a_holder_that_refuses_a_stanza_answers_it():
    class Full(EventDispatcher):
        def send(self, stanza):
            raise StanzaError("resource-constraint", type="wait")

    router = Router()
    router.addRoute("full.example", Full())
    inside = local(router, "inside.example")
    for name, kind in (("iq", "get"), ("message", "chat"), ("presence", ""), ("iq", "error")):
        stanza = domish.Element((None, name), attribs={"to": "full.example", "type": kind})
        stanza.addElement(("urn:q", "q"))
        inside.send(stanza)
    for answer, name in zip(inside.got, ("iq", "message"), strict=True):
        assert (answer.name, answer["type"], answer["from"]) == (name, "error", "full.example")
        [error] = answer.elements()
        assert error.firstChildElement().name == "resource-constraint"

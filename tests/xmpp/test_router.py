"""The embedded router: who gets in, what is passed on, and what is not."""

from __future__ import annotations

from hashlib import sha1
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest
import pytest_twisted
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, connectProtocol
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock, deferLater
from twisted.logger import LogLevel, formatEvent, globalLogPublisher
from twisted.words.protocols.jabber import component, xmlstream
from twisted.words.protocols.jabber.error import StreamError
from twisted.words.xish import domish
from twisted.words.xish.utility import EventDispatcher, XmlPipe
from wokkel.component import Component, InternalComponent
from wokkel.generic import parseXml
from wokkel.subprotocols import XMPPHandler

from twisted_oob.xmpp.guard import MAX_DEPTH
from twisted_oob.xmpp.router import (
    CLOSE_TIMEOUT,
    HANDSHAKE_TIMEOUT,
    MAX_HANDSHAKE_BYTES,
    MAX_STANZA_BYTES,
    ComponentServerFactory,
    Router,
)

SECRET = "s3cr3t-of-the-test"
NS = component.NS_COMPONENT_ACCEPT
NS_STREAMS = xmlstream.NS_STREAMS


@pytest.fixture(autouse=True)
def events():
    """What was logged; never a traceback, and never the secret."""
    seen = []
    globalLogPublisher.addObserver(seen.append)
    yield seen
    globalLogPublisher.removeObserver(seen.append)
    assert not [event["log_failure"] for event in seen if "log_failure" in event]
    assert not [event for event in seen if SECRET in repr(event)]


def told(events, level=LogLevel.info):
    """Give the lines that an operator reads about components."""
    return [
        formatEvent(event)
        for event in events
        if event["log_namespace"] == "twisted_oob.xmpp.router" and event["log_level"] >= level
    ]


class Peer(Protocol):
    """A component made of bytes."""

    def __init__(self):
        self.data = b""
        self.closed = Deferred()
        self._waiting = []

    def dataReceived(self, data):
        self.data += data
        ready = [d for token, d in self._waiting if token in self.data]
        self._waiting = [(token, d) for token, d in self._waiting if token not in self.data]
        for d in ready:
            d.callback(None)

    def connectionLost(self, reason):
        for _, d in self._waiting:
            d.errback(AssertionError(f"closed after {self.data!r}"))
        self.closed.callback(None)

    def send(self, text):
        self.transport.write(text.encode())

    async def until(self, token):
        if token.encode() not in self.data:
            d = Deferred()
            self._waiting.append((token.encode(), d))
            await d

    async def open(self, domain):
        self.send(header(domain))
        await self.until("id='")
        return self.data.split(b"id='")[1].split(b"'")[0].decode()

    async def join(self, domain, secret=SECRET):
        sid = await self.open(domain)
        self.send(f"<handshake>{sha1((sid + secret).encode()).hexdigest()}</handshake>")
        await self.until("<handshake/>")

    def stanzas(self):
        """What came after the stream header, read by another parser than ours."""
        text = self.data.decode()
        if "</stream:stream>" not in text:
            text += "</stream:stream>"
        return [e for e in ElementTree.fromstring(text) if not e.tag.endswith("handshake")]

    async def error(self):
        """The stream error that ended this stream, properly closed."""
        await self.closed
        assert self.data.endswith(b"</stream:stream>")
        last = self.stanzas()[-1]
        assert last.tag == f"{{{NS_STREAMS}}}error"
        namespace, condition = last[0].tag[1:].split("}")
        assert namespace == "urn:ietf:params:xml:ns:xmpp-streams"
        return condition


def header(domain):
    return f"<stream:stream xmlns='{NS}' xmlns:stream='{NS_STREAMS}' to='{domain}'>"


@pytest_twisted.async_yield_fixture
async def server():
    clock, router = Clock(), Router()
    factory = ComponentServerFactory(router, SECRET, clock)
    port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(factory)
    peers = []

    async def connect():
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port)
        peer = await connectProtocol(endpoint, Peer())
        peers.append(peer)
        return peer

    async def join(domain):
        peer = await connect()
        await peer.join(domain)
        return peer

    yield SimpleNamespace(
        clock=clock, router=router, factory=factory, port=port, connect=connect, join=join
    )
    await port.stopListening()
    gone = factory.stop()
    clock.advance(CLOSE_TIMEOUT)
    await gone
    await gatherResults([peer.closed for peer in peers if not peer.closed.called])
    assert not factory.streams
    assert not router.routes
    assert not clock.getDelayedCalls()


def local(router, domain):
    """A component in this process: its end of the pipe, with what it got in ``got``."""
    pipe = XmlPipe()
    pipe.source.got = []
    pipe.source.addObserver("/*", pipe.source.got.append)
    router.addRoute(domain, pipe.sink)
    pipe.source.leave = lambda: router.removeRoute(domain, pipe.sink)
    return pipe.source


# --- stanzas between components


@pytest_twisted.ensureDeferred
async def test_stanzas_pass_both_ways_whole_and_in_order(server):
    a, b = await server.join("a.example"), await server.join("b.example")
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
async def test_a_stanza_cut_in_its_last_tag_arrives_without_more_data(server):
    await server.join("a.example")
    b = await server.join("b.example")
    stanza = f"<message from='a.example' to='b.example' id='{'i' * 3000}'/>"
    [stream] = [s for s in server.factory.streams if s.domain == "a.example"]
    stream.dataReceived(stanza[:-9].encode())
    stream.dataReceived(stanza[-9:-1].encode())
    stream.dataReceived(stanza[-1:].encode())
    await b.until("iii'")


@pytest_twisted.ensureDeferred
async def test_handshake_and_stanzas_in_one_segment_are_routed(server):
    b = await server.join("b.example")
    a = await server.connect()
    sid = await a.open("a.example")
    digest = sha1((sid + SECRET).encode()).hexdigest()
    a.send(f"<handshake>{digest}</handshake><presence from='a.example' to='b.example'/>")
    await b.until("<presence")


class Echo(XMPPHandler):
    """Answers each IQ with its own payload."""

    def connectionInitialized(self):
        self.xmlstream.addObserver("/iq[@type='get']", self.on_get)

    def on_get(self, iq):
        answer = xmlstream.toResponse(iq, "result")
        answer.addChild(next(iq.elements()))
        self.send(answer)


class Asker(XMPPHandler):
    """Sends one IQ when its stream is up; ``answer`` fires with what comes back."""

    def __init__(self, recipient):
        super().__init__()
        self.recipient = recipient
        self.answer = Deferred()

    def connectionInitialized(self):
        self.xmlstream.addOnetimeObserver("/iq[@type='result']", self.answer.callback)
        iq = domish.Element((None, "iq"))
        iq["type"], iq["to"], iq["id"] = "get", self.recipient, "q1"
        iq.addElement(("urn:q", "q"), content="payload")
        self.send(iq)


@pytest_twisted.ensureDeferred
async def test_wokkel_components_talk_over_tcp_and_in_process(server):
    inside = InternalComponent(server.router, "inside.example")
    Echo().setHandlerParent(inside)
    inside.startService()
    outside = Component("127.0.0.1", server.port.getHost().port, "outside.example", SECRET)
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
    [stream] = server.factory.streams
    over = Deferred()
    stream.addObserver(xmlstream.STREAM_END_EVENT, over.callback)
    outside.stopService()
    with pytest.raises(ConnectionDone):
        await over
    inside.stopService()
    assert not server.router.routes


@pytest_twisted.ensureDeferred
async def test_twisted_words_component_gets_in_and_is_told_when_it_does_not(server):
    def connect(secret):
        authd, failed = Deferred(), Deferred()
        factory = component.componentFactory("words.example", secret)
        factory.addBootstrap(xmlstream.STREAM_AUTHD_EVENT, authd.callback)
        factory.addBootstrap(xmlstream.STREAM_ERROR_EVENT, failed.callback)
        factory.noisy = False
        connector = reactor.connectTCP("127.0.0.1", server.port.getHost().port, factory)
        return authd, failed, factory, connector

    authd, _, good, connection = connect(SECRET)
    xs = await authd
    assert list(server.router.routes) == ["words.example"]
    _, failed, bad, _ = connect("wrong")
    bad.stopTrying()
    with pytest.raises(StreamError, match="wrong handshake") as caught:
        await failed
    assert caught.value.condition == "not-authorized"
    over = Deferred()
    xs.addObserver(xmlstream.STREAM_END_EVENT, over.callback)
    good.stopTrying()
    connection.disconnect()
    with pytest.raises(ConnectionDone):
        await over


# --- who gets in


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    "digest",
    ["", "0" * 40, "ü", sha1(SECRET.encode()).hexdigest()],
    ids=["empty", "zeros", "not ASCII", "without the id"],
)
async def test_wrong_handshake_is_not_authorized(server, events, digest):
    peer = await server.connect()
    await peer.open("a.example")
    peer.send(f"<handshake>{digest}</handshake>")
    assert await peer.error() == "not-authorized"
    assert not server.router.routes
    [line] = told(events)
    assert "a.example at 127.0.0.1:" in line
    assert "refused: not-authorized" in line


@pytest_twisted.ensureDeferred
async def test_stanza_before_handshake_is_not_authorized_and_not_routed(server):
    inside = local(server.router, "inside.example")
    peer = await server.connect()
    sid = await peer.open("a.example")
    digest = sha1((sid + SECRET).encode()).hexdigest()
    stanza = "<message from='a.example' to='inside.example'/>"
    peer.send(f"{stanza}<handshake>{digest}</handshake>{stanza}")
    assert await peer.error() == "not-authorized"
    assert inside.got == []
    assert list(server.router.routes) == ["inside.example"]
    inside.leave()


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("sent", ["", header("a.example")], ids=["silence", "header alone"])
async def test_handshake_must_come_in_time(server, events, sent):
    peer = await server.connect()
    if sent:
        peer.send(sent)
        await peer.until("id='")
    else:
        late = await server.connect()
        await late.open("other.example")
    server.clock.advance(HANDSHAKE_TIMEOUT - 0.01)
    assert not peer.closed.called
    server.clock.advance(0.01)
    assert await peer.error() == "connection-timeout"
    assert "no handshake in 30 seconds" in told(events)[0]


@pytest_twisted.ensureDeferred
async def test_a_handshake_that_comes_too_late_opens_nothing(server):
    peer = await server.connect()
    sid = await peer.open("a.example")
    [stream] = server.factory.streams
    server.clock.advance(HANDSHAKE_TIMEOUT)
    digest = sha1((sid + SECRET).encode()).hexdigest()
    stream.dataReceived(f"<handshake>{digest}</handshake>".encode())
    assert not server.router.routes
    assert await peer.error() == "connection-timeout"


@pytest_twisted.ensureDeferred
async def test_a_connection_that_goes_before_its_handshake_leaves_nothing(server, events):
    peer = await server.connect()
    await peer.open("a.example")
    [stream] = server.factory.streams
    over = Deferred()
    stream.addObserver(xmlstream.STREAM_END_EVENT, lambda reason: over.callback(None))
    peer.transport.loseConnection()
    await over
    await deferLater(reactor, 0)
    assert not server.factory.streams
    assert not server.clock.getDelayedCalls()
    [line] = told(events)
    assert "left: Connection was closed cleanly" in line


@pytest_twisted.ensureDeferred
async def test_a_component_that_is_in_has_no_time_limit(server):
    a = await server.join("a.example")
    server.clock.advance(HANDSHAKE_TIMEOUT * 10)
    a.send("<message from='a.example' to='a.example' id='self'/>")
    await a.until("id='self'")


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    ("start", "condition"),
    [
        (header("user@a.example"), "improper-addressing"),
        (header("a.example/resource"), "improper-addressing"),
        (header(""), "improper-addressing"),
        (header("a..example"), "improper-addressing"),
        (header("a b"), "improper-addressing"),
        (header("-a.example"), "improper-addressing"),
        (header("x" * 3072), "improper-addressing"),
        (header("a.example").replace(" to='a.example'", ""), "improper-addressing"),
        (header("a.example").replace(NS, "jabber:client"), "invalid-namespace"),
        (header("a.example").replace(NS_STREAMS, "urn:other"), "invalid-namespace"),
        (header("a.example").replace("<stream:stream", "<stream:flood"), "invalid-namespace"),
        ("GET / HTTP/1.1\r\n\r\n", "not-well-formed"),
        ("\x00\x16\x03", "not-well-formed"),
        ("<!DOCTYPE s [<!ENTITY e 'eeee'>]>" + header("a.example"), "restricted-xml"),
        (header("a.example") + "<" + "x" * MAX_HANDSHAKE_BYTES, "policy-violation"),
    ],
)
async def test_bad_opening_is_told_why(server, events, start, condition):
    peer = await server.connect()
    peer.send(start)
    assert await peer.error() == condition
    assert f" xmlns='{NS}'".encode() in peer.data
    assert not server.router.routes
    [line] = told(events)
    assert f"refused: {condition}" in line


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("spelling", ["taken.example", "TAKEN.example", "taken.example."])
async def test_taken_domain_is_a_conflict_and_its_holder_keeps_it(server, events, spelling):
    holder = await server.join("taken.example")
    other = await server.connect()
    sid = await other.open(spelling)
    other.send(f"<handshake>{sha1((sid + SECRET).encode()).hexdigest()}</handshake>")
    assert await other.error() == "conflict"
    assert b"<handshake/>" not in other.data
    holder.send("<message from='taken.example' to='taken.example' id='still'/>")
    await holder.until("id='still'")
    assert ["refused: conflict" in line for line in told(events)] == [False, True]


@pytest_twisted.ensureDeferred
async def test_domain_of_the_responder_in_process_is_a_conflict(server):
    inside = InternalComponent(server.router, "inside.example")
    echo = Echo()
    echo.setHandlerParent(inside)
    inside.startService()
    other = await server.connect()
    sid = await other.open("inside.example")
    other.send(f"<handshake>{sha1((sid + SECRET).encode()).hexdigest()}</handshake>")
    assert await other.error() == "conflict"
    assert list(server.router.routes) == ["inside.example"]
    a = await server.join("a.example")
    a.send("<iq type='get' from='a.example' to='inside.example' id='1'><q xmlns='q'/></iq>")
    await a.until("type='result'")
    inside.stopService()


@pytest_twisted.ensureDeferred
async def test_domain_is_free_again_when_its_holder_has_left(server, events):
    holder = await server.join("a.example")
    holder.send("</stream:stream>")
    await holder.closed
    assert holder.data.endswith(b"</stream:stream>")
    again = await server.join("a.example")
    again.transport.abortConnection()
    await again.closed
    last = await server.join("a.example")
    last.send("<stream:error><reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>")
    await last.closed
    lines = told(events)
    assert [line.split()[-1] if "connected" in line else "left" for line in lines] == [
        "connected",
        "left",
    ] * 3
    assert "left: it closed its stream" in lines[1]
    assert "left: it reported reset" in lines[5]


# --- what a component may send


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    ("stanza", "condition"),
    [
        ("<message to='inside.example'/>", "invalid-from"),
        ("<message from='' to='inside.example'/>", "invalid-from"),
        ("<message from='b.example' to='inside.example'/>", "invalid-from"),
        ("<message from='x.a.example' to='inside.example'/>", "invalid-from"),
        ("<message from='a.example@b.example' to='inside.example'/>", "invalid-from"),
        ("<message from='b.example/a.example' to='inside.example'/>", "invalid-from"),
        ("<message from='u@a..example' to='inside.example'/>", "invalid-from"),
        ("<message from='inside.example' to='inside.example'/>", "invalid-from"),
        ("<message from='a.example'/>", "improper-addressing"),
        ("<message from='a.example' to=''/>", "improper-addressing"),
        ("<other from='a.example' to='inside.example'/>", "unsupported-stanza-type"),
        (
            "<message xmlns='jabber:client' from='a.example' to='inside.example'/>",
            "unsupported-stanza-type",
        ),
        ("<message from='a.example' to='inside.example'></presence>", "not-well-formed"),
        ("<message from='a.example' to='inside.example'>&bomb;</message>", "not-well-formed"),
        (
            "<message from='a.example' to='inside.example'>"
            + "<x>" * MAX_DEPTH
            + "</x>" * MAX_DEPTH
            + "</message>",
            "bad-format",
        ),
        (
            "<message from='a.example' to='inside.example'>" + "x" * MAX_STANZA_BYTES,
            "policy-violation",
        ),
    ],
)
async def test_bad_stanza_ends_the_stream_and_goes_nowhere(server, events, stanza, condition):
    inside = local(server.router, "inside.example")
    peer = await server.join("a.example")
    peer.send(stanza + "<message from='a.example' to='inside.example' id='after'/>")
    assert await peer.error() == condition
    assert inside.got == []
    assert list(server.router.routes) == ["inside.example"]
    assert [f"sent off: {condition}" in line for line in told(events)] == [False, True]
    inside.leave()


SMUGGLED = "urn:x&apos;/&gt;&lt;/message&gt;&lt;message&#9;from=&apos;admin@bank.example&apos;"


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    "child",
    [
        f"<x xmlns='{SMUGGLED}'/>",
        f"<p:x xmlns:p='{SMUGGLED}'/>",
        f"<x><y><z xmlns:p='{SMUGGLED}' p:a='1'/></y></x>",
        f"<x xmlns:p='{SMUGGLED}'/>",
    ],
)
async def test_no_stanza_is_smuggled_in_a_namespace_name(server, child):
    victim = await server.join("victim.example")
    peer = await server.join("a.example")
    peer.send(f"<message from='a.example' to='victim.example'>{child}</message>")
    assert await peer.error() == "bad-format"
    victim.send("<message from='victim.example' to='victim.example' id='last'/>")
    await victim.until("id='last'")
    assert [e.get("from") for e in victim.stanzas()] == ["victim.example"]


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("child", ["<p:x/>", "<x p:a='1'/>"])
async def test_a_prefix_of_the_stream_header_can_not_smuggle_either(server, child):
    inside = local(server.router, "inside.example")
    peer = await server.connect()
    start = header("a.example").replace(" to=", f" xmlns:p='{SMUGGLED}' to=")
    peer.send(start)
    await peer.until("id='")
    sid = peer.data.split(b"id='")[1].split(b"'")[0].decode()
    peer.send(f"<handshake>{sha1((sid + SECRET).encode()).hexdigest()}</handshake>")
    await peer.until("<handshake/>")
    peer.send(f"<message from='a.example' to='inside.example'>{child}</message>")
    assert await peer.error() == "bad-format"
    assert inside.got == []
    inside.leave()


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("sender", ["a.example", "u@a.example", "u@A.EXAMPLE/r", "a.example/r"])
async def test_every_address_at_its_own_domain_is_fine(server, sender):
    peer = await server.join("a.example")
    peer.send(f"<message from='{sender}' to='u@A.example/r' id='1'/>")
    await peer.until("id='1'")
    assert peer.stanzas()[0].get("from") == sender


@pytest_twisted.ensureDeferred
async def test_the_limit_counts_one_stanza_not_the_stream(server):
    inside = local(server.router, "inside.example")
    peer = await server.join("a.example")
    text = "x" * (MAX_STANZA_BYTES // 2)
    for _ in range(4):
        peer.send(f"<message from='a.example' to='inside.example'><b>{text}</b></message>")
    peer.send("<message from='a.example' to='a.example' id='last'/>")
    await peer.until("id='last'")
    assert [len(str(m.b)) for m in inside.got] == [len(text)] * 4
    inside.leave()


# --- where there is no way


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
async def test_what_has_no_way_comes_back_as_an_error(server, kind, recipient, condition):
    peer = await server.join("a.example")
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
async def test_a_result_or_error_without_a_way_is_dropped(server, kind):
    peer = await server.join("a.example")
    peer.send(f"<iq type='{kind}' from='a.example' to='nobody.example' id='7'/>")
    peer.send(f"<iq type='{kind}' from='a.example' to='b..c' id='7'/>")
    peer.send("<message from='a.example' to='a.example' id='last'/>")
    await peer.until("id='last'")
    assert [e.get("id") for e in peer.stanzas()] == ["last"]


@pytest_twisted.ensureDeferred
async def test_nothing_is_sent_to_a_component_once_its_stream_is_closed(server):
    inside = local(server.router, "inside.example")
    peer = await server.join("a.example")
    [stream] = server.factory.streams
    stream.sendStreamError(StreamError("reset"))
    inside.send(parseXml(b"<iq type='set' from='inside.example' to='a.example' id='1'/>"))
    assert [m["type"] for m in inside.got] == ["error"]
    assert await peer.error() == "reset"
    inside.leave()


# --- the router alone


@pytest.mark.parametrize("attributes", ["", "to=''", "to='a..b'", "to='nobody.example'"])
@pytest.mark.parametrize("sender", ["", "from='x@inside.example'", "from='..'", "from='b.example'"])
@pytest.mark.parametrize("kind", ["set", "error"])
def test_router_answers_or_drops_and_never_raises(attributes, sender, kind):
    router = Router()
    inside = local(router, "inside.example")
    inside.send(parseXml(f"<iq type='{kind}' {attributes} {sender}/>".encode()))
    answered = kind == "set" and sender in ("", "from='x@inside.example'")
    assert [m["type"] for m in inside.got] == ["error"] * answered


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
    lines = told(events, LogLevel.debug)
    assert lines[0] == "routed: message None from inside.example to inside.example"
    assert lines[1] == "no route: message None from inside.example to nobody.example"
    assert not [event for event in events if "private" in repr(event)]


# --- the end


@pytest_twisted.ensureDeferred
async def test_stop_tells_everyone_and_waits_for_the_last(server, events):
    a, b, early = await server.join("a.example"), await server.join("b.example"), None
    early = await server.connect()
    await early.open("c.example")
    gone = server.factory.stop()
    assert not gone.called
    assert [await peer.error() for peer in (a, b, early)] == ["system-shutdown"] * 3
    await gone
    assert not server.factory.streams
    assert sum("system-shutdown" in line for line in told(events)) == 3
    assert server.factory.stop().called
    refused = await server.connect()
    await refused.closed
    assert refused.data == b""
    server.factory.startFactory()
    await server.join("a.example")


@pytest_twisted.ensureDeferred
async def test_stop_aborts_who_does_not_take_leave(server):
    inside = local(server.router, "inside.example")
    deaf = await server.join("a.example")
    deaf.transport.pauseProducing()
    message = domish.Element((None, "message"), attribs={"to": "a.example"})
    message.addElement("body", content="x" * 1_000_000)
    for _ in range(32):
        inside.send(message)
    first, second = server.factory.stop(), server.factory.stop()
    server.clock.advance(CLOSE_TIMEOUT - 0.01)
    assert not first.called
    server.clock.advance(0.01)
    await first
    await second
    deaf.transport.resumeProducing()
    await deaf.closed
    inside.leave()


def test_components_need_a_secret():
    with pytest.raises(ValueError, match="must not be empty"):
        ComponentServerFactory(Router(), "", Clock())

"""External components: who gets in, and how it ends."""

from __future__ import annotations

import hmac
from hashlib import sha1

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import (
    SSL4ClientEndpoint,
    SSL4ServerEndpoint,
    UNIXClientEndpoint,
    UNIXServerEndpoint,
    connectProtocol,
)
from twisted.internet.ssl import CertificateOptions
from twisted.internet.task import Clock, deferLater
from twisted.logger import LogLevel
from twisted.words.protocols.jabber import xmlstream
from twisted.words.protocols.jabber.error import StreamError
from twisted.words.xish import domish

from tests.support.certificates import Authority, server_options
from tests.support.components import NS, NS_STREAMS, SECRET, Echo, Peer, header, local, told
from tests.support.waiting import in_time
from twisted_oob.xmpp.accepted import CLOSE_TIMEOUT, HANDSHAKE_TIMEOUT, MAX_HANDSHAKE_BYTES
from twisted_oob.xmpp.component_server import ComponentServerFactory
from twisted_oob.xmpp.router import Router

from wokkel.component import InternalComponent  # isort: skip


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    "digest",
    ["", "0" * 40, "ü", sha1(SECRET.encode()).hexdigest()],
    ids=["empty", "zeros", "not ASCII", "without the id"],
)
async def test_wrong_handshake_is_not_authorized(components, events, digest):
    peer = await components.connect()
    await peer.open("a.example")
    peer.send(f"<handshake>{digest}</handshake>")
    assert await peer.error() == "not-authorized"
    assert not components.router.routes
    [line] = told(events)
    assert "a.example at 127.0.0.1:" in line
    assert "refused: not-authorized" in line


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("right", [True, False])
async def test_the_handshake_is_compared_in_constant_time(components, monkeypatch, right):
    compared = []
    compare = hmac.compare_digest
    monkeypatch.setattr(
        hmac, "compare_digest", lambda *both: compared.append(both) or compare(*both)
    )
    peer = await components.connect()
    sid = await peer.open("a.example")
    digest = sha1((sid + SECRET).encode()).hexdigest()
    sent = digest if right else "0" * 40
    peer.send(f"<handshake>{sent}</handshake>")
    await (peer.until("<handshake/>") if right else peer.closed)
    assert compared == [(sent.encode(), digest.encode())]


@pytest_twisted.ensureDeferred
async def test_each_stream_has_an_id_of_its_own(components):
    ids = [await (await components.connect()).open("a.example") for _ in range(3)]
    assert len(set(ids)) == 3
    peer = await components.connect()
    await peer.open("a.example")
    peer.send(f"<handshake>{sha1((ids[0] + SECRET).encode()).hexdigest()}</handshake>")
    assert await peer.error() == "not-authorized"


@pytest_twisted.ensureDeferred
async def test_stanza_before_handshake_is_not_authorized_and_not_routed(components):
    inside = local(components.router, "inside.example")
    peer = await components.connect()
    sid = await peer.open("a.example")
    digest = sha1((sid + SECRET).encode()).hexdigest()
    stanza = "<message from='a.example' to='inside.example'/>"
    peer.send(f"{stanza}<handshake>{digest}</handshake>{stanza}")
    assert await peer.error() == "not-authorized"
    assert inside.got == []
    assert list(components.router.routes) == ["inside.example"]
    inside.leave()


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("sent", ["", header("a.example")], ids=["silence", "header alone"])
async def test_handshake_must_come_in_time(components, events, sent):
    peer = await components.connect()
    if sent:
        peer.send(sent)
        await peer.until("id='")
    else:
        late = await components.connect()
        await late.open("other.example")
    components.clock.advance(HANDSHAKE_TIMEOUT - 0.01)
    assert not peer.closed.called
    components.clock.advance(0.01)
    assert await peer.error() == "connection-timeout"
    assert "no handshake in 30 seconds" in told(events)[0]


@pytest_twisted.ensureDeferred
async def test_a_handshake_that_comes_too_late_opens_nothing(components):
    peer = await components.connect()
    sid = await peer.open("a.example")
    [stream] = components.factory.streams
    components.clock.advance(HANDSHAKE_TIMEOUT)
    digest = sha1((sid + SECRET).encode()).hexdigest()
    stream.dataReceived(f"<handshake>{digest}</handshake>".encode())
    assert not components.router.routes
    assert await peer.error() == "connection-timeout"


@pytest_twisted.ensureDeferred
async def test_a_connection_that_goes_before_its_handshake_leaves_nothing(components, events):
    peer = await components.connect()
    await peer.open("a.example")
    [stream] = components.factory.streams
    over = in_time(Deferred())
    stream.addObserver(xmlstream.STREAM_END_EVENT, lambda reason: over.callback(None))
    peer.transport.loseConnection()
    await over
    await deferLater(reactor, 0)
    assert not components.factory.streams
    assert not components.clock.getDelayedCalls()
    [line] = told(events)
    assert "left: Connection was closed cleanly" in line


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("admitted", [False, True])
async def test_what_a_component_reports_is_logged_up_to_a_limit(components, events, admitted):
    peer = await (components.join if admitted else components.connect)(*["a.example"] * admitted)
    if not admitted:
        await peer.open("a.example")
    condition = f"<{'x' * 4000} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
    peer.send(f"<stream:error>{condition}</stream:error>")
    await peer.closed
    line = told(events)[-1]
    assert "left: it reported xxx" in line
    assert len(line) < 300


@pytest_twisted.ensureDeferred
async def test_a_component_on_a_local_socket_is_logged_without_an_address(
    components, events, tmp_path
):
    path = str(tmp_path / "socket")
    port = await UNIXServerEndpoint(reactor, path).listen(components.factory)
    peer = await connectProtocol(UNIXClientEndpoint(reactor, path), Peer())
    await peer.join("a.example")
    peer.transport.loseConnection()
    await peer.closed
    await port.stopListening()
    components.factory.startFactory()
    assert told(events)[0] == "component a.example at a local socket connected"


@pytest_twisted.ensureDeferred
async def test_a_component_may_connect_by_tls(components, tmp_path):
    served = server_options(Authority(tmp_path).issue("localhost"))
    port = await SSL4ServerEndpoint(reactor, 0, served, interface="127.0.0.1").listen(
        components.factory
    )
    trusting = CertificateOptions(verify=False)
    endpoint = SSL4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port, trusting)
    peer = await connectProtocol(endpoint, Peer())
    await peer.join("a.example")
    peer.send("<message from='a.example' to='a.example' id='self'/>")
    await peer.until("id='self'")
    peer.transport.loseConnection()
    await peer.closed
    await port.stopListening()
    components.factory.startFactory()


@pytest_twisted.ensureDeferred
async def test_the_stream_tells_its_observers_that_a_component_is_in(components):
    admitted = []
    components.factory.addBootstrap(xmlstream.STREAM_AUTHD_EVENT, admitted.append)
    peer = await components.connect()
    await peer.open("a.example")
    assert admitted == []
    await (await components.connect()).join("b.example")
    assert [xs.domain for xs in admitted] == ["b.example"]


@pytest_twisted.ensureDeferred
async def test_a_component_that_is_in_has_no_time_limit(components):
    a = await components.join("a.example")
    components.clock.advance(HANDSHAKE_TIMEOUT * 10)
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
        ("<!-- -->" + header("a.example"), "restricted-xml"),
        ("<?target data?>" + header("a.example"), "restricted-xml"),
        (header("a.example") + " <!-- -->", "restricted-xml"),
        (header("a.example") + "<" + "x" * MAX_HANDSHAKE_BYTES, "policy-violation"),
    ],
)
async def test_bad_opening_is_told_why(components, events, start, condition):
    peer = await components.connect()
    peer.send(start)
    assert await peer.error() == condition
    assert bool(peer.why) is (condition != "not-well-formed")
    assert f" xmlns='{NS}'".encode() in peer.data
    assert not components.router.routes
    [line] = told(events)
    assert f"refused: {condition}" in line


@pytest_twisted.ensureDeferred
async def test_domain_of_the_responder_in_process_is_a_conflict(components):
    inside = InternalComponent(components.router, "inside.example")
    echo = Echo()
    echo.setHandlerParent(inside)
    inside.startService()
    other = await components.connect()
    sid = await other.open("inside.example")
    other.send(f"<handshake>{sha1((sid + SECRET).encode()).hexdigest()}</handshake>")
    assert await other.error() == "conflict"
    assert list(components.router.routes) == ["inside.example"]
    a = await components.join("a.example")
    a.send("<iq type='get' from='a.example' to='inside.example' id='1'><q xmlns='q'/></iq>")
    await a.until("type='result'")
    inside.stopService()


@pytest_twisted.ensureDeferred
async def test_domain_is_free_again_when_its_holder_has_left(components, events):
    holder = await components.join("a.example")
    holder.send("</stream:stream>")
    await holder.closed
    assert holder.data.endswith(b"</stream:stream>")
    again = await components.join("a.example")
    again.transport.abortConnection()
    await again.closed
    last = await components.join("a.example")
    last.send("<stream:error><reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>")
    await last.closed
    lines = told(events)
    assert [line.split()[-1] if "connected" in line else "left" for line in lines] == [
        "connected",
        "left",
    ] * 3
    assert "left: it closed its stream" in lines[1]
    assert "left: it reported reset" in lines[5]


@pytest_twisted.ensureDeferred
async def test_stop_tells_everyone_and_waits_for_the_last(components, events):
    a, b, early = await components.join("a.example"), await components.join("b.example"), None
    early = await components.connect()
    await early.open("c.example")
    gone = components.factory.stop()
    assert not gone.called
    assert [await peer.error() for peer in (a, b, early)] == ["system-shutdown"] * 3
    await in_time(gone)
    assert not components.factory.streams
    assert sum("system-shutdown" in line for line in told(events)) == 3
    assert told(events, LogLevel.warn) == [], "our own stopping is nothing to warn of"
    assert components.factory.stop().called
    refused = await components.connect()
    await refused.closed
    assert refused.data == b""
    components.factory.startFactory()
    await components.join("a.example")


@pytest_twisted.ensureDeferred
async def test_it_can_be_stopped_and_started_any_number_of_times(components):
    assert components.factory.stop().called
    for _ in range(3):
        components.factory.startFactory()
        peer = await components.join("a.example")
        stopped = [components.factory.stop(), components.factory.stop()]
        assert await peer.error() == "system-shutdown"
        await in_time(gatherResults(stopped))
        assert not components.clock.getDelayedCalls()


@pytest_twisted.ensureDeferred
async def test_a_component_that_is_back_before_its_old_connection_is_gone_gets_in(components):
    old = await components.join("a.example")
    [stream] = components.factory.streams
    stream.transport.pauseProducing()
    old.transport.pauseProducing()
    stream.onDocumentEnd()
    new = await components.join("a.example")
    old.transport.resumeProducing()
    await old.closed
    new.send("<message from='a.example' to='a.example' id='still'/>")
    await new.until("id='still'")


@pytest_twisted.ensureDeferred
async def test_nothing_follows_the_end_of_a_stream(components, events):
    peer = await components.join("a.example")
    [stream] = components.factory.streams
    stream.onDocumentEnd()
    stream.onDocumentEnd()
    stream.sendStreamError(StreamError("reset"))
    await peer.closed
    assert peer.data.endswith(b"<handshake/></stream:stream>")
    assert [line.split(": ")[-1] for line in told(events)[1:]] == ["it closed its stream"]


@pytest_twisted.ensureDeferred
async def test_stop_aborts_who_does_not_take_leave(components):
    inside = local(components.router, "inside.example")
    deaf = await components.join("a.example")
    deaf.transport.pauseProducing()
    message = domish.Element((None, "message"), attribs={"to": "a.example"})
    message.addElement("body", content="x" * 1_000_000)
    for _ in range(32):
        inside.send(message)
    first, second = components.factory.stop(), components.factory.stop()
    components.clock.advance(CLOSE_TIMEOUT - 0.01)
    assert not first.called
    components.clock.advance(0.01)
    await in_time(gatherResults([first, second]))
    deaf.transport.resumeProducing()
    await deaf.closed
    inside.leave()


def test_components_need_a_secret():
    with pytest.raises(ValueError, match="must not be empty"):
        ComponentServerFactory(Router(), "", Clock())
    with pytest.raises(ValueError, match="must not be empty"):
        ComponentServerFactory(Router(), SECRET, Clock()).change_secret("")


@pytest_twisted.ensureDeferred
async def test_another_secret_is_for_who_comes_next(components):
    inside = await components.join("a.example")
    components.factory.change_secret("another one")
    await (await components.connect()).join("b.example", "another one")
    late = await components.connect()
    sid = await late.open("c.example")
    late.send(f"<handshake>{sha1((sid + SECRET).encode()).hexdigest()}</handshake>")
    assert await late.error() == "not-authorized"
    assert set(components.router.routes) == {"a.example", "b.example"}
    assert not inside.closed.called

"""What a component that is in may send."""

from __future__ import annotations

from hashlib import sha1
from xml.etree import ElementTree

import pytest
import pytest_twisted

from tests.support.components import NS, NS_STREAMS, SECRET, header, local, told
from twisted_oob.xmpp.accepted import MAX_HANDSHAKE_BYTES, MAX_STANZA_BYTES
from twisted_oob.xmpp.guard import MAX_DEPTH, MAX_NAMESPACES


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    ("stanza", "condition"),
    [
        ("<message to='inside.example'/>", "invalid-from"),
        ("<message from='b.example' to='inside.example'/>", "invalid-from"),
        ("<message from='x.a.example' to='inside.example'/>", "invalid-from"),
        ("<message from='a.example@b.example' to='inside.example'/>", "invalid-from"),
        ("<message from='b.example/a.example' to='inside.example'/>", "invalid-from"),
        ("<message from='inside.example' to='inside.example'/>", "invalid-from"),
        ("<other from='a.example' to='inside.example'/>", "unsupported-stanza-type"),
        (
            "<message xmlns='jabber:client' from='a.example' to='inside.example'/>",
            "unsupported-stanza-type",
        ),
        ("<message from='a.example' to='inside.example'></presence>", "not-well-formed"),
        ("<message from='a.example' to='inside.example'>&bomb;</message>", "not-well-formed"),
        ("<!-- -->", "restricted-xml"),
        ("<?target data?>", "restricted-xml"),
        ("<message from='a.example' to='inside.example'><!-- --></message>", "restricted-xml"),
        ("<message from='a.example' to='inside.example'><b><?t?></b></message>", "restricted-xml"),
        (
            "<message from='a.example' to='inside.example'>" + "x" * MAX_STANZA_BYTES,
            "policy-violation",
        ),
    ],
)
async def test_bad_stanza_ends_the_stream_and_goes_nowhere(components, events, stanza, condition):
    inside = local(components.router, "inside.example")
    peer = await components.join("a.example")
    peer.send(stanza + "<message from='a.example' to='inside.example' id='after'/>")
    assert await peer.error() == condition
    assert bool(peer.why) is (condition != "not-well-formed")
    assert inside.got == []
    assert list(components.router.routes) == ["inside.example"]
    assert [f"disconnected: {condition}" in line for line in told(events)] == [False, True]
    inside.leave()


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("name", ["iq", "message", "presence"])
async def test_each_kind_of_stanza_is_let_through(components, name):
    inside = local(components.router, "inside.example")
    peer = await components.join("a.example")
    peer.send(f"<{name} from='a.example' to='inside.example' id='1'/>")
    peer.send("<message from='a.example' to='a.example' id='last'/>")
    await peer.until("id='last'")
    assert [(stanza.name, stanza["id"]) for stanza in inside.got] == [(name, "1")]
    inside.leave()


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    "name", ["handshake", "route", "IQ", "iq2", "stream:features", "stream:stream"]
)
async def test_no_other_element_is(components, name):
    peer = await components.join("a.example")
    peer.send(f"<{name} from='a.example' to='a.example'/>")
    assert await peer.error() == "unsupported-stanza-type"


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("admitted", [False, True])
async def test_the_limit_is_not_reached_before_it_is_passed(components, admitted):
    peer = await components.connect()
    await peer.open("a.example")
    [stream] = components.factory.streams
    limit = MAX_STANZA_BYTES if admitted else MAX_HANDSHAKE_BYTES
    if admitted:
        sid = peer.data.split(b"id='")[1].split(b"'")[0].decode()
        stream.dataReceived(
            f"<handshake>{sha1((sid + SECRET).encode()).hexdigest()}</handshake>".encode()
        )
        start = b"<message>"
    else:
        start = b"<handshake>"
        limit -= len(header("a.example"))
    stream.dataReceived(start + b"x" * (limit - len(start)))
    assert not peer.closed.called
    assert stream.transport.connected
    assert not stream.transport.disconnecting
    stream.dataReceived(b"x")
    assert await peer.error() == "policy-violation"


ANSWERED = {
    "empty from": ("from='' to='inside.example'", "", "jid-malformed"),
    "from is no address": ("from='u@a..example' to='inside.example'", "", "jid-malformed"),
    "from is too long": (f"from='{'x' * 4000}' to='inside.example'", "", "jid-malformed"),
    "no to": ("from='a.example'", "", "bad-request"),
    "empty to": ("from='a.example' to=''", "", "jid-malformed"),
    "to is no address": ("from='u@a.example/r' to='a..b'", "", "jid-malformed"),
    "too deep": (
        "from='u@a.example' to='inside.example'",
        "<x>" * MAX_DEPTH + "</x>" * MAX_DEPTH,
        "not-acceptable",
    ),
    "too long namespaces": (
        "from='a.example' to='inside.example'",
        f"<x xmlns:p='{'p' * 1024}'>{'<p:x/>' * (MAX_NAMESPACES // 1024 + 1)}</x>",
        "not-acceptable",
    ),
}


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("kind", ["iq type='get'", "message", "presence"])
@pytest.mark.parametrize("bad", ANSWERED.values(), ids=ANSWERED)
async def test_a_bad_stanza_is_answered_and_costs_no_stream(components, events, bad, kind):
    given, child, condition = bad
    inside = local(components.router, "inside.example")
    peer = await components.join("a.example")
    name = kind.split()[0]
    peer.send(f"<{kind} {given} id='bad'>{child}</{name}>")
    peer.send("<message from='a.example' to='a.example' id='last'/>")
    await peer.until("id='last'")
    answer, _last = peer.stanzas()
    assert (answer.tag, answer.get("type"), answer.get("id")) == (f"{{{NS}}}{name}", "error", "bad")
    assert answer.get("to") == ("u@a.example" if "u@a.example" in given else "a.example") + (
        "/r" if "/r" in given else ""
    )
    [error] = answer
    assert error[0].tag == f"{{urn:ietf:params:xml:ns:xmpp-stanzas}}{condition}"
    assert inside.got == []
    assert len(told(events)) == 1, "nothing but that it connected"
    inside.leave()


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("kind", ["result", "error"])
@pytest.mark.parametrize(("given", "child", "_"), ANSWERED.values(), ids=ANSWERED)
async def test_a_bad_answer_is_dropped(components, given, child, _, kind):
    inside = local(components.router, "inside.example")
    peer = await components.join("a.example")
    peer.send(f"<iq type='{kind}' {given} id='bad'>{child}</iq>")
    peer.send("<message from='a.example' to='a.example' id='last'/>")
    await peer.until("id='last'")
    assert [e.get("id") for e in peer.stanzas()] == ["last"]
    assert inside.got == []
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
        "<s:x xmlns:s='urn:s' s:a='1'/>",
        "<a:x xmlns:a='urn:s'/>",
        f"<x xmlns:stream='{NS_STREAMS}'><stream:y/></x>",
        "<x xmlns:stream='urn:s' stream:a='1'/>",
        "<p:x xmlns:p='urn:1'><p:x xmlns:p='urn:2' p:a='1'/><p:x/></p:x>",
        "<x xmlns:xn0='urn:1' xn0:a='1' xmlns:b='urn:2' b:a='2'/>",
        "<x xml:lang='de' a='&#9;&#10;&apos;&quot;'>&lt;&#13;]]&gt;</x>",
    ],
)
async def test_what_a_stanza_holds_arrives_as_what_it_is(components, child):
    victim = await components.join("victim.example")
    peer = await components.join("a.example")
    peer.send(f"<message from='a.example' to='victim.example'>{child}</message>")
    peer.send("<message from='a.example' to='victim.example' id='last'/>")
    await victim.until("id='last'")
    first, _last = victim.stanzas()
    [came] = ElementTree.fromstring(f"<r xmlns='{NS}'>{child}</r>")
    assert [same(held) for held in first] == [same(came)]
    assert first.attrib == {"from": "a.example", "to": "victim.example"}


def same(element):
    """Give all that an element means, for comparison."""
    held = [same(child) for child in element]
    return element.tag, element.attrib, element.text, element.tail, held


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("child", ["<p:x/>", "<x p:a='1'/>"])
async def test_a_prefix_of_the_stream_header_can_not_smuggle_either(components, child):
    peer = await components.connect()
    start = header("a.example").replace(" to=", f" xmlns:p='{SMUGGLED}' to=")
    peer.send(start)
    await peer.until("id='")
    sid = peer.data.split(b"id='")[1].split(b"'")[0].decode()
    peer.send(f"<handshake>{sha1((sid + SECRET).encode()).hexdigest()}</handshake>")
    await peer.until("<handshake/>")
    peer.send(f"<message from='a.example' to='a.example' id='self'>{child}</message>")
    await peer.until("</message>")
    [stanza] = peer.stanzas()
    [came] = ElementTree.fromstring(f"<r xmlns='{NS}' xmlns:p='{SMUGGLED}'>{child}</r>")
    assert [same(held) for held in stanza] == [same(came)]


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    "sender",
    [
        "a.example",
        "u@a.example",
        "u@A.EXAMPLE/r",
        "a.example/r",
        "u@a.example/\U0001f600",
        "u@a.example/\U0001fae0 \u1e9e",
    ],
)
async def test_every_address_at_its_own_domain_is_fine(components, sender):
    peer = await components.join("a.example")
    peer.send(f"<message from='{sender}' to='u@A.example/r' id='1'/>")
    await peer.until("id='1'")
    assert peer.stanzas()[0].get("from") == sender


@pytest_twisted.ensureDeferred
async def test_the_limit_counts_one_stanza_not_the_stream(components):
    inside = local(components.router, "inside.example")
    peer = await components.join("a.example")
    text = "x" * (MAX_STANZA_BYTES // 2)
    for _ in range(4):
        peer.send(f"<message from='a.example' to='inside.example'><b>{text}</b></message>")
    peer.send("<message from='a.example' to='a.example' id='last'/>")
    await peer.until("id='last'")
    assert [len(str(m.b)) for m in inside.got] == [len(text)] * 4
    inside.leave()

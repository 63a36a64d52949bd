"""What the server in memory does, and when; an end as a parent of handlers."""

from __future__ import annotations

import pytest
from twisted.internet.defer import succeed
from twisted.internet.task import Clock
from twisted.words.protocols.jabber.ijabber import IXMPPHandlerCollection
from twisted.words.protocols.jabber.jid import JID
from twisted.words.protocols.jabber.xmlstream import TimeoutError as IQTimeoutError
from zope.interface.verify import verifyObject

from tests.support.memory import (
    BARE,
    ENDS,
    FILES,
    ME,
    PEER,
    URL,
    Setting,
    wokkel_component,
    words_client,
)
from twisted_oob.testing import Peer, result_of
from twisted_oob.xmpp.memory import MemoryServer

from wokkel.client import XMPPClient  # isort: skip
from wokkel.disco import DiscoClientProtocol, DiscoHandler  # isort: skip
from wokkel.generic import Request  # isort: skip
from wokkel.ping import PingHandler  # isort: skip

pytestmark = pytest.mark.usefixtures("log")


@pytest.fixture(params=ENDS)
def kind(request):
    return request.param


# What a server does.


@pytest.mark.parametrize(
    "to", ["romeo@example.com/orchard", "juliet@example.com", "example.org", BARE]
)
def test_an_iq_for_nobody_gets_an_error_that_says_who_is_there(to):
    setting = Setting()
    condition = result_of(setting.oob.send_url(to, URL))
    assert condition == "unavailable"
    assert condition.error.condition == "service-unavailable"
    assert condition.error.text == f"{to} is not connected; these are: {ME}, {PEER}"
    assert len(setting.end.history) == 1


@pytest.mark.parametrize(
    ("xml", "answered"),
    [
        ("<iq type='get' id='1'><query xmlns='urn:q'/></iq>", True),
        ("<iq type='set' id='1' to='@'><query xmlns='urn:q'/></iq>", True),
        ("<message to='romeo@example.com'><body>hello</body></message>", True),
        ("<message to='romeo@example.com' type='error'/>", False),
        ("<iq type='result' id='1' to='romeo@example.com/orchard'/>", False),
        ("<iq type='error' id='1' to='romeo@example.com/orchard'/>", False),
        ("<presence/>", False),
        ("<presence to='romeo@example.com'/>", False),
    ],
)
def test_only_what_needs_it_gets_an_error(kind, xml, answered):
    setting = Setting(end=kind)
    errors = []
    setting.end.xmlstream.addObserver("/*", errors.append)
    setting.end.xmlstream.send(xml)
    assert [error["type"] for error in errors] == ["error"] * answered
    [sent] = setting.end.sent()
    assert next(sent.elements(None, "error"), None) is None


@pytest.mark.parametrize("address", [ME, BARE])
@pytest.mark.parametrize("name", ["message", "presence"])
def test_all_but_an_iq_is_for_a_bare_jid_too(address, name):
    setting = Setting()
    seen = []
    setting.end.xmlstream.addObserver(f"/{name}", seen.append)
    setting.peer.end.send(f"<{name} to='{address}'/>")
    assert [stanza["to"] for stanza in seen] == [address]


def test_a_component_has_all_addresses_at_its_domain():
    offers = []
    setting = Setting(offers.append, end="component")
    for address in (FILES, f"a@{FILES}", f"a@{FILES}/b", f"{FILES}/b"):
        setting.peer.oob.send_url(address, URL)
        assert offers.pop().recipient == JID(address)
        setting.oob.send_url(PEER, URL, sender=address)
        assert setting.peer.next_offer().sender == JID(address)


def test_nobody_sends_from_an_address_of_others():
    for kind, sender in (("client", FILES), ("client", f"{BARE}/desk"), ("component", ME)):
        setting = Setting(end=kind)
        with pytest.raises(AssertionError, match=f"from {sender}, which is not its own: <iq "):
            result_of(setting.oob.send_url(PEER, URL, sender=sender))


def test_nobody_sends_from_what_is_not_an_address():
    setting = Setting()
    with pytest.raises(AssertionError, match=r"from a\.\.b, which is not its own"):
        setting.end.xmlstream.send("<message to='x' from='a..b'/>")


@pytest.mark.parametrize("sender", [ME, BARE, None])
def test_a_clients_stanzas_have_its_full_jid(sender):
    setting = Setting()
    setting.oob.send_message(PEER, URL, sender=sender)
    assert setting.peer.next_message().sender == JID(ME)


def test_an_error_that_somebody_caught_is_raised_by_all_that_follows():
    setting = Setting(None, lambda _: setting.oob.send_url(PEER, URL, sender=FILES))
    failed = setting.oob.send_url(PEER, URL, sender=FILES)
    wrong = pytest.raises(AssertionError, match="which is not its own")
    with wrong:
        result_of(failed)
    with wrong:
        setting.end.sent()
    with wrong:
        setting.peer.next_offer()
    with wrong:
        setting.end.lose()
    with wrong:
        setting.server.component(FILES)
    with wrong:
        result_of(setting.peer.offer(URL))


@pytest.mark.parametrize(
    ("xml", "error"),
    [
        ("<message xmlns='jabber:server'/>", "in the namespace 'jabber:server': <message "),
        ("<message>&nbsp;</message>", r"sent what is not XML \(.*\): b'<message>&nbsp;"),
    ],
)
def test_what_no_server_takes_is_an_error(kind, xml, error):
    setting = Setting(end=kind)
    with pytest.raises(AssertionError, match=error):
        setting.end.xmlstream.send(xml)


def test_what_is_no_stanza_is_left_alone():
    setting = Setting()
    setting.end.xmlstream.send("<r xmlns='urn:xmpp:sm:3'/>")
    assert setting.end.sent() == []


@pytest.mark.parametrize("asked", [BARE, f"{BARE}/desk"])
def test_it_is_the_server_that_binds_a_clients_jid(asked):
    manager = XMPPClient(JID(asked), "secret")
    end = MemoryServer().client(ME, manager=manager)
    assert (end.jid, manager.jid) == (JID(ME), JID(ME))


@pytest.mark.parametrize("jid", [BARE, "example.org", "example.org/laptop"])
def test_a_client_has_a_full_jid(jid):
    with pytest.raises(ValueError, match="a client's JID is a full one"):
        MemoryServer().client(jid)


@pytest.mark.parametrize("jid", ["a@example.org", "a@example.org/b", "example.org/b"])
def test_a_component_has_a_domain(jid):
    with pytest.raises(ValueError, match="a component's JID is a domain"):
        MemoryServer().component(jid)


@pytest.mark.parametrize(
    "make",
    [
        lambda server: server.client(ME, manager=XMPPClient(JID("a@far.example"), "secret")),
        lambda server: server.client(f"a@{FILES}/b", manager=wokkel_component()),
        lambda server: server.component("far.example", manager=wokkel_component()),
        lambda server: server.component("example.org", manager=words_client()),
    ],
)
def test_a_manager_of_another_kind_or_domain_is_an_error(make):
    with pytest.raises(ValueError, match=r"<\w+End .*> can't have a manager for"):
        make(MemoryServer())


def test_an_address_is_connected_once(kind):
    server = MemoryServer()
    end = ENDS[kind](server)
    with pytest.raises(ValueError, match=f"{end.jid.full()} is connected already"):
        ENDS[kind](server)
    with pytest.raises(ValueError, match="is connected already"):
        end.open()
    end.lose()
    ENDS[kind](server)


# When.


def test_nothing_comes_in_the_midst_of_another_stanza():
    events = []

    def on_offer(offer):
        events.append(f"begin {offer.desc}")
        setting.oob.send_url(PEER, URL).addCallback(lambda _: events.append("answered"))
        if offer.desc == "first":
            setting.peer.offer(URL, "second")
        events.append(f"end {offer.desc}")

    setting = Setting(on_offer)
    setting.peer.oob.on_offer = lambda _offer: succeed(None)
    setting.peer.offer(URL, "first")
    assert events == [
        *("begin first", "end first", "begin second", "end second"),
        *("answered", "answered"),
    ]


def test_a_loop_ends_with_an_error():
    def on_message(message):
        assert len(setting.end.history) < 1000
        setting.oob.send_message(message.sender, message.url)

    setting = Setting(None, on_message)
    setting.peer.oob.on_message = lambda _: setting.peer.oob.send_message(ME, URL)
    setting.server.limit = 100
    with pytest.raises(AssertionError, match="to and fro without an end: 100 steps so far"):
        result_of(setting.peer.oob.send_message(ME, URL))
    assert len(setting.end.history) == 25  # each is two steps, and so is each of the peer's


@pytest.mark.parametrize(("limit", "enough"), [(1, False), (2, True)])
def test_the_limit_is_of_steps_from_one_call(limit, enough):
    setting = Setting()
    setting.server.limit = limit
    for _ in range(3):
        if enough:
            setting.oob.send_message(PEER, URL)
        else:
            with pytest.raises(AssertionError, match="without an end"):
                result_of(setting.oob.send_message(PEER, URL))


def test_a_step_that_fails_leaves_the_next_to_be_made():
    setting = Setting()
    with pytest.raises(UnicodeEncodeError):
        setting.end.receive("\ud800")
    setting.oob.send_message(PEER, URL)
    assert setting.peer.next_message().url == URL


def test_time_is_the_servers(kind):
    setting = Setting(end=kind)
    request = setting.oob.send_url(PEER, URL, timeout=60)
    setting.server.clock.advance(59)
    assert not request.called
    setting.server.clock.advance(1)
    with pytest.raises(IQTimeoutError):
        result_of(request)


@pytest.mark.parametrize("kind", ["client", "component"])
def test_a_clock_of_ones_own(kind):
    clock = Clock()
    server = MemoryServer(clock)
    assert server.clock is clock
    # The stream manager has it too, for the requests of Wokkel's other handlers.
    request = Request(recipient=JID(PEER), stanzaType="get")
    request.timeout = 30
    end = ENDS[kind](server)
    Peer(end, PEER)
    requested = end.request(request)
    clock.advance(29)
    assert not requested.called
    clock.advance(1)
    with pytest.raises(IQTimeoutError):
        result_of(requested)


# The end as a parent of handlers.


def test_an_end_is_a_collection_of_handlers(kind):
    setting = Setting(lambda _offer: succeed(None), end=kind)
    verifyObject(IXMPPHandlerCollection, setting.end)
    assert list(setting.end) == [setting.oob]
    assert setting.oob.parent is setting.end
    setting.oob.disownHandlerParent(setting.end)
    assert list(setting.end) == []
    unanswered = setting.peer.offer(URL)
    assert not unanswered.called


@pytest.mark.parametrize("kind", ["client", "component", "wokkel's client"])
def test_handlers_of_others_work_on_it(kind):
    setting = Setting(end=kind)
    for handler in (DiscoHandler(), PingHandler()):
        handler.setHandlerParent(setting.peer.end)
    disco = DiscoClientProtocol()
    disco.setHandlerParent(setting.end)
    info = result_of(disco.requestInfo(JID(PEER)))
    assert info.features >= {"jabber:iq:oob", "urn:xmpp:ping"}


def test_what_is_sent_without_a_stream_waits():
    setting = Setting()
    setting.end.lose()
    setting.end.send("<message to='juliet@example.com'/>")
    assert setting.end.sent() == []
    setting.end.open()
    [sent] = setting.end.sent()
    assert sent["to"] == "juliet@example.com"


def test_what_was_sent_is_seen_once(kind):
    setting = Setting(lambda _offer: succeed(None), end=kind)
    assert setting.end.sent() == []
    setting.peer.offer(URL)
    [answer] = setting.end.sent()
    setting.oob.send_url(PEER, URL, "a & b")
    setting.oob.send_message(PEER, URL)
    request, message = setting.end.sent()
    assert setting.end.sent() == []
    assert setting.end.history == [answer, request, message]
    assert (answer.name, answer["type"], answer["to"]) == ("iq", "result", PEER)
    assert str(request.query.desc) == "a & b"
    assert message.body.uri == setting.end.namespace
    assert {sent["from"] for sent in setting.end.history} == {setting.end.jid.full()}

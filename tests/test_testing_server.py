"""What the server in memory does, how connections end, and an end as a parent of handlers."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.python.failure import Failure
from twisted.words.protocols.jabber.ijabber import IXMPPHandlerCollection
from twisted.words.protocols.jabber.jid import JID
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
from twisted_oob.testing import MemoryServer, result_of

from wokkel.client import XMPPClient  # isort: skip
from wokkel.disco import DiscoClientProtocol, DiscoHandler  # isort: skip
from wokkel.ping import PingHandler  # isort: skip
from wokkel.subprotocols import XMPPHandler  # isort: skip

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
    assert condition == "reject"
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


# The connection.


@pytest.mark.parametrize("reason", [ConnectionLost, ConnectionDone])
def test_a_lost_connection_fails_what_was_asked(kind, reason):
    cancelled = []
    work = Deferred(cancelled.append)
    setting = Setting(lambda _offer: work, end=kind)
    request, answer = setting.oob.send_url(PEER, URL), setting.peer.offer(URL)
    if reason is ConnectionLost:
        setting.end.lose()
    else:
        setting.end.lose(Failure(reason()))
    with pytest.raises(reason):
        result_of(request)
    assert cancelled == [work]
    assert not answer.called
    assert setting.end.xmlstream is None
    setting.end.lose()  # there is no connection now


def test_a_request_waits_for_the_next_stream(kind):
    setting = Setting(end=kind)
    setting.end.lose()
    request = setting.oob.send_url(PEER, URL)
    assert setting.end.sent() == []
    setting.end.open()
    setting.peer.next_offer().reply_success()
    assert result_of(request) is None


def test_nobody_is_there_after_a_loss():
    setting = Setting(lambda _offer: succeed(None))
    setting.end.lose()
    assert result_of(setting.peer.offer(URL)).error.condition == "service-unavailable"
    with pytest.raises(AssertionError, match="has no stream to receive this with: <presence/>"):
        setting.end.receive("<presence/>")
    setting.end.open()
    assert result_of(setting.peer.offer(URL)) is None


def test_a_peer_that_goes():
    setting = Setting()
    pending = setting.oob.send_url(PEER, URL)
    setting.peer.end.lose()
    assert not pending.called
    assert result_of(setting.oob.send_url(PEER, URL)) == "reject"


def test_what_was_under_way_is_lost_with_the_connection():
    seen = []

    def on_message(message):
        seen.append(message.url)
        setting.peer.oob.send_message(ME, f"{URL}?lost")
        setting.end.lose()
        setting.end.open()

    setting = Setting(None, on_message)
    setting.peer.oob.send_message(ME, URL)
    assert seen == [URL]
    setting.oob.on_message = lambda message: seen.append(message.url)
    setting.peer.oob.send_message(ME, f"{URL}?new")
    assert seen == [URL, f"{URL}?new"]


class Reopening(XMPPHandler):
    """Keeps what the loss of its stream was told to be, and opens the next."""

    def __init__(self, end):
        super().__init__()
        self.reasons = []
        self.end = end

    def connectionLost(self, reason):
        super().connectionLost(reason)
        self.reasons.append(reason.type)
        self.end.open()


def abort(xmlstream):
    xmlstream.transport.abortConnection()


def end_stream(xmlstream):
    xmlstream.sendFooter()


def close_twice(xmlstream):
    xmlstream.transport.loseConnection()
    xmlstream.transport.loseConnection()


@pytest.mark.parametrize("close", [abort, end_stream, close_twice])
@pytest.mark.parametrize("nested", [False, True])
def test_an_application_closes_its_connection_once(close, nested):
    setting = Setting(None, lambda _: close(first))
    first = setting.end.xmlstream
    handler = Reopening(setting.end)
    handler.setHandlerParent(setting.end)
    if nested:
        setting.peer.oob.send_message(ME, URL)
    else:
        close(first)
    assert handler.reasons == [ConnectionDone]
    assert setting.end.xmlstream is not first
    # The old one is dead, and does not disturb the new one.
    first.transport.loseConnection()
    first.transport.write(b"<message/>")
    assert handler.reasons == [ConnectionDone]
    assert setting.end.sent() == []


def test_nothing_is_sent_on_a_connection_that_closes():
    def on_message(_message):
        abort(stream)
        stream.send("<message/>")

    setting = Setting(None, on_message)
    stream = setting.end.xmlstream
    setting.peer.oob.send_message(ME, URL)
    assert setting.end.sent() == []


def test_a_lost_connection_takes_nothing_more():
    setting = Setting()
    transport = setting.end.xmlstream.transport
    setting.end.lose()
    transport.write(b"<message/>")
    transport.loseConnection()
    assert setting.end.sent() == []


def test_what_is_no_xml_ends_the_stream_of_who_gets_it():
    setting = Setting()
    setting.end.receive("</nothing>")
    assert setting.end.xmlstream is None


def test_a_stanza_can_come_in_parts():
    messages = []
    setting = Setting(None, messages.append)
    xml = f"<message><x xmlns='jabber:x:oob'><url>{URL}</url></x></message>"
    for character in xml:
        assert messages == []
        setting.end.receive(character)
    assert [message.sender for message in messages] == [None]


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

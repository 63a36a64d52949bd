"""How connections in memory are lost, closed and opened again."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.python.failure import Failure
from twisted.words.xish.domish import ParserError

from tests.support.memory import ENDS, ME, PEER, URL, Setting
from twisted_oob.testing import result_of
from twisted_oob.xmpp.memory import stanza_parser

from wokkel.subprotocols import XMPPHandler  # isort: skip

pytestmark = pytest.mark.usefixtures("log")


@pytest.fixture(params=ENDS)
def kind(request):
    return request.param


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


def test_a_peer_that_goes():
    setting = Setting()
    pending = setting.oob.send_url(PEER, URL)
    setting.peer.end.lose()
    assert not pending.called
    assert result_of(setting.oob.send_url(PEER, URL)) == "unavailable"


def test_stanza_parser_gives_each_child_of_the_root_and_tells_of_its_end():
    stanzas, ends = [], []
    parser = stanza_parser(stanzas.append, lambda: ends.append(len(stanzas)))
    for byte in b"<root xmlns='urn:r'><a><b/></a> <c/></root>":
        parser.parse(bytes([byte]))
    assert [stanza.toXml() for stanza in stanzas] == [
        "<a xmlns='urn:r'><b/></a>",
        "<c xmlns='urn:r'/>",
    ]
    assert ends == [2]


def test_stanza_parser_raises_what_no_stream_may_hold():
    for xml in (b"<root></other>", b"<root><!-- -->", b"<?target data?>", b"<!DOCTYPE root>"):
        parser = stanza_parser(pytest.fail, pytest.fail)
        with pytest.raises(ParserError):
            parser.parse(xml)

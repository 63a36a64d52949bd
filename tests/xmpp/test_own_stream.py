"""The XmlStream of our own connections: what it takes, and what ends it."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.words.protocols.jabber.error import StreamError
from twisted.words.protocols.jabber.jid import InvalidFormat
from twisted.words.protocols.jabber.xmlstream import (
    STREAM_ERROR_EVENT,
    Authenticator,
    ConnectAuthenticator,
)
from twisted.words.xish import domish
from twisted.words.xish.domish import ExpatElementStream

from tests.support.streams import DeferringParser
from twisted_oob.xmpp.own_stream import OwnXmlStream


def test_parser_gives_stanzas_at_once_from_each_beginning(monkeypatch):
    parsers = []

    def element_stream():
        made = ExpatElementStream()
        made.parser = DeferringParser()
        parsers.append(made.parser)
        return made

    monkeypatch.setattr(domish, "elementStream", element_stream)
    stream = OwnXmlStream(Authenticator(), clock=Clock())
    stream.makeConnection(StringTransport())
    stream.reset()
    assert [parser.deferral for parser in parsers] == [[False], [False]]


class Failing(Authenticator):
    """Fails at the header of the stream."""

    def __init__(self, error):
        Authenticator.__init__(self)
        self.error = error

    def streamStarted(self, rootElement):
        raise self.error


def started(authenticator):
    """Give an open OwnXmlStream, and the failures that its observers hear of."""
    stream, failures = OwnXmlStream(authenticator, clock=Clock()), []
    stream.makeConnection(StringTransport())
    stream.addObserver(STREAM_ERROR_EVENT, failures.append)
    return stream, failures


HEADER = b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"


@pytest.mark.parametrize(
    "error", [InvalidFormat("not a JID"), IndexError("no label"), KeyError("no attribute")]
)
def test_header_that_twisted_cannot_handle_ends_the_stream_as_malformed_xml_does(error):
    stream, failures = started(Failing(error))
    stream.dataReceived(HEADER)
    assert [failure.value for failure in failures] == [error]
    assert stream.transport.disconnecting

    malformed, failures = started(Authenticator())
    malformed.dataReceived(b"</a>")
    assert [failure.type for failure in failures] == [domish.ParserError]
    assert malformed.transport.disconnecting


@pytest.mark.parametrize("address", ["@", "a..b"])
def test_header_from_what_is_not_an_address_ends_the_stream(address):
    stream, failures = started(ConnectAuthenticator("home.example"))
    stream.dataReceived(HEADER.replace(b">", f" from='{address}'>".encode()))
    assert len(failures) == 1
    assert stream.transport.disconnecting


def test_any_other_exception_reaches_the_transport():
    stream, failures = started(Failing(RuntimeError("a fault of ours")))
    with pytest.raises(RuntimeError, match="a fault of ours"):
        stream.dataReceived(HEADER)
    assert failures == []
    assert not stream.transport.disconnecting


# --- what XMPP forbids


@pytest.mark.parametrize(
    "markup",
    [
        b"<!-- a comment -->",
        b"<?php echo 1 ?>",
        b"<message><!-- a comment --></message>",
        b"<message><body><?a b?></body></message>",
    ],
)
def test_what_xmpp_forbids_ends_the_stream_with_restricted_xml(markup):
    stream, failures = started(ConnectAuthenticator("home.example"))
    got = []
    stream.addObserver("/message", got.append)
    stream.dataReceived(HEADER)
    stream.transport.clear()
    stream.dataReceived(markup + b"<message/>")
    assert got == []
    assert "restricted-xml" in str(failures[0].value)
    sent = stream.transport.value()
    assert sent.count(b"<restricted-xml xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>") == 1
    assert sent.endswith(b"</stream:stream>")
    assert stream.transport.disconnecting


@pytest.mark.parametrize(
    "prologue",
    [
        b"<!-- a comment -->",
        b"<!DOCTYPE a [<!ENTITY e 'expanded'>]>",
        b"<!DOCTYPE a SYSTEM 'http://far.example/'>",
        b"<?xml version='1.0'?><?a b?>",
    ],
)
@pytest.mark.parametrize("again", [False, True])
def test_it_is_forbidden_before_the_header_and_after_a_reset_too(prologue, again):
    stream, failures = started(ConnectAuthenticator("home.example"))
    if again:
        stream.dataReceived(HEADER)
        stream.reset()
    stream.dataReceived(prologue + HEADER)
    assert "restricted-xml" in str(failures[0].value)
    assert stream.transport.disconnecting


def test_an_xml_declaration_is_not_forbidden():
    stream, failures = started(ConnectAuthenticator("home.example"))
    stream.dataReceived(b"<?xml version='1.0'?>" + HEADER)
    assert failures == []


# --- what it remembers


def test_it_knows_when_the_last_byte_came():
    clock = Clock()
    clock.advance(100)
    stream = OwnXmlStream(ConnectAuthenticator("home.example"), clock=clock)
    stream.makeConnection(StringTransport())
    assert stream.heard == 100
    for byte in HEADER:
        clock.advance(1)
        stream.dataReceived(bytes([byte]))
        assert stream.heard == clock.seconds()


@pytest.mark.parametrize("host", ["other.example", "[2001:db8::1]:5222", ""])
def test_it_remembers_the_host_that_the_server_names(host):
    stream, failures = started(ConnectAuthenticator("home.example"))
    stream.dataReceived(HEADER)
    assert stream.other_host is None
    error = f"<see-other-host xmlns='urn:ietf:params:xml:ns:xmpp-streams'>{host}</see-other-host>"
    stream.dataReceived(f"<stream:error>{error}</stream:error>".encode())
    assert stream.other_host == host
    assert [failure.value.condition for failure in failures] == ["see-other-host"]


# --- the limit of the output


def up():
    stream, failures = started(ConnectAuthenticator("home.example"))
    assert stream.transport.producer is None
    # It has no version: there is nothing to negotiate.
    stream.dataReceived(HEADER)
    return stream, failures


def test_while_too_much_waits_to_be_written_nothing_is_read():
    stream, _failures = up()
    assert not stream.blocked
    stream.transport.producer.pauseProducing()
    assert stream.blocked
    assert stream.transport.producerState == "paused"
    stream._clock.advance(50)
    stream.transport.producer.resumeProducing()
    assert not stream.blocked
    assert stream.transport.producerState == "producing"
    # Nothing could be heard meanwhile.
    assert stream.heard == 50


@pytest.mark.parametrize("blocked", [False, True])
@pytest.mark.parametrize(
    "end",
    [
        lambda stream: stream.dataReceived(b"</stream:stream>"),
        lambda stream: stream.dataReceived(b"</other>"),
        lambda stream: stream.dataReceived(b"<!-- -->"),
        lambda stream: stream.dataReceived(
            b"<stream:error><reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"
        ),
        lambda stream: stream.sendFooter(),
        lambda stream: stream.sendStreamError(StreamError("reset")),
    ],
    ids=["its end", "malformed", "forbidden", "an error", "our end", "our error"],
)
def test_a_stream_that_ends_has_no_limit_any_more(end, blocked):
    stream, _failures = up()
    if blocked:
        stream.transport.producer.pauseProducing()
    end(stream)
    # With a producer, a transport would not close.
    assert stream.transport.producer is None
    assert not stream.blocked

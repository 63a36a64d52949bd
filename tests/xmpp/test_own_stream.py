"""The XmlStream of our own connections: what it takes, and what ends it."""

from __future__ import annotations

import pytest
from twisted.internet.testing import StringTransport
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
    stream = OwnXmlStream(Authenticator())
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
    stream, failures = OwnXmlStream(authenticator), []
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

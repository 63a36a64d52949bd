"""Stanzas are given as soon as they are there: expat's deferral is off."""

from __future__ import annotations

from twisted.words.protocols.jabber.xmlstream import Authenticator, XmlStream

from tests.support.streams import DeferringParser
from twisted_oob.xmpp.prompt import parse_promptly, without_deferral


def test_any_stream_without_such_a_parser_stays_as_it_is():
    for stream in (None, object(), XmlStream(Authenticator())):
        parse_promptly(stream)


def test_a_parser_that_defers_is_told_not_to():
    class Stream:
        parser = DeferringParser()

    without_deferral(Stream)
    assert Stream.parser.deferral == [False]

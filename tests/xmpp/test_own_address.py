"""Who we are on a stream."""

from __future__ import annotations

import pytest
from twisted.words.protocols.jabber.jid import JID

from twisted_oob.testing import MemoryServer
from twisted_oob.xmpp.own_address import OwnAddress

ACCOUNT = "me@example.org/laptop"
COMPONENT = "files.example.org"


def on_stream(me):
    server = MemoryServer()
    end = (server.client if "@" in me else server.component)(me)
    address = OwnAddress()
    address.setHandlerParent(end)
    return address, end


@pytest.mark.parametrize(
    ("me", "sender", "ours"),
    [
        (ACCOUNT, ACCOUNT, True),
        (ACCOUNT, "me@example.org", True),
        (ACCOUNT, "me@example.org/phone", False),
        (ACCOUNT, "you@example.org/laptop", False),
        (ACCOUNT, "example.org", False),
        (COMPONENT, COMPONENT, True),
        (COMPONENT, "bot@files.example.org/x", True),
        (COMPONENT, "example.org", False),
        (COMPONENT, "me@example.org", False),
    ],
)
def test_it_covers_what_is_ours(me, sender, ours):
    address, _ = on_stream(me)
    assert address.covers(JID(sender)) is ours


def test_a_sender_that_nobody_tells_is_not_ours():
    assert not on_stream(ACCOUNT)[0].covers(None)


def test_before_a_stream_nobody_is_ours():
    assert not OwnAddress().covers(JID(ACCOUNT))


def test_the_next_stream_may_have_another_address():
    address, end = on_stream(ACCOUNT)
    end.lose()
    end.jid = JID("me@example.org/tablet")
    end.open()
    assert not address.covers(JID(ACCOUNT))
    assert address.covers(JID("me@example.org/tablet"))

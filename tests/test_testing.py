"""Offers, answers and messages in memory, both ways; expectations that are wrong."""

from __future__ import annotations

import subprocess
import sys

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionLost
from twisted.words.protocols.jabber.jid import JID

from tests.support.memory import (
    ENDS,
    FILES,
    ME,
    PEER,
    URL,
    Setting,
)
from twisted_oob import FileInfo, NotFound, OOBHandler, Rejected, testing
from twisted_oob.testing import MemoryServer, Peer, result_of
from twisted_oob.xmpp import memory

pytestmark = pytest.mark.usefixtures("log")


@pytest.fixture(params=ENDS)
def kind(request):
    return request.param


# Both ways.


@pytest.mark.parametrize("peer", [PEER, "far.example"])
@pytest.mark.parametrize("direct", [False, True])
def test_offers_and_answers_go_both_ways(kind, peer, direct):
    offers = []
    setting = Setting(offers.append, end=kind, peer=peer, direct=direct)
    answers = [setting.peer.offer(URL, "<a> & 'b' \"é\""), setting.peer.offer(f"{URL}?b&c")]
    [first, second] = offers
    assert (first.url, first.desc) == (URL, "<a> & 'b' \"é\"")
    assert (second.url, second.desc) == (f"{URL}?b&c", None)
    assert (first.sender, first.recipient) == (JID(peer), setting.end.jid)
    second.reply_failure("not-found")
    first.reply_success()
    assert [result_of(answer) for answer in answers] == [None, "not-found"]

    requests = [setting.oob.send_url(setting.peer.jid, URL, str(number)) for number in range(3)]
    taken = [setting.peer.next_offer() for _ in requests]
    assert [offer.desc for offer in taken] == ["0", "1", "2"]
    assert taken[0].sender == setting.end.jid
    taken[2].reply_failure("reject")
    taken[1].reply_failure("not-found")
    taken[0].reply_success()
    assert [result_of(request) for request in requests] == [None, "not-found", "reject"]


def test_what_a_peer_knows_of_a_file_goes_with_its_offer(kind):
    offers = []
    setting = Setting(offers.append, end=kind)
    info = FileInfo("a.png", 9, "image/png", "0" * 64)
    setting.peer.offer(URL, info=info)
    setting.peer.offer(URL)
    assert [offer.info for offer in offers] == [info, None]


def test_messages_go_both_ways(kind):
    messages = []
    setting = Setting(None, messages.append, end=kind)
    setting.peer.oob.send_message(setting.end.jid, URL)
    assert [(message.url, message.sender) for message in messages] == [(URL, JID(PEER))]
    setting.oob.send_message(PEER, URL, body="look")
    message = setting.peer.next_message()
    assert (message.url, message.body, message.sender) == (URL, "look", setting.end.jid)


def test_two_applications():
    server = MemoryServer()

    async def on_offer(_offer):
        raise Rejected("not today")

    OOBHandler(on_offer, reactor=server.clock).setHandlerParent(server.component(FILES))
    sender = OOBHandler(reactor=server.clock)
    sender.setHandlerParent(server.client(ME))
    condition = result_of(sender.send_url(FILES, URL))
    assert (condition, condition.error.text) == ("reject", "not today")


def test_a_peer_never_answers_by_itself():
    setting = Setting(lambda _offer: None, timeout=None)
    setting.oob.answer_timeout = None
    pending = [setting.oob.send_url(PEER, URL), setting.peer.offer(URL)]
    setting.server.clock.advance(1_000_000)
    assert [deferred.called for deferred in pending] == [False, False]


@pytest.mark.parametrize(
    ("jid", "error"),
    [
        ("juliet@example.com", "a client's JID is a full one"),
        ("example.com/balcony", "a component's JID is a domain"),
        (ME, "is connected already"),
    ],
)
def test_a_peer_has_an_address_of_its_own(jid, error):
    end = MemoryServer().client(ME)
    with pytest.raises(ValueError, match=error):
        Peer(end, jid)


# Expectations that are wrong.


def test_the_offer_that_is_not_there_fails_with_what_was_sent():
    setting = Setting(None, lambda _message: None)
    with pytest.raises(AssertionError) as caught:
        setting.peer.next_offer()
    assert str(caught.value).splitlines() == [
        f"no other offer came to {PEER}",
        f"<ClientEnd {ME}> has sent 0 stanzas; the last of them:",
        "  (nothing)",
    ]
    for number in range(7):
        setting.oob.send_message(PEER, f"{URL}?{number}")
    with pytest.raises(AssertionError) as caught:
        setting.peer.next_offer()
    lines = str(caught.value).splitlines()
    assert lines[1] == f"<ClientEnd {ME}> has sent 7 stanzas; the last of them:"
    assert lines[2:] == [f"  {stanza.toXml()}" for stanza in setting.end.sent()[2:]]


def test_the_message_that_is_not_there_fails_with_what_was_sent():
    setting = Setting(lambda _offer: fail(NotFound()), end="component")
    request = setting.oob.send_url(PEER, URL)
    setting.end.lose()
    with pytest.raises(ConnectionLost):
        result_of(request)
    with pytest.raises(AssertionError) as caught:
        setting.peer.next_message()
    first, second, third, last = str(caught.value).splitlines()
    assert first == f"no other message with a URL came to {PEER}"
    assert second == f"<ComponentEnd {FILES}> has sent 1 stanzas; the last of them:"
    assert URL in third
    assert last == "It has no stream now: open() one."


def test_the_result_of_what_has_not_fired_is_an_error():
    assert result_of(succeed(1)) == 1
    failed = fail(NotFound("gone"))
    with pytest.raises(NotFound, match="gone"):
        result_of(failed)
    with pytest.raises(AssertionError, match="the Deferred has not fired yet: <Deferred at "):
        result_of(Deferred())


def test_applications_need_no_other_module():
    public = [memory.ClientEnd, memory.ComponentEnd, memory.MemoryServer, memory.StreamEnd]
    for one in public:
        assert getattr(testing, one.__name__) is one
        assert one.__name__ in testing.__all__


SCRIPT = f"""
import sys
from twisted_oob import OOBHandler
from twisted_oob.testing import MemoryServer, Peer, result_of

async def on_offer(offer):
    pass

for direct in (False, True):
    server = MemoryServer()
    for end in (server.client({ME!r}), server.component({FILES!r})):
        handler = OOBHandler(on_offer, reactor=server.clock, direct=direct)
        handler.setHandlerParent(end)
        peer = Peer(end, "peer@far.example/" + end.jid.host)
        print(result_of(peer.offer({URL!r})))
        request = handler.send_url(peer.jid, {URL!r})
        peer.next_offer().reply_failure("reject")
        print(result_of(request))
        end.lose()
        end.open()
print("twisted.internet.reactor" in sys.modules)
"""


def test_no_reactor_is_installed():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout.split() == ["None", "reject"] * 4 + ["False"], done.stderr

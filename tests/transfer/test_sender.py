"""FileSender with URLs: each outcome, each failure, and that nothing is left behind."""

from __future__ import annotations

import pytest
from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionLost
from twisted.words.protocols.jabber.error import StanzaError

from tests.support.sending import BOB, URL, Sending
from tests.support.streams import outcome, stanza
from twisted_oob import Delivery, FileSender, OOBHandler, StreamRefused
from twisted_oob.testing import MemoryServer, Peer, result_of
from twisted_oob.transfer.delivery import CancelledOnceSent
from twisted_oob.transfer.routes import DISCO_TIMEOUT, PRESENCE_WAIT
from twisted_oob.xmpp.disco import DiscoveryHandler

STANZAS = "urn:ietf:params:xml:ns:xmpp-stanzas"


def delivered(outcome, how, **more):
    return Delivery(outcome=outcome, url=URL, via="url", how=how, **more)


def bounce(sending, condition, kind="cancel", text="why"):
    """Let the last message come back with an error."""
    (message,) = [one for one in sending.end.sent() if one.name == "message"]
    error = f"<error type='{kind}'><{condition} xmlns='{STANZAS}'/><text xmlns='{STANZAS}'>{text}"
    sending.end.receive(
        stanza("message", f"{error}</text></error>", type="error", id=message["id"],
               from_=message["to"], to=message["from"])
    )  # fmt: skip


@pytest.mark.parametrize("recipient", [f"{BOB}/oob", BOB, "files.far.example"])
def test_who_takes_an_iq_gets_one_and_has_the_file_when_it_answers(recipient):
    sending = Sending()
    peer = sending.peer(recipient if recipient != BOB else f"{BOB}/oob")
    sent = sending.send(recipient, URL, "a picture", on_progress=sending.on_progress)
    offer = peer.next_offer()
    assert (offer.url, offer.desc, offer.info.name) == (URL, "a picture", "a b.png")
    assert not sent.called
    offer.reply_success()
    assert result_of(sent) == delivered("received", "iq")
    assert sending.told == []
    assert sending.is_quiet()


@pytest.mark.parametrize(
    ("condition", "kind", "word"),
    [
        ("item-not-found", "cancel", "not-found"),
        ("not-acceptable", "modify", "reject"),
        ("not-allowed", "cancel", "reject"),
        ("service-unavailable", "cancel", "unavailable"),
        ("resource-constraint", "wait", "wait"),
        ("internal-server-error", "wait", "wait"),
    ],
)
def test_the_error_that_is_answered_is_the_outcome(condition, kind, word):
    sending = Sending()
    peer = sending.peer(f"{BOB}/oob")
    peer.oob.on_offer = lambda _offer: raises(StanzaError(condition, type=kind, text="why"))
    sent = sending.send(BOB)
    assert result_of(sent) == delivered(word, "iq", condition=condition, text="why")
    assert sending.is_quiet()


async def raises(error):
    raise error


def test_a_forced_iq_to_nobody_is_unavailable():
    sending = Sending()
    got = result_of(sending.send(BOB, as_="iq"))
    assert (got.outcome, got.how, got.condition) == ("unavailable", "iq", "service-unavailable")
    assert sending.is_quiet()


def test_an_account_without_the_iq_gets_a_message_which_is_sent_if_it_does_not_bounce():
    sending = Sending(bounce_timeout=3)
    peer = sending.peer(f"{BOB}/phone", takes_iq=False)
    sent = sending.send(f"{BOB}/phone")
    assert peer.next_message().url == URL
    sending.clock.advance(2.9)
    assert not sent.called
    sending.clock.advance(0.1)
    assert result_of(sent) == delivered("sent", "message")
    assert sending.is_quiet()


def test_a_message_that_is_forced_asks_nobody():
    sending = Sending()
    sent = sending.send(BOB, as_="message")
    assert {one.name for one in sending.end.sent()} == {"message"}
    assert result_of(sent).outcome == "unavailable"


@pytest.mark.parametrize(
    ("condition", "kind", "word"),
    [
        ("item-not-found", "cancel", "unavailable"),
        ("service-unavailable", "cancel", "unavailable"),
        ("recipient-unavailable", "wait", "unavailable"),
        ("policy-violation", "modify", "reject"),
        ("resource-constraint", "wait", "wait"),
    ],
)
def test_a_message_that_comes_back_was_not_sent(condition, kind, word):
    sending = Sending()
    sending.peer(f"{BOB}/phone", takes_iq=False)
    sent = sending.send(BOB)
    bounce(sending, condition, kind)
    assert result_of(sent) == delivered(word, "message", condition=condition, text="why")
    assert sending.is_quiet()


def test_a_message_to_an_unknown_user_comes_back_at_once():
    sending = Sending()
    got = result_of(sending.send("nobody@far.example"))
    assert (got.outcome, got.how, got.condition) == (
        "unavailable",
        "message",
        "service-unavailable",
    )
    assert sending.is_quiet()


def test_who_does_not_tell_its_features_gets_a_message():
    sending = Sending(bounce_timeout=1)
    server_peer = sending.server.client(f"{BOB}/phone")
    sent = sending.send(f"{BOB}/phone")
    assert [one.name for one in sending.end.sent()] == ["iq"]
    sending.clock.advance(DISCO_TIMEOUT)
    assert [one.name for one in sending.end.sent()] == ["message"]
    sending.clock.advance(1)
    assert result_of(sent) == delivered("sent", "message")
    assert server_peer.sent() == []


def test_presence_tells_where_an_account_takes_the_iq():
    sending = Sending()
    peers = {
        name: sending.peer(f"{BOB}/{name}", takes_iq=name != "high") for name in ("high", "low")
    }
    for name, priority in (("low", -1), ("high", 9)):
        child = f"<priority>{priority}</priority>"
        sending.end.receive(stanza("presence", child, from_=f"{BOB}/{name}"))
    sent = sending.send(BOB)
    peers["low"].next_offer().reply_success()
    assert result_of(sent) == delivered("received", "iq")


def test_an_account_that_is_no_contact_gets_its_message_after_a_moment():
    sending = Sending(opened=False)
    sending.end.open()
    peer = sending.peer(f"{BOB}/phone", takes_iq=False)
    sending.send(BOB)
    sending.clock.advance(PRESENCE_WAIT)
    assert peer.next_message().url == URL


@pytest.mark.parametrize("as_", ["iq", "message"])
@pytest.mark.parametrize(
    ("of_handler", "given", "seconds"), [(900.0, None, 900), (900.0, 30, 30), (None, 30, 30)]
)
def test_the_time_for_all_of_it_is_given_or_the_handlers(as_, of_handler, given, seconds):
    sending = Sending(timeout=of_handler, bounce_timeout=5000)
    sending.peer(f"{BOB}/oob")
    sent = sending.send(f"{BOB}/oob", as_=as_, timeout=given)
    sending.clock.advance(seconds - 1)
    assert not sent.called
    sending.clock.advance(1)
    assert result_of(sent) == delivered("timeout", as_)
    assert sending.is_quiet()


def test_without_a_limit_it_waits_for_ever():
    sending = Sending(timeout=None)
    peer = sending.peer(f"{BOB}/oob")
    sent = sending.send(BOB)
    sending.clock.advance(10_000_000)
    peer.next_offer().reply_success()
    assert result_of(sent).outcome == "received"


def test_it_waits_for_the_stream_and_counts_the_time_from_the_beginning():
    sending = Sending()
    peer = sending.peer(f"{BOB}/oob")
    sending.end.lose()
    sent, late = sending.send(BOB, timeout=60), sending.send(BOB, timeout=30)
    sending.clock.advance(30)
    assert result_of(late) == Delivery(outcome="timeout", url=URL, via="url")
    sending.end.open()
    peer.next_offer()
    sending.clock.advance(30)
    assert result_of(sent) == delivered("timeout", "iq")
    assert sending.is_quiet()


@pytest.mark.parametrize("as_", ["auto", "iq"])
def test_the_loss_of_the_stream_is_a_failure(as_):
    sending = Sending()
    sending.server.client(f"{BOB}/oob")
    sent = sending.send(f"{BOB}/oob", as_=as_)
    sending.end.lose()
    assert isinstance(outcome(sent), ConnectionLost)
    assert sending.is_quiet()


def test_a_stream_that_can_not_be_had_is_a_failure():
    sending = Sending(opened=False)
    sending.handler.parent.refused = refused = StreamRefused("no such account")
    assert outcome(sending.send(BOB)) is refused
    assert sending.is_quiet()


@pytest.mark.parametrize("opened", [True, False])
@pytest.mark.parametrize("as_", ["auto", "iq", "message"])
def test_cancelling_leaves_nothing_behind(as_, opened):
    sending = Sending(opened=opened)
    if opened:
        sending.server.client(f"{BOB}/oob")
    handlers = list(sending.end)
    sent = sending.send(f"{BOB}/oob", as_=as_)
    sent.cancel()
    error = outcome(sent)
    assert isinstance(error, CancelledError)
    assert isinstance(error, CancelledOnceSent) == (opened and as_ == "message")
    assert sending.is_quiet()
    assert list(sending.end) == handlers


def test_several_at_once_know_nothing_of_each_other():
    sending = Sending()
    peers = [sending.peer(f"{name}@far.example/oob") for name in "abc"]
    sent = [sending.send(peer.jid, f"{URL}?{n}") for n, peer in enumerate(peers)]
    sent[1].cancel()
    peers[2].next_offer().reply_failure("reject")
    offer = peers[0].next_offer()
    offer.reply_success()
    assert offer.url == f"{URL}?0"
    assert (result_of(sent[0]).outcome, result_of(sent[2]).outcome) == ("received", "reject")
    assert isinstance(outcome(sent[1]), CancelledError)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("HTTPS://files.example/a", "HTTPS://files.example/a"),
        (" http://bücher.example/ä ", "http://xn--bcher-kva.example/%C3%A4"),
        ("aesgcm://files.example/a#00ff", "aesgcm://files.example/a#00ff"),
        ("ftp://files.example/", "ftp://files.example/"),
    ],
)
def test_a_text_with_a_scheme_and_slashes_is_a_url(text, url):
    sending = Sending()
    peer = sending.peer(f"{BOB}/oob")
    sent = sending.send(BOB, text, via="upload")
    offer = peer.next_offer()
    assert offer.url == url
    offer.reply_success()
    assert result_of(sent).url == url


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"recipient": 7}, TypeError, "recipient must be a JID or a str"),
        ({"recipient": "@"}, ValueError, "not a valid JID"),
        ({"recipient": ""}, ValueError, ""),
        ({"path_or_url": 7}, TypeError, "path_or_url must be a path, a URL or a SourceFile"),
        ({"path_or_url": ""}, ValueError, "path_or_url must not be empty"),
        ({"path_or_url": "http://"}, ValueError, "no host"),
        ({"path_or_url": "a.txt"}, ValueError, "needs a share, uploads, or both"),
        ({"path_or_url": "a.txt", "via": "share"}, ValueError, "via='share' needs a share"),
        ({"path_or_url": "a.txt", "via": "upload"}, ValueError, "via='upload' needs uploads"),
        ({"desc": 7}, TypeError, "desc must be a str"),
        ({"desc": "\0"}, ValueError, "desc has the character"),
        ({"via": "pigeon"}, ValueError, "via must be one of"),
        ({"via": None}, TypeError, "via must be a str"),
        ({"as_": "presence"}, ValueError, "as_ must be one of"),
        ({"timeout": 0}, ValueError, "timeout must be"),
        ({"timeout": "1"}, TypeError, "timeout must be"),
        ({"on_progress": 7}, TypeError, "on_progress must be callable"),
    ],
)
def test_arguments_are_checked_before_anything_is_sent(change, error, text):
    sending = Sending()
    failed = outcome(sending.sender.send(**{"recipient": BOB, "path_or_url": URL} | change))
    assert isinstance(failed, error)
    assert text in str(failed)
    assert sending.end.sent() == []
    assert sending.is_quiet()


def test_the_senders_of_a_stream_share_what_presence_tells():
    sending = Sending()
    handlers = list(sending.end)
    other = FileSender(sending.handler)
    peer = sending.peer(f"{BOB}/phone")
    sending.end.receive(stanza("presence", from_=f"{BOB}/phone"))
    sent = other.send(BOB, URL)
    peer.next_offer().reply_success()
    assert result_of(sent) == delivered("received", "iq")
    assert list(sending.end) == handlers


def test_a_handler_that_joins_its_stream_later_knows_who_comes_from_then_on():
    server = MemoryServer()
    end, handler = server.client("me@home.example/desk"), OOBHandler(reactor=server.clock)
    sender = FileSender(handler)
    handler.setHandlerParent(end)
    sender.send("other@far.example", URL, as_="iq").addErrback(lambda _lost: None)
    peer = Peer(end, f"{BOB}/phone")
    DiscoveryHandler("client", "bot", "A peer").setHandlerParent(peer.end)
    end.receive(stanza("presence", from_=f"{BOB}/phone"))
    sent = sender.send(BOB, URL)
    peer.next_offer().reply_success()
    assert result_of(sent) == delivered("received", "iq")


def test_a_handler_without_a_stream_manager_is_told():
    sender = FileSender(OOBHandler(reactor=MemoryServer().clock))
    assert "setHandlerParent" in str(outcome(sender.send(BOB, URL)))


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"handler": None}, TypeError, "handler must be an OOBHandler"),
        ({"share": "tcp:0"}, TypeError, "share must be a FileShare"),
        ({"uploads": 7}, TypeError, "uploads must be an UploadHandler"),
        ({"bounce_timeout": 0}, ValueError, "bounce_timeout must be"),
        ({"bounce_timeout": None}, TypeError, "bounce_timeout must be"),
    ],
)
def test_the_parts_of_a_sender_are_checked(change, error, text):
    handler = OOBHandler(reactor=MemoryServer().clock)
    with pytest.raises(error, match=text):
        FileSender(**{"handler": handler} | change)

"""URLs that a FileSender keeps: shares that outlast their message, and files that go out again."""

from __future__ import annotations

import os

import pytest
import pytest_twisted
from twisted.internet.defer import CancelledError, Deferred

from tests.support.sending import BOB, URL, Sending, Uploads
from tests.support.streams import outcome, stanza
from tests.support.waiting import in_time, until
from twisted_oob import FileTooLarge
from twisted_oob.transfer import kept
from twisted_oob.transfer.kept import LONGEST_UPLOAD

DATA = b"a picture"
KEEP = 600
PHONE = f"{BOB}/phone"
BOUNCE = "<error type='cancel'><{} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "cat.png"
    path.write_bytes(DATA)
    return path


def keeping(net=None, **options):
    share = None if net is None else net.share
    return Sending(share=share, keep=KEEP, bounce_timeout=2, **options)


async def messages(sending, count):
    """Wait for so many messages; gives the last one's URL."""
    await until(lambda: len(messages_of(sending)) >= count)
    return str(messages_of(sending)[count - 1].x.url)


def messages_of(sending):
    return [one for one in sending.end.history if one.name == "message"]


async def sent(sending, path, **options):
    """Send a file in a message that does not bounce; gives the Delivery."""
    count = len(messages_of(sending)) + 1
    sending_it = in_time(sending.send(PHONE, path, as_="message", **options))
    await messages(sending, count)
    sending.clock.advance(2)
    return await sending_it


async def is_there(net, url):
    answer = await in_time(Deferred.fromCoroutine(net.ask(url)))
    assert (answer.status, answer.body) in ((200, DATA), (404, b"Not found\n"))
    return answer.status == 200


@pytest_twisted.ensureDeferred
async def test_a_share_can_be_read_again_and_again_for_the_time_that_is_set(net, path):
    sending = keeping(net)
    sending.peer(PHONE, takes_iq=False)
    sending_it = in_time(sending.send(PHONE, path))
    url = await messages(sending, 1)
    assert await is_there(net, url)
    sending.clock.advance(1.9)
    assert not sending_it.called
    sending.clock.advance(0.1)
    delivery = await sending_it
    assert (delivery.outcome, delivery.via, delivery.how, delivery.url) == (
        "sent", "share", "message", url
    )  # fmt: skip
    for _ in range(2):
        assert await is_there(net, url)
    net.clock.advance(KEEP - 1)
    assert await is_there(net, url)
    net.clock.advance(1)
    assert not await is_there(net, url)
    assert sending.is_quiet()


@pytest_twisted.ensureDeferred
async def test_the_share_of_a_message_that_bounces_ends_at_once(net, path):
    sending = keeping(net)
    sending.peer(PHONE, takes_iq=False)
    sending_it = in_time(sending.send(PHONE, path))
    url = await messages(sending, 1)
    bounce(sending)
    assert (await sending_it).outcome == "unavailable"
    assert not await is_there(net, url)
    assert sending.is_quiet()


def bounce(sending):
    message = messages_of(sending)[-1]
    sending.end.receive(
        stanza("message", BOUNCE.format("service-unavailable"), type="error", id=message["id"],
               from_=message["to"], to="me@home.example/desk")
    )  # fmt: skip


@pytest_twisted.ensureDeferred
async def test_by_iq_the_share_ends_with_the_answer_and_not_before(net, path):
    sending = keeping(net)
    peer = sending.peer(PHONE)
    await_offer = in_time(sending.send(PHONE, path))
    await until(lambda: peer_has_offer(sending))
    offer = peer.next_offer()
    net.clock.advance(KEEP * 2)
    assert await is_there(net, offer.url)
    offer.reply_success()
    assert (await await_offer).outcome == "received"
    assert not await is_there(net, offer.url)


def peer_has_offer(sending):
    return any(one["type"] == "set" for one in sending.end.history)


@pytest.mark.parametrize("ends", ["cancelled", "time is over"])
@pytest_twisted.ensureDeferred
async def test_a_message_that_was_not_seen_to_arrive_leaves_no_share(net, path, ends):
    sending = keeping(net)
    sending.peer(PHONE, takes_iq=False)
    sending_it = sending.send(PHONE, path, timeout=1)
    url = await messages(sending, 1)
    if ends == "cancelled":
        sending_it.cancel()
        assert isinstance(outcome(sending_it), CancelledError)
    else:
        sending.clock.advance(1)
        assert (await in_time(sending_it)).outcome == "timeout"
    assert not await is_there(net, url)
    assert sending.is_quiet()


@pytest_twisted.ensureDeferred
async def test_the_same_file_gets_the_same_url_and_the_whole_time_again(net, path):
    sending = keeping(net)
    sending.peer(PHONE, takes_iq=False)
    first = await sent(sending, path)
    net.clock.advance(KEEP - 1)
    again = await sent(sending, path)
    assert again == first
    net.clock.advance(KEEP - 1)
    assert await is_there(net, first.url)
    net.clock.advance(1)
    assert not await is_there(net, first.url)
    assert (await sent(sending, path)).url != first.url


@pytest_twisted.ensureDeferred
async def test_another_file_gets_another_url(net, path):
    sending = keeping(net)
    sending.peer(PHONE, takes_iq=False)
    urls = {(await sent(sending, path)).url}
    os.link(path, path.with_name("dog.png"))
    urls.add((await sent(sending, path.with_name("dog.png"))).url)
    path.unlink()
    path.write_bytes(DATA)
    urls.add((await sent(sending, path)).url)
    path.write_bytes(DATA + DATA)
    urls.add((await sent(sending, path)).url)
    assert len(urls) == 4


@pytest_twisted.ensureDeferred
async def test_a_bounce_does_not_end_a_share_that_others_were_told_of(net, path):
    sending = keeping(net)
    sending.peer(PHONE, takes_iq=False)
    first = await sent(sending, path)
    again = in_time(sending.send(PHONE, path, as_="message"))
    assert await messages(sending, 2) == first.url
    bounce(sending)
    assert (await again).outcome == "unavailable"
    assert await is_there(net, first.url)


@pytest_twisted.ensureDeferred
async def test_an_iq_gets_a_share_of_its_own(net, path):
    sending = keeping(net)
    peer = sending.peer(PHONE)
    first = await sent(sending, path)
    by_iq = in_time(sending.send(PHONE, path, as_="iq"))
    await until(lambda: peer_has_offer(sending))
    offer = peer.next_offer()
    assert offer.url != first.url
    offer.reply_success()
    await by_iq
    assert await is_there(net, first.url)


@pytest_twisted.ensureDeferred
async def test_the_share_that_was_sent_longest_ago_goes_first(net, path, monkeypatch):
    monkeypatch.setattr(kept, "MOST_KEPT", 2)
    sending = keeping(net)
    sending.peer(PHONE, takes_iq=False)
    paths = [path.with_name(f"{number}.png") for number in range(3)]
    for one in paths:
        one.write_bytes(DATA)
    first, second = [(await sent(sending, one)).url for one in paths[:2]]
    assert (await sent(sending, paths[0])).url == first
    third = (await sent(sending, paths[2])).url
    assert [await is_there(net, url) for url in (first, second, third)] == [True, False, True]


@pytest_twisted.ensureDeferred
async def test_two_sendings_of_one_file_at_once_both_arrive(net, path):
    sending = keeping(net)
    sending.peer(PHONE, takes_iq=False)
    both = [in_time(sending.send(PHONE, path, as_="message")) for _ in range(2)]
    await messages(sending, 2)
    sending.clock.advance(2)
    for one in both:
        assert await is_there(net, (await one).url)


@pytest_twisted.ensureDeferred
async def test_kept_shares_end_with_the_service(net, path):
    sending = keeping(net)
    sending.peer(PHONE, takes_iq=False)
    first = await sent(sending, path)
    await in_time(net.share.stopService())
    assert net.clock.getDelayedCalls() == []
    net.share.startService()
    await in_time(net.share.ready)
    second = await sent(sending, path)
    assert second.url != first.url
    assert await is_there(net, second.url)


# --- uploads


@pytest.mark.parametrize(
    ("keep", "seconds", "uploads"),
    [(KEEP, KEEP - 1, 1), (KEEP, KEEP + 1, 2), (1e9, LONGEST_UPLOAD + 1, 2), (None, 0, 2)],
)
@pytest_twisted.ensureDeferred
async def test_the_url_of_an_upload_serves_again_for_some_time(path, keep, seconds, uploads):
    made = Uploads()
    sending = Sending(uploads=made, keep=keep, bounce_timeout=2)
    sending.peer(PHONE, takes_iq=False)
    first = await sent(sending, path)
    sending.clock.advance(seconds - 2 if seconds else 0)
    again = await sent(sending, path)
    assert again == first
    assert (again.via, again.size, again.sha256 is not None) == ("upload", len(DATA), True)
    assert len(made.uploaded) == uploads
    assert made.uploaded[-1]["source"].closed


@pytest_twisted.ensureDeferred
async def test_a_file_that_changed_is_uploaded_again(path):
    made = Uploads()
    sending = keeping(uploads=made)
    sending.peer(PHONE, takes_iq=False)
    await sent(sending, path)
    path.write_bytes(b"another")
    await sent(sending, path)
    assert [one["data"] for one in made.uploaded] == [DATA, b"another"]


@pytest_twisted.ensureDeferred
async def test_an_upload_is_kept_also_if_its_message_bounced_and_for_an_iq(path):
    made = Uploads()
    sending = keeping(uploads=made)
    peer = sending.peer(PHONE)
    first = in_time(sending.send(PHONE, path, as_="message"))
    await messages(sending, 1)
    bounce(sending)
    assert (await first).outcome == "unavailable"
    second = in_time(sending.send(PHONE, path))
    await until(lambda: peer_has_offer(sending))
    offer = peer.next_offer()
    assert (offer.url, offer.info.size, offer.info.sha256 is not None) == (URL, len(DATA), True)
    offer.reply_success()
    assert (await second).via == "upload"
    assert len(made.uploaded) == 1


@pytest_twisted.ensureDeferred
async def test_no_more_uploads_are_remembered_than_shares(path, monkeypatch):
    monkeypatch.setattr(kept, "MOST_KEPT", 2)
    made = Uploads()
    sending = keeping(uploads=made)
    sending.peer(PHONE, takes_iq=False)
    paths = [path.with_name(f"{number}.png") for number in range(3)]
    for one in paths:
        one.write_bytes(DATA)
    for one in (*paths, paths[2], paths[1], paths[0]):
        await sent(sending, one)
    assert len(made.uploaded) == 4


@pytest_twisted.ensureDeferred
async def test_a_share_is_kept_for_what_the_service_does_not_take(net, path):
    sending = keeping(net, uploads=Uploads(FileTooLarge(5)))
    sending.peer(PHONE, takes_iq=False)
    first = await sent(sending, path)
    assert (first.via, (await sent(sending, path)).url) == ("share", first.url)


@pytest.mark.parametrize(("keep", "kind"), [(0, ValueError), (-1, ValueError), ("1", TypeError)])
def test_what_is_no_time_is_refused(keep, kind):
    with pytest.raises(kind, match=r"^keep must be"):
        Sending(keep=keep)

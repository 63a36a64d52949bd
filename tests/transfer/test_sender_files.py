"""FileSender with files: hashed, then uploaded or shared, or neither."""

from __future__ import annotations

import hashlib
import os

import pytest
import pytest_twisted
from twisted.internet.defer import CancelledError
from twisted.words.protocols.jabber.xmlstream import TimeoutError as IQTimeoutError

from tests.support.sending import BOB, URL, Sending, Uploads
from tests.support.streams import outcome
from tests.support.waiting import in_time, until
from twisted_oob import (
    FileInfo,
    FileShare,
    FileTooLarge,
    SlotRefused,
    UploadFailed,
    UploadServiceNotFound,
)
from twisted_oob.files.source import SourceFile

DATA = b"some bytes"
SHA256 = hashlib.sha256(DATA).hexdigest()
LISTEN = "tcp:0:interface=127.0.0.1"


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "a file.txt"
    path.write_bytes(DATA)
    return path


@pytest_twisted.async_yield_fixture
async def share():
    from twisted.internet import reactor

    made = FileShare(LISTEN, reactor=reactor)
    made.startService()
    await made.ready
    yield made
    await made.stopService()


async def offered(sending, sent):
    """Wait until an offer or a message was sent."""
    await until(
        lambda: sent.called or any(one["type"] in ("set", "chat") for one in sending.end.history)
    )


@pytest_twisted.ensureDeferred
async def test_an_upload_is_offered_with_all_that_is_known(path):
    uploads = Uploads()
    sending = Sending(uploads=uploads)
    peer = sending.peer(f"{BOB}/oob")
    sent = in_time(sending.send(BOB, path, timeout=60, on_progress=sending.on_progress))
    await offered(sending, sent)
    offer = peer.next_offer()
    assert (offer.url, offer.info) == (URL, FileInfo("a file.txt", 10, "text/plain", SHA256))
    offer.reply_success()
    delivery = await sent
    assert (delivery.outcome, delivery.url, delivery.via, delivery.how) == (
        "received", URL, "upload", "iq"
    )  # fmt: skip
    assert (delivery.size, delivery.sha256) == (10, SHA256)
    [given] = uploads.uploaded
    assert (given["name"], given["media_type"]) == ("a file.txt", "text/plain")
    assert given["data"] == DATA
    assert given["timeout"] > 60
    assert given["source"].closed
    assert sending.told == [("hash", 10, 10), ("upload", 10, 10)]


@pytest_twisted.ensureDeferred
async def test_an_upload_is_sent_in_a_message_to_others(path):
    sending = Sending(uploads=Uploads(), bounce_timeout=1)
    peer = sending.peer(f"{BOB}/phone", takes_iq=False)
    sent = in_time(sending.send(BOB, str(path), via="upload"))
    await offered(sending, sent)
    message = peer.next_message()
    assert (message.url, message.info.sha256) == (URL, SHA256)
    sending.clock.advance(1)
    delivery = await sent
    assert (delivery.outcome, delivery.via, delivery.how) == ("sent", "upload", "message")


@pytest.mark.parametrize(
    ("uploads", "condition", "text"),
    [
        (Uploads(service=False), None, "has no service"),
        (Uploads(max_size=9), None, "at most 9 bytes"),
        (Uploads(FileTooLarge(5)), None, "at most 5 bytes"),
        (Uploads(UploadServiceNotFound("gone")), None, "gone"),
        (Uploads(SlotRefused("resource-constraint", "quota")), "resource-constraint", "quota"),
        (Uploads(UploadFailed(500, "the server answered 500")), None, "500"),
    ],
)
@pytest.mark.parametrize("via", ["auto", "upload"])
@pytest_twisted.ensureDeferred
async def test_an_upload_that_fails_is_an_outcome_and_nothing_is_sent(
    path, uploads, condition, text, via
):
    sending = Sending(uploads=uploads)
    sending.peer(f"{BOB}/oob")
    delivery = await in_time(sending.send(BOB, path, via=via))
    assert (delivery.outcome, delivery.condition) == ("upload-failed", condition)
    assert text in delivery.text
    assert (delivery.url, delivery.via, delivery.how) == (None, "upload", "iq")
    assert {one.getAttribute("type") for one in sending.end.sent()} == {"get"}


@pytest.mark.parametrize(
    "uploads",
    [
        Uploads(service=False),
        Uploads(max_size=9),
        Uploads(FileTooLarge(5)),
        Uploads(UploadServiceNotFound("gone")),
    ],
)
@pytest_twisted.ensureDeferred
async def test_what_the_service_can_not_take_is_shared(path, share, uploads):
    sending = Sending(uploads=uploads, share=share)
    peer = sending.peer(f"{BOB}/oob")
    sent = in_time(sending.send(BOB, path))
    await offered(sending, sent)
    peer.next_offer().reply_success()
    delivery = await sent
    assert (delivery.outcome, delivery.via) == ("received", "share")


@pytest.mark.parametrize(("via", "outcome"), [("auto", "received"), ("upload", "upload-failed")])
@pytest_twisted.ensureDeferred
async def test_an_empty_file_that_the_service_refuses_is_shared(path, share, via, outcome):
    path.write_bytes(b"")
    sending = Sending(uploads=Uploads(SlotRefused("bad-request", "Bad size")), share=share)
    peer = sending.peer(f"{BOB}/oob")
    sent = in_time(sending.send(BOB, path, via=via))
    await offered(sending, sent)
    if via == "auto":
        peer.next_offer().reply_success()
    delivery = await sent
    assert delivery.outcome == outcome


@pytest_twisted.ensureDeferred
async def test_a_service_that_does_not_answer_counts_as_missing(path):
    uploads = Uploads()
    uploads.service = IQTimeoutError("no answer")
    sending = Sending(uploads=uploads)
    delivery = await in_time(sending.send(BOB, path, as_="message"))
    assert (delivery.outcome, delivery.via) == ("upload-failed", "upload")


@pytest.mark.parametrize("ends", [SlotRefused("not-allowed"), UploadFailed(500, "no")])
@pytest_twisted.ensureDeferred
async def test_an_upload_that_was_begun_is_not_made_up_for_by_a_share(path, share, ends):
    sending = Sending(uploads=Uploads(ends), share=share)
    delivery = await in_time(sending.send(BOB, path, as_="iq"))
    assert delivery.outcome == "upload-failed"


@pytest.mark.parametrize(
    ("via", "by"), [("auto", "upload"), ("upload", "upload"), ("share", "share")]
)
@pytest_twisted.ensureDeferred
async def test_a_file_that_fits_exactly_goes_where_it_should(path, share, via, by):
    sending = Sending(uploads=Uploads(max_size=10), share=share)
    peer = sending.peer(f"{BOB}/oob")
    sent = in_time(sending.send(BOB, path, via=via))
    await offered(sending, sent)
    peer.next_offer().reply_success()
    assert (await sent).via == ("share" if via == "share" else "upload")


@pytest_twisted.ensureDeferred
async def test_the_time_limit_ends_an_upload(path):
    uploads = Uploads(None)
    sending = Sending(uploads=uploads)
    sending.peer(f"{BOB}/oob")
    sent = in_time(sending.send(BOB, path, timeout=7))
    await until(lambda: uploads.uploaded)
    sending.clock.advance(7)
    delivery = await sent
    assert (delivery.outcome, delivery.url, delivery.via) == ("timeout", None, "upload")
    assert (delivery.size, delivery.sha256) == (10, SHA256)
    assert uploads.cancelled == 1
    assert uploads.uploaded[0]["source"].closed
    assert sending.is_quiet()


@pytest.mark.parametrize("what", ["missing", "folder", "fifo"])
def test_what_can_not_be_opened_fails_before_anything_is_sent(tmp_path, what):
    path = tmp_path / what
    if what == "folder":
        path.mkdir()
    elif what == "fifo":
        os.mkfifo(path)
    sending = Sending(uploads=Uploads())
    failed = outcome(sending.send(BOB, path))
    assert isinstance(failed, OSError)
    assert ("tar -czf" in str(failed)) == (what == "folder")
    assert sending.end.sent() == []


def test_a_source_file_is_closed_whatever_is_wrong(path):
    sending = Sending(uploads=Uploads())
    source = SourceFile(path)
    assert isinstance(outcome(sending.send("@", source)), ValueError)
    assert source.closed
    assert "closed" in str(outcome(sending.send(BOB, source)))


@pytest_twisted.ensureDeferred
async def test_a_file_that_gets_shorter_while_it_is_hashed_is_an_error(path):
    sending = Sending(uploads=Uploads())
    source = SourceFile(path)
    os.truncate(path, 3)
    with pytest.raises(OSError, match="shorter"):
        await in_time(sending.send(f"{BOB}/oob", source, as_="iq"))
    assert source.closed
    assert sending.end.sent() == []


@pytest_twisted.ensureDeferred
async def test_a_share_that_does_not_run_is_told(path):
    from twisted.internet import reactor

    sending = Sending(share=FileShare(LISTEN, reactor=reactor))
    with pytest.raises(ValueError, match="startService"):
        await in_time(sending.send(BOB, path, as_="iq"))


@pytest.mark.parametrize("via", ["upload", "share"])
@pytest_twisted.ensureDeferred
async def test_cancelling_while_it_is_hashed_closes_the_file(path, share, via):
    sending = Sending(share=share, uploads=Uploads())
    source = SourceFile(path)
    sent = sending.send(f"{BOB}/oob", source, via=via, as_="iq")
    sent.cancel()
    assert isinstance(outcome(sent), CancelledError)
    assert source.closed
    assert sending.end.sent() == []
    assert sending.is_quiet()


@pytest_twisted.ensureDeferred
async def test_nothing_is_told_after_the_end(path):
    uploads = Uploads(None)
    sending = Sending(uploads=uploads)
    sent = sending.send(f"{BOB}/oob", path, as_="iq", on_progress=sending.on_progress)
    await until(lambda: uploads.uploaded)
    told = len(sending.told)
    sent.cancel()
    assert isinstance(outcome(sent), CancelledError)
    uploads.uploaded[0]["on_progress"](10, 10)
    assert len(sending.told) == told


@pytest_twisted.ensureDeferred
async def test_an_on_progress_that_fails_disturbs_nothing(path, log):
    sending = Sending(uploads=Uploads())
    peer = sending.peer(f"{BOB}/oob")
    sent = in_time(sending.send(BOB, path, on_progress=lambda *_: 1 / 0))
    await offered(sending, sent)
    peer.next_offer().reply_success()
    assert (await sent).outcome == "received"
    assert {type(failure) for failure in log.failures()} == {ZeroDivisionError}
